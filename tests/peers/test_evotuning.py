"""Tuning a language model to a family."""

import shutil
import signal
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from tiny_unirep import tiny_unirep

from deepseq_nb.core.errors import CheckpointError, ConfigError, TrainingError
from deepseq_nb.family.alignment import Alignment
from deepseq_nb.family.depth import Family
from deepseq_nb.peers import evotuning
from deepseq_nb.peers.evotuning import evotune, load_tuned
from deepseq_nb.peers.family_loss import Parts, family_loss, weighted_loss
from deepseq_nb.peers.length_batches import drawn_batches, length_batches
from deepseq_nb.peers.tuning_folders import TuneConfig
from deepseq_nb.peers.tuning_search import search_tuning
from deepseq_nb.peers.unirep import encode, next_losses, pad
from deepseq_nb.peers.unirep_weights import load_unirep

QUICK = TuneConfig(
    learning_rate=0.01, epochs=3, batch_tokens=200, checkpoint_every=4, device="cpu", patience=9
)


@pytest.fixture(scope="module")
def alignment(family) -> Alignment:
    return Alignment.read(family)


@pytest.fixture(scope="module")
def tuned(alignment, tmp_path_factory):
    folder = tmp_path_factory.mktemp("evotuning") / "tuned"
    return evotune(alignment, tiny_unirep(), QUICK, folder, progress=False)


def same(a, b) -> bool:
    pairs = zip(a.state_dict().values(), b.state_dict().values(), strict=True)
    return all(torch.equal(x, y) for x, y in pairs)


# batches


def test_batches_hold_every_row_once_and_no_more_places_than_allowed():
    sizes = np.random.default_rng(1).integers(1, 90, 300)
    batches = length_batches(sizes, 200)
    assert sorted(np.concatenate(batches).tolist()) == list(range(300))
    assert all(len(b) * sizes[b].max() <= 200 for b in batches)


def test_a_sequence_longer_than_a_batch_has_one_of_its_own():
    assert [b.tolist() for b in length_batches(np.array([5, 900, 6]), 100)] == [[0, 2], [1]]


def test_an_epoch_draws_by_weight_as_many_as_count():
    weights = np.array([0.9, 0.1, 0.0] * 1000)
    rows = np.concatenate(drawn_batches(np.full(3000, 9), weights, 90, np.random.default_rng(1)))
    assert len(rows) == 1000
    assert np.mean(rows % 3 == 0) == pytest.approx(0.9, abs=0.03)
    assert not (rows % 3 == 2).any()


# the loss


def test_the_gradient_in_pieces_is_that_of_the_whole():
    model = tiny_unirep()
    tokens, lengths = pad([encode(t) for t in ("MKVLAAGIVGLEDR", "MKV", "MKVLAAG")])
    found = []
    for piece in (4096, 9, 3):
        model.zero_grad()
        loss = family_loss(model, tokens, lengths, piece)
        loss.backward()
        gradient = torch.cat([p.grad.flatten() for p in model.parameters()])
        found.append((loss.item(), gradient))
    for loss, gradient in found[1:]:
        assert loss == pytest.approx(found[0][0], rel=1e-5)
        torch.testing.assert_close(gradient, found[0][1], rtol=1e-4, atol=1e-5)


def test_the_held_out_loss_is_the_weighted_mean_over_residues_and_stops():
    model, texts = tiny_unirep(), ["MKVLAAG", "MK", "MKVLAAGIVGLEDR"]
    weights = np.array([0.5, 1.0, 0.25])
    sums, counts = [], []
    for text in texts:
        tokens, lengths = pad([encode(text)])
        sums.append(float(next_losses(model, tokens, lengths).detach().sum()))
        counts.append(len(text) + 1)
    expected = np.dot(weights, sums) / np.dot(weights, counts)
    found = weighted_loss(model, [encode(t) for t in texts], weights, batch_tokens=16)
    assert found == pytest.approx(expected, rel=1e-5)


def test_sequences_are_rows_without_their_gaps():
    alignment = Alignment.from_strings(["MKVLA", "M-VL-", "MKILA"])
    parts = Parts.of(Family.of(alignment, 0.0, progress=False), 0.0, 0.8, 1)
    assert [p.tolist() for p in parts.symbols] == [
        encode(t).tolist() for t in ("MKVLA", "MVL", "MKILA")
    ]
    assert not parts.out.any()


