"""Asking trained runs: variants in every form, several runs, settings, places in the latent space, new sequences."""

import inspect
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from tiny_family import TINY

from deepseq_nb.core.errors import CheckpointError, ConfigError, VariantError
from deepseq_nb.family.alignment import Alignment
from deepseq_nb.family.variants import resolve_variants
from deepseq_nb.model.priors import SparsityPrior
from deepseq_nb.model.runs import fit, fit_many, load_run
from deepseq_nb.model.scorer import Scorer
from deepseq_nb.model.sizes import ModelConfig
from deepseq_nb.model.training import TrainConfig
from deepseq_nb.scores.scoring import (
    combine,
    embed,
    load_runs,
    placed_variants,
    sample_sequences,
    score,
)


def test_every_row_comes_back_in_order(tiny_run):
    rows = ["A15W", "nonsense", "A999W", "V13A", "G15A", "A15A"]
    table = score(tiny_run, rows, samples=2)
    assert table.variant.tolist() == rows
    first = ["variant", "score", "std_error", "status", "reason", "occupancy"]
    assert list(table.columns) == [*first, "delta_elbo"]
    assert table.score.notna().tolist() == [True, False, False, False, False, True]
    assert (table.reason[table.status != "ok"] != "").all()


def test_score_does_not_depend_on_training_mode(tiny_run):
    before = score(tiny_run, samples=2)
    tiny_run.model.train()
    after = score(tiny_run, samples=2)
    tiny_run.model.eval()
    assert (before.score == after.score).all()


def test_dropout_is_off_when_scoring(alignment):
    config = ModelConfig(
        encoder=(8,),
        latent=3,
        decoder=(8, 12),
        conv=5,
        weights="point",
        dropout=0.5,
        sparsity=SparsityPrior(kind="none"),
    )
    run = fit(alignment, config, TrainConfig(steps=5, batch_size=10, device="cpu"))
    assert (score(run, samples=2).score == score(run, samples=2).score).all()


def test_scores_survive_saving_and_loading(tiny_run):
    assert (
        score(load_run(tiny_run.path), samples=2).score == score(tiny_run, samples=2).score
    ).all()
    assert (
        score(tiny_run.path, samples=2, device="cpu").score == score(tiny_run, samples=2).score
    ).all()


def test_a_deletion_is_scored_as_a_gap(tiny_run):
    table = score(tiny_run, ["A15-"], samples=2)
    assert table.status[0] == "ok" and np.isfinite(table.score[0]) and table.reason[0]


def test_table_of_variants_is_accepted_and_a_wrong_one_explained(tiny_run):
    assert len(score(tiny_run, pd.DataFrame({"variant": ["A15W"]}), samples=1)) == 1
    with pytest.raises(ConfigError, match="no column 'variant'; its columns are mutation"):
        score(tiny_run, pd.DataFrame({"mutation": ["A15W"]}))


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"samples": 0}, "samples is 0"),
        ({"samples": 10**15}, "samples is 10"),
        ({"seed": 10**23}, "seed is 10"),
        ({"precision": 0.0}, "precision is 0.0"),
        ({"seed": -1}, "seed is -1"),
        ({"max_samples": 0}, "max_samples is 0"),
        ({"batch_size": 0}, "batch_size is 0"),
    ],
)
def test_settings_out_of_range_are_refused(tiny_run, wrong, text):
    with pytest.raises(ConfigError, match=text):
        score(tiny_run, ["A15W"], **wrong)


def test_embedding_has_one_row_a_sequence(tiny_run, alignment):
    z = embed(tiny_run, alignment)
    assert z.shape == (len(alignment.tokens), TINY.latent) and z.dtype == np.float32


def test_embedding_places_each_sequence_by_its_own_letters(tiny_run, alignment):
    with torch.no_grad():
        mu = tiny_run.model.encoder(torch.from_numpy(alignment.tokens[5:6]))[0].numpy()
    assert np.allclose(embed(tiny_run, alignment)[5:6], mu, atol=1e-6)


def test_embedding_with_another_wild_type_is_refused(tiny_run, family, tmp_path):
    text = family.read_text().replace("MKvlAAGIVGLEDR", "MKvlAAGWVGLEDR", 1)
    (tmp_path / "other.a2m").write_text(text)
    other = Alignment.read(tmp_path / "other.a2m")
    with pytest.raises(ConfigError, match=r"wild type TINY/11-24 differs .* first I18W"):
        embed(tiny_run, other)


