"""Scores and measurements that are numbered, lettered or spelled in other ways meet, or say why not."""

import numpy as np
import pandas as pd
import pytest

from deepseq_nb.core.errors import EvaluationError
from deepseq_nb.scores.evaluation import evaluate
from deepseq_nb.scores.matching import read_pair, unmatched_variants

FOCUS = "".join(np.random.default_rng(3).choice(list("ACDEFGHIKLMNPQRSTVWY"), 60))


def singles(first: int, sequence: str = FOCUS, letters: str = "AGVW", column: str = "score"):
    names = [
        f"{wild}{residue}{letter}"
        for residue, wild in enumerate(sequence, first)
        for letter in letters
        if letter != wild
    ]
    return pd.DataFrame({"variant": names, column: np.arange(len(names), dtype=float)})


@pytest.mark.parametrize("by", [-1, 1, -2, 312, -40])
def test_a_shifted_assay_is_refused_with_its_shift_and_mended_by_it(by):
    scores, assay = singles(1), singles(1 - by, column="y")
    with pytest.raises(
        EvaluationError, match=f"all {len(assay)} wild-type letters agree"
    ) as caught:
        evaluate(scores, assay, "y")
    assert f"shifted by {by:+d}: pass --offset {by}" in str(caught.value)
    result = evaluate(scores, assay, "y", offset=by, bootstrap=0)
    assert result.n == len(assay) and result["spearman"].value == pytest.approx(1)


def test_a_wrong_offset_is_told_with_the_right_one():
    with pytest.raises(EvaluationError, match="pass --offset 1"):
        evaluate(singles(1), singles(0, column="y"), "y", offset=2)


def test_another_protein_is_refused_without_a_shift():
    other = "".join(np.random.default_rng(4).choice(list("ACDEFGHIKLMNPQRSTVWY"), 60))
    with pytest.raises(EvaluationError, match="is the assay about this protein"):
        evaluate(singles(1), singles(1, other, column="y"), "y")


def test_a_numbering_that_jumps_has_no_single_shift():
    """Residues behind a gap of the query, or after a skipped number, are off by one."""
    assay = pd.concat([singles(1, FOCUS[:15], column="y"), singles(17, FOCUS[15:], column="y")])
    with pytest.raises(
        EvaluationError, match=r"residues 17 to 61, and only they, are shifted by -1"
    ):
        evaluate(singles(1), assay, "y")
    assay = pd.concat([singles(1, FOCUS[:45], column="y"), singles(47, FOCUS[45:], column="y")])
    notes = evaluate(singles(1), assay, "y", bootstrap=0).notes
    assert any("agree for residues 1 to 45 only" in note for note in notes)


def test_a_strain_with_a_few_other_residues_is_compared_with_a_note():
    strain = FOCUS[:9] + ("A" if FOCUS[9] != "A" else "G") + FOCUS[10:]
    result = evaluate(singles(1), singles(1, strain, column="y"), "y", bootstrap=0)
    assert any("not those of the scores" in note for note in result.notes)
    assert result.unmatched.get("of another wild-type letter than the scores have", 0) >= 3


def test_an_assay_of_the_whole_protein_is_compared_silently():
    result = evaluate(singles(21, FOCUS[20:40]), singles(1, column="y"), "y", bootstrap=0)
    assert not any("wild-type" in note for note in result.notes)
    assert list(result.unmatched) == ["outside the residues of the score table, 21 to 40"]


def test_scores_of_an_assay_that_was_shifted_when_scored_are_refused():
    scores = singles(1).assign(status="ok")
    scores.loc[20:, ["score", "status"]] = [np.nan, "wild type differs"]
    with pytest.raises(
        EvaluationError, match=r"refuses \d+ of \d+ measured variants because their wild-type"
    ):
        evaluate(scores, singles(1, column="y"), "y")


