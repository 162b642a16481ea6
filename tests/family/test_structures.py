"""Which residue of a structure each residue of the focus is: files written here, a few C-alpha atoms each."""

import builtins
import gzip
import importlib

import pytest

from deepseq_nb.family.alignment import Alignment
from deepseq_nb.family.structure_files import Place, StructureError, _tables, read_structure
from deepseq_nb.family.structures import (
    map_structure,
    spans,
    spans_text,
    structure_lines,
)

pytest.importorskip("Bio")

FOCUS = "MKTAYIAKQRQISFVKSHFSRQLEERLGLIEVQ"  # 33 residues
THREE = {
    letter: name
    for name, letter in _tables()[0].items()
    if name in "ALA CYS ASP GLU PHE GLY HIS ILE LYS LEU MET ASN PRO GLN ARG SER THR VAL TRP TYR"
}
RNA = "GCGGAUUUAGCUCAGUUGGGAGAGCGCCAGA"


def family(sequence=FOCUS, start=1, alphabet="protein", lower=()):
    """The focus map of an alignment of two rows."""
    row = "".join(x.lower() if i in lower else x for i, x in enumerate(sequence))
    name = f"FOCUS/{start}-{start + len(sequence) - 1}"
    return Alignment.from_strings([row, row], [name, "other"], alphabet=alphabet).focus_map


def atom(name, chain, number, insertion=" ", record="ATOM", alternative=" "):
    """One atom in the columns of the PDB format."""
    return (
        f"{record:6}{1:5}  CA {alternative}{name:>3} {chain}{number:4}{insertion}   "
        f"{1.0:8.3f}{2.0:8.3f}{3.0:8.3f}  1.00 20.00           C"
    )


def residues(letters, chain="A", first=1, names=THREE):
    return [atom(names[x], chain, i) for i, x in enumerate(letters, first)]


@pytest.fixture
def pdb(tmp_path):
    """Writes lines to a file; returns its path."""

    def write(lines, name="x.pdb"):
        path = tmp_path / name
        path.write_text("\n".join(lines) + "\n")
        return path

    return write


def cif(rows, tail=""):
    """An mmCIF text; a row is (name, label number, chain, author's number, insertion, model)."""
    keys = "group_PDB label_comp_id label_seq_id auth_asym_id auth_seq_id pdbx_PDB_ins_code pdbx_PDB_model_num"
    lines = ["data_X", "#", "loop_", *(f"_atom_site.{key}" for key in keys.split())]
    for name, label, chain, number, insertion, model in rows:
        group = "ATOM" if label != "." and name != "MSE" else "HETATM"
        lines.append(f"{group} {name} {label} {chain} {number} {insertion} {model}")
    return "\n".join(lines) + "\n#\n" + tail


# files


def test_pdb_and_mmcif_of_the_same_residues_are_the_same_chain(pdb, tmp_path):
    one = read_structure(pdb(residues(FOCUS, first=24)))
    rows = [(THREE[x], i, "A", i + 23, "?", 1) for i, x in enumerate(FOCUS, 1)]
    (tmp_path / "x.cif").write_text(cif(rows))
    two = read_structure(tmp_path / "x.cif")
    assert (one.format, two.format) == ("PDB", "mmCIF")
    assert one.chains[0].letters == two.chains[0].letters == FOCUS
    assert one.chains[0].places == two.chains[0].places
    assert one.chains[0].places[0] == Place("A", 24)