def test_embedding_of_other_columns_is_refused(tiny_run, family):
    with pytest.raises(ConfigError, match="must be the same"):
        embed(tiny_run, Alignment.read(family, columns="all"))


def test_sampled_sequences_are_the_same_for_the_same_seed(tiny_run):
    sequences = sample_sequences(tiny_run, 150, seed=2)
    assert len(sequences) == 150 and {len(s) for s in sequences} == {12}
    assert sequences == sample_sequences(tiny_run, 150, seed=2)
    assert sequences[:100] == sample_sequences(tiny_run, 100, seed=2)
    assert sequences[:100] != sample_sequences(tiny_run, 100, seed=3)


def test_a_second_hundred_of_sampled_sequences_is_not_the_first_again(tiny_run):
    sequences = sample_sequences(tiny_run, 300, seed=2)
    blocks = {tuple(sequences[start : start + 100]) for start in (0, 100, 200)}
    assert len(blocks) == 3
    assert sequences[100:] != sequences[:200]


def test_sampled_sequences_follow_the_profile(tiny_run):
    drawn = np.array([list(s) for s in sample_sequences(tiny_run, 2000, seed=1)])
    letters = np.array(list(tiny_run.focus_map.alphabet))
    shares = (drawn[:, :, None] == letters).mean(0)
    frequencies = np.array(tiny_run.about["frequencies"])[:, : len(letters)]
    frequencies = frequencies / frequencies.sum(1, keepdims=True)
    assert (
        np.corrcoef(shares.ravel(), frequencies.ravel())[0, 1] > 0.5
    )  # 0 for letters in another order


def test_unknown_estimator_is_refused(tiny_run):
    with pytest.raises(ConfigError, match="estimator"):
        score(tiny_run, ["A15W"], estimator="quick")


def scored(scores, status="ok"):
    """A table of scores for two made-up variants, the second with this status."""
    return pd.DataFrame(
        {"variant": ["A1C", "A2D"], "score": scores, "std_error": 0.1, "status": ["ok", status]}
    ).assign(reason=["", "" if status == "ok" else "why"])


def test_combined_scores_are_means_with_their_spread_and_what_is_left_of_the_error_of_sampling():
    table = combine([scored([1.0, -2.0]), scored([3.0, -2.0]), scored([5.0, -2.0])])
    assert table.score.tolist() == [3.0, -2.0]
    assert table.spread.tolist() == [2.0, 0.0]  # 1, 3 and 5: deviations -2, 0 and 2, squares over 2
    assert table.std_error.tolist() == pytest.approx([0.1 / 3**0.5] * 2)


def test_the_standard_error_of_one_run_and_of_several_says_the_same_thing():
    alone, twice = scored([1.0, 2.0]), combine([scored([1.0, 2.0]), scored([9.0, 2.0])])
    assert "spread" not in combine([alone])
    assert twice.std_error.tolist() == pytest.approx(
        [0.1 / 2**0.5] * 2
    )  # however far apart the runs
    again = combine([twice, twice])
    assert list(again.columns) == list(twice.columns) and again.spread.tolist() == [0.0, 0.0]


def test_of_one_table_a_copy_is_returned():
    table = scored([1.0, 2.0])
    alone = combine([table])
    pd.testing.assert_frame_equal(alone, table)
    alone.loc[0, "score"] = 7.0
    assert table.score[0] == 1.0


def test_a_row_that_one_run_cannot_score_has_no_score_and_its_reason():
    bad = scored([1.0, np.nan], status="outside the alignment")
    table = combine([scored([1.0, 2.0]), bad])
    assert np.isnan(table.score[1]) and table.status[1] == bad.status[1]
    assert table.reason[1] == "why" and table.status[0] == "ok"


def test_errors_of_the_mean_over_runs_are_calibrated():
    rng = np.random.default_rng(1)
    truth, spread = rng.normal(size=400), rng.uniform(0.5, 2, 400)
    names = [f"A{i}C" for i in range(400)]
    runs = [
        pd.DataFrame({"variant": names, "score": truth + spread * rng.normal(size=400)})
        for _ in range(10)
    ]
    table = combine(run.assign(std_error=0.0, status="ok", reason="") for run in runs)
    assert ((table.score - truth) / (table.spread / 10**0.5)).std() == pytest.approx(1, abs=0.15)


@pytest.mark.parametrize("others", [["A2D", "A1C"], ["A1C", "A2E"], ["A1C"]])
def test_tables_of_other_variants_are_refused(others):
    with pytest.raises(ConfigError, match="other variants"):
        combine([scored([1.0, 2.0]), pd.DataFrame({"variant": others, "score": 0.0})])


