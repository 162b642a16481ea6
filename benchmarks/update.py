"""One update of the paper's model on BLAT, the textbook way and ours, each in a process of its own.

    python benchmarks/update.py [--updates 20] [--threads 2] [--save]

Textbook: one-hot floats, one `randn` for each weight, the KL by automatic differentiation, torch's default Adam, no tuning of
memory. The same objective, sizes and batches. Prints seconds an update (median and range) and ratios. Without DEEPSEQ_DATA the
shipped family takes BLAT's place.
"""

import argparse
import json
import subprocess
import sys
import time
from itertools import pairwise

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F

from deepseq_nb.core.machine import kept_memory
from deepseq_nb.family import registry
from deepseq_nb.family.alignment import Alignment
from deepseq_nb.family.weight_files import cached_weights
from deepseq_nb.model.network import DeepSequence
from deepseq_nb.model.sizes import ModelConfig
from deepseq_nb.model.training import TrainConfig, Trainer
from deepseq_nb.studies import results


class Textbook(torch.nn.Module):
    """The model of Riesselman 2018 written down as one would on a blackboard."""

    def __init__(
        self,
        length,
        letters=20,
        sizes=(1500, 1500),
        latent=30,
        decoder=(100, 2000),
        conv=40,
        tiles=4,
    ):
        super().__init__()
        self.length, self.letters, self.conv, self.tiles = length, letters, conv, tiles
        widths = (length * letters, *sizes)
        self.encoder = torch.nn.ModuleList(torch.nn.Linear(a, b) for a, b in pairwise(widths))
        self.mu, self.log_sigma = (torch.nn.Linear(sizes[-1], latent) for _ in range(2))
        shapes = {
            "w0": (latent, decoder[0]), "b0": (decoder[0],), "w1": decoder, "b1": (decoder[1],),
            "out": (decoder[1], length * conv), "conv": (conv, letters), "bias": (length * letters,),
            "scale": (decoder[1] // tiles, length), "temperature": (1,),
        }  # fmt: skip
        draw = {k: torch.randn(v) * (2 / sum(v)) ** 0.5 for k, v in shapes.items()}
        self.means = torch.nn.ParameterDict({k: torch.nn.Parameter(v) for k, v in draw.items()})
        self.spreads = torch.nn.ParameterDict(
            {k: torch.nn.Parameter(torch.full(v, -5.0)) for k, v in shapes.items()}
        )

    def loss(self, x, neff):
        """The negative ELBO for one-hot rows `(B, L, A)`."""
        hidden = x.flatten(1)
        for layer in self.encoder:
            hidden = torch.relu(layer(hidden))
        mu, log_sigma = self.mu(hidden), self.log_sigma(hidden)
        z = mu + log_sigma.exp() * torch.randn_like(mu)
        w = {k: m + self.spreads[k].exp() * torch.randn_like(m) for k, m in self.means.items()}
        hidden = torch.sigmoid(torch.relu(z @ w["w0"] + w["b0"]) @ w["w1"] + w["b1"])
        out = (w["out"].view(-1, self.conv) @ w["conv"]).view(-1, self.length, self.letters)
        out = out * torch.sigmoid(w["scale"]).repeat(self.tiles, 1).unsqueeze(-1)
        logits = (hidden @ out.flatten(1) + w["bias"]) * F.softplus(w["temperature"])
        rows = logits.view(len(x), self.length, self.letters).log_softmax(-1)
        likelihood = (x * rows).sum((1, 2)).mean()
        latent = 0.5 * (mu**2 + (2 * log_sigma).exp() - 1 - 2 * log_sigma).sum(1).mean()
        price = 0.0
        for k, m in self.means.items():
            mean, width = (-12.36, 4.0) if k == "scale" else (0.0, 1.0)
            s = self.spreads[k]
            price = (
                price
                + (
                    np.log(width) - s + 0.5 * ((2 * s).exp() + (m - mean) ** 2) / width**2 - 0.5
                ).sum()
            )
        return latent + price / neff - likelihood


def textbook(alignment, weights, updates):
    """Seconds of each update, the textbook way."""
    x = F.one_hot(torch.from_numpy(alignment.tokens).long(), 21)[..., :20].float()
    chance, neff = weights / weights.sum(), weights.sum()
    model = Textbook(alignment.tokens.shape[1])
    optimiser = torch.optim.Adam(model.parameters(), lr=0.001)
    taken, rng = [], np.random.default_rng(1)
    for _ in range(updates + 3):
        start = time.perf_counter()
        batch = x[rng.choice(len(x), 100, p=chance)]
        loss = model.loss(batch, neff)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        taken.append(time.perf_counter() - start)
    return taken[3:]


def ours(alignment, weights, updates, fused):
    """Seconds of each update of our trainer, with the loops or without."""
    with kept_memory():
        model = DeepSequence(ModelConfig(), alignment.tokens.shape[1], 20, seed=1)
        device = torch.device("cpu")
        trainer = Trainer(model, alignment.tokens, weights, TrainConfig(), device, fused=fused)
        taken = []
        for step in range(1, updates + 4):
            start = time.perf_counter()
            trainer.update(step)
            taken.append(time.perf_counter() - start)
    return taken[3:]


VERSIONS = ("textbook", "kept memory, automatic differentiation", "loops")


def one(version, updates, threads):
    """Time one version and print its seconds as JSON."""
    torch.set_num_threads(threads)
    alignment = Alignment.read(registry.find("BLAT_ECOLX") or registry.synthetic_path())
    weights = cached_weights(alignment, 0.2)
    if version == "textbook":
        taken = textbook(alignment, weights, updates)
    else:
        taken = ours(alignment, weights, updates, version == "loops")
    print(json.dumps(taken))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--updates", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=2, help="times each version takes its turn")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--save", action="store_true", help="write results/update_speed.csv")
    parser.add_argument("--one", choices=VERSIONS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        return one(args.one, args.updates, args.threads)
    times = {version: [] for version in VERSIONS}
    for _ in range(args.rounds):
        for version in VERSIONS:
            command = [sys.executable, __file__, "--one", version]
            options = ["--updates", str(args.updates), "--threads", str(args.threads)]
            found = subprocess.run([*command, *options], capture_output=True, text=True, check=True)
            times[version] += json.loads(found.stdout.splitlines()[-1])
    base = np.median(times["textbook"])
    rows = [
        {
            "version": version,
            "median_ms": round(1e3 * np.median(taken), 1),
            "fastest_ms": round(1e3 * min(taken), 1),
            "slowest_ms": round(1e3 * max(taken), 1),
            "times_faster": round(base / np.median(taken), 2),
        }
        for version, taken in times.items()
    ]
    table = pd.DataFrame(rows)
    print(table.to_string(index=False))
    if args.save:
        family = "BLAT_ECOLX" if registry.find("BLAT_ECOLX") else "synthetic"
        torch.set_num_threads(args.threads)
        about = {
            "family": family,
            "updates": args.updates,
            "rounds": args.rounds,
            "batch_size": 100,
        }
        results.save_result("update_speed", table, about)


if __name__ == "__main__":
    main()
