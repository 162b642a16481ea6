"""Sequence weights: the original's definition to the last tie, and files that say what they belong to."""

import errno
import json
import os
import threading
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from deepseq_nb.core.errors import AlignmentError, WeightsError
from deepseq_nb.family.alignment import Alignment
from deepseq_nb.family.neighbours import _order_columns, identities_needed
from deepseq_nb.family.weight_files import cached_weights, load_weights, save_weights
from deepseq_nb.family.weights import (
    check_theta,
    neff,
    sequence_weights,
)


def original(tokens, theta, gap):
    """The original's expression on one-hot rows: 1 / sum(dot(X, x) / dot(x, x) > 1 - theta)."""
    one_hot = (tokens[:, :, None] == np.arange(gap)).reshape(len(tokens), -1).astype(np.float64)
    weights = np.zeros(len(tokens))
    for row, x in enumerate(one_hot):
        if x.any():
            neighbours = int((one_hot @ x / (x @ x) > 1 - theta).sum())
            weights[row] = 1.0 / max(1, neighbours)
    return weights


@pytest.fixture
def family():
    rows = ["ACDEFGHIKL", "ACDEFGHIKV", "ACDEFGHIVV", "WWWWWWWWWW", "----------", "AC--------"]
    return Alignment.from_strings(rows, ["f/1-10", "b", "c", "d", "e", "g"])


def test_weights_by_hand(family):
    # theta 0.15: more than 85 % of a row's residues. 1-2 share 9/10, 2-3 9/10, 1-3 8/10;
    # the last row's two residues (2/2) are found in rows 1, 2 and 3, whose own shares with it are 2/10.
    assert sequence_weights(family, 0.15).tolist() == pytest.approx(
        [1 / 2, 1 / 3, 1 / 2, 1, 0, 1 / 4]
    )


def test_the_inequality_is_strict_at_a_tie(family):
    # 1 - 0.2 = 0.8 = 8/10 is not more than 0.8: rows 1 and 3 are no neighbours
    assert sequence_weights(family, 0.2)[:3].tolist() == pytest.approx([1 / 2, 1 / 3, 1 / 2])
    # 1 - 0.3 is 0.7 in float64 as 7/10 is; 0.21 lets 8/10 pass
    assert sequence_weights(family, 0.21)[:3].tolist() == pytest.approx([1 / 3, 1 / 3, 1 / 3])


def test_two_gaps_are_not_an_identity():
    family = Alignment.from_strings(["ACDE", "AC--", "WY--"])
    assert sequence_weights(family, 0.2).tolist() == pytest.approx([1, 1 / 2, 1])


def test_rows_of_gaps_weigh_nothing(family):
    weights = sequence_weights(family, 0.2)
    assert weights[4] == 0 and np.isfinite(weights).all()
    assert sequence_weights(np.full((3, 5), 20, np.uint8)).tolist() == [0, 0, 0]


def test_theta_zero_weighs_every_row_one(family):
    assert sequence_weights(family, 0).tolist() == [1, 1, 1, 1, 0, 1]
    twins = Alignment.from_strings(["ACD", "ACD"])
    assert neff(sequence_weights(twins, 0)) == 2 and neff(sequence_weights(twins, 0.01)) == 1


@pytest.mark.parametrize("theta", [0.01, 0.1, 0.2, 0.3, 1 / 3, 0.38, 0.5])
def test_needed_identities_decide_as_float64_division_does(theta):
    needed = identities_needed(300, theta)
    for n in range(1, 301):
        decided = np.arange(n + 1) / n > 1 - theta
        assert (decided == (np.arange(n + 1) >= needed[n])).all()


@settings(max_examples=80, deadline=None)
@given(
    arrays.arrays(
        np.uint8, st.tuples(st.integers(1, 12), st.integers(1, 140)), elements=st.integers(0, 4)
    ),
    st.sampled_from([0.05, 0.1, 0.2, 0.25, 0.3, 0.4, 0.5]),
)
def test_agrees_with_the_original_expression(tokens, theta):
    assert (sequence_weights(tokens, theta, gap=4) == original(tokens, theta, 4)).all()


@pytest.mark.parametrize("length", [1, 63, 64, 65, 128, 200])
def test_agrees_on_related_rows_of_every_width(length):
    generator = np.random.default_rng(length)
    parents = generator.integers(0, 20, (4, length), dtype=np.uint8)
    tokens = parents[generator.integers(0, 4, 600)]
    tokens = np.where(
        generator.random(tokens.shape) < 0.15, generator.integers(0, 21, tokens.shape), tokens
    )
    tokens = tokens.astype(np.uint8)
    weights = sequence_weights(tokens)
    assert (weights == original(tokens, 0.2, 20)).all() and 0 < neff(weights) <= 600


