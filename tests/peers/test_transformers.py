"""Letters, family scores and representations as steps of scikit-learn."""

import numpy as np
import pandas as pd
import pytest
from tiny_unirep import tiny_unirep

from deepseq_nb.core.errors import ConfigError, VariantError
from deepseq_nb.family.alignment import Alignment
from deepseq_nb.peers.representations import get_reps
from deepseq_nb.peers.sites import SiteIndependent
from deepseq_nb.peers.unirep_weights import save_unirep

pytest.importorskip("sklearn", reason="scikit-learn is an extra: deepseq-nb[classes]")

from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import FeatureUnion, make_pipeline, make_union
from sklearn.preprocessing import StandardScaler
from sklearn.utils import estimator_checks

from deepseq_nb.peers.transformers import FamilyScore, OneHot, Representation, texts_of

VARIANTS = ["A1G", "E4K", "A1G:E4K", "C2W"]
SEQUENCES = ["MAKW", "MARW", "MGKW", "MGKC"]


@pytest.fixture(scope="module")
def sites():
    rows = ["ACDEFGHI", "ACDEFGHI", "ACDKFGHI", "GCDEFGHL"]
    names = ["seq/1-8", "b", "c", "d"]
    return SiteIndependent.fit(Alignment.from_strings(rows, names=names))


class StepContract:
    """What scikit-learn asks of every step."""

    def make(self, sites):
        raise NotImplementedError

    rows = SEQUENCES

    def test_settings_are_kept_as_given_and_cloned(self, sites):
        step = self.make(sites)
        again = clone(step)
        assert again is not step and type(again) is type(step)
        assert {*again.get_params()} == {*step.get_params()}
        name = next(iter(step.get_params()))
        assert clone(step).set_params(**{name: "other"}).get_params()[name] == "other"

    def test_it_keeps_the_rules_that_can_be_checked_without_rows(self, sites):
        step = self.make(sites)
        estimator_checks.check_no_attributes_set_in_init(type(step).__name__, step)
        estimator_checks.check_estimator_cloneable(type(step).__name__, step)
        estimator_checks.check_valid_tag_types(type(step).__name__, step)
        estimator_checks.check_set_params(type(step).__name__, self.simple(step))

    def simple(self, step):
        return clone(step)

    def test_fit_gives_itself_back_and_leaves_its_settings(self, sites):
        step = self.make(sites)
        before = step.get_params()
        assert step.fit(self.rows, [1.0] * len(self.rows)) is step
        assert step.get_params() == before

    def test_columns_are_named(self, sites):
        step = self.make(sites).fit(self.rows)
        names = step.get_feature_names_out()
        assert names.dtype == object
        assert step.transform(self.rows).shape == (len(self.rows), len(names))

    def test_lists_arrays_series_and_tables_are_the_same_rows(self, sites):
        expected = dense(self.make(sites).fit_transform(self.rows))
        for rows in (
            np.array(self.rows),
            np.array(self.rows, object)[:, None],
            pd.Series(self.rows, index=range(5, 5 + len(self.rows))),
            pd.DataFrame({"any": self.rows}),
        ):
            assert np.array_equal(dense(self.make(sites).fit_transform(rows)), expected)

    def test_a_row_alone_is_as_among_others(self, sites):
        step = self.make(sites).fit(self.rows)
        whole = dense(step.transform(self.rows))
        alone = [dense(step.transform([row]))[0] for row in self.rows]
        assert np.array_equal(np.array(alone), whole)

    def test_it_takes_part_in_a_pipeline(self, sites):
        rows, y = self.rows * 5, np.arange(5.0 * len(self.rows)) % len(self.rows)
        line = make_pipeline(self.make(sites), RidgeCV())
        assert cross_val_predict(line, rows, y, cv=4).shape == y.shape


def dense(rows):
    return rows.toarray() if hasattr(rows, "toarray") else rows


