"""Places of sequences: the same whichever way they come, their bounds against scores, and annotated data."""

import sys

import numpy as np
import pandas as pd
import pytest
import torch

from deepseq_nb.core.errors import AlignmentError, ConfigError
from deepseq_nb.model.scorer import elbos
from deepseq_nb.scores.embedding import (
    as_anndata,
    embedding_table,
    places,
    plot_places,
    read_sequences,
    used_dimensions,
)
from deepseq_nb.scores.scoring import embed, score

FOCUS = "MKVLAAGIVGLEDR"  # residues 11 to 24; 13 and 14 are not modelled


def test_the_table_has_the_means_and_widths_of_the_encoder(tiny_run, alignment):
    table = embedding_table(tiny_run)
    assert table.name.tolist() == list(alignment.names) and table.identity[0] == 1
    means, logs = tiny_run.model.encoder(torch.from_numpy(alignment.tokens))
    assert np.allclose(table.filter(regex="^z"), means.detach(), atol=1e-6)
    assert np.allclose(table.filter(regex="^sd"), logs.exp().detach(), atol=1e-6)
    assert np.allclose(table.filter(regex="^z"), embed(tiny_run, alignment))


def test_the_difference_of_two_bounds_is_the_score(tiny_run, alignment):
    wild = alignment.tokens[0]
    variant = wild.copy()
    variant[2] = alignment.alphabet.index("W")  # column 2 is residue 15
    means, errors = elbos(tiny_run.model, np.stack([wild, variant]), samples=7, seed=3)
    how = {"estimator": "plain", "background": "none", "progress": False, "device": "cpu"}
    told = score(tiny_run, ["A15W"], 7, 3, **how).score[0]
    assert means[1] - means[0] == pytest.approx(told, abs=1e-4)
    assert (errors > 0).all()


def test_bounds_do_not_depend_on_how_many_are_asked(tiny_run, alignment):
    means, errors = elbos(tiny_run.model, alignment.tokens, samples=3)
    alone = elbos(tiny_run.model, alignment.tokens[5:6], samples=3)
    assert means[5] == alone[0][0] and errors[5] == alone[1][0]


def test_one_sample_has_no_error_and_none_is_refused(tiny_run, alignment):
    assert np.isnan(elbos(tiny_run.model, alignment.tokens[:2], samples=1)[1]).all()
    with pytest.raises(ConfigError, match="samples is 0"):
        elbos(tiny_run.model, alignment.tokens[:2], samples=0)


# sequences without a focus


def test_columns_and_whole_sequences_have_one_place(tiny_run, tmp_path):
    path = tmp_path / "new.fasta"
    # the third residue is not modelled, so it may be anything; '.' is a gap
    path.write_text(
        f">columns\nMKAAGIVGLED.\n>whole\n{FOCUS[:2]}XXAAGIVGLED-\n>lower\nmkvlaagivgledr\n"
    )
    names, tokens = read_sequences(tiny_run, path)
    assert names == ("columns", "whole", "lower")
    assert (tokens[0] == tokens[1]).all() and tokens[0, -1] == 20
    table = places(tiny_run, tokens, names)
    assert table.identity.tolist() == pytest.approx([11 / 12, 11 / 12, 1], abs=1e-4)
    assert table.z1[2] == pytest.approx(embedding_table(tiny_run).z1[0], abs=1e-6)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (">odd\nMKV\n", r"record 1 'odd' \(line 1\) has 3 letters, expected 12"),
        (">odd\nMKAAGIVGLEDX\n", "sequence 1 has 'X'"),
        (">a\nMKAAGIVGLEDR\n>b\nMKAAGIVGLEDé\n", "new.fasta"),
    ],
)
def test_sequences_that_have_no_place_are_refused(tiny_run, tmp_path, text, told):
    path = tmp_path / "new.fasta"
    path.write_text(text)
    with pytest.raises(AlignmentError, match=told):
        read_sequences(tiny_run, path)


# the picture


def test_the_dimensions_in_use_are_those_with_the_smallest_widths(tiny_run):
    wide = pd.DataFrame({"sd1": [0.9, 1.0], "sd2": [0.1, 0.3], "sd3": [0.5, 0.5]})
    assert used_dimensions(wide) == [2, 3, 1]
    table = embedding_table(tiny_run).assign(sd1=1.0, sd2=0.2, sd3=0.3)
    axes = plot_places(table).axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("z2", "z3")
    with pytest.raises(ConfigError, match="two dimensions"):
        plot_places(table[["name", "identity", "z1", "sd1"]])


# annotated data


def test_a_cross_marks_what_is_the_wild_type_and_nothing_else():
    table = pd.DataFrame(
        {"identity": [0.5, 1.0, 0.9], "z1": [1.0, 2.0, 3.0], "sd1": 0.1, "z2": [4.0, 5.0, 6.0], "sd2": 0.2}
    )  # fmt: skip
    for line in plot_places(table).axes[0].lines:
        assert line.get_xydata().tolist() == [[2.0, 5.0]]


def test_annotated_data_has_means_widths_and_weights(tiny_run, alignment):
    pytest.importorskip("anndata")
    table = embedding_table(tiny_run).assign(elbo=1.5)
    data = as_anndata(tiny_run, table, np.arange(80.0))
    assert data.shape == (80, 3) and list(data.var_names) == ["z1", "z2", "z3"]
    assert np.allclose(data.X, table[["z1", "z2", "z3"]])
    assert np.allclose(data.obsm["std"], table[["sd1", "sd2", "sd3"]])
    assert data.obs_names.tolist() == list(alignment.names)
    assert data.obs.columns.tolist() == ["name", "identity", "elbo", "weight"]
    assert data.uns["deepseq"]["checksum"] == tiny_run.about["checksum"]


def test_names_that_occur_twice_get_a_number(tiny_run):
    pytest.importorskip("anndata")
    table = embedding_table(tiny_run).head(2).assign(name=["same", "same"])
    data = as_anndata(tiny_run, table)
    assert data.obs_names.is_unique and data.obs["name"].tolist() == ["same", "same"]
    assert "weight" not in data.obs


def test_without_anndata_the_sentence_says_how_to_get_it(tiny_run, monkeypatch):
    monkeypatch.setitem(sys.modules, "anndata", None)
    with pytest.raises(ConfigError, match=r"pip install 'deepseq-nb\[anndata\]'"):
        as_anndata(tiny_run, embedding_table(tiny_run))