def related_rows(rows, length, seed=0):
    """Rows at several distances from a few parents, with conserved columns, deletions, fragments and empty rows."""
    generator = np.random.default_rng(seed)
    parents = generator.integers(0, 20, (5, length), dtype=np.uint8)
    tokens = parents[generator.integers(0, 5, rows)]
    rate = generator.uniform(0, 0.4, (rows, 1)) * generator.gamma(1, 1, length)
    drawn = generator.integers(0, 21, tokens.shape)
    tokens = np.where(generator.random(tokens.shape) < rate, drawn, tokens).astype(np.uint8)
    for row in np.flatnonzero(generator.random(rows) < 0.2):
        start, stop = np.sort(generator.integers(0, length + 1, 2))
        tokens[row, :start], tokens[row, stop:] = 20, 20
    return tokens


@pytest.mark.parametrize("rows", [1, 3, 4, 5, 63, 64, 65, 255, 256, 257, 321, 513])
def test_agrees_at_the_edges_of_blocks_and_tiles(rows):
    tokens = related_rows(rows, 70, seed=rows)
    assert (sequence_weights(tokens) == original(tokens, 0.2, 20)).all()


@pytest.mark.parametrize("theta", [0.01, 0.2, 0.5])
def test_agrees_where_a_glance_takes_more_columns_than_a_byte_counts(theta):
    tokens = related_rows(90, 900)
    assert (sequence_weights(tokens, theta) == original(tokens, theta, 20)).all()
    twins = np.tile(tokens[:1], (3, 1))
    assert sequence_weights(twins, theta).tolist() == pytest.approx([1 / 3] * 3)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 300),
    st.integers(1, 300),
    st.integers(0, 10**6),
    st.sampled_from([0.02, 0.1, 0.2, 0.3, 0.5]),
)
def test_agrees_on_families_with_fragments_and_conserved_columns(rows, length, seed, theta):
    tokens = related_rows(rows, length, seed)
    assert (sequence_weights(tokens, theta, gap=20) == original(tokens, theta, 20)).all()


@pytest.mark.parametrize("gap", [2, 20, 253])
def test_agrees_for_alphabets_of_any_size(gap):
    generator = np.random.default_rng(gap)
    tokens = generator.integers(0, gap + 1, (1, 80)) * np.ones((270, 1), int)
    changed = generator.random(tokens.shape) < 0.15
    tokens = np.where(changed, generator.integers(0, gap + 1, tokens.shape), tokens)
    tokens = tokens.astype(np.uint8)
    assert (sequence_weights(tokens, gap=gap) == original(tokens, 0.2, gap)).all()


def test_the_order_of_columns_does_not_matter():
    tokens = related_rows(300, 120)
    order = np.random.default_rng(1).permutation(120)
    assert (sequence_weights(tokens[:, order]) == sequence_weights(tokens)).all()


def test_conserved_columns_come_last_in_the_glance():
    tokens = np.random.default_rng(1).integers(0, 20, (400, 30), dtype=np.uint8)
    tokens[:, 5], tokens[:, 9] = 7, 20  # one letter; no letter
    order, glance = _order_columns(tokens, 20, 0.2)
    assert sorted(order) == [*range(30)] and set(order[-2:]) == {5, 9} and 6 < glance < 28


def test_tokens_are_not_changed_and_need_not_be_contiguous():
    tokens = related_rows(300, 140)
    before, every_other = tokens.copy(), tokens[::2, ::-1]
    expected = original(every_other, 0.2, 20)
    assert (sequence_weights(every_other) == expected).all() and (tokens == before).all()


def test_an_interruption_ends_the_count(monkeypatch):
    from deepseq_nb.family import neighbours

    taken = []

    def interrupted(front, rest, first):
        taken.append(first)
        raise KeyboardInterrupt

    monkeypatch.setattr(neighbours, "_take_out", interrupted)
    threads = threading.active_count()
    with pytest.raises(KeyboardInterrupt):
        sequence_weights(related_rows(6400, 20))
    assert len(taken) < 50 and threading.active_count() == threads


def test_neff_falls_as_theta_rises(family):
    values = [neff(sequence_weights(family, theta)) for theta in (0, 0.1, 0.2, 0.3, 0.5)]
    assert values == sorted(values, reverse=True)


def test_the_order_of_rows_does_not_matter(family):
    order = np.array([3, 1, 5, 0, 2, 4])
    assert (sequence_weights(family.tokens[order]) == sequence_weights(family)[order]).all()


def test_one_row_and_no_row():
    assert sequence_weights(np.zeros((1, 3), np.uint8), gap=20).tolist() == [1]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert sequence_weights(np.zeros((0, 3), np.uint8)).tolist() == []


