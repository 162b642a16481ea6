"""The effective number of sequences of real families, against known values and the original's expression."""

import os

import numpy as np
import pytest

from deepseq_nb.family.alignment import Alignment
from deepseq_nb.family.weights import neff, sequence_weights

pytestmark = pytest.mark.skipif(
    not os.environ.get("DEEPSEQ_DATA"), reason="DEEPSEQ_DATA is not set: no real data here"
)

BLAT = "BLAT_ECOLX/BLAT_ECOLX_hmmerbit_plmc_n5_m30_f50_t0.2_r24-286_id100_b105.a2m"


def test_neff_of_blat(real_data):
    weights = sequence_weights(Alignment.read(real_data(BLAT)), 0.2)
    assert neff(weights) == pytest.approx(2605.0225496, abs=1e-6)


def test_neff_of_the_full_pdz_family(real_data):
    # the project's data notes say 4,030
    alignment = Alignment.read(real_data("DLG4_RAT/DLG4_RAT_PF00595_full.a2m"))
    assert neff(sequence_weights(alignment, 0.2)) == pytest.approx(4030, abs=1)


@pytest.mark.parametrize(
    ("file", "alphabet"),
    [("GB1/GB1_Alignment.a2m", "protein"), ("TRNA_RF00005/RF00005_CCU.fasta", "rna"),
     ("P53_HUMAN/P53_HUMAN_b0.1.a2m", "protein")],
)  # fmt: skip
@pytest.mark.parametrize("theta", [0.1, 0.2])
def test_weights_are_those_of_the_original_expression(real_data, file, alphabet, theta):
    alignment = Alignment.read(real_data(file), alphabet=alphabet)
    tokens, gap = alignment.tokens[:1000], alignment.gap
    one_hot = (tokens[:, :, None] == np.arange(gap)).reshape(len(tokens), -1).astype(np.float64)
    identities = one_hot @ one_hot.T
    with np.errstate(invalid="ignore"):
        neighbours = (identities / np.diag(identities)[:, None] > 1 - theta).sum(axis=1)
    expected = np.where(np.diag(identities) > 0, 1.0 / np.maximum(1, neighbours), 0.0)
    assert (sequence_weights(tokens, theta, gap) == expected).all()