@pytest.mark.parametrize("name", ["x.pdb.gz", "without_ending"])
def test_a_gzipped_file_is_read_whatever_its_name(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(gzip.compress("\n".join(residues(FOCUS)).encode()))
    assert read_structure(path).chains[0].letters == FOCUS


def test_water_ions_and_ligands_are_no_residues_and_selenomethionine_is_one(pdb):
    lines = [
        atom("MSE", "A", 1, record="HETATM"),
        *residues("KTAY", first=2),
        "TER",
        atom("GLU", "A", 300, record="HETATM"),
        atom("HOH", "A", 301, record="HETATM"),
        atom("CA", "A", 302, record="HETATM"),
    ]
    (chain,) = read_structure(pdb(lines)).chains
    assert chain.letters == "MKTAY" and chain.modified == ("MSE A:1",)


def test_a_solvated_protein_with_one_nameless_chain_is_a_protein(pdb):
    names = [("LYS", "K"), ("HSD", "H"), ("HSE", "H"), ("CYX", "C"), ("ALA", "A")]
    lines = [atom(name, " ", i) for i, (name, _) in enumerate(names, 1)]
    lines += [atom(name, " ", i) for i, name in enumerate(["SOL", "TIP3", "NA", "CLA"] * 20, 6)]
    (chain,) = read_structure(pdb(lines)).chains
    assert chain.letters == "".join(letter for _, letter in names)
    assert chain.name == "_" and chain.modified == ()


def test_a_homoserine_of_the_database_stays_a_serine_in_words(pdb):
    lines = [*residues("MK"), atom("HSE", "A", 3, record="HETATM"), *residues("TA", first=4)]
    (chain,) = read_structure(pdb(lines)).chains
    assert chain.letters == "MKSTA" and chain.modified == ("HSE A:3",)


@pytest.mark.parametrize(("names", "kind"), [("ADE CYT GUA URA", "rna"), ("ADE CYT THY", "dna")])
def test_bases_in_the_words_of_a_force_field(pdb, names, kind):
    (chain,) = read_structure(pdb([atom(n, "A", i) for i, n in enumerate(names.split(), 1)])).chains
    assert (chain.letters, chain.kind) == ("".join(n[0] for n in names.split()), kind)


def test_ligands_of_mmcif_have_no_label_number_and_are_left_out(tmp_path):
    rows = [("MSE", 1, "A", 1, "?", 1), ("LYS", 2, "A", 2, "?", 1), ("HOH", ".", "A", 90, "?", 1)]
    (tmp_path / "x.cif").write_text(cif(rows))
    assert read_structure(tmp_path / "x.cif").chains[0].letters == "MK"


def test_two_residues_in_one_place_are_one_residue_and_noted(pdb):
    lines = [atom("SER", "A", 1, alternative="A"), atom("THR", "A", 1, alternative="B")]
    (chain,) = read_structure(pdb([*lines, *residues("KTA", first=2)])).chains
    assert chain.letters == "SKTA" and chain.mixed == ("A:1 (SER or THR)",)


def test_of_several_models_the_first_is_read(pdb):
    lines = ["MODEL        1", *residues("MKTAY"), "ENDMDL"]
    lines += ["MODEL        2", *residues("WWWWW"), "ENDMDL"]
    structure = read_structure(pdb(lines))
    assert structure.models == 2 and [c.letters for c in structure.chains] == ["MKTAY"]


def test_of_several_models_in_mmcif_the_first_is_read(tmp_path):
    rows = [(THREE[x], i, "A", i, "?", m) for m in (1, 2) for i, x in enumerate("MKTAY", 1)]
    (tmp_path / "x.cif").write_text(cif(rows))
    structure = read_structure(tmp_path / "x.cif")
    assert structure.models == 2 and structure.chains[0].letters == "MKTAY"


def test_negative_numbers_and_insertion_codes_are_kept(pdb):
    lines = [atom("SER", "H", -1), atom("GLY", "H", 0), atom("THR", "H", 0, "A")]
    (chain,) = read_structure(pdb(lines)).chains
    assert [str(p) for p in chain.places] == ["H:-1", "H:0", "H:0A"]


@pytest.mark.parametrize(
    ("names", "kind"),
    [
        (["A", "C", "G", "U"], "rna"),
        (["DA", "DC", "DG", "DT"], "dna"),
        (["A", "C", "G", "T"], "dna"),
        (["A", "C", "PSU", "G"], "rna"),
        (["ALA", "CYS", "GLY", "THR"], "protein"),
    ],
)
def test_a_chain_is_of_the_kind_of_its_residues(pdb, names, kind):
    lines = [atom(name, "A", i) for i, name in enumerate(names, 1)]
    assert read_structure(pdb(lines)).chains[0].kind == kind


BAD = {
    "empty": (b"", "is empty"),
    "text": (b"Dear colleague,\n", "is no structure"),
    "page": (b"<html><body>404</body></html>", "XML or a web page"),
    "binary": (bytes(range(256)), "binary data"),
    "cut": (b"\x1f\x8b\x08\x00\x00\x00", "gzip file is cut short or damaged"),
    "fasta": (b">a\nMKTAY\n", "found sequences (FASTA), expected PDB or mmCIF"),
    "cif": (b"data_X\nloop_\n_atom_site.group_PDB\n_atom_site.label_comp_id\nATOM\n", "cut short"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_structure_is_one_sentence(tmp_path, name):
    data, text = BAD[name]
    path = tmp_path / "x.pdb"
    path.write_bytes(data)
    with pytest.raises(StructureError) as caught:
        read_structure(path)
    assert text in str(caught.value) and "x.pdb" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_residue_number_that_is_none_names_its_line(pdb):
    lines = residues("MK")
    lines[1] = lines[1][:22] + "  2x" + lines[1][26:]
    with pytest.raises(StructureError, match="line 2: found '2x'") as caught:
        read_structure(pdb(lines))
    assert caught.value.line == 2


@pytest.mark.parametrize(
    ("name", "said"), [("missing.pdb", "missing.pdb: no such file"), (".", "a folder, expected")]
)
def test_a_file_that_cannot_be_read_is_named(tmp_path, name, said):
    with pytest.raises(StructureError, match=said):
        read_structure(tmp_path / name)


def test_without_biopython_the_extra_is_named(pdb, monkeypatch):
    path = pdb(residues(FOCUS))
    real = importlib.import_module

    def missing(name, *rest):
        if name.startswith("Bio"):
            raise builtins.ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr("deepseq_nb.family.structure_files.import_module", missing)
    with pytest.raises(StructureError, match=r"pip install 'deepseq-nb\[structure\]'"):
        read_structure(path)


# the map


def test_the_same_numbers_are_no_shift(pdb):
    found = map_structure(family(start=24), pdb(residues(FOCUS, first=24)))
    best = found.chains[0]
    assert best.identity == 1 and best.shifts == [(24, 56, 0)] and best.missing == []
    assert found.place(30) == Place("A", 30) and found.place(99) is None


def test_one_shift_names_the_first_residue_that_would_mend_it(pdb):
    focus_map = family()
    found = map_structure(focus_map, pdb(residues(FOCUS, first=24)))
    assert found.chains[0].shifts == [(1, 33, 23)]
    assert "--first-residue 24" in "\n".join(structure_lines(found, focus_map))


def test_a_step_of_one_residue_is_one_number(pdb):
    lines = [*residues(FOCUS[:12]), atom(THREE[FOCUS[12]], "A", 12, "A")]
    lines += residues(FOCUS[13:], first=14)
    focus_map = family()
    said = "\n".join(structure_lines(map_structure(focus_map, pdb(lines)), focus_map))
    assert "in 1-12 +0, 13 -1, 14-33 +0" in said


def test_lower_case_residues_of_the_focus_have_places_too(pdb):
    found = map_structure(family(lower=(5, 6)), pdb(residues(FOCUS)))
    assert found.place(6) == Place("A", 6)


def test_a_tag_and_missing_ends_are_not_mapped(pdb):
    found = map_structure(family(), pdb(residues("GSHMGG" + FOCUS[4:-3], first=-1)))
    places = found.places()
    assert [r for r, p in places.items() if p is None] == [1, 2, 3, 4, 31, 32, 33]
    assert places[5] == Place("A", 5)


def test_an_engineered_mutation_is_named_by_both_numbers(pdb):
    found = map_structure(family(), pdb(residues(FOCUS[:9] + "W" + FOCUS[10:], first=101)))
    assert found.chains[0].differing == ["R10W at A:110"]
    assert found.chains[0].identity == pytest.approx(32 / 33)


def test_the_jump_of_the_numbers_decides_which_of_two_equal_residues_was_seen(pdb):
    """The focus has SSSS where the chain shows one S, behind a stretch that nobody saw."""
    focus = "MKTAYIAKQRQIFVKHSSSSFRQLEERLGLIEVQDW"
    seen = [*residues(focus[:16]), *residues(focus[19:], first=20)]
    found = map_structure(family(focus), pdb(seen))
    assert found.chains[0].missing == [17, 18, 19]
    assert found.place(20) == Place("A", 20)


def test_a_scheme_that_skips_numbers_is_a_staircase_and_no_gap(pdb):
    lines = [*residues(FOCUS[:12]), *residues(FOCUS[12:20], first=14)]
    lines += residues(FOCUS[20:], first=30)
    best = map_structure(family(), pdb(lines)).chains[0]
    assert best.missing == [] and best.shifts == [(1, 12, 0), (13, 20, 1), (21, 33, 9)]


def test_insertion_codes_of_an_antibody_are_places(pdb):
    lines = residues(FOCUS[:12], "H", first=41)
    lines += [atom(THREE[x], "H", 52, c) for x, c in zip(FOCUS[12:14], "AB", strict=True)]
    lines += residues(FOCUS[14:], "H", first=53)
    focus_map = family()
    found = map_structure(focus_map, pdb(lines))
    assert found.place(13) == Place("H", 52, "A") and found.place(15) == Place("H", 53)
    assert found.chains[0].missing == []
    assert "insertion code: 2: H:52A, H:52B" in "\n".join(structure_lines(found, focus_map))


def test_identical_chains_all_fit_and_a_partner_does_not(pdb):
    lines = [*residues("GWCWCPHNDWWCPGHW" * 2, "P"), "TER"]
    lines += [*residues(FOCUS, "A"), "TER", *residues(FOCUS[3:], "B", first=4)]
    found = map_structure(family(), pdb(lines))
    assert [one.chain.name for one in found.chains] == ["A", "B"]
    assert found.place(1, "B") is None and found.place(4, "B") == Place("B", 4)


def test_the_chain_that_fits_best_comes_first_wherever_it_stands_in_the_file(pdb):
    lines = [
        *residues(FOCUS[:24], "A"),
        "TER",
        *residues(FOCUS, "B"),
        "TER",
        *residues(FOCUS[2:], "C"),
    ]
    found = map_structure(family(), pdb(lines))
    assert [one.chain.name for one in found.chains] == ["B", "C", "A"]


def test_a_chain_that_does_not_fit_cannot_be_asked_for(pdb):
    found = map_structure(family(), pdb(residues(FOCUS)))
    with pytest.raises(StructureError, match="expected one of A"):
        found.places("Z")


def test_the_label_numbers_of_mmcif_show_the_gap_where_the_authors_count_on(tmp_path):
    """The author numbered what was seen, 1 to 29; label_seq_id knows that four are missing."""
    focus = "MKTAYIAKQRQIFVKHSSSSFRQLEERLGLIEVQDW"
    order = [i for i in range(1, 37) if i not in (16, 17, 18, 19)]
    rows = [(THREE[focus[i - 1]], i, "A", n, "?", 1) for n, i in enumerate(order, 1)]
    (tmp_path / "x.cif").write_text(cif(rows))
    found = map_structure(family(focus), tmp_path / "x.cif")
    assert found.chains[0].missing == [16, 17, 18, 19]
    assert found.place(20) == Place("A", 16)
    assert found.chains[0].shifts == [(1, 15, 0), (20, 36, -4)]


def test_rna_is_compared_with_rna(pdb):
    lines = [atom(x, "B", i) for i, x in enumerate(RNA, 5)]
    lines[5] = atom("PSU", "B", 10, record="HETATM")
    found = map_structure(family(RNA, alphabet="rna"), pdb([*residues(FOCUS), "TER", *lines]))
    assert [one.chain.name for one in found.chains] == ["B"]
    assert found.chains[0].shifts == [(1, 31, 4)]
    assert found.chains[0].differing == []  # pseudouridine is read as U


def test_a_protein_family_beside_dna_is_told_what_is_there(pdb):
    lines = [atom(name, "X", i) for i, name in enumerate(["DA", "DC", "DG", "DT"] * 3)]
    with pytest.raises(StructureError, match=r"no protein chain, found X \(DNA\)"):
        map_structure(family(), pdb(lines))


def test_no_chain_that_fits_names_the_best_and_its_identity(pdb):
    with pytest.raises(StructureError, match=r"no chain fits .* the best is A, \d+% identical"):
        map_structure(family(), pdb(residues("GWCWCPHNDWWCPGHW" * 2)))


def test_letters_without_structures_are_refused(pdb):
    focus_map = family("0120120120", alphabet="012")
    with pytest.raises(StructureError, match="a family in the letters 012 has no structure"):
        map_structure(focus_map, pdb(residues(FOCUS)))


def test_letters_outside_the_alphabet_do_not_stop_the_comparison(pdb):
    focus_map = family(FOCUS[:9] + "X" + FOCUS[10:])
    lines = residues(FOCUS)
    lines[20] = atom("SEC", "A", 21)
    assert map_structure(focus_map, pdb(lines)).place(33) == Place("A", 33)


def test_the_plain_values_of_a_map_are_strict_json(pdb):
    import json

    found = map_structure(family(), pdb(residues(FOCUS[:-3], first=24)))
    told = json.loads(json.dumps(found.to_json(), allow_nan=False))
    (chain,) = told["chains"]
    assert chain["residues"][0] == [1, 24, ""] and chain["missing"] == [[31, 33]]
    assert chain["shifts"] == [[1, 30, 23]]


# words


def test_spans_of_numbers():
    assert spans([3, 4, 5, 9]) == [(3, 5), (9, 9)] and spans([]) == []
    assert spans_text([3, 4, 5, 9]) == "3-5, 9"
    assert spans_text(range(0, 20, 2), most=2) == "0, 2 and 8 more"


def test_a_relative_is_said_to_be_one(pdb):
    other = "".join("A" if i % 4 == 0 else x for i, x in enumerate(FOCUS))
    focus_map = family()
    lines = structure_lines(map_structure(focus_map, pdb(residues(other))), focus_map)
    assert lines[-1].startswith("note: ") and "relative" in lines[-1]


def test_models_mixtures_and_other_chains_are_told(pdb):
    lines = ["MODEL        1", *residues(FOCUS), atom("GLU", "B", 1), "ENDMDL"]
    lines += ["MODEL        2", *residues(FOCUS), "ENDMDL"]
    lines.insert(5, atom("GLY", "A", 4, alternative="B"))
    focus_map = family()
    said = "\n".join(structure_lines(map_structure(focus_map, pdb(lines)), focus_map))
    assert "2 models of which the first is read" in said and "chains: 2 protein" in said
    assert "a mixture, of which the first is read: 1: A:4 (ALA or GLY)" in said
