"""When a ranking has settled, and what ends a training: checks, verdict, steps auto, minutes, schedules."""

import json

import numpy as np
import pytest
import torch
from tiny_family import QUICK, TINY, same

from deepseq_nb.core.errors import ConfigError
from deepseq_nb.model import loop
from deepseq_nb.model.checkpoints import RunFolder
from deepseq_nb.model.choices import RECOMMENDED, Recommendation, chosen_settings
from deepseq_nb.model.run_files import load_tensors, save_tensors
from deepseq_nb.model.runs import fit, load_run, prepare
from deepseq_nb.model.schedule import TrainConfig
from deepseq_nb.model.settling import (
    RankingWatch,
    has_settled,
    is_check,
    movement_table,
    ranking_movement,
    verdict,
)
from deepseq_nb.model.sizes import preset

AUTO = {"batch_size": 20, "device": "cpu", "checkpoint_every": 17}


def test_movement_of_a_ranking_by_hand():
    # ranks 1 2 3 4 and 1 2 4 3: 6 * (0 + 0 + 1 + 1) / (4 * 15) = 0.2
    before, now = np.array([0.1, 0.2, 0.3, 0.4]), np.array([-5.0, 0.0, 9.0, 8.0])
    assert ranking_movement(before, now) == pytest.approx(0.2)
    assert ranking_movement(before, before**3) == pytest.approx(0.0)


def test_movement_leaves_out_what_has_no_score_and_knows_no_order_of_equals():
    before, now = np.array([1.0, np.nan, 2.0, 3.0]), np.array([1.0, 7.0, 2.0, 3.0])
    assert ranking_movement(before, now) == pytest.approx(0.0)
    assert np.isnan(ranking_movement(np.zeros(3), np.arange(3.0)))


def test_checks_grow_by_a_fifth():
    assert [step for step in range(1, 401) if is_check(step)] == [
        100, 119, 141, 168, 200, 238, 283, 336, 400,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("moved", "said", "settled"),
    [
        (0.004, "the ranking moved by 0.004 since update 4,000: settled", True),
        (0.05, "the ranking moved by 0.050 since update 4,000: still moving, train longer", False),
    ],
)
def test_verdict_in_words(moved, said, settled):
    table = movement_table([(4000, 2828, 0.02), (5657, 4000, moved)])
    assert verdict(table) == said
    assert has_settled(table) is settled


def test_verdict_on_too_few_updates_and_on_none():
    assert "30 updates are too few" in verdict(movement_table([(30, 0, float("nan"))]))
    assert "not watched" in verdict(movement_table([]))
    assert not has_settled(movement_table([]))


def test_a_watch_compares_with_a_ranking_of_so_many_times_fewer_updates(alignment, monkeypatch):
    watch = RankingWatch(prepare(alignment, TINY, QUICK).model, alignment.focus_map)
    lists = {100: [1.0, 2, 3, 4], 119: [1.0, 2, 3, 4], 141: [1.0, 2, 4, 3], 150: [2.0, 1, 4, 3]}
    for step, scores in lists.items():
        monkeypatch.setattr(watch, "scores", lambda scores=scores: np.array(scores))
        watch.look(step)
    assert [row[:2] for row in watch.rows] == [(100, 0), (119, 0), (141, 100), (150, 100)]
    assert [row[2] for row in watch.rows[2:]] == pytest.approx([0.2, 0.4])
    watch.look(168)  # 150 was no regular check: it was an end, and is none any more
    assert [row[0] for row in watch.rows] == [100, 119, 141, 168]


def test_watching_changes_no_update(alignment):
    config = TrainConfig(steps=101, batch_size=20, device="cpu")
    watched = fit(alignment, TINY, config)
    trainer = prepare(alignment, TINY, config)
    for step in range(1, 102):
        trainer.update(step)
    state = trainer.model.state_dict()
    for name, value in watched.model.state_dict().items():
        assert torch.equal(value, state[name])


@pytest.fixture
def soon(monkeypatch):
    """The ranking counts as settled at the first comparison, after 141 updates."""
    monkeypatch.setattr(loop, "FEWEST", 120)
    monkeypatch.setattr(loop, "has_settled", lambda table: bool(table.moved.iloc[-1] < 9))


def test_auto_stops_where_the_ranking_has_settled(alignment, tmp_path, soon):
    run = fit(alignment, TINY, TrainConfig(**AUTO), tmp_path / "run")
    assert run.steps == 141
    stopped = RunFolder(tmp_path / "run").settings().decisions["stopped"]
    assert stopped == {"updates": 141, "why": "the ranking has settled"}
    loaded = load_run(tmp_path / "run")
    assert loaded.ranking.equals(run.ranking) and len(loaded.ranking) == 3
    assert loaded.verdict == run.verdict and loaded.settled == run.settled


