"""DeepSequence in PyTorch: score the effect of mutations with a latent-variable model of one family.

The names in `__all__` are stable; they are imported on first use, so that `import deepseq_nb` costs nothing.
Everything else lives in rooms: `core`, `family`, `model`, `scores`, `peers`, `studies`, `cli`, each of which
imports only from those before it.
"""

from importlib import import_module

__version__ = "0.1.0"

_HOME = {
    "Alignment": "family.alignment",
    "DeepseqError": "core.errors",
    "AlignmentError": "core.errors",
    "VariantError": "core.errors",
    "ConfigError": "core.errors",
    "CheckpointError": "core.errors",
    "sequence_weights": "family.weights",
    "ModelConfig": "model.sizes",
    "DeepSequence": "model.network",
    "preset": "model.sizes",
    "TrainConfig": "model.training",
    "Run": "model.runs",
    "fit": "model.runs",
    "fit_many": "model.runs",
    "load_run": "model.runs",
    "score": "peers.mixing",
    "combine": "scores.scoring",
    "evaluate": "scores.evaluation",
    "difference": "scores.evaluation",
    "plot_run": "scores.figures",
    "write_report": "scores.report",
    "get_reps": "peers.representations",
}
_ROOMS = ("core", "family", "model", "scores", "peers", "studies", "cli")
__all__ = [*_HOME, *_ROOMS]


def __getattr__(name: str):
    if name in _HOME:
        return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    if name in _ROOMS:
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
