"""A search for settings: what a trial is judged by, when it is given up, and what is left after a kill."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from tiny_family import TINY

from deepseq_nb.core.errors import ConfigError, DeepseqError, TrainingError
from deepseq_nb.family.weights import sequence_weights
from deepseq_nb.model.network import DeepSequence, latent_kl
from deepseq_nb.model.scorer import score_noise
from deepseq_nb.model.sizes import preset
from deepseq_nb.model.training import TrainConfig
from deepseq_nb.studies import trials as making
from deepseq_nb.studies import tuning
from deepseq_nb.studies.trials import (
    Halves,
    Trial,
    TuningConfig,
    configurations_of,
    expected_values,
    held_out_elbo,
    is_hopeless,
    knobs,
    usual_point,
)

pytest.importorskip("ax", reason="Ax is not installed: pip install '.[tune]'")
pytestmark = pytest.mark.usefixtures("tiny_trials")
FEW = TuningConfig(trials=2, steps=8, looks=2, samples=2, device="cpu", identity=0.9)


def trial(number: int, *looks: tuple[int, float], state: str = "finished") -> Trial:
    return Trial(number=number, point={}, looks=looks, state=state, seconds=1.0)


@pytest.mark.parametrize("name", ["small", "deepsequence", "quick"])
def test_the_usual_point_is_the_recommended_model(name):
    base = preset(name)
    model, train = configurations_of(usual_point(base), base)
    assert model == base and train == TrainConfig()


def test_both_ends_of_every_knob_make_a_model():
    space = knobs(preset("small"), 100)
    usual = usual_point(preset("small"))
    assert {knob.name for knob in space} == usual.keys()
    for knob in space:
        ends = knob.values or (knob.low, knob.high)
        assert min(ends) <= usual[knob.name] <= max(ends)
        for end in ends:
            configurations_of(usual | {knob.name: end}, preset("small"))


def test_the_judges_tell_the_trained_nothing_of_their_weights(alignment):
    halves = Halves.of(alignment, 0.2, 0.9, 0.2, seed=1)
    rows = {row.tobytes() for row in halves.training.tokens}
    assert len(halves.tokens) + len(halves.training.tokens) == len(alignment.tokens)
    assert halves.training.tokens[halves.training.focus_index].tobytes() in rows
    np.testing.assert_array_equal(
        halves.training.tokens[halves.training.focus_index], alignment.tokens[alignment.focus_index]
    )
    alone = sequence_weights(halves.tokens, 0.2, gap=alignment.gap)
    np.testing.assert_array_equal(halves.weights, alone)


def test_the_held_out_elbo_is_the_definition(alignment):
    model = DeepSequence(TINY, alignment.tokens.shape[1], 20, seed=3).eval()
    weights = np.linspace(0.1, 1, len(alignment.tokens))
    total = 0.0
    with torch.no_grad():
        for sample in range(3):
            noise, latent = score_noise(model, 7, sample)
            w = model.decoder.draw(noise)
            for weight, row in zip(weights, alignment.tokens, strict=True):
                mu, log_sigma = model.encoder(torch.from_numpy(row[None]))
                log_p = model.decoder(mu + log_sigma.exp() * latent, w)[0]
                told = sum(float(log_p[i, t]) for i, t in enumerate(row) if t < 20)
                total += weight * (told - float(latent_kl(mu, log_sigma)[0]))
    expected = total / 3 / (weights @ (alignment.tokens < 20).sum(1))
    found = held_out_elbo(model, alignment.tokens, weights, samples=3, seed=7)
    assert found == pytest.approx(expected, rel=1e-5)


def test_a_trial_below_the_median_at_the_same_update_is_hopeless():
    earlier = [trial(n, (5, float(n)), (10, 0.0)) for n in (1, 2, 3, 4, 9)]
    assert is_hopeless([(5, 2.9)], earlier) and not is_hopeless([(5, 3.0)], earlier)
    assert not is_hopeless([(5, -9.0)], earlier[:4])  # too few to say
    assert not is_hopeless([(7, -9.0)], earlier)  # nobody was looked at then


def test_what_was_given_up_gets_the_median_gain_and_what_failed_the_lowest_value():
    made = [trial(1, (5, 1.0), (10, 2.0)), trial(2, (5, 1.0), (10, 5.0)), trial(3, (5, 1.0), (10, 3.0))]  # fmt: skip
    made += [trial(4, (5, -1.5), state="stopped"), trial(5, state="failed")]
    assert expected_values(made) == [2.0, 5.0, 3.0, 0.5, 0.5]  # gains 1, 4, 2


def test_trials_that_ended_are_not_made_again_and_the_search_goes_on_the_same(alignment, tmp_path):
    whole = tuning.tune(alignment, tmp_path / "whole", TuningConfig(**asked(trials=3)))
    tuning.tune(alignment, tmp_path / "parts", FEW)
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "parts/trials").glob("*.json")}
    parts = tuning.tune(alignment, tmp_path / "parts", TuningConfig(**asked(trials=3)), resume=True)
    assert {p: p.stat().st_mtime_ns for p in before} == before and len(before) == 2
    assert [(t.point, t.looks) for t in whole.trials] == [(t.point, t.looks) for t in parts.trials]
    best = max(parts.trials, key=lambda t: t.value)
    model, train = configurations_of(best.point, TINY)
    chosen = json.loads(parts.path.read_text())
    assert chosen["model"] == json.loads(json.dumps(model.to_json()))
    assert chosen["train"]["learning_rate"] == train.learning_rate


def asked(**more):
    return {"steps": 8, "looks": 2, "samples": 2, "device": "cpu", "identity": 0.9} | more


def test_a_trial_that_was_killed_between_looks_goes_on_to_the_same_values(
    alignment, tmp_path, monkeypatch
):
    one = TuningConfig(**asked(trials=1))
    whole = tuning.tune(alignment, tmp_path / "whole", one)
    fit, steps = making.fit, []

    def killed(alignment, model, config, *more, **options):
        steps.append(config.steps)
        if config.steps == 8 and steps.count(8) == 1:
            raise KeyboardInterrupt
        return fit(alignment, model, config, *more, **options)

    monkeypatch.setattr(making, "fit", killed)
    with pytest.raises(KeyboardInterrupt):
        tuning.tune(alignment, tmp_path / "killed", one)
    again = tuning.tune(alignment, tmp_path / "killed", one, resume=True)
    assert steps == [4, 8, 8]  # the first look was not made again
    assert again.trials[0].looks == whole.trials[0].looks


def test_a_search_that_was_killed_behind_its_last_trial_has_its_table_and_its_best(
    alignment, tmp_path, monkeypatch
):
    def killed(*given):
        raise KeyboardInterrupt

    one = TuningConfig(**asked(trials=1))
    whole = tuning.tune(alignment, tmp_path / "whole", one)
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(tuning, "_write_best", killed)
        tuning.tune(alignment, tmp_path / "killed", one)
    assert not (tmp_path / "killed/trials.csv").exists()
    again = tuning.tune(alignment, tmp_path / "killed", one, resume=True)
    assert again.path.read_text() == whole.path.read_text()
    tables = [pd.read_csv(tmp_path / name / "trials.csv") for name in ("whole", "killed")]
    assert tables[0].drop(columns="seconds").equals(tables[1].drop(columns="seconds"))


def test_a_loss_that_is_no_number_makes_a_failed_trial_and_the_search_goes_on(
    alignment, tmp_path, monkeypatch
):
    fit, calls = making.fit, []

    def failing(*given, **options):
        calls.append(1)
        if len(calls) == 3:  # the first look at the second trial
            raise TrainingError("the loss is nan at update 2")
        return fit(*given, **options)

    monkeypatch.setattr(making, "fit", failing)
    found = tuning.tune(alignment, tmp_path / "out", TuningConfig(**asked(trials=3)))
    assert [t.state for t in found.trials] == ["finished", "failed", "finished"]
    assert "loss is nan" in tuning.read_trials(tmp_path / "out")[1].why


def test_after_the_spread_points_ax_is_asked_and_says_the_same_again():
    space, usual = knobs(preset("small"), 100), usual_point(preset("small"))
    made = []
    for number in range(1, tuning.DRAWN + 2):
        point = tuning.next_point(space, usual, made, seed=4)
        value = -abs(np.log10(point["learning_rate"]) + 3)
        made.append(Trial(number=number, point=point, looks=((100, float(value)),), state="finished", seconds=1.0))  # fmt: skip
    assert made[0].point == usual
    assert len({json.dumps(t.point) for t in made}) == tuning.DRAWN + 1
    found = tuning.next_point(space, usual, made, seed=4)
    assert found == tuning.next_point(space, usual, made, seed=4)
    for knob in space:
        ends = knob.values or (knob.low, knob.high)
        assert min(ends) <= found[knob.name] <= max(ends)
        assert isinstance(found[knob.name], int if knob.whole or knob.values else float)


def test_another_search_in_the_same_folder_is_refused(alignment, tmp_path):
    tuning.tune(alignment, tmp_path / "out", TuningConfig(**asked(trials=1)))
    with pytest.raises(ConfigError, match="already holds a search"):
        tuning.tune(alignment, tmp_path / "out", FEW)
    with pytest.raises(ConfigError, match="a search with steps 8, now it is 16"):
        tuning.tune(alignment, tmp_path / "out", TuningConfig(**asked(steps=16)), resume=True)


@pytest.mark.parametrize("given", [{"objective": "assay"}, {}])
def test_an_objective_without_its_assay_is_refused(alignment, tmp_path, given):
    how = {} if given else {"assay": tmp_path / "a.csv"}
    with pytest.raises(ConfigError, match="an assay and its column are for"):
        tuning.tune(alignment, tmp_path / "out", TuningConfig(**asked(**given)), **how)


@pytest.mark.parametrize(
    ("wrong", "how"),
    [({"device": "nonsense"}, {}), ({"objective": "assay"}, {}), ({"objective": "assay"}, {"assay": "none.csv", "column": "y"})],
)  # fmt: skip
def test_a_search_that_cannot_begin_leaves_the_one_before(alignment, tmp_path, wrong, how):
    out = tmp_path / "search"
    (out / "trials").mkdir(parents=True)
    for name in ("tuning.json", "trials.csv", "config.json", "trials/1.json"):
        (out / name).write_text("{}\n")
    with pytest.raises(DeepseqError):
        tuning.tune(alignment, out, TuningConfig(**asked(trials=1) | wrong), overwrite=True, **how)
    left = sorted(str(path.relative_to(out)) for path in out.rglob("*.*") if path.is_file())
    assert [name for name in left if name != ".lock"] == [
        "config.json", "trials.csv", "trials/1.json", "tuning.json",
    ]  # fmt: skip
