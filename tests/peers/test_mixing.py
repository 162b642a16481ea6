"""One function for models of any kind: what a folder holds, the mean of a kind, mixtures on one scale, and what is refused."""

import json

import numpy as np
import pandas as pd
import pytest

from deepseq_nb.core.errors import CheckpointError, ConfigError
from deepseq_nb.core.files import held
from deepseq_nb.family.alignment import Alignment
from deepseq_nb.peers.mixing import fit_simple, load_any, mixed, score
from deepseq_nb.peers.nearest import Nearest
from deepseq_nb.peers.potts import Potts
from deepseq_nb.peers.sites import SiteIndependent
from deepseq_nb.scores import scoring

COLUMNS = ["variant", "score", "std_error", "status", "reason", "occupancy"]
ROWS = ["ACG", "ACG", "AUG", "GUG", "G-G"]


@pytest.fixture(scope="module")
def rna():
    return Alignment.from_strings(ROWS, names=["seq/5-7", "b", "c", "d", "e"], alphabet="rna")


@pytest.fixture(scope="module")
def folders(rna, tmp_path_factory):
    place = tmp_path_factory.mktemp("simple")
    weights = np.ones(len(ROWS))
    for kind in ("sites", "pairs", "nearest"):
        fit_simple(rna, kind, place / kind, weights=weights)
    return place


KINDS = [("sites", SiteIndependent), ("pairs", Potts), ("nearest", Nearest)]


@pytest.mark.parametrize(("kind", "cls"), KINDS)
def test_a_folder_is_loaded_as_what_it_holds(folders, kind, cls):
    assert isinstance(load_any(folders / kind), cls)


@pytest.mark.parametrize("text", ["[" * 100_000, '{"kind":' * 5_000, "[1]", '{"kind": null}'])
def test_a_damaged_configuration_is_one_clear_error(folders, tmp_path, text):
    """Case 802 of benchmarks/faults.py."""
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(CheckpointError):
        load_any(tmp_path)


def test_the_nearest_relative_is_mixed_on_its_own_scale(folders):
    sites, nearest = (load_any(folders / kind).score().score for kind in ("sites", "nearest"))
    table = score([folders / "sites", folders / "nearest"], mix=(1, 1))
    expected = (sites / sites.std(ddof=0) + nearest / nearest.std(ddof=0)) / 2
    np.testing.assert_allclose(table.score, expected)


def test_a_run_is_loaded_as_a_run(tiny_run):
    assert load_any(tiny_run.path).steps == tiny_run.steps


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match="not a run folder"):
        load_any(tmp_path)


def test_fit_simple_has_the_frequencies_that_python_counts(rna, folders):
    direct = SiteIndependent.fit(rna, np.ones(len(ROWS)))
    loaded = load_any(folders / "sites")
    assert np.array_equal(loaded.log_frequencies, direct.log_frequencies)
    # column 5 (A A A G G), of A C G U
    order = [rna.alphabet.index(letter) for letter in "AG"]
    assert np.array(loaded.about["frequencies"])[0, order].tolist() == [0.6, 0.4]


def test_a_folder_in_which_another_process_works_is_refused(rna, tmp_path):
    with held(tmp_path / "m" / ".lock", tmp_path / "m"):
        with pytest.raises(ConfigError, match="another process"):
            fit_simple(rna, "sites", tmp_path / "m", overwrite=True)
    fit_simple(rna, "sites", tmp_path / "m")


def test_fit_simple_weighs_at_theta_and_keeps_it(rna):
    lines = []
    model = fit_simple(rna, "sites", theta=0.4, echo=lines.append)
    assert model.about["theta"] == 0.4 and model.about["neff"] < len(ROWS)
    assert lines[-1] == "sites: 12 frequencies"


def test_a_taken_folder_is_refused_before_the_fit_and_replaced_when_asked(rna, tmp_path):
    fit_simple(rna, "sites", tmp_path / "m")
    with pytest.raises(ConfigError, match="already holds a SiteIndependent"):
        fit_simple(rna, "pairs", tmp_path / "m")
    fit_simple(rna, "pairs", tmp_path / "m", overwrite=True)
    assert isinstance(load_any(tmp_path / "m"), Potts)


def test_a_run_is_never_replaced_by_a_simple_model(rna, tmp_path):
    (tmp_path / "config.json").write_text('{"model": {}, "train": {}}')
    with pytest.raises(ConfigError, match="holds a run"):
        fit_simple(rna, "sites", tmp_path, overwrite=True)


def test_another_kind_is_refused_by_name(rna):
    with pytest.raises(ConfigError, match="trees"):
        fit_simple(rna, "trees")


def test_a_simple_model_has_the_usual_table_without_error(folders):
    table = score(folders / "sites", ["A5G", "A5C", "A99G"])
    assert list(table.columns) == COLUMNS
    assert table.status.tolist()[:2] == ["ok", "ok"] and np.isnan(table.score[2])
    # counts 2 and 3 of 5, pseudocount 1 over 4 letters: log(2.25 / 3.25); 0.25 / 3.25
    np.testing.assert_allclose(table.score[:2], np.log([2.25 / 3.25, 0.25 / 3.25]))
    assert table.std_error[:2].tolist() == [0, 0]