# tuning


def test_a_tuned_model_finds_the_family_more_probable(tuned):
    losses = tuned.history.held_out_loss
    assert tuned.history.epoch.tolist() == [0, 1, 2, 3]
    assert losses.min() < losses[0]


def test_the_model_that_is_kept_is_the_one_with_the_lowest_held_out_loss(alignment, tuned):
    family = Family.of(alignment, progress=False)
    parts = Parts.of(family, QUICK.held_out, QUICK.identity, QUICK.seed)
    held = [s for s, out in zip(parts.symbols, parts.out, strict=True) if out]
    loss = weighted_loss(tuned.model, held, parts.weights[parts.out], QUICK.batch_tokens)
    assert loss == tuned.held_out_loss


@pytest.mark.parametrize(("width", "rate"), [(12, 3e-3), (64, 3e-3), (256, 1e-3), (1900, 1e-4)])
def test_the_usual_learning_rate_is_that_of_the_width(width, rate):
    assert TuneConfig().settled(width).learning_rate == rate
    assert TuneConfig(learning_rate=0.5).settled(width).learning_rate == 0.5


def test_a_rate_that_nobody_gave_is_said_and_kept_and_resumed(alignment, tmp_path):
    said, config = [], replace(QUICK, learning_rate=None, steps=2)
    first = evotune(alignment, tiny_unirep(), config, tmp_path, echo=said.append, progress=False)
    assert first.config.learning_rate == 3e-3 and "learning rate 0.003" in said
    assert load_tuned(tmp_path).config.learning_rate == 3e-3
    given = replace(config, learning_rate=3e-3)
    again = evotune(alignment, tiny_unirep(), given, progress=False)
    assert same(first.model, again.model)
    longer = replace(config, steps=3)
    evotune(alignment, tiny_unirep(), longer, tmp_path, resume=True, progress=False)
    with pytest.raises(ConfigError, match=r"learning_rate 0\.003"):
        other = replace(config, learning_rate=1e-4)
        evotune(alignment, tiny_unirep(), other, tmp_path, resume=True, progress=False)


def test_the_model_that_was_given_is_left_as_it_is(alignment):
    model = tiny_unirep()
    evotune(alignment, model, replace(QUICK, steps=2), progress=False)
    assert same(model, tiny_unirep())


@pytest.mark.parametrize("steps", [1, 3, 4, 10])
def test_a_resumed_tuning_ends_with_the_same_bits(alignment, tuned, tmp_path, steps):
    out = tmp_path / "tuned"
    evotune(alignment, tiny_unirep(), replace(QUICK, steps=steps), out, progress=False)
    again = evotune(alignment, tiny_unirep(), QUICK, out, resume=True, progress=False)
    assert same(again.model, tuned.model)
    pd.testing.assert_frame_equal(again.history, tuned.history)


def test_a_tuning_that_is_interrupted_can_go_on(alignment, tuned, tmp_path, monkeypatch):
    made, update = [], evotuning._update

    def interrupting(*args):
        update(*args)
        made.append(1)
        if len(made) == 5:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(evotuning, "_update", interrupting)
    with pytest.raises(KeyboardInterrupt, match=r"after update 5: saved in .*--resume"):
        evotune(alignment, tiny_unirep(), QUICK, tmp_path, progress=False)
    monkeypatch.setattr(evotuning, "_update", update)
    with pytest.raises(CheckpointError, match="has not ended"):
        load_tuned(tmp_path)
    again = evotune(alignment, tiny_unirep(), QUICK, tmp_path, resume=True, progress=False)
    assert same(again.model, tuned.model)


def test_a_kept_model_is_loaded_with_its_residue_numbers(alignment, tuned):
    back = load_tuned(tuned.path)
    assert same(back.model, tuned.model) and same(load_unirep(tuned.path), tuned.model)
    assert back.focus_map == alignment.focus_map and back.config == tuned.config


def test_it_stops_when_the_held_out_loss_no_longer_falls(alignment):
    """At a rate of 1 it never falls, and the model that was begun with is kept."""
    config = replace(QUICK, learning_rate=1.0, epochs=50, patience=2)
    tuned = evotune(alignment, tiny_unirep(), config, progress=False)
    assert "has not fallen for 2 epochs" in tuned.stopped
    losses = tuned.history.held_out_loss
    assert len(losses) == int(losses.idxmin()) + 3


