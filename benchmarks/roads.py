"""Roads to a faster update, each measured alone: what paid and what did not.

    python benchmarks/roads.py [--repeats 7] [--threads 2] [--save]

Every road is one piece of an update of the paper's model for 253 columns and batches of 100, timed before and after, in turn, in one process. The
last rows compare the noise of gradients: their variance under one draw of the weights shared by the batch, and under activations sampled for each
sequence apart (local reparameterisation, Kingma 2015), on a small model after `--steps` updates on the shipped family.
"""

import argparse
import shutil
import time

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F

from deepseq_nb.core.machine import kept_memory
from deepseq_nb.family import registry
from deepseq_nb.family.alignment import Alignment
from deepseq_nb.family.weight_files import cached_weights
from deepseq_nb.model.kernels import OutputLayer, normal_numbers
from deepseq_nb.model.network import DeepSequence, _looked_up, one_hot
from deepseq_nb.model.priors import gaussian_kl
from deepseq_nb.model.sizes import ModelConfig, preset
from deepseq_nb.model.training import TrainConfig, Trainer, fill_noise
from deepseq_nb.studies import results

LENGTH, LETTERS, BATCH = 253, 20, 100
HIDDEN, CONV, TILES = 2000, 40, 4


def seconds(works: dict, repeats: int) -> dict[str, float]:
    """Median seconds of each piece of work, the pieces in turn."""
    taken = {name: [] for name in works}
    for turn in range(repeats + 1):
        for name, work in works.items():
            start = time.perf_counter()
            work()
            if turn:  # the first finds memory and compiles
                taken[name].append(time.perf_counter() - start)
    return {name: float(np.median(times)) for name, times in taken.items()}


def letters() -> dict:
    """The encoder's first layer, forwards and backwards: one-hot product, or rows looked up."""
    model = DeepSequence(ModelConfig(), LENGTH, seed=1)
    tokens = torch.randint(0, 21, (BATCH, LENGTH), dtype=torch.uint8)
    layer = model.encoder.layers[0]

    def product():
        layer(one_hot(tokens, LETTERS).flatten(1)).sum().backward()

    def looked_up():
        _looked_up(tokens, layer, LETTERS).sum().backward()

    return {"one-hot product": product, "columns looked up": looked_up}


def noise() -> dict:
    """Twenty million normal numbers: torch's generator, or the table of quantiles."""
    out = torch.empty(HIDDEN * LENGTH * CONV)
    return {"torch.randn": out.normal_, "table of quantiles": lambda: normal_numbers(1, out)}


def price() -> dict:
    """The KL of the output weights: by automatic differentiation, or its two formulas in place."""
    mu = torch.randn(HIDDEN, LENGTH * CONV, requires_grad=True)
    log_sigma = torch.full_like(mu, -5.0).requires_grad_()
    a, b = torch.empty_like(mu), torch.empty_like(mu)

    def automatic():
        mu.grad = log_sigma.grad = None
        gaussian_kl(mu, log_sigma).backward()

    def closed():
        with torch.no_grad():
            torch.mul(mu, 1.0, out=a)
            torch.mul(log_sigma, 2, out=b).exp_().sub_(1)

    return {"automatic": automatic, "closed form": closed}


def order() -> dict:
    """hidden x output weights x convolution: weights first (what we do), or hidden first (which leaves no room for scales)."""
    hidden, conv = torch.rand(BATCH, HIDDEN), torch.randn(CONV, LETTERS)
    weight = torch.randn(HIDDEN, LENGTH * CONV)
    space = OutputLayer(HIDDEN, LENGTH, CONV, LETTERS, conv=True, scaled=False)
    return {
        "hidden first": lambda: (hidden @ weight).view(BATCH, LENGTH, CONV) @ conv,
        "weights first": lambda: space(hidden, weight, conv, None),
    }


def adam() -> dict:
    """Adam over two arrays of twenty million: torch's loop over parameters, `foreach`, and its fused kernel."""
    works = {}
    for name, options in (
        ("one by one", {"foreach": False}),
        ("foreach", {"foreach": True}),
        ("fused", {"fused": True}),
    ):
        parameters = [torch.nn.Parameter(torch.zeros(HIDDEN, LENGTH * CONV)) for _ in range(2)]
        for p in parameters:
            p.grad = torch.ones_like(p)
        works[name] = torch.optim.Adam(parameters, **options).step
    return works


def half() -> dict:
    """The output's product in float32, and in bfloat16 (conversion included, as the weights are drawn in float32)."""
    hidden, out = torch.rand(BATCH, HIDDEN), torch.randn(HIDDEN, LENGTH * LETTERS)
    return {"float32": lambda: hidden @ out, "bfloat16": lambda: hidden.bfloat16() @ out.bfloat16()}


