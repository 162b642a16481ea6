"""The pairwise model on a real family."""

import os

import pytest

from deepseq_nb.family.alignment import Alignment
from deepseq_nb.family.assays import read_assay
from deepseq_nb.family.weights import sequence_weights
from deepseq_nb.peers.potts import Potts
from deepseq_nb.scores.evaluation import evaluate

pytestmark = pytest.mark.skipif(
    not os.environ.get("DEEPSEQ_DATA"), reason="DEEPSEQ_DATA is not set: no real data here"
)


def test_psd95_reaches_its_recorded_rank_correlation(real_data):
    alignment = Alignment.read(real_data("DLG4_RAT/DLG4_RAT_PF00595.a2m"))
    assay = read_assay(real_data("DLG4_RAT/DLG4_RAT_Ranganathan2012.csv"))
    model = Potts.fit(alignment, sequence_weights(alignment))
    found = evaluate(model.score(list(assay.variant)), assay, "CRIPT", bootstrap=100)
    assert model.converged
    assert found.n == 1580 and found["spearman"].value == pytest.approx(0.482, abs=0.003)
