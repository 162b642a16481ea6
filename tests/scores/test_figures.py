"""Figures: the matrix, the marks, the files, and a whole run folder."""

import json
import shutil
import xml.etree.ElementTree as ElementTree

import matplotlib
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch

from deepseq_nb.core.errors import EvaluationError, FigureError, printable
from deepseq_nb.family.focus import ALPHABETS, FocusMap
from deepseq_nb.family.weights import letter_counts
from deepseq_nb.scores import figures, heatmap, logo, matching
from deepseq_nb.scores.curves import plot_correlation, plot_history
from deepseq_nb.scores.figures import plot_run
from deepseq_nb.scores.heatmap import (
    AMINO_ACID_ORDER,
    letter_order,
    plot_heatmap,
    plot_heatmap_pair,
    robust_limit,
    singles_matrix,
)
from deepseq_nb.scores.logo import information_content, plot_logo
from deepseq_nb.scores.style import save_figure, style

SVG = "{http://www.w3.org/2000/svg}"


def make_map(
    sequence: str = "MKTAYIAK",
    start: int = 5,
    uncovered: tuple[int, ...] = (),
    alphabet: str = "protein",
):
    residues = tuple(start + i for i in range(len(sequence)) if start + i not in uncovered)
    return FocusMap(
        name="TOY/5-12", sequence="".join(sequence[r - start] for r in residues), residues=residues,
        alphabet=ALPHABETS[alphabet], occupancy=(1.0,) * len(residues), full_sequence=sequence, start=start,
    )  # fmt: skip