def whole() -> dict:
    """A whole update by automatic differentiation: as it is, and through torch.compile where a compiler is found."""
    rng = np.random.default_rng(1)
    tokens = rng.integers(0, 21, (1000, LENGTH)).astype(np.uint8)

    def trainer():
        model = DeepSequence(ModelConfig(), LENGTH, seed=1)
        config, cpu = TrainConfig(batch_size=BATCH), torch.device("cpu")
        return Trainer(model, tokens, np.ones(1000), config, cpu, fused=False)

    plain = trainer()
    works = {"automatic differentiation": lambda: plain.update(1)}
    if shutil.which("g++") or shutil.which("clang++"):
        compiled = trainer()
        compiled.model.encoder.forward = torch.compile(compiled.model.encoder.forward)
        compiled.model.decoder.output = torch.compile(compiled.model.decoder.output)
        works["torch.compile of encoder and output"] = lambda: compiled.update(1)
    return works


ROADS = {
    "first layer": letters, "noise": noise, "price of the weights": price, "order of the products": order, "Adam": adam,
    "half precision": half, "a whole update": whole,
}  # fmt: skip


def local_logits(model: DeepSequence, hidden, w, generator):
    """Logits with the output weights integrated out given all others: one Gaussian for each sequence, position and letter."""
    weight, decoder = model.decoder.weights["W_out"], model.decoder
    mean = decoder.output_weights(w | {"W_out": weight.mu})
    squares = w | {"W_conv": w["W_conv"].square(), "W_out": (2 * weight.log_sigma).exp()}
    spread = squares["W_out"].reshape(-1, squares["W_conv"].shape[0]) @ squares["W_conv"]
    scale = decoder.config.sparsity.transform(w["W_out_scale"]).square()
    tiles = spread.view(decoder.config.patterns, *scale.shape, -1) * scale.unsqueeze(-1)
    variance = hidden.square() @ tiles.reshape(len(mean), -1)
    product = hidden @ mean
    product = product + variance.sqrt() * torch.randn(product.shape, generator=generator)
    logits = (product + w["b_out"]) * F.softplus(w["final_pwm_scale"])
    return logits.view(len(hidden), model.length, -1)


def gradient_noise(steps: int, draws: int = 60) -> list[dict]:
    """Variance of the gradient of the reconstruction by the output weights' means and log widths, both ways, on one batch; and ms a gradient."""
    alignment = Alignment.read(registry.synthetic_path())
    model = DeepSequence(preset("small"), alignment.tokens.shape[1], seed=1)
    weights = cached_weights(alignment, 0.2)
    trainer = Trainer(model, alignment.tokens, weights, TrainConfig(), torch.device("cpu"))
    for step in range(1, steps + 1):
        trainer.update(step)
    tokens, decoder = torch.from_numpy(alignment.tokens[:BATCH]), model.decoder
    with torch.no_grad():
        z = model.encoder(tokens)[0]
    chosen = decoder.weights["W_out"]
    targets, rows = tokens.long().flatten(), []
    for way in ("weights shared by the batch", "activations, each sequence apart"):
        sums, squares, taken = 0.0, 0.0, []
        for i in range(draws):
            w = decoder.draw(fill_noise(torch.empty(decoder.noise_size), 1, "weights", i))
            start, hidden = time.perf_counter(), decoder.hidden(z, w)
            if way.startswith("weights"):
                logits = decoder.output(hidden, w)
            else:
                logits = local_logits(model, hidden, w, torch.Generator().manual_seed(i))
            loss = (
                F.cross_entropy(
                    logits.flatten(0, 1), targets, ignore_index=LETTERS, reduction="sum"
                )
                / BATCH
            )
            found = torch.autograd.grad(loss, (chosen.mu, chosen.log_sigma))
            taken.append(time.perf_counter() - start)
            flat = torch.cat([g.flatten().double() for g in found])
            sums, squares = sums + flat, squares + flat**2
        variance = ((squares - sums**2 / draws) / (draws - 1)).view(2, -1).sum(1)
        for what, value in zip(("means", "log widths"), variance.tolist(), strict=True):
            rows.append(
                {
                    "road": f"variance of gradient, {what}",
                    "way": way,
                    "value": value,
                    "ms": 1e3 * float(np.median(taken)),
                }
            )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--save", action="store_true", help="write results/roads.csv")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    table = []
    with kept_memory():
        for road, make in ROADS.items():
            for way, taken in seconds(make(), args.repeats).items():
                table.append({"road": road, "way": way, "ms": 1e3 * taken})
                print(f"{road:28s}{way:40s}{1e3 * taken:10.1f} ms", flush=True)
        noise_rows = gradient_noise(args.steps)
    for row in noise_rows:
        print(f"{row['road']:34s}{row['way']:40s}{row['value']:12.4g}{row['ms']:10.1f} ms")
    frame = pd.DataFrame(table + noise_rows).round({"ms": 2})
    if args.save:
        about = {
            "length": LENGTH,
            "batch_size": BATCH,
            "steps": args.steps,
            "repeats": args.repeats,
        }
        results.save_result("roads", frame, about)


if __name__ == "__main__":
    main()