def test_auto_ends_at_its_most_updates(alignment):
    run = fit(alignment, TINY, TrainConfig(max_steps=40, **AUTO))
    assert run.steps == 40 and not run.settled


def test_an_auto_run_that_was_cut_off_resumes_to_the_same_end(
    alignment, tmp_path, soon, monkeypatch
):
    config = TrainConfig(**AUTO)
    whole = fit(alignment, TINY, config, tmp_path / "whole")
    judge = loop.Making.judge

    def killed(self):
        judge(self)
        if self.made == 130:  # between two checks, and after the checkpoint of 119
            raise ArithmeticError

    monkeypatch.setattr(loop.Making, "judge", killed)
    with pytest.raises(ArithmeticError):
        fit(alignment, TINY, config, tmp_path / "cut")
    monkeypatch.setattr(loop.Making, "judge", judge)
    resumed = fit(alignment, TINY, config, tmp_path / "cut", resume=True)
    assert resumed.steps == 141 and same(resumed, whole)
    for name in ("ranking.csv", "history.csv", "config.json"):
        cut, left_alone = tmp_path / "cut" / name, tmp_path / "whole" / name
        assert cut.read_bytes() == left_alone.read_bytes()


def test_a_settled_run_has_nothing_left_to_do_and_more_steps_make_it_longer(
    alignment, tmp_path, soon
):
    lines = []
    fit(alignment, TINY, TrainConfig(**AUTO), tmp_path / "run")
    again = fit(alignment, out=tmp_path / "run", resume=True, echo=lines.append)
    assert again.steps == 141
    assert any("nothing is left to do (the ranking has settled)" in line for line in lines)
    longer = TrainConfig(steps=150, **AUTO)
    resumed = fit(alignment, TINY, longer, tmp_path / "run", resume=True)
    assert resumed.steps == 150 and same(resumed, fit(alignment, TINY, longer))


def test_minutes_end_a_run_and_more_minutes_continue_it(alignment, tmp_path):
    config = TrainConfig(steps=60, minutes=1e-6, **AUTO)
    run = fit(alignment, TINY, config, tmp_path / "run")
    assert run.steps == 1
    decided = RunFolder(tmp_path / "run").settings().decisions["stopped"]
    assert decided["why"] == "1e-06 minutes are spent"
    assert fit(alignment, TINY, config, tmp_path / "run", resume=True).steps == 1
    more = TrainConfig(steps=60, minutes=1000, **AUTO)
    resumed = fit(alignment, TINY, more, tmp_path / "run", resume=True)
    assert resumed.steps == 60
    assert same(resumed, fit(alignment, TINY, TrainConfig(steps=60, **AUTO)))


def test_time_before_an_interruption_counts(alignment, tmp_path):
    fit(alignment, TINY, QUICK, tmp_path / "run")
    state = RunFolder(tmp_path / "run").state
    tensors, stamp = load_tensors(state)
    assert stamp["seconds"] > 0
    save_tensors(state, tensors, stamp | {"seconds": 3600.0})
    longer = TrainConfig(steps=50, minutes=59, batch_size=20, device="cpu")
    assert fit(alignment, TINY, longer, tmp_path / "run", resume=True).steps == 30


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("constant", [1.0, 1.0, 1.0]),
        ("linear", [1.0, 0.505, 0.01]),
        ("cosine", [1.0, 0.505, 0.01]),
    ],
)
def test_the_rate_at_the_first_the_middle_and_the_last_update(schedule, expected):
    config = TrainConfig(steps=101, schedule=schedule)
    assert [config.pace(step) for step in (1, 51, 101)] == pytest.approx(expected)


def test_a_quarter_of_the_way_by_hand():
    # cosine: (1 + cos(pi / 4)) / 2 = 0.853553
    config = TrainConfig(steps=101, schedule="cosine")
    assert config.pace(26) == pytest.approx(0.01 + 0.99 * 0.853553)


@pytest.mark.parametrize("fused", [True, False])
def test_a_schedule_moves_both_groups(alignment, fused):
    config = TrainConfig(steps=11, schedule="linear", width_rate=3, **AUTO)
    trainer = prepare(alignment, TINY, config)
    if not fused:
        trainer.optimiser = torch.optim.Adam(
            [
                {"params": group["params"], "lr": group["lr"]}
                for group in trainer.optimiser.param_groups
            ]
        )
    for step in range(1, 7):
        trainer.update(step)
    rates = [group["lr"] for group in trainer.optimiser.param_groups]
    assert rates == pytest.approx([0.001 * 0.505, 0.003 * 0.505])


