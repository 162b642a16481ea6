"""Hits become a family; rounds are HMMER's; a search says what it cannot use."""

import gzip
import json
import shutil
import subprocess

import numpy as np
import pandas as pd
import pytest

from deepseq_nb.core.errors import AlignmentError, ConfigError
from deepseq_nb.family import registry
from deepseq_nb.family.alignment import Alignment
from deepseq_nb.family.hits import filtered, read_hits, recommend, write_hits
from deepseq_nb.family.rounds import write_practice_database
from deepseq_nb.family.search import (
    Query,
    SearchOptions,
    choose_query,
    family_from,
    is_done,
    read_queries,
    search_family,
)

A3M = ">Q/24-29\nMKVLIT\n>A/3-10\nMR-LIggaS\n>B\n---LIT\n>A2/1-8\nMR-LItS\n"
A2M = ">Q/24-29\nMKVLI...T\n>A/3-10\nMR-LIggaS\n>B\n---LI...T\n>A2/1-8\nMR-LIt..S\n"
STO = (
    "# STOCKHOLM 1.0\nQ/24-29 MKVLI...T\nA/3-10 MR-LIggaS\nB ---LI...T\nA2/1-8 MR-LI..tS\n"
    "#=GC RF xxxxx...x\n//\n"
)


@pytest.mark.parametrize(
    "name, text", [("h.a3m", A3M), ("h.a2m", A2M), ("h.sto", STO)], ids=["a3m", "a2m", "sto"]
)
def test_hits_of_each_format_are_the_same_rows(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    hits = read_hits(tmp_path / name)
    assert hits.names == ("Q/24-29", "A/3-10", "B", "A2/1-8")
    assert hits.rows == (b"MKVLIT", b"MR-LIggaS", b"---LIT", b"MR-LItS")


def test_filters_drop_fragments_and_copies_and_never_the_query(tmp_path):
    (tmp_path / "h.a3m").write_text(A3M)
    hits = read_hits(tmp_path / "h.a3m")
    assert filtered(hits).names == ("Q/24-29", "A/3-10", "B")  # B covers 3 of 6
    assert filtered(hits, 0.6).names == ("Q/24-29", "A/3-10")
    assert filtered(hits, 0.0, 1.0).names == ("Q/24-29", "A/3-10")  # B is a part of Q
    assert filtered(hits, 1.0).names == ("Q/24-29",)


@pytest.mark.parametrize("ending", ["a2m", "a3m"])
def test_what_is_written_is_read_with_its_residue_numbers(tmp_path, ending):
    (tmp_path / "h.a3m").write_text(A3M)
    write_hits(read_hits(tmp_path / "h.a3m"), tmp_path / f"out.{ending}")
    alignment = Alignment.read(tmp_path / f"out.{ending}")
    assert list(alignment.residues) == [24, 25, 26, 27, 28, 29]
    assert alignment.decode(alignment.tokens) == ["MKVLIT", "MR-LIS", "---LIT", "MR-LIS"]


def test_emptier_columns_are_lower_case_on_request(tmp_path):
    (tmp_path / "h.a3m").write_text(A3M)
    write_hits(read_hits(tmp_path / "h.a3m"), tmp_path / "out.a2m", min_occupancy=0.5)
    alignment = Alignment.read(tmp_path / "out.a2m")  # residue 26 stands in 1 of 4 rows
    assert list(alignment.residues) == [24, 25, 27, 28, 29]


def test_the_deepest_covered_family_is_recommended():
    columns = ["hits", "sequences", "neff", "coverage", "by_chance"]
    rows = [(900, 800, 300.0, 0.6, 0.0), (500, 450, 200.0, 0.9, 0.0), (90, 80, 40.0, 1.0, 0.0)]
    assert recommend(pd.DataFrame(rows, columns=columns))[0] == 1
    rows[1] = (500, 450, 200.0, 0.9, 50.0)  # a tenth may be luck
    assert recommend(pd.DataFrame(rows, columns=columns))[0] == 2


def test_first_residue_is_kept_from_hits_without_a_range(tmp_path):
    (tmp_path / "h.a3m").write_text(A3M.replace("/24-29", ""))
    found = family_from(tmp_path / "h.a3m", tmp_path / "out.a2m", first_residue=101)
    assert Alignment.read(found.path).residues[0] == 101


@pytest.mark.parametrize(
    "text, said",
    [
        (">q\nACGTACGTACGTACGTACGTACGT\n", "DNA"),
        (">q\nMK-LIT\n", "gaps"),
        (">q\nMK1LIT\n", "'1' at letter 3"),
    ],
    ids=["dna", "gaps", "digit"],
)
def test_a_query_that_is_no_protein_is_refused(tmp_path, text, said):
    (tmp_path / "q.fasta").write_text(text)
    with pytest.raises(AlignmentError, match=said):
        read_queries(tmp_path / "q.fasta")


def test_a_query_among_several_has_to_be_chosen():
    two = [Query("a/1-3", "MKV"), Query("b", "MKL")]
    with pytest.raises(AlignmentError, match="--query NAME"):
        choose_query(two, None, "two.fasta")
    assert choose_query(two, "a", "two.fasta") is two[0]


@pytest.fixture(scope="module")
def practice(tmp_path_factory):
    """A query of the shipped family, and its members among decoys."""
    pytest.importorskip("pyhmmer", reason="pyhmmer is not installed")
    folder = tmp_path_factory.mktemp("practice")
    hits = read_hits(registry.synthetic_path())
    rows = [row.decode().replace("-", "").upper() for row in hits.rows[:400]]
    (folder / "query.fasta").write_text(f">{hits.names[0]}\n{rows[0]}\n")
    members = dict(zip(hits.names[1:400], rows[1:], strict=True))
    write_practice_database(folder / "db.fasta", members, 400, 1)
    return folder


DATABASES = {
    "empty": (b"", "empty"),
    "dna": (b">g\n" + b"ACGTTGCA" * 20 + b"\n", "DNA"),
    "text": (b"hello\n", "expected FASTA"),
    "aligned": (b">a\nMK--LV\n>b\nMKVVLV\n", "gaps"),
    "cut": (gzip.compress(bytes(range(65, 90)) * 999)[:-9], "gzip"),
}


@pytest.mark.parametrize("kind", list(DATABASES))
def test_a_database_that_cannot_be_searched_is_refused(practice, tmp_path, kind):
    data, said = DATABASES[kind]
    (tmp_path / "db").write_bytes(data)
    with pytest.raises(ConfigError, match=said) as error:
        search_family(practice / "query.fasta", tmp_path / "db", tmp_path / "o.a2m")
    assert error.value.setting == "database"


def test_threads_and_compression_do_not_change_the_family(practice, tmp_path):
    how = SearchOptions(thresholds=(0.3, 0.5))
    data = (practice / "db.fasta").read_bytes()
    (tmp_path / "db.fasta.gz").write_bytes(gzip.compress(data))
    query = practice / "query.fasta"
    search_family(query, practice / "db.fasta", tmp_path / "a.a2m", how, jobs=1)
    search_family(query, tmp_path / "db.fasta.gz", tmp_path / "b.a2m", how, jobs=3)
    assert (tmp_path / "a.a2m").read_bytes() == (tmp_path / "b.a2m").read_bytes()
    assert not (tmp_path / "a.a2m.search").exists()


def test_a_search_that_was_stopped_ends_with_the_same_family(practice, tmp_path):
    how = SearchOptions(thresholds=(0.4,), iterations=3)
    arguments = (practice / "query.fasta", practice / "db.fasta")
    search_family(*arguments, tmp_path / "whole.a2m", how, jobs=1)

    def stop(line):
        if line.startswith("round 2"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        search_family(*arguments, tmp_path / "b.a2m", how, jobs=1, say=stop)
    assert (tmp_path / "b.a2m.search" / "state.json").exists()
    said = []
    search_family(*arguments, tmp_path / "b.a2m", how, jobs=1, say=said.append)
    assert said[0].startswith("2 rounds were done already")
    assert (tmp_path / "b.a2m").read_bytes() == (tmp_path / "whole.a2m").read_bytes()


def test_beside_the_family_stand_its_threshold_and_what_was_asked(practice, tmp_path):
    how, out = SearchOptions(thresholds=(0.3, 0.5)), tmp_path / "a.a2m"
    found = search_family(practice / "query.fasta", practice / "db.fasta", out, how, jobs=1)
    table = pd.read_csv(tmp_path / "a.search.csv")
    marked = table.threshold[table.recommended].tolist()
    assert marked == [found.table.threshold[found.recommended]] and len(table) == 2
    about = json.loads((tmp_path / "a.search.json").read_text())
    assert about["recommended"] == marked[0]
    assert is_done(out, about["request"]) and not is_done(out, "another")
    out.unlink()
    assert not is_done(out, about["request"]), "the family itself is gone"


def test_no_hits_are_an_error(practice, tmp_path):
    (tmp_path / "db.fasta").write_text(">x\n" + "WWPPCCHHWWPP" * 6 + "\n")
    with pytest.raises(AlignmentError, match="no hits"):
        search_family(practice / "query.fasta", tmp_path / "db.fasta", tmp_path / "o.a2m")


def test_hits_and_columns_are_those_of_jackhmmer(practice, tmp_path):
    compare_with_jackhmmer(practice / "query.fasta", practice / "db.fasta", tmp_path, 0.5)


def compare_with_jackhmmer(query, database, folder, threshold):
    """Same names in the same order, and the same letters in the query's columns."""
    if shutil.which("jackhmmer") is None:
        pytest.skip("jackhmmer is not installed (Debian: hmmer)")
    (one,) = read_queries(query)
    bits = str(threshold * len(one.sequence))
    cut = [word for name in ("-T", "--domT", "--incT", "--incdomT") for word in (name, bits)]
    files = ["-A", folder / "theirs.sto", "-o", "/dev/null", query, database]
    subprocess.run(["jackhmmer", "--cpu", "1", "-N", "5", *cut, *map(str, files)], check=True)
    theirs = read_hits(folder / "theirs.sto")
    how = SearchOptions(thresholds=(threshold / 2, threshold), min_coverage=0.0)
    search_family(query, database, folder / "ours.a3m", how, write_all=True, jobs=1)
    ours = read_hits(folder / f"ours.{threshold:g}.a3m")
    expected = filtered(theirs, 0.0)  # ours leaves out copies
    assert ours.names == expected.names and len(ours.names) > 10
    np.testing.assert_array_equal(ours.matrix, expected.matrix)
