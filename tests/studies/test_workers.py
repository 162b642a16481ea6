"""Several trials of a search at a time: each once, each with its own point, whatever is killed."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from played_ray import played
from small_cluster import ray_cluster
from tiny_family import TINY, write_family

from deepseq_nb.core.errors import ConfigError, ExperimentError
from deepseq_nb.studies import tuning, workers
from deepseq_nb.studies.trials import Trial, TuningConfig, keep_trial, knobs, read_trials

pytest.importorskip("ax", reason="Ax is not installed: pip install '.[tune]'")
pytestmark = pytest.mark.usefixtures("tiny_trials")


def asked(**more) -> TuningConfig:
    return TuningConfig(**{"steps": 8, "looks": 2, "samples": 2, "device": "cpu", "identity": 0.9} | more)  # fmt: skip


def values(trials) -> list:
    return [(trial.number, trial.point, trial.looks, trial.state) for trial in trials]


class Late:
    """A place where trials end in an order of its own, made in this process."""

    def __init__(self, bench, out, room, order):
        self.bench, self.out, self.room, self.order = bench, out, room, list(order)
        self.working, self.most = {}, 0

    def begin(self, number, point):
        assert number not in self.working
        self.working[number] = point
        self.most = max(self.most, len(self.working))

    def ended(self):
        number = next(n for n in self.order if n in self.working)
        return workers.carry_out(self.bench, number, self.working.pop(number), self.out)


def searched(alignment, out, config, room, order):
    """A search whose trials end in this order."""
    bench = tuning._bench(alignment, config, None, None, lambda line: None)
    place, said = Late(bench, out, room, order), []
    usual = tuning.usual_point(bench.base)
    made = tuning._search(bench, usual, out, place, said.append)
    return made, place, said


def test_trials_that_end_in_another_order_are_neither_lost_nor_doubled(alignment, tmp_path):
    made, place, said = searched(alignment, tmp_path, asked(trials=5), 3, [3, 2, 5, 4, 1])
    assert [trial.number for trial in made] == [1, 2, 3, 4, 5] and place.most == 3
    assert values(read_trials(tmp_path)) == values(made)
    assert [line.split()[1] for line in said] == ["3", "2", "5", "4", "1"]
    assert "usual settings" not in " ".join(said[:4]) and "usual settings" in said[4]
    assert [p.name for p in (tmp_path / "trials").iterdir() if p.is_dir()] == []
    assert len({json.dumps(trial.point) for trial in made}) == 5
    alone = tuning.tune(alignment, tmp_path / "alone", asked(trials=5))
    assert values(alone.trials) == values(made), "the points before Ax looks hang on nothing"


def test_what_was_at_work_when_it_was_killed_goes_on_with_its_own_point(alignment, tmp_path):
    class Killed(Exception):
        pass

    bench = tuning._bench(alignment, asked(trials=4), None, None, lambda line: None)
    place = Late(bench, tmp_path, 3, [2])

    def ended():
        if 2 in place.working:
            return Late.ended(place)
        raise Killed

    place.ended = ended
    usual = tuning.usual_point(bench.base)
    with pytest.raises(Killed):
        tuning._search(bench, usual, tmp_path, place, lambda line: None)
    at_work = sorted(path.name for path in (tmp_path / "trials").iterdir() if path.is_dir())
    assert at_work == ["1", "3", "4"]
    other = usual | {"latent": usual["latent"] + 1}  # a point that no search would ask for again
    (tmp_path / "trials" / "3" / "point.json").write_text(json.dumps(other))
    made, _, said = searched(alignment, tmp_path, asked(trials=4), 1, [1, 3, 4])
    assert said[0] == "1 trials were made before"
    assert [trial.number for trial in made] == [1, 2, 3, 4] and made[2].point == other


def test_ax_keeps_away_from_what_is_being_tried():
    space, usual = knobs(tuning.preset("x"), 100), tuning.usual_point(TINY)
    made = []
    for number in range(1, tuning.DRAWN + 2):
        point = tuning.next_point(space, usual, made, seed=4)
        looks = ((100, -abs(point["learning_rate"] - 0.001)),)
        made.append(Trial(number=number, point=point, looks=looks, state="finished", seconds=1.0))
    first = tuning.next_point(space, usual, made, 4)
    second = tuning.next_point(space, usual, made, 4, len(made) + 1, [first])
    assert second != first == tuning.next_point(space, usual, made, 4, len(made) + 1, [])


def test_more_workers_than_points_that_are_spread_get_spread_points_too():
    space, usual = knobs(TINY, 100), tuning.usual_point(TINY)
    points = [
        tuning.next_point(space, usual, [], 4, number) for number in range(1, tuning.DRAWN + 4)
    ]
    assert len({json.dumps(point) for point in points}) == len(points)


def test_two_processes_find_the_values_of_one(alignment, tmp_path):
    alone = tuning.tune(alignment, tmp_path / "alone", asked(trials=3))
    both = tuning.tune(alignment, tmp_path / "both", asked(trials=3), jobs=2)
    assert values(both.trials) == values(alone.trials)
    assert not [*(tmp_path / "both" / "trials").glob("*.log")]


def test_a_killed_trial_has_failed_and_an_error_ends_the_search(alignment, tmp_path):
    bench = tuning._bench(alignment, asked(trials=2), None, None, lambda line: None)
    usual = tuning.usual_point(TINY)
    with workers.place_of(bench, tmp_path, jobs=2) as place:
        place.begin(1, usual)
        place.working[1][0].kill()
        trial = place.ended()
        assert trial.state == "failed" and "signal 9" in trial.why
        assert read_trials(tmp_path) == [trial]
        (tmp_path / "trials" / "2").write_text("a file in the place of the folder")
        place.begin(2, usual)
        with pytest.raises(ExperimentError, match=r"trial 2: .*trials/2"):
            place.ended()


def test_jobs_are_counted_from_one(alignment, tmp_path):
    with pytest.raises(ConfigError, match="jobs"):
        tuning.tune(alignment, tmp_path, asked(trials=1), jobs=0)


@pytest.fixture
def nodes(monkeypatch):
    """Two nodes of one core."""
    with ray_cluster(monkeypatch) as made:
        yield made


def test_a_search_on_a_cluster_killed_and_resumed_has_every_trial_once(nodes, alignment, tmp_path):
    """The driver is killed after its first trial; what was at work goes on with its point."""
    path = write_family(tmp_path / "tiny.a2m")
    out = tmp_path / "search"
    line = f"tune {path} --out {out} --trials 4 --steps 16 --looks 2 --device cpu"
    line += f" --cluster {nodes.address}"
    words = [sys.executable, "-m", "deepseq_nb", *line.split()]
    driver = subprocess.Popen(words)
    try:
        end = time.monotonic() + 900
        while not read_trials(out):
            assert time.monotonic() < end and driver.poll() is None, "no trial ended"
            time.sleep(0.02)
    finally:
        os.kill(driver.pid, signal.SIGKILL)
        driver.wait()
    before = {trial.number: trial for trial in read_trials(out)}
    noted = {p.parent.name: json.loads(p.read_text()) for p in out.glob("trials/*/point.json")}
    again = subprocess.run([*words, "--resume"], capture_output=True, text=True, timeout=900)
    assert again.returncode == 0, again.stderr
    made = {trial.number: trial for trial in read_trials(out)}
    assert sorted(made) == [1, 2, 3, 4] and made.items() >= before.items()
    assert all(made[int(name)].point == point for name, point in noted.items())
    table = (out / "trials.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in table[1:]] == ["1", "2", "3", "4"]


def test_a_search_on_a_played_cluster_has_the_values_of_one_here(alignment, tmp_path, monkeypatch):
    """Bench, judge and trials are pickled on their way; an error of a trial is said once."""
    alone = tuning.tune(alignment, tmp_path / "alone", asked(trials=3))
    with played(monkeypatch, workers):
        there = tuning.tune(alignment, tmp_path / "there", asked(trials=3), cluster="played")
        assert values(there.trials) == values(alone.trials)
        (tmp_path / "bad" / "trials").mkdir(parents=True)
        (tmp_path / "bad" / "trials" / "1").write_text("a file in the place of the folder")
        with pytest.raises((ExperimentError, OSError), match=r"trials/1"):
            tuning.tune(alignment, tmp_path / "bad", asked(trials=1), cluster="played")


def test_a_trial_that_no_node_has_room_for_has_failed(alignment, tmp_path):
    class Ray:
        """A cluster of one small node."""

        def cluster_resources(self):
            return {"CPU": 1.0}

        def nodes(self):
            return [{"Alive": True, "Resources": {"CPU": 1.0, "memory": 2.0**20}}]

        def put(self, value):
            return value

    bench = tuning._bench(alignment, asked(trials=2), None, None, lambda line: None)
    place = workers.OnCluster(Ray(), bench, tmp_path, None)
    place.begin(1, tuning.usual_point(TINY))
    trial = place.ended()
    assert trial.state == "failed" and "no node offers more than 1 MiB" in trial.why
    keep_trial(tmp_path, trial)
    assert read_trials(tmp_path) == [trial]
