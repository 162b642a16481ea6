"""Designs: rules become changes, searches agree with what can be enumerated, no choice has seen the noise of the report; codons by hand."""

from itertools import combinations, pairwise, product

import numpy as np
import pandas as pd
import pytest

from deepseq_nb.core.errors import ConfigError
from deepseq_nb.family.alignment import Alignment
from deepseq_nb.scores.design import (
    DesignRules,
    Search,
    allowed_changes,
    beam_search,
    design,
    gibbs_search,
    search_designs,
)
from deepseq_nb.scores.libraries import degenerate_codon, encoded, library
from deepseq_nb.scores.scoring import score


@pytest.fixture(scope="module")
def focus_map():
    return Alignment.from_strings(["ACDEF", "ACD-F"], names=["toy/10-14", "b"]).focus_map


def names(rules: DesignRules, focus_map) -> list[str]:
    return [change.name for change in allowed_changes(rules, focus_map)]


def test_rules_allow_what_they_say(focus_map):
    assert len(names(DesignRules(), focus_map)) == 5 * 19
    assert names(DesignRules(positions=(11,), allow={11: "avc"}), focus_map) == ["C11A", "C11V"]
    left = names(DesignRules(fixed=(10, 12), forbid="cp"), focus_map)
    assert {name[1:3] for name in left} == {"11", "13", "14"}
    assert not {name[-1] for name in left} & {"C", "P"}


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        ({"positions": (11, 99)}, "residue 99 is not modelled"),
        ({"forbid": "J"}, "'J' is no letter"),
        ({"positions": (11,), "mutations": (2, 3)}, "leave 1 residues to change"),
    ],
)
def test_rules_that_cannot_be_followed_are_named(focus_map, rules, said):
    with pytest.raises(ConfigError, match=said):
        allowed_changes(DesignRules(**rules), focus_map)


@pytest.mark.parametrize("wrong", [{"mutations": (3, 2)}, {"distance": 0}, {"count": 0}])
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(ConfigError):
        DesignRules(**wrong)


def toy_judge(weights: dict[str, float], epistasis: float = 0.0):
    """A sum over changes, plus `epistasis` for each pair of neighbours, whatever the seed."""

    def judge(variants: list[str], seed: int) -> pd.DataFrame:
        totals = []
        for text in variants:
            parts = text.split(":")
            places = sorted(int(part[1:-1]) for part in parts)
            near = sum(b - a == 1 for a, b in pairwise(places))
            totals.append(sum(weights[part] for part in parts) + epistasis * near)
        return pd.DataFrame({"variant": variants, "score": totals, "std_error": 0.0})

    return judge


@pytest.fixture(scope="module")
def toy(focus_map):
    rules = DesignRules(mutations=(2, 3), allow={r: "GHIK" for r in range(10, 15)})
    changes = allowed_changes(rules, focus_map)
    rng = np.random.default_rng(3)
    return rules, changes, {change.name: float(rng.normal()) for change in changes}


@pytest.mark.parametrize("epistasis", [0.0, 0.4])
def test_the_beam_finds_what_trying_all_finds(toy, epistasis):
    rules, changes, weights = toy
    judge = toy_judge(weights, epistasis)
    groups = {}
    for change in changes:
        groups.setdefault(change.residue, []).append(change.name)
    every = [
        ":".join(parts)
        for size in (2, 3)
        for places in combinations(sorted(groups), size)
        for parts in product(*(groups[place] for place in places))
    ]
    truth = judge(every, 0).sort_values("score", ascending=False)
    found = search_designs(changes, judge, rules)
    assert found.variant.tolist() == truth.variant.tolist()[: rules.count]
    assert found.mutations.tolist() == [text.count(":") + 1 for text in found.variant]


@pytest.mark.parametrize("temperature", [0.7, 2.0])
def test_walks_end_at_designs_as_often_as_their_scores_say(toy, temperature):
    """The ends of 3,000 walks over all pairs, against the enumerated law exp(score / T)."""
    _, changes, weights = toy
    search = Search(changes, toy_judge(weights, 1.5), 1)
    places = [change.residue for change in changes]
    pairs = [(i, j) for i, j in combinations(range(len(changes)), 2) if places[i] != places[j]]
    scores = search.scores(pairs)
    share = np.exp(scores / temperature) / np.exp(scores / temperature).sum()
    mean, spread = (
        (share * scores).sum(),
        np.sqrt((share * (scores - (share * scores).sum()) ** 2).sum()),
    )
    rng = np.random.default_rng(1)
    ends = gibbs_search(search, (2, 2), rng, 250, 3000, temperature)
    assert abs(search.scores(ends).mean() - mean) < 4 * spread / np.sqrt(3000)
    near = [places[j] - places[i] == 1 for i, j in pairs]
    seen = np.mean([places[j] - places[i] == 1 for i, j in ends])
    assert abs(seen - share[near].sum()) < 4 * np.sqrt(0.25 / 3000)


