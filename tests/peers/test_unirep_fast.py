"""The prepared recurrence: the numbers of the plain network, and the same bits in whatever company."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_unirep import by_hand, random_proteins, tiny_unirep

from deepseq_nb.core.errors import ConfigError
from deepseq_nb.peers import unirep_fast
from deepseq_nb.peers.unirep import encode, next_losses, pad
from deepseq_nb.peers.unirep_fast import Recurrence, log_likelihoods

MODEL = tiny_unirep(width=40, layers=2)
READER = Recurrence(MODEL)


def representations(proteins, reader=READER):
    return reader.representations([encode(protein) for protein in proteins])


def test_average_and_last_states_are_those_of_the_formulas():
    proteins = random_proteins([1, 30, 7, 30])
    found = representations(proteins)
    for row, protein in enumerate(proteins):
        h, c, _ = by_hand(MODEL, protein)  # the start symbol is one of the positions averaged
        for one, expected in zip(found, (h.mean(axis=0), h[-1], c), strict=True):
            assert np.allclose(one[row], expected, atol=2e-6)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, 25), min_size=1, max_size=90), st.integers(0, 3))
def test_a_protein_has_the_same_bits_alone_and_in_any_batch(lengths, seed):
    proteins = random_proteins(lengths, seed)
    together = representations(proteins)
    for row in {0, len(proteins) // 2, len(proteins) - 1}:
        for one, many in zip(representations([proteins[row]]), together, strict=True):
            assert np.array_equal(one[0], many[row])


def test_the_order_of_a_batch_is_kept_and_changes_no_bit():
    proteins = random_proteins([5, 19, 2, 11, 19, 3])
    there = representations(proteins)
    back = representations(proteins[::-1])
    assert all(np.array_equal(a, b[::-1]) for a, b in zip(there, back, strict=True))


def test_more_threads_give_the_same_bits():
    proteins = random_proteins([30, 12, 5])
    threads = torch.get_num_threads()
    alone = representations(proteins)
    try:
        torch.set_num_threads(threads + 1)
        more = representations(proteins, Recurrence(MODEL))
    finally:
        torch.set_num_threads(threads)
    assert all(np.array_equal(a, b) for a, b in zip(alone, more, strict=True))


def test_without_onednn_bits_do_not_depend_on_the_batch_either(monkeypatch):
    monkeypatch.setattr(unirep_fast, "_packed", lambda matrix: None)
    reader = Recurrence(MODEL)
    proteins = random_proteins([9, 4, 21, 2, 2])
    together = representations(proteins, reader)
    assert np.allclose(together[0], representations(proteins)[0], atol=2e-6)
    for row, protein in enumerate(proteins):
        alone = representations([protein], reader)
        assert all(np.array_equal(a[0], b[row]) for a, b in zip(alone, together, strict=True))


def test_a_product_that_depends_on_its_rows_is_done_by_32(monkeypatch):
    """A library whose bits change with the number of rows is found out, and then not used that way."""

    def fickle(matrix):
        return lambda rows: (rows.double() @ matrix.double()).float() + len(rows) * 1e-3

    monkeypatch.setattr(unirep_fast, "_packed", fickle)
    product = unirep_fast._Product(torch.eye(6))
    rows = torch.arange(240.0).reshape(40, 6)
    assert torch.allclose(product(rows), rows + 32e-3)
    assert torch.equal(product(rows[:4]), product(rows)[:4])
    assert product.proven == {32: True, 40: False, 4: False}


def test_more_proteins_than_rows_are_read_in_several_batches():
    reader = Recurrence(MODEL)
    reader.most, reader.counts = 8, unirep_fast._row_counts(8)
    proteins = random_proteins([3, 9, 1, 4, 9, 7, 2, 2, 6, 5, 8, 3, 3, 1, 2, 9, 5, 4, 6])
    told = []
    found = reader.representations([encode(p) for p in proteins], told.append)
    assert told == [8, 8, 3]
    assert all(np.array_equal(a, b) for a, b in zip(found, representations(proteins), strict=True))


def test_bfloat16_is_near_and_has_the_same_bits_in_company():
    reader = Recurrence(MODEL, dtype=torch.bfloat16)
    proteins = random_proteins([12, 5, 12])
    found = representations(proteins, reader)
    assert found[0].dtype == np.float32
    assert np.allclose(found[0], representations(proteins)[0], atol=0.05)
    assert not np.array_equal(found[0], representations(proteins)[0])
    assert np.array_equal(found[0][1], representations([proteins[1]], reader)[0][0])


def test_log_likelihoods_are_the_losses_of_the_plain_network_with_the_other_sign():
    proteins = random_proteins([8, 1, 15])
    tokens, lengths = pad([encode(protein) for protein in proteins])
    losses = next_losses(MODEL, tokens, lengths).detach().numpy()
    for row, found in enumerate(log_likelihoods(READER, proteins)):
        assert found.shape == (len(proteins[row]) + 1,)
        assert np.allclose(found, -losses[row, : len(found)], atol=1e-5)


def test_what_variants_share_with_their_parent_changes_no_bit():
    (parent,) = random_proteins([30])
    variants = [
        parent,
        "W" + parent[1:],
        parent[:12] + "AAA" + parent[12:],
        parent[:20],
        parent[:5] + parent[9:],
        parent + "GG",
        parent[:29] + ("A" if parent[29] != "A" else "G"),
    ]
    plain = log_likelihoods(READER, variants)
    shared = log_likelihoods(READER, variants, parent=parent)
    assert all(np.array_equal(a, b) for a, b in zip(plain, shared, strict=True))


def test_nothing_asked_is_nothing_answered():
    assert log_likelihoods(READER, []) == []


def test_a_letter_of_a_variant_is_named():
    with pytest.raises(ConfigError, match="sequence 2 has '-' at position 1"):
        log_likelihoods(READER, ["MK", "-K"])