def test_bare_tokens_of_four_letters_ask_for_the_gap():
    with pytest.warns(UserWarning, match="gap=4"):
        sequence_weights(np.array([[0, 1, 4]], np.uint8))


def test_tokens_above_the_gap_are_refused():
    with pytest.raises(WeightsError, match="found token 9, expected 0 to 4"):
        sequence_weights(np.array([[0, 9]], np.uint8), gap=4)


@pytest.mark.parametrize("gap", [254, 300])
def test_a_gap_that_a_token_cannot_be_is_refused(gap):
    with pytest.raises(WeightsError, match=f"gap: found {gap}, expected a token below 254"):
        sequence_weights(np.array([[0, 9]], np.uint8), gap=gap)


def test_progress_is_shown_block_by_block(family, capsys):
    sequence_weights(family, progress=True)
    assert "1/1" in capsys.readouterr().err
    sequence_weights(family)
    assert capsys.readouterr().err == ""


def test_may_be_called_from_several_threads(family):
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(neff(sequence_weights(family))))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4 and len(set(found)) == 1


@pytest.mark.parametrize("theta", [0, 0.2, 0.5, 1e-9])
def test_theta_inside_the_range(theta):
    assert check_theta(theta) == theta


@pytest.mark.parametrize("theta", [-0.1, 0.51, 1.5, 200, float("nan"), float("inf")])
def test_theta_outside_the_range(theta):
    with pytest.raises(WeightsError, match="expected a divergence from 0 to"):
        check_theta(theta)


def test_an_identity_given_as_theta_gets_the_hint():
    with pytest.raises(
        WeightsError, match=r"did you mean 0\.2\? Some programs give identity, 0\.8"
    ):
        check_theta(0.8)
    with pytest.raises(WeightsError, match=r"did you mean 0\.2\? Some programs give identity, 80"):
        check_theta(80)
    assert issubclass(WeightsError, AlignmentError)


def test_saved_weights_come_back(tmp_path, family):
    weights = sequence_weights(family, 0.3)
    path = save_weights(tmp_path / "w.npy", weights, family, 0.3)
    assert (load_weights(path, family, 0.3) == weights).all() and (
        load_weights(path, family) == weights
    ).all()
    plain = np.load(path)
    assert plain.dtype == np.float64 and (plain == weights).all()
    about = json.loads((tmp_path / "w.npy.json").read_text())
    assert about["theta"] == 0.3 and about["n"] == 6 and about["checksum"] == family.checksum
    assert about["neff"] == pytest.approx(weights.sum())


def test_weights_of_another_alignment_are_refused(tmp_path, family):
    path = save_weights(tmp_path / "w.npy", sequence_weights(family), family, 0.2)
    other = Alignment.from_strings(["ACDEFGHIKL"] * 6)
    with pytest.raises(WeightsError, match="made for another alignment"):
        load_weights(path, other)


def test_weights_of_another_theta_are_refused(tmp_path, family):
    path = save_weights(tmp_path / "w.npy", sequence_weights(family), family, 0.2)
    with pytest.raises(WeightsError, match=r"made with theta 0\.2, expected 0\.1"):
        load_weights(path, family, 0.1)


def test_weights_changed_behind_their_sidecar_are_refused(tmp_path, family):
    path = save_weights(tmp_path / "w.npy", sequence_weights(family), family, 0.2)
    np.save(path, np.ones(6))
    with pytest.raises(WeightsError, match="changed after"):
        load_weights(path, family)


@pytest.mark.parametrize("sidecar", ["[]", "{}", "nonsense", '{"theta": 0.2}'])
def test_a_broken_sidecar_is_refused(tmp_path, family, sidecar):
    np.save(tmp_path / "w.npy", np.ones(6))
    (tmp_path / "w.npy.json").write_text(sidecar)
    with pytest.raises(WeightsError, match=r"w\.npy"):
        load_weights(tmp_path / "w.npy", family)


def test_a_users_own_weights_need_no_sidecar(tmp_path, family):
    np.save(tmp_path / "mine.npy", np.arange(6, dtype=np.float32))
    mine = load_weights(tmp_path / "mine.npy", family, 0.2)
    assert mine.tolist() == [0, 1, 2, 3, 4, 5] and mine.dtype == np.float64


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.ones(5), "found 5 weights, expected 6"),
        (np.ones((6, 1)), r"shape \(6, 1\)"),
        (np.array(list("abcdef")), "expected numbers"),
        (np.array([1, 2, np.nan, 1, 1, 1]), "6 finite numbers.*; found nan at 2"),
        (np.array([1, 2, -1, 1, 1, 1]), "zero or more.*; found -1.0 at 2"),
        (np.zeros(6), "not all zero; found only zeros"),
        (np.array([{}], dtype=object), "not weights"),
    ],
)
def test_unfit_weights_are_refused(tmp_path, family, values, expected):
    np.save(tmp_path / "mine.npy", values, allow_pickle=True)
    with pytest.raises(WeightsError, match=expected):
        load_weights(tmp_path / "mine.npy", family)


