"""`deepseq search`: a family from one sequence, hits of another program, several queries, and what is refused."""

import builtins
import json

import pytest

from deepseq_nb.family import registry
from deepseq_nb.family.alignment import Alignment
from deepseq_nb.family.hits import read_hits
from deepseq_nb.family.rounds import write_practice_database

ONE = "search query.fasta --database db.fasta --thresholds 0.4 --iterations 2 --jobs 1"


@pytest.fixture(scope="module")
def proteins():
    """The shipped family's first sequences without gaps, by name; the query is the first."""
    hits = read_hits(registry.synthetic_path())
    rows = [row.decode().replace("-", "").upper() for row in hits.rows[:200]]
    return dict(zip(hits.names[:200], rows, strict=True))


@pytest.fixture
def place(work, proteins, tmp_path, monkeypatch, deepseq):
    """A folder of the test's own, with a query, two queries, and a database with decoys."""
    monkeypatch.chdir(tmp_path)
    (name, query), *others = proteins.items()
    (tmp_path / "query.fasta").write_text(f">{name}\n{query}\n")
    (tmp_path / "two.fasta").write_text(f">{name}\n{query}\n>other\n{others[3][1]}\n")
    write_practice_database(tmp_path / "db.fasta", dict(others), 200, 1)
    return tmp_path


@pytest.fixture
def pyhmmer():
    return pytest.importorskip("pyhmmer", reason="pyhmmer is not installed")


def test_a_family_is_found_among_decoys_and_can_be_read(pyhmmer, place, deepseq):
    code, out, _ = deepseq(f"{ONE} --out found.a2m")
    assert code == 0 and "round 1: hits" in out
    assert "next: deepseq train found.a2m --out run" in out
    family = Alignment.read(place / "found.a2m")
    assert len(family.names) > 50 and not any(n.startswith("decoy") for n in family.names)


def test_json_has_a_row_for_each_threshold(pyhmmer, place, deepseq):
    code, out, _ = deepseq(f"{ONE.replace('0.4', '0.5,0.3')} --out found.a2m --json")
    told = json.loads(out)
    assert code == 0 and told["path"] == "found.a2m"
    assert [row["threshold"] for row in told["thresholds"]] == [0.3, 0.5]
    assert sum(row["recommended"] for row in told["thresholds"]) == 1


def test_json_of_given_hits_is_strict(place, deepseq):
    (place / "hits.a3m").write_text(">Q/24-29\nMKVLIT\n>A\nMR-LIggaS\n")
    code, out, _ = deepseq("search --from hits.a3m --out taken.a2m --json")
    told = json.loads(out, parse_constant=pytest.fail)
    assert code == 0 and told["thresholds"][0]["threshold"] is None
    assert list(Alignment.read(place / "taken.a2m").residues) == [24, 25, 26, 27, 28, 29]


def test_each_query_gets_a_family_and_is_not_searched_twice(pyhmmer, place, deepseq):
    line = f"{ONE.replace('query', 'two')} --each --out families"
    code, out, _ = deepseq(line)
    assert code == 0 and len(list((place / "families").glob("*.a2m"))) == 2
    code, out, _ = deepseq(line)
    assert code == 0 and out.count("done already") == 2 and "round" not in out


def test_each_goes_on_behind_a_query_without_hits(pyhmmer, place, deepseq):
    query = (place / "query.fasta").read_text()
    (place / "two.fasta").write_text(">lonely\n" + "WWPPCCHHWWPP" * 6 + "\n" + query)
    line = f"{ONE.replace('query', 'two')} --each --out families"
    code, out, _ = deepseq(line)
    assert code == 0 and "lonely: no hits" in out
    assert len(list((place / "families").glob("*.a2m"))) == 1
    (place / "two.fasta").write_text(">lonely\n" + "WWPPCCHHWWPP" * 6 + "\n")
    code, _, err = deepseq(line)
    assert code == 2 and "no sequence of the file has a family" in err