def test_a_run_with_a_schedule_resumes_to_the_same_bits_and_keeps_its_length(
    alignment, tmp_path, monkeypatch
):
    config = TrainConfig(steps=40, schedule="cosine", **AUTO)
    whole = fit(alignment, TINY, config)
    judge = loop.Making.judge

    def killed(self):
        judge(self)
        if self.made == 20:
            raise ArithmeticError

    monkeypatch.setattr(loop.Making, "judge", killed)
    with pytest.raises(ArithmeticError):
        fit(alignment, TINY, config, tmp_path / "run")
    monkeypatch.setattr(loop.Making, "judge", judge)
    assert same(fit(alignment, TINY, config, tmp_path / "run", resume=True), whole)
    longer = TrainConfig(steps=50, schedule="cosine", **AUTO)
    with pytest.raises(ConfigError, match="steps 40, now 50"):
        fit(alignment, TINY, longer, tmp_path / "run", resume=True)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"steps": "long"}, "steps is 'long': expected int or 'auto'"),
        ({"steps": 0}, "steps is 0"),
        ({"minutes": 0}, "minutes is 0"),
        ({"max_steps": 0}, "max_steps is 0"),
        ({"schedule": "cosin", "steps": 3}, "did you mean 'cosine'"),
        ({"schedule": "linear"}, "give steps a number"),
    ],
)
def test_lengths_that_cannot_be_used_are_refused(wrong, said):
    with pytest.raises(ConfigError, match=said):
        TrainConfig.from_json(wrong)


def test_auto_travels_as_json():
    config = TrainConfig(minutes=30, max_steps=500)
    assert TrainConfig.from_json(json.loads(json.dumps(config.to_json()))) == config


def test_a_folder_from_before_the_watch_loads_and_resumes(alignment, tmp_path):
    path = tmp_path / "run"
    fit(alignment, TINY, QUICK, path)
    folder = RunFolder(path)
    data = json.loads(folder.config.read_text())
    for name in ("max_steps", "minutes", "schedule"):
        del data["train"][name]
    for name in ("stopped", "preset"):
        del data["decisions"][name]
    folder.config.write_text(json.dumps(data))
    folder.ranking.unlink()
    tensors, stamp = load_tensors(folder.state)
    old = {name: value for name, value in tensors.items() if not name.startswith("ranking.")}
    save_tensors(folder.state, old, {k: v for k, v in stamp.items() if k != "seconds"})
    run = load_run(path)
    assert run.steps == 30 and not run.settled and "not watched" in run.verdict
    longer = TrainConfig(steps=50, batch_size=20, device="cpu", checkpoint_every=10)
    assert same(fit(alignment, TINY, longer, path, resume=True), fit(alignment, TINY, longer))


def test_without_configurations_the_recommended_model_is_trained(alignment, tmp_path, monkeypatch):
    monkeypatch.setitem(RECOMMENDED, "cpu", Recommendation("quick", 3, "as tests want it"))
    quiet = chosen_settings(None, TrainConfig(device="cpu"))
    assert quiet.model == preset("quick") and quiet.train.limit == 3
    run = fit(alignment, None, TrainConfig(device="cpu"), tmp_path / "run")
    decided = RunFolder(tmp_path / "run").settings().decisions
    assert run.steps == 3 and run.model_config == preset("quick")
    assert decided["preset"] == {"name": "quick", "asked": False, "why": "as tests want it"}


def test_command_python_and_grid_make_the_same_run_without_settings(
    alignment, family, tmp_path, monkeypatch
):
    from deepseq_nb.cli.main import main
    from deepseq_nb.studies.grid import Experiment

    monkeypatch.setitem(RECOMMENDED, "cpu", Recommendation("quick", 3, "as tests want it"))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert main(["train", str(family), "--out", str(tmp_path / "typed")]) in (0, None)
    called = fit(alignment, out=tmp_path / "called")
    model, train = Experiment(family="TINY").configurations()
    gridded = fit(alignment, model, train, tmp_path / "gridded")
    typed = load_run(tmp_path / "typed")
    assert same(typed, called) and same(gridded, called)
    assert typed.model_config == called.model_config == gridded.model_config
    assert typed.train_config == called.train_config == gridded.train_config


def test_continuing_without_settings_takes_the_runs_own(alignment, tmp_path):
    fit(alignment, TINY, QUICK, tmp_path / "run")
    again = fit(alignment, out=tmp_path / "run", resume=True)
    assert again.model_config == TINY and again.steps == 30
