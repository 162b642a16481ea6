"""What stands behind one score: every number found a second way, every sentence for what it says."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tiny_family import TINY

from deepseq_nb.core.errors import ConfigError
from deepseq_nb.family.alignment import Alignment
from deepseq_nb.family.depth import distances_from_focus
from deepseq_nb.family.notation import Substitution
from deepseq_nb.family.structure_files import StructureError
from deepseq_nb.family.weights import sequence_weights
from deepseq_nb.model.runs import fit
from deepseq_nb.model.scorer import Sampling
from deepseq_nb.model.training import TrainConfig
from deepseq_nb.peers.evidence import (
    alignment_of,
    coupled,
    letters_of,
    pairs_of,
    relatives,
    space_of,
)
from deepseq_nb.peers.explanation import explain
from deepseq_nb.peers.potts import Potts
from deepseq_nb.peers.sites import SiteIndependent
from deepseq_nb.scores.epistasis import together
from deepseq_nb.scores.scoring import score

ROWS = [  # residues in common with the focus: 9 of 10, 7 of 10, 7 of 9, a fragment, 9 of 10
    ("FOCUS/1-10", "MKVLAGIEDR"),
    ("near", "MKWLAGIEDR"),
    ("middle", "MKWLAGIEAA"),
    ("gapped", "MKWLA-IEAR"),
    ("fragment", "--W-------"),
    ("other", "MKVLAGIEDK"),
]


@pytest.fixture(scope="module")
def rows() -> Alignment:
    names, sequences = zip(*ROWS, strict=True)
    return Alignment.from_strings(sequences, names)


@pytest.fixture(scope="module")
def pairs(alignment) -> Potts:
    return Potts.fit(alignment, sequence_weights(alignment))


@pytest.fixture(scope="module")
def second_run(alignment):
    return fit(alignment, TINY, TrainConfig(steps=40, batch_size=20, seed=2, device="cpu"))


# evidence


def test_the_nearest_relatives_with_a_letter_by_hand(rows):
    count, near = relatives(rows, distances_from_focus(rows), Substitution("V", 3, "W"))
    assert count == 4  # the fragment has the letter, and is never the nearest
    assert [one.name for one in near] == ["near", "gapped", "middle"]
    assert [one.identity for one in near] == pytest.approx([9 / 10, 7 / 9, 7 / 10])


def test_letters_of_a_run_are_those_of_the_fitted_columns(tiny_run, alignment):
    mine = letters_of(tiny_run).score().score
    fitted = SiteIndependent.fit(alignment, sequence_weights(alignment)).score().score
    np.testing.assert_allclose(mine, fitted, atol=1e-3)  # the run rounds to six digits


def test_the_couplings_and_the_field_are_the_score_of_pairs(tiny_run, pairs):
    model, change = pairs_of(tiny_run, pairs), Substitution("A", 15, "W")
    column, letters = model.focus_map.column(15), model.focus_map.alphabet
    field = model.fields[column, letters.index("W")] - model.fields[column, letters.index("A")]
    total = field + sum(one.nats for one in coupled(model, change, most=100))
    assert total == pytest.approx(pairs.score(["A15W"]).score[0], abs=1e-4)


def test_couplings_come_with_the_strongest_first_and_never_with_themselves(tiny_run, pairs):
    found = coupled(pairs_of(tiny_run, pairs), Substitution("A", 15, "W"))
    sizes = [abs(one.nats) for one in found]
    assert len(found) == 5 and sizes == sorted(sizes, reverse=True)
    assert 15 not in [one.residue for one in found]


def test_a_deletion_couples_with_nothing(tiny_run, pairs):
    assert coupled(pairs_of(tiny_run, pairs), Substitution("A", 15, "-")) == ()


def test_another_alignment_is_refused(tiny_run, alignment, tmp_path):
    lines = Path(alignment.report.path).read_text().splitlines()
    fewer = tmp_path / "fewer.a2m"
    fewer.write_text("\n".join(lines[:-2]) + "\n")
    with pytest.raises(ConfigError, match="checksum") as caught:
        alignment_of(tiny_run, fewer)
    assert caught.value.setting == "alignment"


def test_the_same_alignment_elsewhere_is_taken(tiny_run, alignment, tmp_path):
    copy = tmp_path / "moved.a2m"
    copy.write_text(Path(alignment.report.path).read_text())
    found, why = alignment_of(tiny_run, copy)
    assert found.checksum == alignment.checksum and why == ""


def test_a_run_is_no_pairwise_model(tiny_run):
    with pytest.raises(ConfigError, match="no pairwise model"):
        pairs_of(tiny_run, tiny_run.path)


def test_pairs_of_another_family_are_refused(tiny_run, rows):
    with pytest.raises(ConfigError, match="differ in"):
        pairs_of(tiny_run, Potts.fit(rows))


# explanations


def test_score_and_errors_are_those_of_score(tiny_run):
    (one,) = explain(tiny_run, "A15W", samples=12, seed=3)
    table = score(tiny_run, ["A15W"], 12, 3)
    assert one.score == pytest.approx(table.score[0], abs=1e-5)
    assert one.std_error == pytest.approx(table.std_error[0], rel=1e-2)


def test_ranks_are_counted_among_all_singles(tiny_run):
    table = score(tiny_run, samples=12, seed=3).set_index("variant").score
    (one,) = explain(tiny_run, "A15W", samples=12, seed=3)
    here = table[table.index.str.startswith("A15")]
    assert one.singles == len(table)
    assert one.rank == int(table.rank(ascending=False)["A15W"])
    assert (one.changed[0].rank, one.changed[0].others) == (
        int(here.rank(ascending=False)["A15W"]),
        19,
    )


def test_the_steps_add_up_to_the_score(tiny_run, pairs):
    found = explain(tiny_run, ["A15W", "A15W:G17K"], pairs=pairs)
    for one in found:
        assert [step.model for step in one.steps] == ["letters", "pairs", "latent", "score"]
        assert sum(step.adds for step in one.steps) == pytest.approx(one.score, abs=1e-9)


def test_the_step_of_pairs_is_their_score_and_its_share_below(tiny_run, pairs):
    (one,) = explain(tiny_run, "A15W", pairs=pairs)
    step = one.steps[1]
    value = pairs.score(["A15W"]).score[0]
    assert step.score == pytest.approx(value, abs=1e-3)
    assert step.lower == pytest.approx((pairs.score().score < value).mean(), abs=0.01)


def test_letters_of_the_column_are_weighted_and_by_share(tiny_run, alignment):
    (one,) = explain(tiny_run, "A15W")
    weights, column = sequence_weights(alignment), alignment.focus_map.column(15)
    token = alignment.alphabet.index("W")
    expected = weights[alignment.tokens[:, column] == token].sum() / weights.sum()
    assert one.changed[0].share == pytest.approx(expected, abs=1e-5)
    shares = [share for _, share in one.changed[0].letters]
    assert shares == sorted(shares, reverse=True) and one.changed[0].letters[0][0] == "A"


def test_a_double_says_what_is_not_the_sum(tiny_run):
    (one,) = explain(tiny_run, "A15W:G17K", samples=12, seed=3)
    apart = together([tiny_run], "A15W:G17K", Sampling(samples=12, seed=3))
    assert one.together.beyond == pytest.approx(apart.beyond)
    assert one.rank is None and len(one.changed) == 2
    assert "beyond the sum" in one.to_text()


def test_several_runs_have_their_spread(tiny_run, second_run):
    (one,) = explain([tiny_run, second_run], "A15W", samples=12, seed=3)
    table = score([tiny_run, second_run], ["A15W"], 12, 3)
    assert one.runs == 2 and one.spread == pytest.approx(table["spread"][0], abs=1e-4)
    assert "spread between 2 runs" in one.to_text()


def test_an_offset_is_added_once(tiny_run):
    (moved,) = explain(tiny_run, "A5W:G7K", offset=10)
    (plain,) = explain(tiny_run, "A15W:G17K")
    assert moved.variant == "A5W:G7K" and moved.score == plain.score
    assert moved.together.beyond == plain.together.beyond
    assert moved.together.parts == plain.together.parts


@pytest.mark.parametrize(
    ("variant", "offset", "status"),
    [
        ("A999W", 0, "outside the alignment"),
        ("G15W", 0, "wild type differs"),
        ("oops", 0, "malformed"),
        ("A15W", 200, "outside the alignment"),
    ],
)
def test_what_has_no_score_has_status_and_reason_of_score(tiny_run, variant, offset, status):
    (one,) = explain(tiny_run, variant, offset=offset)
    table = score(tiny_run, [variant], 4, offset=offset)
    assert (one.status, one.reason) == (status, table.reason[0])
    assert np.isnan(one.score) and one.steps == () and one.changed == ()
    assert one.to_text() == f"{variant}: no score, {status}: {table.reason[0]}"


@pytest.mark.parametrize("variant", ["WT", "A15A", "A15-"])
def test_the_wild_type_and_a_deletion_are_explained(tiny_run, pairs, variant):
    (one,) = explain(tiny_run, variant, pairs=pairs)
    assert one.status == "ok" and one.rank is None and np.isfinite(one.score)
    assert one.to_text().startswith(f"{variant}: ")
    json.dumps(one.to_json(), allow_nan=False)


def test_what_is_missing_is_said(tiny_run, tmp_path):
    gone = replace(
        tiny_run, about=tiny_run.about | {"place": None, "source": str(tmp_path / "gone.a2m")}
    )
    (one,) = explain(gone, "A15W")
    assert one.changed[0].carriers is None
    assert "gone.a2m" in one.notes[0] and "--model pairs" in one.notes[1]
    assert one.to_text().count("not said: ") == 2


def test_a_letter_that_nobody_has_is_said(tiny_run):
    (one,) = explain(tiny_run, "A15W")
    assert (one.changed[0].carriers, one.changed[0].nearest) == (0, ())
    assert "no sequence of the alignment has W at 15" in one.to_text()


def test_json_holds_what_the_explanation_holds(tiny_run, pairs):
    (one,) = explain(tiny_run, "A15V", pairs=pairs)
    value = json.loads(json.dumps(one.to_json(), allow_nan=False))
    assert value["variant"] == "A15V" and value["score"] == one.score
    assert value["spread"] is None  # of one run
    assert [step["model"] for step in value["steps"]] == ["letters", "pairs", "latent", "score"]
    assert value["changed"][0]["nearest"][0].keys() == {"name", "identity"}
    assert len(value["changed"][0]["coupled"]) == 5


def test_an_rna_family_has_no_step_of_proteins(tmp_path):
    names, sequences = ["F/1-6", "a", "b"], ["ACGUAC", "ACGUAA", "GCGUAC"]
    family = Alignment.from_strings(sequences, names, alphabet="rna")
    run = fit(family, TINY, TrainConfig(steps=5, batch_size=3, device="cpu"))
    (one,) = explain(run, "A1G", alignment=family)
    assert [step.model for step in one.steps] == ["letters", "latent"]
    assert one.changed[0].nearest[0].name == "b"


# neighbours in a structure

NAMES = dict(zip("MKVLAGIEDR", "MET LYS VAL LEU ALA GLY ILE GLU ASP ARG".split(), strict=True))


def atom(number: int, name: str, letter: str, where: tuple[float, float, float]) -> str:
    """A line of a PDB file, in chain A."""
    x, y, z = where
    return (
        f"ATOM  {number:5}  {name:<3} {NAMES[letter]} A{number:4}    "
        f"{x:8.3f}{y:8.3f}{z:8.3f}  1.00  0.00           C"
    )


@pytest.fixture
def line_of_residues(tmp_path):
    """TINY/11-24 without its last residue, C-alphas 3.8 angstrom apart on a line; the C-beta of
    residue 15 stands 6 beside it, and its C-beta comes before its C-alpha in the file."""
    pytest.importorskip("Bio")
    atoms = []
    for k, letter in enumerate("MKVLAAGIVGLED"):
        here = (3.8 * k, 0.0, 0.0)
        if k == 4:
            atoms.append(atom(k + 11, "CB", letter, (3.8 * k, 6.0, 0.0)))
        atoms.append(atom(k + 11, "CA", letter, here))
    path = tmp_path / "line.pdb"
    path.write_text("\n".join(atoms) + "\n")
    return path


def test_distances_are_between_c_betas_and_c_alphas_where_there_is_none(tiny_run, line_of_residues):
    space = space_of(tiny_run.focus_map, line_of_residues)
    assert space.chain == "A" and space.near(24) is None
    # residue 15 is 6 away from the line: 6, 3.8 and 7.6 along it
    found = dict(space.near(15))
    assert found == pytest.approx({14: 7.1021, 16: 7.1021}, abs=1e-3)
    assert dict(space.near(20)) == pytest.approx({19: 3.8, 21: 3.8, 18: 7.6, 22: 7.6})
    assert [residue for residue, _ in space.near(20)][:2] in ([19, 21], [21, 19])
    assert space.near(20, reach=3) == []


def test_neighbours_are_told_with_the_mean_score_of_their_substitutions(tiny_run, line_of_residues):
    (one,) = explain(tiny_run, "A15W", samples=8, device="cpu", structure=line_of_residues)
    (place,) = one.changed
    table = score(tiny_run, samples=8, device="cpu", progress=False).set_index("variant").score
    for near in place.neighbours:
        own = [value for name, value in table.items() if name[1:-1] == str(near.residue)]
        if near.residue == 14:  # lower case in the focus: seen, and not modelled
            assert np.isnan(near.score) and not own
        else:
            assert near.score == pytest.approx(np.mean(own), abs=1e-6)
    assert "L14 7.1 (not modelled)" in one.to_text() and "A16 7.1 (" in one.to_text()
    told = json.loads(json.dumps(one.to_json(), allow_nan=False))["changed"][0]["neighbours"]
    assert {near["residue"]: near["score"] is None for near in told} == {14: True, 16: False}


def test_a_residue_that_the_structure_lacks_is_said(tiny_run, line_of_residues):
    (one,) = explain(tiny_run, "R24W", samples=8, device="cpu", structure=line_of_residues)
    assert one.changed[0].neighbours is None
    assert "not said: neighbours of 24: chain A of" in one.to_text()
    (plain,) = explain(tiny_run, "R24W", samples=8, device="cpu")
    assert "neighbours" not in plain.to_text()


def test_a_chain_needs_its_structure_and_has_to_fit(tiny_run, line_of_residues):
    with pytest.raises(ConfigError, match="chain is about a structure"):
        explain(tiny_run, "A15W", chain="A")
    with pytest.raises(StructureError, match="chain 'Q' does not fit"):
        explain(tiny_run, "A15W", structure=line_of_residues, chain="Q")