def test_hits_without_a_hit_are_one_line(place, deepseq):
    (place / "one.a3m").write_text(">Q\nMKVLIT\n")
    code, _, err = deepseq("search --from one.a3m --out taken.a2m")
    assert code == 2 and "found one sequence, expected a query and its hits" in err


def test_emptier_columns_are_not_modelled_with_min_occupancy(place, deepseq):
    (place / "hits.a3m").write_text(">Q\nMKVLIT\n>A\nMR-LIS\n>B\nMR-LIT\n")
    assert deepseq("search --from hits.a3m --out taken.a2m --min-occupancy 0.7").code == 0
    assert list(Alignment.read(place / "taken.a2m").residues) == [1, 2, 4, 5, 6]


def test_two_queries_need_a_name_or_each(pyhmmer, place, deepseq):
    line = f"{ONE.replace('query', 'two')} --out found.a2m"
    code, _, err = deepseq(line)
    assert code == 2 and "found 2 sequences" in err and "--each" in err
    assert deepseq(f"{line} --query other").code == 0


def test_no_hits_are_one_line_and_no_file(pyhmmer, place, deepseq):
    (place / "none.fasta").write_text(">x\n" + "WWPPCCHHWWPP" * 6 + "\n")
    code, _, err = deepseq(f"{ONE.replace('db.fasta', 'none.fasta')} --out found.a2m")
    assert code == 2 and "no hits: of 1 sequences" in err and err.count("\n") == 1
    assert not (place / "found.a2m").exists()


def test_a_missing_pyhmmer_is_named_and_given_hits_do_without(place, deepseq, monkeypatch):
    real = builtins.__import__

    def without(name, *rest):
        if name.partition(".")[0] == "pyhmmer":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    code, _, err = deepseq(f"{ONE} --out found.a2m")
    assert code == 2 and "pip install 'deepseq-nb[search]'" in err and err.count("\n") == 1
    (place / "hits.a3m").write_text(">Q\nMKVLIT\n>A\nMRVLIS\n")
    assert deepseq("search --from hits.a3m --out taken.a2m").code == 0


BAD = {
    "missing database": ("db.fasta", "gone.fasta", "gone.fasta: no such file"),
    "DNA database": ("db.fasta", "dna.fasta", "looks like DNA or RNA"),
    "aligned database": ("db.fasta", "aligned.a2m", "give it with --from"),
    "missing query": ("query.fasta", "gone.fasta", "gone.fasta: no such file"),
    "DNA query": ("query.fasta", "dna.fasta", "translate it first"),
    "thresholds": ("0.4", "0.4;0.5", "no list of numbers such as 0.3,0.5"),
    "threshold": ("0.4", "40", "bits per residue such as 0.3"),
    "coverage": ("--jobs 1", "--min-coverage 50", "min-coverage is 50"),
    "a folder": ("found.a2m", "folder --overwrite", "is a folder"),
    "a file for each": ("found.a2m", "db.fasta --each", "expected a folder"),
    "binary database": ("db.fasta", "image.png", "is binary, expected FASTA"),
    "structure for a query": ("query.fasta", "model.pdb", "a structure (PDB or mmCIF)"),
    "occupancy of a3m": ("found.a2m", "found.a3m --min-occupancy 0.7", "needs an .a2m file"),
}


@pytest.mark.parametrize("case", list(BAD))
def test_what_cannot_be_searched_is_refused_before_the_first_round(pyhmmer, place, deepseq, case):
    old, new, said = BAD[case]
    (place / "dna.fasta").write_text(">gene\n" + "ATGACCGGTTTAGCC" * 4 + "\n")
    (place / "aligned.a2m").write_text(">a\nMK--LV\n>b\nMKVVLV\n")
    (place / "image.png").write_bytes(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR")
    (place / "model.pdb").write_text("HEADER    HYDROLASE\nATOM      1  CA  ALA A   1\n")
    (place / "folder").mkdir()
    code, out, err = deepseq(f"{ONE} --out found.a2m".replace(old, new))
    assert code == 2 and said in err.replace("_", "-"), err
    assert err.count("\n") == 1 and "round" not in out
    assert not list(place.glob("found.*"))