class TestOneHot(StepContract):
    def make(self, sites):
        return OneHot(first_residue=7)

    def test_by_hand(self, sites):
        step = OneHot(first_residue=7).fit(SEQUENCES)
        assert [*step.get_feature_names_out()] == ["A8", "G8", "K9", "R9", "C10", "W10"]
        rows = step.transform(["MAKW", "MGRC"]).toarray()
        assert rows.tolist() == [[1, 0, 1, 0, 0, 1], [0, 1, 0, 1, 1, 0]]

    def test_a_letter_that_was_not_learnt_is_zeros(self, sites):
        step = OneHot().fit(SEQUENCES)
        assert step.transform(["WWWW"]).toarray().tolist() == [[0, 0, 0, 0, 0, 1]]

    def test_it_is_what_scikit_learn_makes_of_the_letters(self, sites):
        from sklearn.preprocessing import OneHotEncoder

        rng = np.random.default_rng(0)
        table = rng.choice(list("ACDEW"), size=(50, 9))
        table[:, 3] = "K"
        theirs = OneHotEncoder().fit_transform(table).toarray()
        theirs = np.delete(theirs, np.flatnonzero(theirs.all(0)), axis=1)
        ours = OneHot().fit_transform(["".join(row) for row in table])
        assert np.array_equal(ours.toarray(), theirs)

    def test_sequences_that_are_all_alike_have_no_column(self, sites):
        assert OneHot().fit_transform(["MA", "MA"]).shape == (2, 0)

    @pytest.mark.parametrize("rows", [["MAK", "MA"], ["MAK", "MAKW"]])
    def test_another_length_is_refused_with_its_row(self, rows, sites):
        with pytest.raises(VariantError, match=r"row 2: the sequence has \d letters, expected 3"):
            OneHot().fit(rows)
        with pytest.raises(VariantError, match="row 2"):
            OneHot().fit(rows[:1]).transform(rows)

    def test_before_fit_it_says_so(self, sites):
        with pytest.raises(NotFittedError):
            OneHot().transform(SEQUENCES)

    def test_no_rows_are_refused(self, sites):
        with pytest.raises(ConfigError, match="no rows"):
            OneHot().fit([])


class TestFamilyScore(StepContract):
    rows = VARIANTS

    def make(self, sites):
        return FamilyScore(sites)

    def simple(self, step):
        return FamilyScore("folder")

    def test_settings_are_kept_as_given_and_cloned(self, sites):
        again = clone(FamilyScore("folder", samples=3, rejected="nan"))
        assert again.get_params() == {
            "model": "folder", "samples": 3, "seed": 1, "offset": 0, "rejected": "nan",
        }  # fmt: skip

    def test_it_is_the_score_of_the_model(self, sites):
        found = FamilyScore(sites).fit_transform(self.rows)
        assert np.array_equal(found[:, 0], sites.score(self.rows).score)

    def test_whole_sequences_are_scored_as_the_variants_that_they_are(self, sites):
        whole = FamilyScore(sites).transform(["GCDEFGHI", "ACDKFGHI", "GCDKFGHI"])
        named = FamilyScore(sites).transform(["A1G", "E4K", "A1G:E4K"])
        assert np.array_equal(whole, named)

    def test_a_folder_is_read(self, sites, tmp_path):
        folder = sites.save(tmp_path / "sites")
        found = FamilyScore(folder).fit_transform(self.rows)
        assert np.allclose(found, FamilyScore(sites).transform(self.rows))

    def test_a_variant_without_a_score_is_refused_with_its_row(self, sites):
        with pytest.raises(VariantError, match=r"row 2: 'A99G' has no score: .*outside"):
            FamilyScore(sites).fit_transform(["A1G", "A99G"])

    def test_or_it_is_nan_on_request(self, sites):
        found = FamilyScore(sites, rejected="nan").fit_transform(["A1G", "A99G"])
        assert np.isnan(found[:, 0]).tolist() == [False, True]

    def test_another_word_for_what_is_rejected_is_refused(self, sites):
        with pytest.raises(ConfigError, match="rejected"):
            FamilyScore(sites, rejected="zero").fit(["A1G"])

    def test_an_offset_moves_the_numbers(self, sites):
        moved = FamilyScore(sites, offset=-10).transform(["A11G"])
        assert np.array_equal(moved, FamilyScore(sites).transform(["A1G"]))