@pytest.mark.parametrize("method", ["beam", "gibbs"])
def test_designs_differ_as_much_as_is_asked(toy, method):
    rules, changes, weights = toy
    apart = DesignRules(mutations=rules.mutations, allow=rules.allow, distance=3)
    found = search_designs(changes, toy_judge(weights), apart, method)
    assert len(found) > 1
    for a, b in combinations(found.variant, 2):
        one, other = ({p[:-1]: p[-1] for p in text.split(":")} for text in (a, b))
        assert sum(one.get(k) != other.get(k) for k in one | other) >= 3


def test_a_least_score_is_kept_and_may_leave_nothing(toy):
    _, changes, weights = toy
    judge = toy_judge(weights)
    some = DesignRules(mutations=(1, 2), min_score=1.0, count=1000)
    assert (search_designs(changes, judge, some).score >= 1.0).all()
    none = DesignRules(mutations=(1, 2), min_score=1e6)
    assert len(search_designs(changes, judge, none)) == 0


def test_the_report_has_noise_that_no_choice_has_seen_and_that_score_gives_again(tiny_run):
    rules = DesignRules(mutations=(1, 2), count=6)
    found = design(tiny_run, rules, samples=8, seed=5, device="cpu")
    again = score(tiny_run, found.variant.tolist(), samples=8, seed=5, device="cpu")
    np.testing.assert_array_equal(found.score, again.score)
    assert not np.allclose(found.score, found.search_score, atol=1e-3)
    same = design(tiny_run, rules, samples=8, seed=5, device="cpu")
    pd.testing.assert_frame_equal(found, same)


def test_a_beam_that_ran_out_of_residues_ends(toy):
    _, changes, weights = toy
    search = Search(changes, toy_judge(weights), 1)
    beam_search(search, 9)
    assert max(map(len, search.known)) == 5


# codons ----------------------------------------------------------------------------------------------------------------


def test_codons_stand_for_what_the_code_says():
    assert encoded("ATG") == "M" and encoded("TGG") == "W" and set(encoded("TRA")) == {"*"}
    nnk = encoded("NNK")
    assert len(nnk) == 32 and len(set(nnk) - {"*"}) == 20 and nnk.count("*") == 1
    with pytest.raises(ConfigError, match="is no codon"):
        encoded("NXK")


@pytest.mark.parametrize(
    ("letters", "made"), [("M", "M"), ("AV", "AV"), ("DE", "DE"), ("KR", "KR"), ("FILMV", "FILMV")]
)
def test_a_codon_encodes_what_is_wanted_and_no_more_where_that_is_possible(letters, made):
    one = degenerate_codon(letters)
    assert one.letters == made and one.extra == "" and one.stops == 0
    assert set(encoded(one.codon)) == set(letters)


def test_no_codon_wastes_less():
    wanted = set("ACW")
    one = degenerate_codon(wanted)
    waste = 1 - sum(letter in wanted for letter in encoded(one.codon)) / one.size
    for codon in map("".join, product("TCAGRYSWKMBDHVN", repeat=3)):
        made = encoded(codon)
        if wanted <= set(made):
            assert sum(letter not in wanted for letter in made) / len(made) >= waste - 1e-12


def test_a_library_holds_every_design_and_counts_products(focus_map):
    made = library(["A10G:C11D", "A10V", "WT"], focus_map)
    table = made.table.set_index("residue")
    assert table.loc[10, "letters"] == "AGV" and table.loc[11, "letters"] == "CD"
    assert made.sequences == table.codons.prod()
    assert made.whole == pytest.approx(np.prod(1 - table.stop_share))
    assert made.proteins == np.prod([len(text) for text in table.encoded])
    with pytest.raises(ConfigError, match="no design changes anything"):
        library(["WT"], focus_map)


def test_a_library_says_which_share_of_it_has_no_stop(focus_map):
    made = library(["C11E", "E13L", "C11E:E13L"], focus_map)
    table = made.table.set_index("residue")
    assert (table.loc[11, "codon"], table.loc[13, "codon"]) == ("KRK", "KWA")
    assert table.stop_share.tolist() == [1 / 8, 1 / 4]  # TAG among 8, TAA among 4
    assert made.whole == pytest.approx(7 / 8 * 3 / 4)
