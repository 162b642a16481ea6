"""The site-independent model on real families."""

import os

import pandas as pd
import pytest

from deepseq_nb.family.alignment import Alignment
from deepseq_nb.family.weights import sequence_weights
from deepseq_nb.peers.sites import SiteIndependent
from deepseq_nb.scores.metrics import spearman

pytestmark = pytest.mark.skipif(
    not os.environ.get("DEEPSEQ_DATA"), reason="DEEPSEQ_DATA is not set: no real data here"
)

BLAT = "BLAT_ECOLX/BLAT_ECOLX_hmmerbit_plmc_n5_m30_f50_t0.2_r24-286_id100_b105.a2m"


def rank_correlation(alignment_path, assay_path, column: str) -> tuple[int, float]:
    alignment = Alignment.read(alignment_path)
    assay = pd.read_csv(assay_path, sep=None, engine="python")
    table = SiteIndependent.fit(alignment, sequence_weights(alignment)).score(
        assay["mutant"].astype(str).tolist()
    )
    both = table.score.notna() & assay[column].notna()
    return int(both.sum()), spearman(
        table.score[both].to_numpy(float), assay[column][both].to_numpy(float)
    )


def test_beta_lactamase_reaches_its_rank_correlation(real_data):
    n, rho = rank_correlation(
        real_data(BLAT), real_data("BLAT_ECOLX/BLAT_ECOLX_Ranganathan2015.csv"), "2500"
    )
    assert n == 4807 and rho == pytest.approx(0.598, abs=0.001)


def test_psd95_reaches_the_number_in_the_data_notes(real_data):
    n, rho = rank_correlation(
        real_data("DLG4_RAT/DLG4_RAT_PF00595_full.a2m"),
        real_data("DLG4_RAT/DLG4_RAT_Ranganathan2012.csv"),
        "CRIPT",
    )
    assert n == 1560 and rho == pytest.approx(
        0.416, abs=0.005
    )  # the notes do not say which pseudocount


def test_poly_a_binding_protein_reaches_the_number_in_the_data_notes(real_data):
    n, rho = rank_correlation(
        real_data("PABP_YEAST/PABP_YEAST_PF00076.a2m"),
        real_data("PABP_YEAST/PABP_YEAST_Fields2013-singles.csv"),
        "log",
    )
    assert n == 1125 and rho == pytest.approx(0.437, abs=0.003)