def test_with_nothing_held_out_the_last_model_is_kept(alignment):
    config = replace(QUICK, held_out=0, epochs=1)
    tuned = evotune(alignment, tiny_unirep(), config, progress=False)
    assert np.isnan(tuned.held_out_loss) and not same(tuned.model, tiny_unirep())


def test_a_loss_that_is_not_finite_ends_it(alignment):
    model = tiny_unirep()
    with torch.no_grad():
        model.dense_w[0, 0] = torch.nan
    with pytest.raises(TrainingError, match="smaller learning rate"):
        evotune(alignment, model, QUICK, progress=False)


# folders


def test_a_folder_that_is_taken_is_refused(alignment, tuned):
    with pytest.raises(ConfigError, match=r"--resume.*--overwrite"):
        evotune(alignment, tiny_unirep(), QUICK, tuned.path)


def test_other_settings_are_refused_on_resuming(alignment, tuned):
    with pytest.raises(ConfigError, match=r"learning_rate 0.01, now 0.02"):
        config = replace(QUICK, learning_rate=0.02)
        evotune(alignment, tiny_unirep(), config, tuned.path, resume=True)


def test_another_family_is_refused_on_resuming(tuned):
    other = Alignment.from_strings(["MKVLA", "MKILA"])
    with pytest.raises(CheckpointError, match="other alignment"):
        evotune(other, tiny_unirep(), QUICK, tuned.path, resume=True)


def test_a_run_is_not_overwritten(alignment, tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ConfigError, match="another model"):
        evotune(alignment, tiny_unirep(), QUICK, tmp_path, overwrite=True)


def test_overwriting_begins_anew(alignment, tuned, tmp_path):
    evotune(alignment, tiny_unirep(seed=2), replace(QUICK, seed=3), tmp_path, progress=False)
    again = evotune(alignment, tiny_unirep(), QUICK, tmp_path, overwrite=True, progress=False)
    assert same(again.model, tuned.model) and same(load_tuned(tmp_path).model, tuned.model)


def test_a_checkpoint_of_the_tuning_that_was_to_be_replaced_is_not_gone_on_with(
    alignment, tmp_path
):
    """A kill after evotune.json was written, before the first checkpoint took its place."""
    evotune(alignment, tiny_unirep(), QUICK, tmp_path / "old", progress=False)
    other = replace(QUICK, seed=3)
    evotune(alignment, tiny_unirep(), other, tmp_path / "new", progress=False)
    shutil.copy(tmp_path / "new/evotune.json", tmp_path / "old/evotune.json")
    with pytest.raises(CheckpointError, match=r"other settings.*--overwrite"):
        evotune(alignment, tiny_unirep(), other, tmp_path / "old", resume=True, progress=False)


def test_a_tuning_that_cannot_be_written_leaves_the_old_one(
    alignment, tuned, tmp_path, monkeypatch
):
    evotune(alignment, tiny_unirep(), QUICK, tmp_path, progress=False)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("deepseq_nb.peers.tuning_folders.save_tensors", full)
    with pytest.raises(OSError, match="No space"):
        evotune(alignment, tiny_unirep(seed=2), replace(QUICK, seed=3), tmp_path, overwrite=True)
    assert same(load_tuned(tmp_path).model, tuned.model)


# a search


def test_a_search_keeps_the_best_trial_and_goes_on(alignment, tmp_path):
    pytest.importorskip("optuna", reason="the search of learning rates is Optuna's")
    config, bounds = replace(QUICK, epochs=1), (1e-4, 1e-1)
    how = {"bounds": bounds, "progress": False}
    search_tuning(alignment, tiny_unirep(), config, tmp_path / "a", 1, **how)
    how["resume"] = True
    found = search_tuning(alignment, tiny_unirep(), config, tmp_path / "a", 3, **how)
    whole = search_tuning(
        alignment, tiny_unirep(), config, tmp_path / "b", 3, bounds=bounds, progress=False
    )
    first, second = (pd.read_csv(tmp_path / name / "trials.csv") for name in "ab")
    assert len(first) == 3 and first.equals(second)
    assert found.held_out_loss == first.held_out_loss.min()
    assert same(found.model, whole.model)
    assert found.config.learning_rate == first.learning_rate[first.held_out_loss.idxmin()]
