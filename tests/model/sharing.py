"""What each of several processes does in the tests of parallel training; started by torchrun.

`sharing.py fit FAMILY OUT`: a run of every kind of model into OUT/NAME.
`sharing.py train ...`: the command; process WHO sends itself the signal SIGNAL before update WHEN.
"""

import os
import sys
from dataclasses import replace
from pathlib import Path

from tiny_family import QUICK, TINY

from deepseq_nb.cli.main import main
from deepseq_nb.family.alignment import Alignment
from deepseq_nb.model import parallel
from deepseq_nb.model.priors import SPARSITY_PRIORS, SparsityPrior
from deepseq_nb.model.runs import fit

BRIEF = replace(QUICK, steps=8)
ODD = replace(BRIEF, batch_size=21)
PLAIN = SparsityPrior(kind="none")
KINDS = {
    kind: (replace(TINY, sparsity=SparsityPrior(kind=kind)), BRIEF) for kind in SPARSITY_PRIORS
}
KINDS |= {
    "odd batch": (TINY, ODD),
    "plain weights": (replace(TINY, weights="point", sparsity=PLAIN), BRIEF),
    "site prior": (replace(TINY, site_prior=True), replace(BRIEF, width_rate=3.0)),
    "no convolution": (replace(TINY, conv=0), BRIEF),
    "original optimiser": (TINY, replace(BRIEF, optimizer="adam_original", dtype="float64")),
    "schedule": (TINY, replace(ODD, schedule="cosine", warm_up=4, kl_scale=0.5)),
}


def signalled(step: int) -> None:
    if os.environ["RANK"] == os.environ["WHO"] and step == int(os.environ["WHEN"]):
        os.kill(os.getpid(), int(os.environ["SIGNAL"]))


if __name__ == "__main__":
    if sys.argv[1] == "fit":
        alignment = Alignment.read(sys.argv[2])
        for name, configs in KINDS.items():
            run = fit(alignment, *configs, Path(sys.argv[3]) / name)
            assert run.steps == len(run.history) == 8, "each process has the run"
        sys.exit()
    if "WHO" in os.environ:
        update = parallel.ParallelTrainer.update

        def interrupted(self, step):
            signalled(step)
            return update(self, step)

        parallel.ParallelTrainer.update = interrupted
    sys.exit(main())