class TestRepresentation(StepContract):
    rows = ("MAKW", "M", "MGKWWWRC", "MARW")

    def make(self, sites):
        return Representation(model=tiny_unirep(width=5))

    def simple(self, step):
        return Representation(64)

    def test_settings_are_kept_as_given_and_cloned(self, sites):
        again = clone(Representation(64, parts=("h_final",), unknown=True))
        assert again.get_params() == {
            "size": 64, "parts": ("h_final",), "model": None, "unknown": True, "device": "auto",
        }  # fmt: skip

    def test_parts_stand_side_by_side_in_the_order_asked_for(self, sites):
        model = tiny_unirep(width=5)
        h_avg, _, c_final = get_reps(self.rows, model=model)
        step = Representation(model=model, parts=("c_final", "h_avg")).fit(self.rows)
        assert np.array_equal(step.transform(self.rows), np.hstack([c_final, h_avg]))
        names = step.get_feature_names_out()
        assert (names[0], names[4], names[5], names[-1]) == (
            "c_final_0", "c_final_4", "h_avg_0", "h_avg_4",
        )  # fmt: skip

    def test_one_part_may_be_a_word(self, sites):
        step = Representation(model=tiny_unirep(width=5), parts="h_final")
        assert step.fit_transform(self.rows).shape == (4, 5)

    def test_a_folder_is_read(self, sites, tmp_path):
        model = tiny_unirep(width=5)
        step = Representation(model=save_unirep(model, tmp_path / "tiny"))
        expected = Representation(model=model).transform(self.rows)
        assert np.array_equal(step.fit_transform(self.rows), expected)
        assert len(step.get_feature_names_out()) == 5

    def test_the_size_of_published_models_is_the_number_of_columns(self, sites):
        assert len(Representation(64).get_feature_names_out()) == 64

    @pytest.mark.parametrize("parts", [("h_avg", "h_last"), "avg", ()])
    def test_unknown_or_no_parts_are_refused(self, parts, sites):
        with pytest.raises(ConfigError, match="parts"):
            Representation(model=tiny_unirep(width=5), parts=parts).fit(self.rows)

    def test_a_letter_that_is_none_is_refused_or_read_as_x(self, sites):
        with pytest.raises(ConfigError, match="sequence 2"):
            Representation(model=tiny_unirep(width=5)).transform(["MAK", "M4K"])
        read = Representation(model=tiny_unirep(width=5), unknown=True).transform(["M4K", "MXK"])
        assert np.array_equal(read[0], read[1])


def test_letters_and_a_trusted_score_stand_side_by_side(sites):
    rows = ["ACDEFGHI", "GCDEFGHI", "ACDKFGHI", "GCDKFGHI"]
    score = make_pipeline(FamilyScore(sites), StandardScaler())
    both = FeatureUnion(
        [("letters", OneHot()), ("score", score)], transformer_weights={"score": 100.0}
    )
    found = dense(both.fit_transform(rows))
    assert [*both.get_feature_names_out()] == [
        "letters__A1", "letters__G1", "letters__E4", "letters__K4", "score__family_score",
    ]  # fmt: skip
    assert np.array_equal(found[:, :4], OneHot().fit_transform(rows).toarray())
    assert found[:, 4].std() == pytest.approx(100.0)
    plain = make_union(OneHot(), FamilyScore(sites)).fit_transform(rows)
    assert plain.shape == (4, 5)


@pytest.mark.parametrize(
    ("rows", "found"),
    [
        ("MAK", "one text"),
        (np.array([["A", "B"]]), "2 columns"),
        (["MAK", 3], "row 2: found 3"),
        ([None], "row 1: found None"),
    ],
)
def test_what_is_no_list_of_texts_is_refused(rows, found):
    with pytest.raises(ConfigError, match=found):
        texts_of(rows)