def test_nucleotides_are_read_as_such_when_the_scores_are_of_nucleotides():
    rna = "GCGGAUUUAGCUCAGUUGGGAGAGCGC"
    scores = singles(1, rna, "ACGU")
    texts = [f"r.{v[1:-1]}{v[0].lower()}>{v[-1].lower()}" for v in scores.variant]
    assay = pd.DataFrame({"mutant": texts, "y": scores.score})
    assert evaluate(scores, assay, "y", bootstrap=0).n == len(scores)
    genes = assay.assign(
        mutant=[t.replace("r.", "n.").upper().replace("N.", "n.").replace("U", "T") for t in texts]
    )
    assert evaluate(scores, genes, "y", bootstrap=0).n == len(scores)
    written = scores.assign(variant=texts)  # a score table of that very file
    assert evaluate(written, assay, "y", bootstrap=0).n == len(scores)
    assert evaluate(written, scores.rename(columns={"score": "y"}), "y", bootstrap=0).n == len(
        scores
    )


def test_whole_sequences_are_named_by_the_wild_type_of_the_scores():
    changed = []
    for i in range(len(FOCUS)):
        letter = "A" if FOCUS[i] != "A" else "G"
        changed.append(FOCUS[:i] + letter + FOCUS[i + 1 :])
    assay = pd.DataFrame({"mutated_sequence": changed, "y": np.arange(60.0)})
    (scores,), measured = read_pair([singles(313)], assay, "y", variant_column="mutated_sequence")
    assert len(measured.values.index.intersection(scores.values.index)) == 60


def test_two_levels_are_labels_and_a_variant_that_has_both_is_left_out_with_a_note():
    assay = singles(1, column="y")
    assay["y"] = np.arange(len(assay)) % 2
    twice = assay.iloc[[0, 1]].assign(y=[1, 1])
    _, measured = read_pair([singles(1)], pd.concat([assay, twice]), "y")
    assert measured.binary and "variants with contradictory labels, left out: 1" in measured.notes
    assert len(measured.values) == len(assay) - 1 and assay.variant[0] not in measured.values.index
    _, graded = read_pair([singles(1)], pd.concat([assay, twice.assign(y=[0.5, 1])]), "y")
    assert not graded.binary and graded.values[assay.variant[0]] == 0.25


def test_why_a_variant_is_not_in_the_score_table():
    scores = singles(1)
    scores = scores[~scores.variant.str.contains(r"[A-Z]30[A-Z]")]
    a, b = FOCUS[0], FOCUS[1]
    odd = [f"{FOCUS[29]}30A", f"{a}1*", f"{a}1A:{b}2W", "WT", f"{a}1{a}", "A90G", f"{a}1fs"]
    assay = pd.concat([singles(1, column="y").head(20), pd.DataFrame({"variant": odd, "y": 0.0})])
    (found,), measured = read_pair([scores], assay, "y")
    counts, told = unmatched_variants(found, measured)
    assert counts == dict.fromkeys(
        ["of a residue that the model leaves out (lower case in the focus, or too sparse)",
         "unknown letter", "of several substitutions, which the score table does not have",
         "the wild type, which the score table does not have", "synonymous",
         "outside the residues of the score table, 1 to 60", "frameshift"], 1)  # fmt: skip
    assert "--columns all" in told


def test_nothing_in_common_says_why_the_first_is_not():
    assay = pd.DataFrame({"mutant": ["NM_1.2:c.5G>C", "NM_1.2:c.6G>C", "NM_1.2:c.7G>C"], "y": 0.0})
    with pytest.raises(EvaluationError, match="a change of the gene"):
        evaluate(singles(1), assay, "y")


def test_a_column_of_ambiguous_commas_is_refused_as_such():
    assay = singles(1, column="y").assign(y="1,234")
    with pytest.raises(EvaluationError, match="may be decimal commas or thousands"):
        evaluate(singles(1), assay, "y")


def test_nothing_is_noted_of_an_assay_in_which_nothing_is_odd():
    assert read_pair([singles(1)], singles(1, column="y"), "y")[1].notes == ()