def test_nothing_to_combine_is_refused():
    with pytest.raises(ConfigError, match="nothing to combine"):
        combine([])


def test_tables_of_variants_and_scores_alone_can_be_combined():
    bare = [scored(values)[["variant", "score"]] for values in ([1.0, 2.0], [3.0, 2.0])]
    table = combine(bare)
    assert list(table.columns) == ["variant", "score", "spread"]
    assert table.score.tolist() == [2.0, 2.0] and table.spread.tolist() == pytest.approx(
        [2**0.5, 0]
    )


@pytest.fixture(scope="session")
def three_runs(alignment, tmp_path_factory):
    """A folder that holds three runs of the tiny family, seeds 1, 2 and 10."""
    folder = tmp_path_factory.mktemp("several") / "runs"
    config = TrainConfig(steps=40, batch_size=20, device="cpu")
    fit_many(alignment, [1, 10, 2], TINY, config, folder)
    return folder


def test_score_of_several_runs_is_the_mean_of_scores_with_noise_of_their_own(three_runs):
    runs = [load_run(three_runs / f"seed{seed}") for seed in (1, 2, 10)]
    alone = [score(run, samples=8, seed=5 + k) for k, run in enumerate(runs)]
    table = score(runs, samples=8, seed=5)
    names = ("score", "std_error", "delta_elbo")
    scores, errors, elbos = ([t[name].to_numpy() for t in alone] for name in names)
    assert np.array_equal(table.delta_elbo, np.mean(elbos, axis=0))
    assert np.allclose(table.score, np.mean(scores, axis=0), atol=1e-12)
    assert np.allclose(table.spread, np.std(scores, axis=0, ddof=1))
    assert np.allclose(table.std_error, np.sqrt(np.square(errors).sum(0)) / 3)
    assert list(table.columns)[:5] == ["variant", "score", "std_error", "spread", "status"]


def test_a_folder_that_holds_runs_stands_for_all_of_them(three_runs):
    listed = [three_runs / f"seed{seed}" for seed in (1, 2, 10)]
    assert [run.train_config.seed for run in load_runs(three_runs)] == [1, 2, 10]
    pd.testing.assert_frame_equal(
        score(three_runs, ["A15W"], device="cpu"), score(listed, ["A15W"], device="cpu")
    )
    assert len(load_runs([three_runs, listed[0]])) == 4


def test_one_run_in_a_list_is_one_run(tiny_run):
    pd.testing.assert_frame_equal(score([tiny_run], ["A15W"]), score(tiny_run, ["A15W"]))


def test_runs_of_two_families_are_refused(tiny_run, family):
    whole = fit(
        Alignment.read(family, columns="all"),
        TINY,
        TrainConfig(steps=2, batch_size=20, device="cpu"),
    )
    with pytest.raises(ConfigError, match=r"12 residues .* 14 residues .* sequence, residues"):
        score([tiny_run, whole], ["A15W"])


def test_runs_of_one_sequence_may_call_it_by_two_names(tiny_run):
    other = replace(tiny_run, focus_map=replace(tiny_run.focus_map, name="OTHER"))
    assert score([tiny_run, other], ["A15W"]).score.notna().all()


def test_no_run_and_a_folder_without_one_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="no run to score with"):
        score([])
    with pytest.raises(CheckpointError, match=r"config\.json"):
        score(tmp_path)