def test_weights_for_every_record_of_a_file_that_lost_some_get_a_hint(tmp_path):
    family = Alignment.from_strings(["ACD", "AXD", "ACD"])
    np.save(tmp_path / "mine.npy", np.ones(3))
    with pytest.raises(WeightsError, match="1 of its 3 sequences were dropped"):
        load_weights(tmp_path / "mine.npy", family)


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=80), st.sampled_from([b"", b"\x93NUMPY\x01\x00v\x00", b"PK\x03\x04"]))
def test_arbitrary_files_raise_nothing_but_weights_error(tmp_path_factory, data, head):
    path = tmp_path_factory.mktemp("weights") / "w.npy"
    path.write_bytes(head + data)
    with pytest.raises(WeightsError):
        load_weights(path, Alignment.from_strings(["ACD", "ACD"]))


def test_a_missing_weights_file(tmp_path, family):
    with pytest.raises(WeightsError, match="no such file"):
        load_weights(tmp_path / "none.npy", family)


def test_cached_weights_are_computed_once_per_content_and_theta(tmp_path, family, monkeypatch):
    from deepseq_nb.family import weight_files

    calls = []

    def counted(*arguments, **options):
        calls.append(arguments)
        return sequence_weights(*arguments, **options)

    monkeypatch.setattr(weight_files, "sequence_weights", counted)
    first = cached_weights(family, 0.2, tmp_path)
    assert (cached_weights(family, 0.2, tmp_path) == first).all() and len(calls) == 1
    cached_weights(family, 0.1, tmp_path)
    cached_weights(Alignment.from_strings(["ACD", "ACD"]), 0.2, tmp_path)
    assert len(calls) == 3
    assert (cached_weights(family, 0.2, tmp_path) == first).all() and len(calls) == 3


def test_a_damaged_cache_is_computed_again(tmp_path, family):
    weights = cached_weights(family, 0.2, tmp_path)
    for path in (tmp_path / "weights").glob("*.npy"):
        path.write_bytes(b"cut")
    assert (cached_weights(family, 0.2, tmp_path) == weights).all()
    assert (cached_weights(family, 0.2, tmp_path) == weights).all()


def test_the_cache_folder_may_be_named_by_the_environment(tmp_path, family, monkeypatch):
    monkeypatch.setenv("DEEPSEQ_CACHE", str(tmp_path / "here"))
    cached_weights(family)
    assert len(list((tmp_path / "here").rglob("*.npy"))) == 1


def test_a_cache_that_cannot_be_written_is_a_warning(tmp_path, family):
    (tmp_path / "file").write_text("")
    with pytest.warns(UserWarning, match="not kept"):
        assert (cached_weights(family, 0.2, tmp_path / "file") == sequence_weights(family)).all()


def test_a_cached_file_without_its_sidecar_is_computed_again(tmp_path, family):
    weights = cached_weights(family, 0.2, tmp_path)
    (path,) = (tmp_path / "weights").glob("*.npy")
    path.with_name(path.name + ".json").unlink()
    np.save(path, weights * 0.5)  # as good as any user's own, but nobody gave it
    assert (cached_weights(family, 0.2, tmp_path) == weights).all()
    assert path.with_name(path.name + ".json").exists()


@pytest.mark.parametrize(("place", "named"), [(1, r"w\.npy\.json"), (2, r"w\.npy")])
@pytest.mark.parametrize("old", [False, True], ids=["new", "in the place of old ones"])
def test_weights_on_a_full_disk_leave_what_was_there(
    tmp_path, family, monkeypatch, place, named, old
):
    path, written, wait = tmp_path / "w.npy", [], os.fsync
    if old:
        save_weights(path, np.ones(6), family, 0.3)
    before = {file: file.read_bytes() for file in tmp_path.iterdir()}

    def fsync(number):
        written.append(number)
        if len(written) == place:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return wait(number)

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(OSError, match=rf"{named} cannot be written: No space left"):
        save_weights(path, sequence_weights(family), family, 0.2)
    assert len(written) == place
    assert {file: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_weights_that_are_there_are_left_with_their_note(tmp_path, family):
    path = save_weights(tmp_path / "w.npy", np.ones(6), family, 0.3)
    with pytest.raises(FileExistsError, match="--overwrite"):
        save_weights(path, sequence_weights(family), family, 0.2, overwrite=False)
    assert load_weights(path, family, 0.3).tolist() == [1.0] * 6
    assert len(list(tmp_path.iterdir())) == 2
