"""`deepseq explain`: runs and variants told apart, words, JSON, files and exit codes."""

import json

import pytest

ASK = "--samples 8 --device cpu"


def test_a_variant_is_explained_in_words(deepseq):
    code, out, _ = deepseq(f"explain run A15V {ASK}")
    assert code == 0 and out.startswith("A15V: ")
    assert "letters of the column alone" in out and "identical to yours" in out


def test_some_explained_is_exit_code_1(deepseq):
    code, out, _ = deepseq(f"explain run A15W A999W {ASK}")
    assert code == 1 and "A999W: no score, outside the alignment" in out


def test_json_has_the_exit_code_of_the_words(deepseq):
    code, out, _ = deepseq(f"explain run A15W A999W {ASK} --json")
    assert code == 1 and [one["status"] for one in json.loads(out)].count("ok") == 1
    assert deepseq(f"explain run A15W {ASK} --json").code == 0


def test_neighbours_in_a_structure(deepseq, work):
    pytest.importorskip("Bio")
    three = dict(zip("MKVLAGIEDR", "MET LYS VAL LEU ALA GLY ILE GLU ASP ARG".split(), strict=True))
    lines = [
        f"ATOM  {k:5}  CA  {three[letter]} B{k:4}    {3.8 * k:8.3f}{0:8.3f}{0:8.3f}  1.00  0.00"
        for k, letter in enumerate("MKVLAAGIVGLEDR", 11)
    ]
    (work / "line.pdb").write_text("\n".join(lines) + "\n")
    code, out, _ = deepseq(f"explain run A15V {ASK} --structure line.pdb --json")
    (one,) = json.loads(out)
    near = one["changed"][0]["neighbours"]
    assert code == 0 and {n["residue"]: round(n["distance"], 1) for n in near} == {
        14: 3.8,
        16: 3.8,
        13: 7.6,
        17: 7.6,
    }
    code, _, err = deepseq(f"explain run A15V {ASK} --structure line.pdb --chain A")
    assert code == 2 and "--chain" in err and "expected one of B" in err
    code, _, err = deepseq(f"explain run A15V {ASK} --chain B")
    assert code == 2 and "--chain is about a structure" in err


def test_none_explained_is_one_line_and_exit_code_2(deepseq, work):
    code, _, err = deepseq(f"explain run A999W nonsense {ASK} --out none.txt")
    assert code == 2 and len(err.strip().splitlines()) == 1 and "outside" in err
    assert not (work / "none.txt").exists()


def test_json_is_a_list_of_objects(deepseq):
    code, out, _ = deepseq(f"explain run A15W A15W:G17K {ASK} --json")
    first, second = json.loads(out)
    assert code == 0 and first["variant"] == "A15W" and first["together"] is None
    assert second["together"]["parts"][0][0] == "A15W"


def test_several_runs_come_before_the_variants(deepseq, several):
    code, out, _ = deepseq(f"explain several A15W {ASK}")
    assert code == 0 and "spread between 2 runs" in out
    code, again, _ = deepseq(f"explain several/seed1 several/seed2 A15W {ASK}")
    assert again == out


def test_pairs_are_told_where_they_are_given(deepseq):
    assert deepseq("train family.a2m --out coupled --model pairs").code == 0
    code, out, _ = deepseq(f"explain run A15W --pairs coupled {ASK}")
    assert code == 0 and "A15W is coupled most with" in out and "not said" not in out


@pytest.mark.parametrize("how", ["", "--json"])
def test_out_has_what_is_printed(deepseq, work, how):
    name = f"told{len(how)}.txt"
    code, out, _ = deepseq(f"explain run A15W {ASK} {how} --out {name}")
    written = (work / name).read_text()
    assert code == 0
    if how:
        assert json.loads(written) == json.loads(out)
    else:
        assert out.startswith(written)
    code, _, err = deepseq(f"explain run A15W {ASK} --out {name}")
    assert code == 2 and "exists" in err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("A15W", "no folder"),
        ("run", "no variant behind"),
        ("no/such A15W", "no/such"),
        ("run A15W --pairs run", "--pairs"),
        ("run A15W --alignment small.json", "small.json"),
        ("alone A15W", "alone holds a simpler model"),
    ],
)
def test_a_mistake_is_one_line(deepseq, words, told):
    if words.startswith("alone"):
        assert deepseq("train family.a2m --out alone --model sites --overwrite").code == 0
    code, _, err = deepseq(f"explain {words} {ASK}")
    assert code == 2 and told in err and len(err.strip().splitlines()) == 1
