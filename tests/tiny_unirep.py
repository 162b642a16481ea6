"""A small random UniRep, and the same network in plain float64 NumPy, one sequence and one position at a time."""

import numpy as np
import torch

from deepseq_nb.peers.unirep import UniRep, UniRepConfig

LETTERS = "MRHKDESTNQCUGPAVIFYWLOXZBJ"
SYMBOLS = dict(zip(LETTERS, [*range(1, 24), 23, 23, 23], strict=True))


def tiny_unirep(width: int = 12, layers: int = 2, seed: int = 1) -> UniRep:
    return UniRep(
        UniRepConfig(width=width, layers=layers, embedding=5),
        torch.Generator().manual_seed(seed),
    )


def random_proteins(lengths: list[int], seed: int = 1) -> list[str]:
    letters = np.random.default_rng(seed)
    return ["".join(letters.choice(list(LETTERS), length)) for length in lengths]


def by_hand(model: UniRep, protein: str):
    """h (positions, width), the last c, and the logits, each from its formula."""
    p = {name: value.detach().double().numpy() for name, value in model.named_parameters()}
    x = [p["embedding"][symbol] for symbol in [24] + [SYMBOLS[letter] for letter in protein]]
    width = model.config.width
    for layer in range(model.config.layers):
        w = {}
        for name in ("mx", "mh", "x", "h"):
            raw, gain = p[f"cells.{layer}.w{name}"], p[f"cells.{layer}.g{name}"]
            w[name] = raw / np.sqrt((raw * raw).sum(axis=0)) * gain
        h, c, out = np.zeros(width), np.zeros(width), []
        for at in x:
            z = at @ w["x"] + ((at @ w["mx"]) * (h @ w["mh"])) @ w["h"] + p[f"cells.{layer}.b"]
            i, f, o = (1 / (1 + np.exp(-z[k * width : (k + 1) * width])) for k in range(3))
            c = f * c + i * np.tanh(z[3 * width :])
            h = o * np.tanh(c)
            out.append(h)
        x = out
    return np.array(x), c, np.array(x) @ p["dense_w"] + p["dense_b"]
