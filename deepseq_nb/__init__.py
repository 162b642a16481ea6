"""DeepSequence in PyTorch: score the effect of mutations with a latent-variable model of one family.

The names below are stable; they are imported on first use, so that `import deepseq_nb` costs nothing.
"""

from importlib import import_module

__version__ = "0.1.0"

_HOME = {
    "Alignment": "alignment",
    "AlignmentError": "alignment",
    "VariantError": "variants",
    "ConfigError": "priors",
    "CheckpointError": "runs",
    "ModelConfig": "model",
    "DeepSequence": "model",
    "TrainConfig": "training",
    "Run": "runs",
    "fit": "runs",
    "load_run": "runs",
    "score": "scoring",
    "evaluate": "evaluation",
}
_MODULES = (
    "alignment", "weights", "variants", "datasets", "priors", "kernels", "model", "training",
    "runs", "graphs", "scoring", "evaluation", "figures", "baselines", "couplings", "results", "original",
    "pyro_model", "engines", "book", "experiments", "runner", "cli",
)  # fmt: skip
__all__ = [*_HOME, *_MODULES]


def __getattr__(name: str):
    if name in _HOME:
        return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    if name in _MODULES:
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
