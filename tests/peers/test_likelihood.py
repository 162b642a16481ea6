"""Scores of a language model."""

import numpy as np
import pytest
from tiny_unirep import tiny_unirep

from deepseq_nb.family.alignment import Alignment
from deepseq_nb.peers.likelihood import likelihood_of, likelihood_scores
from deepseq_nb.peers.unirep import encode, next_losses, pad
from deepseq_nb.peers.unirep_fast import Recurrence, log_likelihoods, read_parent

FAMILY = Alignment.from_strings(["MKVLAAGIVG", "MKVLSAGIVG", "MKILAAG-VG"], ["seq/11-20", "b", "c"])


@pytest.fixture(scope="module")
def model():
    return tiny_unirep()


def log_p(model, sequence: str) -> float:
    """By the loss of the plain network."""
    tokens, lengths = pad([encode(sequence)])
    return -float(next_losses(model, tokens, lengths).detach().sum())


@pytest.mark.parametrize(
    ("variant", "sequence"),
    [("K12R", "MRVLAAGIVG"), ("K12del", "MVLAAGIVG"), ("L14_A15insWW", "MKVLWWAAGIVG")],
)
def test_a_score_is_a_difference_of_log_likelihoods(model, variant, sequence):
    table = likelihood_scores(model, FAMILY.focus_map, [variant], progress=False)
    expected = log_p(model, sequence) - log_p(model, "MKVLAAGIVG")
    assert table.score[0] == pytest.approx(expected, abs=1e-4)


def test_the_wild_type_is_exactly_zero_however_it_is_written(model):
    asked = ["WT", "K12K", "MKVLAAGIVG"]
    table = likelihood_scores(model, FAMILY.focus_map, asked, progress=False)
    assert table.score.tolist() == [0, 0, 0] and table.status.tolist() == ["ok"] * 3


def test_scores_do_not_hang_on_who_else_is_asked(model):
    alone = likelihood_scores(model, FAMILY.focus_map, ["A15W"], progress=False)
    singles = likelihood_scores(model, FAMILY.focus_map, progress=False, block=7)
    assert len(singles) == 190 and (singles.status == "ok").all()
    assert singles.set_index("variant").score["A15W"] == alone.score[0]


def test_a_rejected_row_keeps_its_place_and_has_no_score(model):
    asked = ["A12R", "K12R", "K12"]
    table = likelihood_scores(model, FAMILY.focus_map, asked, progress=False)
    assert table.variant.tolist() == asked
    assert table.status.tolist() == ["wild type differs", "ok", "malformed"]
    assert np.isnan(table.score[[0, 2]]).all() and np.isnan(table.std_error[0])


def test_the_table_has_the_columns_of_every_scorer(model):
    table = likelihood_scores(model, FAMILY.focus_map, ["I18V", "I18del"], progress=False)
    columns = ["variant", "score", "std_error", "status", "reason", "occupancy"]
    assert list(table.columns) == columns
    assert table.occupancy[0] == pytest.approx(2 / 3)


def test_log_likelihoods_are_those_of_the_loss(model):
    texts = ["MKVLAAGIVG", "MKVLAG", "W"]
    found = likelihood_of(model, "MKVLAAGIVG")(texts)
    assert found == pytest.approx([log_p(model, text) for text in texts], abs=1e-4)


def test_a_parent_that_was_read_gives_the_bits_of_one_that_is_named():
    recurrence = Recurrence(tiny_unirep())
    parent = read_parent(recurrence, "MKVLAWQ")
    variants = ["MKVLAWQ", "MKVLAWC", "AKVLAWQ", "MKV", "MKVLAWQAA"]
    named = log_likelihoods(recurrence, variants, parent="MKVLAWQ")
    for one, other in zip(named, log_likelihoods(recurrence, variants, parent=parent), strict=True):
        assert np.array_equal(one, other)


def test_the_wild_type_is_read_once_however_often_the_function_is_asked(monkeypatch):
    recurrence, read = Recurrence(tiny_unirep()), []
    moments = Recurrence.moments

    def counted(self, tokens, states=None):
        read.append(sum(map(len, tokens)))
        return moments(self, tokens, states)

    monkeypatch.setattr(Recurrence, "moments", counted)
    score = likelihood_of(recurrence, "MKVLAWQ")
    for _ in range(3):
        score(["MKVLAWC"])
    assert read == [8, 1, 1, 1]  # start and seven letters; then one letter each
