"""Designs on the synthetic landscape, where the truth is known: the best ten of five methods with one to ten mutations, three trainings.

    python benchmarks/design.py [--updates 4000] [--save]

beam, gibbs: the searches of `deepseq_nb.scores.design`. singles: the model's best single substitutions at different residues, put together, the best ten such
sums. letters: the same with the logarithm of letter frequencies. random: any substitutions. `fitness` is the landscape's, less that of the wild type. No background is
taken out: the letters of the landscape are not those of all proteins.
"""

import argparse

import numpy as np
import pandas as pd
import torch

from deepseq_nb.family import registry
from deepseq_nb.family.alignment import Alignment
from deepseq_nb.family.synthetic import synthetic_family
from deepseq_nb.family.variants import resolve_variants
from deepseq_nb.model.runs import fit
from deepseq_nb.model.sizes import preset
from deepseq_nb.model.training import TrainConfig
from deepseq_nb.peers.sites import SiteIndependent
from deepseq_nb.scores.design import DesignRules, Search, allowed_changes, beam_search, design
from deepseq_nb.scores.scoring import score
from deepseq_nb.studies import results

BEST, MUTATIONS = 10, range(1, 11)


def truth(variants: list[str], family, focus_map) -> np.ndarray:
    """The true fitness of variants, in nats; the wild type has 0."""
    table = resolve_variants(variants, focus_map)
    tokens = table.tokens(np.arange(len(table)), focus_map.tokens)
    return family.landscape.fitness(tokens) - family.landscape.fitness(focus_map.tokens[None])


def joined(changes, singles: pd.Series, size: int) -> list[str]:
    """The ten sets of substitutions at different residues whose single scores have the largest sums."""

    def judge(variants: list[str], seed: int) -> pd.DataFrame:
        return pd.DataFrame({"score": [sum(singles[c] for c in v.split(":")) for v in variants]})

    search = Search(changes, judge, 0)
    beam_search(search, size, width=100)
    return [search.text(d) for d in search.best(size, size)[:BEST]]


def at_random(changes, size: int, rng: np.random.Generator) -> list[str]:
    """Ten variants of substitutions that are drawn evenly, at different residues."""
    places, found = np.array([c.residue for c in changes]), []
    for _ in range(BEST):
        chosen = rng.choice(np.unique(places), size, replace=False)
        picks = [int(rng.choice(np.flatnonzero(places == place))) for place in np.sort(chosen)]
        found.append(":".join(changes[i].name for i in picks))
    return found


def exam(seed: int, updates: int) -> list[dict]:
    """The rows of one training."""
    alignment, family = Alignment.read(registry.synthetic_path()), synthetic_family()
    assert family.residues == alignment.focus_map.residues
    config = TrainConfig(steps=updates, seed=seed, device="cpu")
    run = fit(alignment, preset("small"), config, progress=False)
    focus_map, rng, rows = run.focus_map, np.random.default_rng(seed), []
    changes = allowed_changes(DesignRules(), focus_map)
    letters = SiteIndependent.fit(alignment).score().set_index("variant").score
    singles = score(run, samples=40, seed=seed, background="none").set_index("variant").score
    for size in MUTATIONS:
        rules = DesignRules(mutations=(size, size), count=BEST)
        tables = {
            m: design(run, rules, method=m, seed=seed, background="none") for m in ("beam", "gibbs")
        }
        others = {
            "singles": joined(changes, singles, size),
            "letters": joined(changes, letters, size),
            "random": at_random(changes, size, rng),
        }
        tables |= {
            name: score(run, texts, samples=20, seed=seed + 7, background="none")
            for name, texts in others.items()
        }
        for method, table in tables.items():
            found = truth(table.variant.tolist(), family, focus_map)
            searched = table.search_score.mean() if "search_score" in table else np.nan
            rows.append({
                "seed": seed, "method": method, "mutations": size, "fitness": round(found.mean(), 4), "best": round(found.max(), 4),
                "score": round(table.score.mean(), 4), "search_score": round(searched, 4),
            })  # fmt: skip
        print(pd.DataFrame(rows[-5:]).to_string(index=False, header=size == 1), flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--updates", type=int, default=4000)
    parser.add_argument("--save", action="store_true", help="write results/design.csv")
    args = parser.parse_args()
    torch.set_num_threads(1)
    table = pd.DataFrame([row for seed in (1, 2, 3) for row in exam(seed, args.updates)])
    print(table.groupby(["method", "mutations"]).fitness.mean().unstack(0).round(2).to_string())
    if args.save:
        results.save_result(
            "design",
            table,
            {
                "script": "benchmarks/design.py",
                "preset": "small",
                "updates": args.updates,
                "samples": 20,
                "best": BEST,
            },
        )


if __name__ == "__main__":
    main()