def test_variants_may_come_from_a_file(tiny_run, tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text("mutant,fitness\nA15W,0.5\nG17P,0.1\n")
    expected = score(tiny_run, ["A15W", "G17P"], samples=2)
    pd.testing.assert_frame_equal(score(tiny_run, path, samples=2), expected)
    pd.testing.assert_frame_equal(score(tiny_run, str(path), samples=2), expected)


@pytest.mark.parametrize("kind", [str, Path])
def test_a_file_that_is_not_there_is_no_malformed_variant(tiny_run, tmp_path, kind):
    with pytest.raises(VariantError, match=r"none\.csv: no such file"):
        score(tiny_run, kind(tmp_path / "none.csv"))


@pytest.mark.parametrize("kind", [str, Path])
def test_a_folder_is_no_malformed_variant(tiny_run, tmp_path, kind):
    with pytest.raises(VariantError, match="a folder"):
        score(tiny_run, kind(tmp_path))


def test_a_text_that_reads_as_a_variant_is_one_although_a_file_has_its_name(
    tiny_run, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    Path("A15W").write_text("mutant\nG17P\n")
    pd.testing.assert_frame_equal(
        score(tiny_run, "A15W", samples=2), score(tiny_run, ["A15W"], samples=2)
    )


def test_a_text_that_is_neither_a_variant_nor_a_file_is_a_row_with_its_reason(tiny_run):
    (row,) = score(tiny_run, "A15", samples=2).itertuples()
    assert (row.variant, row.status) == ("A15", "malformed")


@pytest.mark.parametrize("wrong", [b"A15W", 15])
def test_what_holds_no_variants_is_refused(tiny_run, wrong):
    unchecked = inspect.unwrap(placed_variants)  # users have no type checker in their way
    with pytest.raises(ConfigError, match=f"variants is of type {type(wrong).__name__}"):
        unchecked(wrong, tiny_run.focus_map)


def test_an_offset_beside_variants_that_have_their_columns_is_refused(tiny_run):
    table = resolve_variants(["A15W"], tiny_run.focus_map)
    with pytest.raises(ConfigError, match="offset 3 comes too late"):
        score(tiny_run, table, offset=3)


def test_a_long_variant_is_not_taken_for_a_file(tiny_run):
    text = ":".join(f"A{i}C" for i in range(900))
    assert score(tiny_run, text, samples=1).status[0] != "ok"


def test_variants_that_are_resolved_already_are_used_as_they_are(tiny_run):
    table = resolve_variants(["A15W", "A1W"], tiny_run.focus_map)
    pd.testing.assert_frame_equal(
        score(tiny_run, table, samples=2), score(tiny_run, ["A15W", "A1W"], samples=2)
    )


def test_an_offset_is_added_to_positions(tiny_run):
    moved, there = (
        score(tiny_run, ["A5W"], samples=2, offset=10),
        score(tiny_run, ["A15W"], samples=2),
    )
    assert moved.score[0] == there.score[0] and moved.variant[0] == "A5W"
    assert score(tiny_run, ["A5W"], samples=2).status[0] == "outside the alignment"


class Broken(Scorer):
    """A scorer that fails in the middle of its work."""

    def sums(self, *given):
        raise RuntimeError("broken")


def test_a_model_in_training_is_in_training_again_after_an_error(tiny_run):
    tiny_run.model.train()
    try:
        with pytest.raises(RuntimeError, match="broken"):
            score(tiny_run, ["A15W"], estimator=Broken)
        assert tiny_run.model.training
    finally:
        tiny_run.model.eval()


def test_scoring_elsewhere_leaves_the_callers_model_where_it_is(tiny_run, monkeypatch):
    from deepseq_nb.scores import scoring

    monkeypatch.setattr(scoring, "choose_device", lambda name: (torch.device(name), name))
    before = [parameter.data_ptr() for parameter in tiny_run.model.parameters()]
    moved = load_runs(tiny_run, "meta")[0]
    assert {parameter.device.type for parameter in moved.model.parameters()} == {"meta"}
    assert [parameter.data_ptr() for parameter in tiny_run.model.parameters()] == before
    assert load_runs(tiny_run, "cpu")[0].model is tiny_run.model


def test_a_device_that_is_none_is_refused_and_not_passed_over(tiny_run):
    with pytest.raises(ConfigError, match="device is 'tpu'"):
        score(tiny_run, ["A15V"], device="tpu")


def test_a_precision_that_is_not_reached_is_said(tiny_run):
    with pytest.warns(UserWarning, match="precision 1e-09 nats is not reached by 2 of 2 .* 16 sam"):
        table = score(tiny_run, ["A15W", "G17P"], samples=4, precision=1e-9, max_samples=16)
    assert (table.std_error > 1e-9).all()


def test_a_precision_that_is_reached_is_not_spoken_of(tiny_run):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        score(tiny_run, ["A15W", "A15A"], samples=4, precision=100.0)


@pytest.mark.parametrize(("samples", "known"), [(1, False), (4, False), (5, True), (8, True)])
def test_standard_errors_of_the_fast_estimator_need_two_groups_of_four(tiny_run, samples, known):
    assert score(tiny_run, ["A15W"], samples=samples).std_error.notna()[0] == known


def test_more_sequences_than_anybody_waits_for_are_refused(tiny_run):
    with pytest.raises(ConfigError, match="n is 1000000000000: expected a whole number"):
        sample_sequences(tiny_run, 10**12)