def test_files_and_offsets_are_understood_as_for_runs(folders, tmp_path):
    (tmp_path / "mine.csv").write_text("mutant\nA1G\n")
    table = score(folders / "pairs", tmp_path / "mine.csv", offset=4)
    assert table.score[0] == score(folders / "pairs", "A5G").score[0] != 0


def test_runs_score_as_in_the_room_of_scores_to_the_bit(tiny_run):
    ours = score(tiny_run, samples=4, device="cpu")
    assert ours.equals(scoring.score(tiny_run, samples=4, device="cpu"))


def test_two_models_of_a_kind_have_their_mean(folders, rna):
    other = SiteIndependent.fit(rna, pseudocount=3.0)
    one = load_any(folders / "sites")
    both = score([folders / "sites", other]).score
    np.testing.assert_allclose(both, (one.score().score + other.score().score) / 2)


def test_mixed_is_the_weighted_mean_of_scores_in_spreads_by_hand():
    rows = {"variant": ["A1C"], "status": ["ok"], "reason": [""], "occupancy": [1.0]}
    one = pd.DataFrame(rows | {"score": [-4.0], "std_error": [0.3]})
    two = pd.DataFrame(rows | {"score": [-10.0], "std_error": [2.0]})
    table = mixed([one, two], [2.0, 5.0], [3.0, 1.0])
    # (3 * -4 / 2 + 1 * -10 / 5) / 4, and the root of (3 * .3 / 2)^2 + (2 / 5)^2 over 4
    assert table.score[0] == pytest.approx(-2.0)
    assert table.std_error[0] == pytest.approx(np.hypot(0.45, 0.4) / 4)
    assert list(table.columns) == [*COLUMNS, "score_1", "score_2"]
    assert (table.score_1[0], table.score_2[0]) == (-4.0, -10.0)


def test_a_mixture_is_in_spreads_of_all_singles(folders):
    parts = [load_any(folders / kind).score().score for kind in ("pairs", "sites")]
    expected = sum(w * s / s.std(ddof=0) for w, s in zip((0.75, 0.25), parts, strict=True))
    table = score([folders / "pairs", folders / "sites"], mix=(3, 1))
    np.testing.assert_allclose(table.score, expected)


def test_a_mixed_score_does_not_depend_on_the_list_and_the_wild_type_is_zero(alignment, tiny_run):
    sites = SiteIndependent.fit(alignment)
    how = {"mix": (1, 2), "samples": 4, "device": "cpu"}
    whole = score([tiny_run, sites], **how).set_index("variant").score
    name = whole.index[7]
    few = score([tiny_run, sites], [name, f"{name[:-1]}{name[0]}"], **how)
    assert few.score.tolist() == [pytest.approx(whole[name], rel=1e-5), 0]


def test_two_runs_of_a_mixture_have_noise_of_their_own(tiny_run):
    table = score([tiny_run, tiny_run], mix=(1, 1), samples=8, device="cpu")
    assert not np.array_equal(table.score_1, table.score_2)


def test_a_list_within_the_list_is_one_part(folders, rna):
    other = SiteIndependent.fit(rna, pseudocount=3.0)
    nested = [[folders / "sites", other], folders / "pairs"]
    table = score(nested, mix=(1, 1))
    mean = score([folders / "sites", other])
    np.testing.assert_allclose(table.score_1, mean.score)


@pytest.mark.parametrize("mix", [(1,), (1, 1, 1), (0, 0), (-1, 2), (np.nan, 1)])
def test_shares_that_do_not_fit_are_refused(folders, mix):
    with pytest.raises(ConfigError, match="mix") as caught:
        score([folders / "sites", folders / "pairs"], mix=mix)
    assert caught.value.setting == "mix"


def test_kinds_without_shares_are_refused(folders):
    with pytest.raises(ConfigError, match="kinds pairs and sites"):
        score([folders / "sites", folders / "pairs"])


def test_models_of_two_families_are_refused(folders, tiny_run):
    with pytest.raises(ConfigError, match="not one protein"):
        score([folders / "sites", tiny_run], mix=(1, 1))
    with pytest.raises(ConfigError, match="they differ in"):
        score([folders / "sites", tiny_run])


def test_a_background_is_refused_for_a_simple_model(folders):
    with pytest.raises(ConfigError, match="background"):
        score(folders / "sites", background="proteome")


def test_a_model_without_any_spread_is_refused(rna):
    flat = SiteIndependent.fit(rna, np.ones(len(ROWS)))
    flat = SiteIndependent(
        log_frequencies=np.zeros_like(flat.log_frequencies),
        focus_map=rna.focus_map,
        pseudocount=1.0,
    )
    with pytest.raises(ConfigError, match="model 1 of the mixture"):
        score([flat, flat], mix=(1, 1))


def test_config_names_the_kind(folders):
    kinds = [
        json.loads((folders / k / "config.json").read_text())["kind"] for k in ("sites", "pairs")
    ]
    assert kinds == ["SiteIndependent", "Potts"]