def all_singles_table(focus_map: FocusMap, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    names = [
        f"{wild}{residue}{letter}"
        for wild, residue in zip(focus_map.sequence, focus_map.residues, strict=True)
        for letter in focus_map.alphabet
        if letter != wild
    ]
    return pd.DataFrame({"variant": names, "score": rng.normal(-3, 2, len(names))})


@pytest.fixture
def toy_map():
    return make_map(uncovered=(7, 8))


@pytest.fixture
def toy_table(toy_map):
    return all_singles_table(toy_map)


def texts_of(fig: Figure) -> set[str]:
    found = {text.get_text() for text in fig.findobj(matplotlib.text.Text)}
    return {text for text in found if text}


# the matrix -----------------------------------------------------------------------------------------------------------


def test_letters_come_in_the_order_of_the_field():
    assert letter_order(ALPHABETS["protein"]) == "DEKRHNQSTPGAVILMCFYW" == AMINO_ACID_ORDER
    assert letter_order("ACGU") == "ACGU"
    assert letter_order("012") == "012"


def test_matrix_puts_each_single_at_its_letter_and_residue(toy_map):
    table = pd.DataFrame({"variant": ["M5A", "p.Lys6Trp"], "score": [-1.5, 2.0]})
    matrix = singles_matrix(table, toy_map)
    assert matrix.loc["A", 5] == -1.5 and matrix.loc["W", 6] == 2.0
    assert matrix.notna().sum().sum() == 2


def test_matrix_spans_the_whole_focus_sequence_in_reordered_letters(toy_map, toy_table):
    matrix = singles_matrix(toy_table, toy_map)
    assert list(matrix.index) == list(AMINO_ACID_ORDER)
    assert list(matrix.columns) == list(range(5, 13))
    assert matrix[[7, 8]].isna().all().all()


def test_matrix_leaves_out_what_has_no_place_in_it(toy_map):
    rows = ["M5A:K6R", "A5M", "M99A", "junk", "M5-", "K6R", "WT", ""]
    matrix = singles_matrix(
        pd.DataFrame({"variant": rows, "score": [1.0] * 5 + [np.nan] + [1.0] * 2}), toy_map
    )
    assert matrix.isna().all().all()


def test_matrix_takes_the_mean_of_repeated_rows(toy_map):
    matrix = singles_matrix(pd.DataFrame({"variant": ["M5A", "M5A"], "score": [1.0, 2.0]}), toy_map)
    assert matrix.loc["A", 5] == 1.5


def test_synonymous_row_fills_the_wild_type_cell(toy_map):
    assert (
        singles_matrix(pd.DataFrame({"variant": ["M5M"], "score": [0.0]}), toy_map).loc["M", 5]
        == 0.0
    )


def test_missing_column_is_named(toy_map, toy_table):
    with pytest.raises(FigureError, match="no column 'fitness'; it has variant, score"):
        singles_matrix(toy_table, toy_map, "fitness")


def test_nucleotides_keep_their_order():
    rna = make_map("ACGUACGU", alphabet="rna")
    matrix = singles_matrix(all_singles_table(rna), rna)
    assert list(matrix.index) == list("ACGU") and matrix.notna().sum().sum() == 24


# the heat map ---------------------------------------------------------------------------------------------------------


def images_of(fig: Figure) -> list:
    return [image for ax in fig.axes for image in ax.images]


def test_colour_scale_is_centred_at_zero(toy_map, toy_table):
    for image in images_of(plot_heatmap(toy_table, toy_map)):
        assert image.norm.vmin == -image.norm.vmax < 0


def test_colour_scale_follows_the_given_centre(toy_map, toy_table):
    norm = images_of(plot_heatmap(toy_table, toy_map, center=2.0))[0].norm
    assert (norm.vmin + norm.vmax) / 2 == pytest.approx(2.0)


def test_one_absurd_value_does_not_set_the_limits():
    values = np.append(np.linspace(-1, 1, 999), 1e6)
    assert robust_limit(values) < 1.01


@given(arrays(float, st.integers(0, 30), elements=st.floats(-1e6, 1e6) | st.just(np.nan)))
def test_robust_limit_is_positive_and_finite(values):
    limit = robust_limit(values)
    assert np.isfinite(limit) and limit > 0


def test_wild_type_has_one_dot_per_modelled_residue(toy_map, toy_table):
    block = plot_heatmap(toy_table, toy_map).axes[0]
    dots = block.collections[0].get_offsets()
    expected = [
        (r - 5, AMINO_ACID_ORDER.index(w))
        for r, w in zip(toy_map.residues, toy_map.sequence, strict=True)
    ]
    assert sorted(map(tuple, np.asarray(dots).tolist())) == sorted(expected)


def hatched(ax) -> list[tuple[float, float]]:
    return [
        (p.get_x(), p.get_width()) for p in ax.patches if getattr(p, "get_hatch", lambda: None)()
    ]


def test_uncovered_residues_are_hatched(toy_map, toy_table):
    assert hatched(plot_heatmap(toy_table, toy_map).axes[0]) == [(1.5, 2)]


def test_nothing_is_hatched_where_all_is_modelled():
    whole = make_map()
    fig = plot_heatmap(all_singles_table(whole), whole)
    assert hatched(fig.axes[0]) == [] and "not modelled" not in texts_of(fig)


def test_axis_carries_residue_numbers():
    long = make_map("MKTAYIAKQR" * 4, start=24)
    labels = [
        tick.get_text()
        for tick in plot_heatmap(all_singles_table(long), long).axes[0].get_xticklabels()
    ]
    assert labels == ["24", "30", "40", "50", "60"]


def test_four_hundred_residues_take_four_rows_of_readable_cells():
    protein = make_map("MKTAYIAKQR" * 40, start=1)
    fig = plot_heatmap(all_singles_table(protein), protein)
    blocks = [ax for ax in fig.axes if len(ax.images) == 2]
    assert len(blocks) == 4
    width = blocks[0].get_position().width * fig.get_figwidth() / 100
    assert width > 0.09  # inches a cell, about 6.5 points


@pytest.mark.parametrize("length", [1, 7, 99, 100, 101, 253, 286, 393, 1000])
def test_rows_cover_every_residue_once(length):
    rows = heatmap.wrap_residues(length, 100)
    assert [i for row in rows for i in range(row.start, row.stop)] == list(range(length))
    assert max(row.stop - row.start for row in rows) <= 100


def test_empty_heat_map_is_refused(toy_map):
    with pytest.raises(FigureError, match="no single substitution of TOY/5-12 has a number"):
        plot_heatmap(pd.DataFrame({"variant": ["M5A:K6R"], "score": [1.0]}), toy_map)


def test_pair_gives_each_table_its_own_scale(toy_map, toy_table):
    fig = plot_heatmap_pair(toy_table.assign(assay=100 * toy_table.score), toy_table, toy_map)
    first, second = (ax.images[0].norm.vmax for ax in fig.axes if len(ax.images) == 2)
    assert first == pytest.approx(100 * second)
    assert {"measured", "predicted"} <= texts_of(fig)


# the logo -------------------------------------------------------------------------------------------------------------


def test_counts_are_weighted_and_leave_gaps_out():
    tokens = np.array([[0, 1], [0, 4], [2, 4]], dtype=np.uint8)
    counts = letter_counts(tokens, np.array([1.0, 0.5, 0.25]), 4)
    assert counts.tolist() == [[1.5, 0, 0.25, 0], [0, 1.0, 0, 0]]


def test_information_of_known_columns():
    frequencies = np.array([[1.0, 0, 0, 0], [0.25] * 4, [0.5, 0.5, 0, 0]])
    assert information_content(frequencies) == pytest.approx([2.0, 0.0, 1.0])


@given(arrays(float, (3, 20), elements=st.floats(0.001, 1)))
def test_information_lies_between_zero_and_log2_of_the_alphabet(counts):
    bits = information_content(counts / counts.sum(axis=1, keepdims=True))
    assert (bits > -1e-9).all() and (bits <= np.log2(20)).all()


def test_stack_is_as_high_as_its_information():
    frequencies = np.array([[0.7, 0.2, 0.1, 0.0]])
    outlines = logo._logo_outlines(frequencies, np.ones(1), "ACGU")
    top = max(path.vertices[:, 1].max() for paths in outlines.values() for path in paths)
    assert top == pytest.approx(information_content(frequencies)[0])
    assert outlines["U"] == []


def test_logo_of_uncovered_residues_is_hatched(toy_map):
    rng = np.random.default_rng(0)
    fig = plot_logo(rng.dirichlet(np.ones(20), 6), toy_map)
    assert hatched(fig.axes[0]) == [(1.5, 2)]


def test_a_logo_has_a_patch_for_each_group_of_letters_as_high_as_its_column(toy_map):
    shares = np.zeros((6, 20))
    shares[range(6), [toy_map.alphabet.index(x) for x in "DDKWWA"]] = 1
    axes = plot_logo(shares, toy_map).axes[0]
    letters = [patch for patch in axes.get_children() if isinstance(patch, PathPatch)]
    assert len(letters) == 4  # acidic, basic, aromatic, aliphatic
    tops = [patch.get_path().vertices[:, 1].max() for patch in letters]
    assert tops == pytest.approx([np.log2(20)] * 4)
    assert axes.get_ylim() == (0, np.ceil(2 * np.log2(20)) / 2)


def test_logo_refuses_frequencies_of_another_family(toy_map):
    with pytest.raises(
        FigureError, match=r"frequencies have shape \(5, 20\), the focus map needs \(6, 20\)"
    ):
        plot_logo(np.full((5, 20), 0.05), toy_map)


# training curves and correlation --------------------------------------------------------------------------------------


def make_history(rows: int) -> pd.DataFrame:
    steps = np.arange(1, rows + 1)
    return pd.DataFrame({
        "step": steps, "loss": 100.0 / steps, "reconstruction": -90.0 / steps, "kl_latent": 5.0 + 0.0 * steps,
        "kl_weights": 5.0 + 0.0 * steps, "warm_up": np.minimum(steps / 3, 1.0),
    })  # fmt: skip


@pytest.mark.parametrize("rows", [1, 2, 30, 500])
def test_history_of_any_length_has_four_panels(rows):
    fig = plot_history(make_history(rows))
    assert [ax.get_title(loc="left") for ax in fig.axes] == [
        "Loss", "Reconstruction error", "Latent KL", "Weight KL / Neff",
    ]  # fmt: skip


def test_the_ranking_has_a_panel_of_its_own_below_the_four_and_none_lies_on_another():
    ranking = pd.DataFrame(
        {"step": [10, 20, 30], "since": [0, 10, 20], "moved": [np.nan, 0.2, 0.001]}
    )
    fig = plot_history(make_history(30), ranking=ranking)
    assert len(fig.axes) == 5 and fig.axes[-1].get_ylabel() == "1 \u2212 Spearman"
    boxes = [ax.get_position() for ax in fig.axes]
    assert all(min(box.min) >= 0 and max(box.max) <= 1 and box.height > 0.1 for box in boxes)
    assert boxes[-1].y1 < min(box.y0 for box in boxes[:4])
    apart = [
        a.x1 <= b.x0 or b.x1 <= a.x0 or a.y1 <= b.y0 or b.y1 <= a.y0
        for number, a in enumerate(boxes)
        for b in boxes[:number]
    ]
    assert all(apart)


def test_history_with_a_nan_is_still_drawn():
    history = make_history(100)
    history.loc[99, ["loss", "reconstruction"]] = np.nan
    assert len(plot_history(history).axes) == 4


def test_history_without_rows_or_columns_is_refused():
    with pytest.raises(FigureError, match="no rows"):
        plot_history(make_history(3).iloc[:0])
    with pytest.raises(FigureError, match="no column kl_latent"):
        plot_history(make_history(3).drop(columns="kl_latent"))


def test_correlation_prints_spearman_with_its_interval(toy_table):
    assay = toy_table.assign(activity=2.0 * toy_table.score + 1.0)[["variant", "activity"]]
    fig = plot_correlation(toy_table, assay, "activity", bootstrap=20)
    (line,) = [text for text in texts_of(fig) if text.startswith("Spearman")]
    assert line == f"Spearman 1.000 (1.000 to 1.000), n = {len(toy_table)}"


def test_correlation_matches_spellings(toy_table):
    assay = pd.DataFrame(
        {"variant": ["p.Met5Ala", "M5C", "M5D", "M5E"], "activity": [1.0, 2.0, 3.0, 4.0]}
    )
    assert "n = 4" in " ".join(
        texts_of(plot_correlation(toy_table, assay, "activity", bootstrap=20))
    )


def test_correlation_of_too_few_variants_is_refused(toy_table):
    assay = pd.DataFrame({"variant": ["M5A", "Q99A"], "activity": [1.0, 2.0]})
    with pytest.raises(EvaluationError, match="found 1 variants that are both scored"):
        plot_correlation(toy_table, assay, "activity")


def test_median_of_the_assay_runs_along_the_score(toy_table):
    assay = toy_table.assign(activity=100 + toy_table.score)[["variant", "activity"]]
    ax = plot_correlation(toy_table, assay, "activity", bootstrap=20).axes[0]
    (line,) = ax.lines
    x, y = line.get_data()
    assert len(x) > 5 and (np.diff(x) > 0).all()
    assert x.min() >= toy_table.score.min() and x.max() <= toy_table.score.max()
    np.testing.assert_allclose(y, 100 + np.asarray(x))


def test_an_assay_in_which_lower_is_fitter_is_drawn_upside_down(toy_table):
    assay = toy_table.assign(damage=-toy_table.score)[["variant", "damage"]]
    fig = plot_correlation(toy_table, assay, "damage", higher_is_fitter=False, bootstrap=20)
    assert fig.axes[0].yaxis_inverted()
    np.testing.assert_allclose(fig.axes[0].lines[0].get_ydata(), -fig.axes[0].lines[0].get_xdata())
    assert any(text.startswith("Spearman 1.000") for text in texts_of(fig))


def test_labels_are_two_histograms_with_an_auc(toy_table):
    label = np.where(toy_table.score > toy_table.score.median(), "benign", "pathogenic")
    fig = plot_correlation(toy_table, toy_table.assign(label=label), "label", bootstrap=20)
    texts = texts_of(fig)
    assert any(text.startswith("AUC 1.000") for text in texts)
    assert {f"fit ({(label == 'benign').sum()})", f"damaged ({(label != 'benign').sum()})"} <= texts


# style and files ------------------------------------------------------------------------------------------------------


def test_style_leaves_matplotlib_as_it_was():
    before = dict(matplotlib.rcParams)
    with style():
        assert matplotlib.rcParams["svg.fonttype"] == "none"
    assert dict(matplotlib.rcParams) == before


def test_figures_stay_out_of_pyplot(toy_map, toy_table):
    from matplotlib import pyplot

    before = pyplot.get_fignums()
    plot_heatmap(toy_table, toy_map)
    assert pyplot.get_fignums() == before


def test_saved_files_are_the_same_bytes_twice(toy_map, toy_table, tmp_path):
    for name in ("a", "b"):
        save_figure(plot_heatmap(toy_table, toy_map), tmp_path / name)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_svg_keeps_text_as_text_and_has_no_date(toy_map, toy_table, tmp_path):
    (path,) = save_figure(
        plot_heatmap(toy_table, toy_map, title="Heat"), tmp_path / "heat", ("svg",)
    )
    texts = [element.text for element in ElementTree.parse(path).iter(f"{SVG}text")]
    assert "Heat" in texts and "wild type" in texts
    assert b"dc:date" not in path.read_bytes()


def test_files_are_not_overwritten_silently(toy_table, toy_map, tmp_path):
    fig = plot_heatmap(toy_table, toy_map)
    save_figure(fig, tmp_path / "heat", ("png",))
    with pytest.raises(FileExistsError):
        save_figure(fig, tmp_path / "heat", ("png",))
    assert save_figure(fig, tmp_path / "heat", ("png",), overwrite=True) == [tmp_path / "heat.png"]


def test_unknown_format_is_named(toy_table, toy_map, tmp_path):
    with pytest.raises(FigureError, match="unknown figure format 'bmp'"):
        save_figure(plot_heatmap(toy_table, toy_map), tmp_path / "heat", ("bmp",))


# a run folder ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def run_dir(tmp_path, toy_map, toy_table):
    run = tmp_path / "run"
    run.mkdir()
    make_history(30).to_csv(run / "history.csv", index=False)
    frequencies = np.random.default_rng(0).dirichlet(np.ones(20), 6) * 0.9  # a gap takes the rest
    record = {"focus_map": toy_map.to_json(), "frequencies": frequencies.tolist()}
    (run / "alignment.json").write_text(json.dumps(record))
    toy_table.assign(std_error=0.1, status="ok", reason="").to_csv(run / "scores.csv", index=False)
    return run


def test_plot_run_writes_every_picture_and_the_matrix(run_dir, toy_table, tmp_path):
    toy_table.rename(columns={"variant": "mutant", "score": "activity"}).to_csv(
        tmp_path / "assay.csv", index=False
    )
    lines: list[str] = []
    paths = plot_run(run_dir, assay=tmp_path / "assay.csv", column="activity", say=lines.append)
    assert lines == []
    assert {path.name for path in paths} == {
        f"{stem}.{suffix}"
        for stem in ("history", "logo", "heatmap", "correlation", "heatmap_pair")
        for suffix in ("svg", "png")
    } | {"heatmap.csv"}
    assert all(path.parent == run_dir / "figures" and path.stat().st_size > 0 for path in paths)


def test_the_logo_is_of_shares_among_the_letters_that_are_there(run_dir, monkeypatch):
    drawn = []
    draw = figures.plot_logo
    monkeypatch.setattr(
        figures,
        "plot_logo",
        lambda shares, *rest, **how: drawn.append(shares) or draw(shares, *rest, **how),
    )
    plot_run(run_dir, formats=("svg",))
    assert drawn[0].sum(axis=1) == pytest.approx(np.ones(6))  # stored with 0.1 for gaps


def test_the_pair_of_heat_maps_says_what_each_shows_and_where_white_is(
    run_dir, toy_table, tmp_path
):
    wild = pd.DataFrame({"variant": ["WT"], "score": [0.25]})
    assay = pd.concat([toy_table, wild]).rename(columns={"score": "activity"})
    assay.to_csv(tmp_path / "assay.csv", index=False)
    plot_run(run_dir, assay=tmp_path / "assay.csv", column="activity", formats=("svg",))
    drawn = (run_dir / "figures" / "heatmap_pair.svg").read_text()
    assert ">activity (white: 0.25)</text>" in drawn and ">score (nats)</text>" in drawn


def test_matrix_beside_the_heat_map_reads_back(run_dir, toy_map, toy_table):
    plot_run(run_dir, formats=("svg",))
    matrix = pd.read_csv(run_dir / "figures" / "heatmap.csv", index_col=0)
    expected = singles_matrix(toy_table, toy_map)
    np.testing.assert_allclose(matrix.to_numpy(), expected.to_numpy())
    assert list(matrix.index) == list(AMINO_ACID_ORDER) and list(matrix.columns) == [
        str(r) for r in range(5, 13)
    ]


def test_missing_ingredients_are_said_in_one_line_each(run_dir):
    (run_dir / "history.csv").unlink()
    (run_dir / "scores.csv").unlink()
    lines: list[str] = []
    paths = plot_run(run_dir, formats=("png",), say=lines.append)
    assert [path.name for path in paths] == ["logo.png"]
    assert len(lines) == 2 and "no training curves" in lines[0] and "--all-singles" in lines[1]


@pytest.mark.parametrize(
    ("kind", "column", "label"),
    [
        ("Potts", "occupancy", "score (nats)"),
        ("Nearest", "occupancy", "score"),
        ("Potts", "score_1", "score (standard deviations of a single)"),
    ],
)
def test_simple_models_lack_no_training_and_scores_have_their_unit(run_dir, kind, column, label):
    (run_dir / "history.csv").unlink()
    (run_dir / "config.json").write_text(json.dumps({"kind": kind}))
    table = pd.read_csv(run_dir / "scores.csv").assign(**{column: 1.0})
    table.to_csv(run_dir / "scores.csv", index=False)
    lines: list[str] = []
    plot_run(run_dir, formats=("svg",), say=lines.append)
    assert lines == []
    drawn = (run_dir / "figures" / "heatmap.svg").read_text()
    assert f">{label}</text>" in drawn


def test_empty_run_folder_is_refused_after_saying_what_is_missing(tmp_path):
    lines: list[str] = []
    with pytest.raises(FigureError, match="nothing to draw"):
        plot_run(tmp_path, out=tmp_path / "out", say=lines.append)
    assert len(lines) == 3 and not (tmp_path / "out").exists()


def labelled(run_dir, tmp_path):
    """An assay with 1 for the worse half, and the same in words."""
    table = pd.read_csv(run_dir / "scores.csv")
    bad = table.score < table.score.median()
    words = np.where(bad, "pathogenic", "benign")
    table.assign(sick=bad.astype(int), word=words).drop(columns="score").to_csv(
        tmp_path / "labels.csv", index=False
    )
    return tmp_path / "labels.csv"


def test_labels_of_ones_for_damage_are_not_painted_as_better(run_dir, tmp_path):
    lines: list[str] = []
    how = {"assay": labelled(run_dir, tmp_path), "column": "sick", "formats": ("svg",)}
    paths = plot_run(run_dir, say=lines.append, **how)
    assert "heatmap_pair.svg" not in {path.name for path in paths}
    assert any("say that lower is fitter (--lower-is-fitter" in line for line in lines)
    paths = plot_run(run_dir, say=lines.append, higher_is_fitter=False, overwrite=True, **how)
    assert "heatmap_pair.svg" in {path.name for path in paths}


def test_labels_in_words_are_drawn_with_fit_as_better(run_dir, tmp_path, monkeypatch):
    drawn = []
    draw = figures.plot_heatmap_pair
    monkeypatch.setattr(
        figures,
        "plot_heatmap_pair",
        lambda *given, **how: drawn.append((given, how)) or draw(*given, **how),
    )
    lines: list[str] = []
    plot_run(run_dir, assay=labelled(run_dir, tmp_path), column="word", say=lines.append)
    ((table, scores, _), how) = drawn[0]
    both = table.merge(scores, on="variant")
    assert set(table.word) == {0.0, 1.0} and how["centers"] == (0.5, 0.0)
    assert np.corrcoef(both.word, both.score)[0, 1] > 0.5
    assert any("say which is fitter" in line for line in lines)


def test_a_folder_of_runs_has_a_history_for_each_and_the_heat_map_of_their_mean(run_dir, tmp_path):
    several = tmp_path / "several"
    for seed in (1, 2):
        shutil.copytree(run_dir, several / f"seed{seed}")
        (several / f"seed{seed}" / "config.json").write_text("{}")
        (several / f"seed{seed}" / "scores.csv").unlink()
    lines: list[str] = []
    names = {path.name for path in plot_run(several, formats=("svg",), say=lines.append)}
    assert names == {"history.svg", "history_seed2.svg", "logo.svg"}
    assert any(f"deepseq score {several} --all-singles" in line for line in lines)
    shutil.copy(run_dir / "scores.csv", several)
    written = plot_run(several, formats=("svg",), say=lines.append, overwrite=True)
    assert "heatmap.svg" in {path.name for path in written}


def test_an_assay_is_read_once_and_named_in_what_is_said_of_it(
    run_dir, toy_table, tmp_path, monkeypatch
):
    file, lines, reads = tmp_path / "assay.csv", [], []
    toy_table.rename(columns={"score": "activity"}).to_csv(file, index=False)
    read = matching.read_assay
    monkeypatch.setattr(matching, "read_assay", lambda *a: reads.append(a[0]) or read(*a))
    for column in ("activity", "nothing"):
        plot_run(run_dir, tmp_path / column, None, file, column, ("svg",), say=lines.append)
    assert [path for path in reads if path == file] == [file, file]
    assert f"no plot of score against assay: {file}: no column 'nothing'" in lines[-1]


def test_assay_without_its_column_is_said(run_dir, toy_table, tmp_path):
    toy_table.rename(columns={"score": "activity"}).to_csv(tmp_path / "assay.csv", index=False)
    lines: list[str] = []
    names = [
        p.name
        for p in plot_run(run_dir, assay=tmp_path / "assay.csv", formats=("png",), say=lines.append)
    ]
    assert "correlation.png" not in names
    assert lines == ["no plot of score against assay: --column is needed; the columns are activity"]


def test_second_run_is_refused_unless_overwrite(run_dir):
    plot_run(run_dir, formats=("png",))
    with pytest.raises(FileExistsError, match="--overwrite"):
        plot_run(run_dir, formats=("png",))
    assert len(plot_run(run_dir, formats=("png",), overwrite=True)) == 4


def test_scores_that_are_asked_for_must_exist(run_dir, tmp_path):
    with pytest.raises(FigureError, match="no such file"):
        plot_run(run_dir, scores=tmp_path / "other.csv")
    with pytest.raises(FigureError, match="no such run folder"):
        plot_run(tmp_path / "nowhere")


def test_broken_alignment_record_is_one_clear_error(run_dir):
    whole = json.loads((run_dir / "alignment.json").read_text())
    (run_dir / "alignment.json").write_text("{")
    with pytest.raises(FigureError, match=r"alignment.json cannot be read"):
        plot_run(run_dir)
    for name, value in (("frequencies", [[0.5], [0.2, 0.3]]), ("focus_map", 7)):
        (run_dir / "alignment.json").write_text(json.dumps(whole | {name: value}))
        with pytest.raises(FigureError, match="not as `deepseq train` writes it"):
            plot_run(run_dir)


def test_table_without_a_score_column_is_one_clear_error(run_dir):
    (run_dir / "scores.csv").write_text("variant,elbo\nM5A,1\n")
    with pytest.raises(EvaluationError, match="no column 'score'"):
        plot_run(run_dir)


@settings(max_examples=5, deadline=None)
@given(st.text(alphabet=ALPHABETS["protein"], min_size=1, max_size=130), st.integers(-5, 900))
def test_any_protein_can_be_drawn(sequence, start):
    focus_map = make_map(sequence, start=start)
    assert plot_heatmap(all_singles_table(focus_map), focus_map).axes


HOSTILE = [
    r"$\frac{1}{$",
    "$x^2$ and more",
    "\x1b[2J\x07",
    "\ufffe\u202e",
    "<script>alert(1)</script>&]]>",
    "L" * 100_000,
    "=1+1",
]


@pytest.mark.parametrize("name", HOSTILE, ids=lambda name: repr(name[:12]))
def test_a_hostile_name_is_drawn_as_text_in_well_formed_files(toy_map, toy_table, tmp_path, name):
    measured = toy_table.rename(columns={"score": name})
    shares = np.full((len(toy_map.residues), 20), 1 / 20)
    drawn = [
        plot_heatmap(toy_table, toy_map, title=name, label=name),
        plot_heatmap_pair(measured, toy_table, toy_map, columns=(name, "score"), names=(name, "b")),
        plot_logo(shares, toy_map, title=name),
        plot_history(make_history(5), title=name),
        plot_correlation(toy_table, measured, name, title=name, bootstrap=20),
    ]
    for number, figure in enumerate(drawn):
        svg, _ = save_figure(figure, tmp_path / str(number))
        drawn_texts = ElementTree.fromstring(svg.read_bytes()).iter(f"{SVG}text")
        texts = ["".join(element.itertext()) for element in drawn_texts]
        assert any(printable(name, 60) in text for text in texts), texts
