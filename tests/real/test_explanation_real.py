"""The explanation of a few variants of BLAT, beside the table of its scores and its alignment."""

import numpy as np
import pytest

from deepseq_nb.family.alignment import Alignment
from deepseq_nb.model.runs import fit
from deepseq_nb.model.sizes import preset
from deepseq_nb.model.training import TrainConfig
from deepseq_nb.peers.explanation import explain
from deepseq_nb.scores.scoring import score

BLAT = "BLAT_ECOLX/BLAT_ECOLX_hmmerbit_plmc_n5_m30_f50_t0.2_r24-286_id100_b105.a2m"
VARIANTS = ["S68A", "M180T", "E102K", "M180T:E102K", "H26A"]


@pytest.fixture(scope="module")
def run(real_data):
    alignment = Alignment.read(real_data(BLAT))
    how = TrainConfig(steps=20, seed=1, device="cpu")
    return fit(alignment, preset("quick"), how, progress=False), alignment


def test_explanations_of_blat_agree_with_its_scores_and_its_alignment(run):
    run, alignment = run
    found = {one.variant: one for one in explain(run, VARIANTS, samples=8, seed=3)}
    listed = score(run, VARIANTS, 8, 3, progress=False).set_index("variant")
    singles = score(run, None, 8, 3, progress=False).set_index("variant").score
    assert [one.status for one in found.values()] == listed.status.tolist()
    for variant in ("S68A", "M180T", "E102K"):
        one, (place,) = found[variant], found[variant].changed
        assert one.score == pytest.approx(listed.score[variant], abs=1e-4)
        assert one.rank == 1 + (singles > singles[variant] + 1e-6).sum()
        assert sum(step.adds for step in one.steps) == pytest.approx(one.score, abs=1e-4)
        column = alignment.tokens[:, alignment.focus_map.column(place.residue)]
        letter = alignment.alphabet.index(variant[-1])
        assert place.carriers == (column == letter).sum()
        assert place.occupancy == pytest.approx((column < 20).mean(), abs=1e-6)
    double = found["M180T:E102K"]
    parts = dict(double.together.parts)
    # before the background is taken out, which adds up and so is not epistasis
    assert parts["M180T"] == pytest.approx(listed.delta_elbo["M180T"], abs=1e-3)
    assert double.together.sum == pytest.approx(sum(parts.values()), abs=1e-6)
    whole = double.together.sum + double.together.beyond
    assert listed.delta_elbo["M180T:E102K"] == pytest.approx(whole, abs=2e-3)


def test_a_lower_case_residue_of_blat_has_no_explanation_but_its_reason(run):
    (one,) = explain(run[0], ["H26A"], samples=8)
    assert one.status != "ok" and np.isnan(one.score) and one.status in one.to_text()
