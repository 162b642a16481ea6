"""Long lists on a cluster: the order and the bytes of one machine, also when a worker dies."""

from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from played_ray import played
from small_cluster import ray_cluster
from small_lists import dies_once, refuses, times
from small_search import practice_search
from tiny_unirep import random_proteins, tiny_unirep

from deepseq_nb.cli import score as command
from deepseq_nb.cli.main import main
from deepseq_nb.core.errors import ConfigError, ExperimentError
from deepseq_nb.peers import representations
from deepseq_nb.peers.representations import prepared, write_reps
from deepseq_nb.studies import cluster
from deepseq_nb.studies.cluster import over_cluster

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def nodes():
    """The address of two nodes of one core, for all tests here."""
    with pytest.MonkeyPatch.context() as patch, ray_cluster(patch) as made:
        yield made.address


@pytest.fixture(params=["played", "ray"])
def address(request, monkeypatch):
    """Of a cluster that is played in this process, and of the two nodes."""
    if request.param == "ray":
        yield request.getfixturevalue("nodes")
        return
    with played(monkeypatch, cluster):
        yield "played"


def test_parts_come_in_their_order_and_are_taken_as_they_are_needed(address):
    taken = []

    def parts():
        for number in range(12):
            taken.append(number)
            yield [number, number]

    found = over_cluster(times, 3, parts(), address)
    assert next(found) == [0, 0]
    assert len(taken) == 4, "two for each core"
    assert [first for first, _ in found] == [3 * number for number in range(1, 12)]
    assert [*over_cluster(times, 3, [], address)] == []


def test_a_part_whose_worker_is_killed_is_made_again(nodes, tmp_path):
    marker = tmp_path / "killed"
    found = [*over_cluster(dies_once, str(marker), range(6), nodes)]
    assert found == [0, 2, 4, 6, 8, 10] and marker.exists()


def test_what_a_worker_refuses_is_refused_here(address):
    found = over_cluster(refuses, None, [1, 2, 3], address)
    assert next(found) == 1
    with pytest.raises(ConfigError, match=r"^part 2 is not wanted$"):
        next(found)


def test_a_part_that_no_node_has_room_for_is_refused_before_it_is_sent(address, monkeypatch):
    monkeypatch.setattr("deepseq_nb.studies.cluster._BATCHES", 2**33)
    with pytest.raises(ExperimentError, match="a part cannot be made: it needs 8,592 MiB"):
        next(over_cluster(times, 3, [[1]], address))


@pytest.mark.parametrize(
    "more", ["", "--precision 0.5", "--engine numpy", "--offset 1", "--mix 1:2"]
)
def test_scores_of_a_cluster_are_the_bytes_of_one_machine(
    address, tiny_run, tmp_path, monkeypatch, capsys, more
):
    monkeypatch.setattr(command, "_PART", 7)
    wild = tiny_run.focus_map
    names = [f"{wild.sequence[k]}{r}A" for k, r in enumerate(wild.residues)]
    names = [
        *names,
        "nonsense",
        names[0],
        *(f"{a}:{b}" for a, b in zip(names[:-2], names[2:], strict=True)),
    ]
    if "offset" in more:
        names = [f"{name[0]}{int(name[1:-1]) - 1}{name[-1]}" for name in names if name[1:-1].isdigit()]  # fmt: skip
    (tmp_path / "list.csv").write_text("mutant\n" + "\n".join(names) + "\n")
    runs = f"{tiny_run.path} {tiny_run.path}" if "mix" in more else str(tiny_run.path)
    line = f"score {runs} --variants {tmp_path}/list.csv --device cpu --samples 8 {more}"
    assert main(f"{line} --out {tmp_path}/here.csv".split()) == 0
    said = main(f"{line} --out {tmp_path}/there.csv --cluster {address}".split())
    assert said == 0, capsys.readouterr().err
    assert (tmp_path / "there.csv").read_bytes() == (tmp_path / "here.csv").read_bytes()
    assert len(pd.read_csv(tmp_path / "here.csv")) == len(names) > 7, "several parts"


def test_representations_of_a_cluster_are_the_bytes_of_one_machine(address, tmp_path, monkeypatch):
    monkeypatch.setattr(representations, "_WAVES", 1)
    model = tiny_unirep()
    proteins = random_proteins([1 + k % 6 for k in range(41)]) * 100  # three windows
    spread = partial(over_cluster, address=address)
    assert write_reps(proteins, tmp_path / "here", model=model, device="cpu") == 4100
    how = {"model": model, "device": "cpu", "spread": spread}
    assert write_reps(proteins, tmp_path / "there", **how) == 4100
    for name in ("h_avg.npy", "h_final.npy", "c_final.npy", "names.txt"):
        here, there = (tmp_path / place / name for place in ("here", "there"))
        assert here.read_bytes() == there.read_bytes()
    assert np.load(tmp_path / "there" / "h_avg.npy").shape == (4100, 12)
    with pytest.raises(ConfigError, match="cannot be sent to another"):
        write_reps(proteins, tmp_path / "no", model=prepared(model=model), spread=spread)


def test_families_of_a_cluster_are_the_files_of_one_machine(address, tmp_path, capsys, monkeypatch):
    pytest.importorskip("pyhmmer", reason="pyhmmer is not installed")
    practice_search(tmp_path)
    monkeypatch.chdir(tmp_path)
    line = "search three.fasta --database db.fasta --each --thresholds 0.3,0.4 --iterations 2"
    assert main(f"{line} --jobs 1 --out here".split()) == 0
    here = capsys.readouterr().out
    assert main(f"{line} --cluster {address} --out there".split()) == 0
    assert capsys.readouterr().out.replace("there/", "here/") == here
    assert "lonely: no hits" in here and here.count("round 2: hits") == 2
    files = [file for file in (tmp_path / "here").iterdir() if file.is_file()]
    for file in files:
        twin = (tmp_path / "there" / file.name).read_text()
        assert twin.replace(str(tmp_path / "db.fasta"), "db.fasta") == file.read_text()
    assert len(files) == 6, "two families, with two files beside each"
    assert main(f"{line} --cluster {address} --out there".split()) == 0
    assert capsys.readouterr().out.count(": done already, ") == 2


def test_a_family_that_may_not_be_replaced_is_refused_before_any_is_searched(tmp_path, capsys):
    pytest.importorskip("pyhmmer", reason="pyhmmer is not installed")
    practice_search(tmp_path)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "other.a2m").write_text(">mine\nMKV\n")
    line = f"search {tmp_path}/three.fasta --database {tmp_path}/db.fasta --each --jobs 1"
    assert main(f"{line} --out {tmp_path}/out".split()) == 2
    assert "other.a2m exists" in capsys.readouterr().err
    assert len(list((tmp_path / "out").iterdir())) == 1


def test_a_search_with_one_query_is_not_for_a_cluster(tmp_path, capsys):
    practice_search(tmp_path)
    line = f"search {tmp_path}/three.fasta --database {tmp_path}/db.fasta --cluster auto"
    assert main(f"{line} --out {tmp_path}/x.a2m".split()) == 2
    assert "it goes with --each" in capsys.readouterr().err
