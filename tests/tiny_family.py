"""A tiny random family and a model that trains on it in a second."""

from pathlib import Path

import numpy as np
import torch

from deepseq_nb.model.priors import SparsityPrior
from deepseq_nb.model.runs import Run
from deepseq_nb.model.sizes import ModelConfig
from deepseq_nb.model.training import TrainConfig

TINY = ModelConfig(
    encoder=(16,), latent=3, decoder=(8, 12), conv=5, sparsity=SparsityPrior(logit_p=0.01)
)


QUICK = TrainConfig(steps=30, batch_size=20, device="cpu", checkpoint_every=10)


def same(a: Run, b: Run) -> bool:
    """Whether two runs have the same parameters, to the last bit."""
    pairs = zip(a.model.state_dict().values(), b.model.state_dict().values(), strict=True)
    return all(torch.equal(x, y) for x, y in pairs)


def write_family(path: Path, n: int = 80, seed: int = 1) -> Path:
    """An a2m of `n` noisy copies of TINY/11-24; residues 13 and 14 are lower case, a few gaps."""
    rng = np.random.default_rng(seed)
    letters = np.array(list("ACDEFGHIKLMNPQRSTVWY"))
    focus = "MKVLAAGIVGLEDR"
    lines = [">TINY/11-24", "MKvlAAGIVGLEDR"]
    for i in range(n - 1):
        row = np.array(list(focus))
        change = rng.random(len(row)) < 0.4
        row[change] = rng.choice(letters, change.sum())
        row[rng.random(len(row)) < 0.05] = "-"
        text = "".join(row)
        lines += [f">seq{i}/1-14", text[:2] + text[2:4].lower().replace("-", ".") + text[4:]]
    path.write_text("\n".join(lines) + "\n")
    return path
