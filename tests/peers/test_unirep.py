"""The network beside its formulas in NumPy, position by position; symbols; losses; memory that is handed on."""

import numpy as np
import pytest
import torch
from tiny_unirep import SYMBOLS, by_hand, random_proteins, tiny_unirep

from deepseq_nb.core.errors import ConfigError
from deepseq_nb.peers.unirep import UniRepConfig, encode, next_losses, normalised, pad


def test_the_start_symbol_comes_first_and_b_j_z_are_read_as_x():
    assert encode("MLBJZXUO").tolist() == [24, 1, 21, 23, 23, 23, 23, 12, 22]


def test_lower_case_is_read_as_upper():
    assert encode("mkv").tolist() == encode("MKV").tolist()


@pytest.mark.parametrize(
    ("protein", "letter", "place"),
    [
        ("MK-V", "'-'", 3),
        ("1MKV", "'1'", 1),
        ("MKVé", "'é'", 4),
        ("MK☃V", "'☃'", 3),
        ("MK V", "' '", 3),
    ],
)
def test_what_is_no_amino_acid_is_named_with_its_position(protein, letter, place):
    with pytest.raises(ConfigError, match=rf"sequence 7 has {letter} at position {place}:"):
        encode(protein, name="sequence 7")


def test_on_request_it_is_read_as_x():
    assert encode("M-☃V", unknown=True).tolist() == [24, 1, 23, 23, 16]


def test_an_empty_protein_is_refused():
    with pytest.raises(ConfigError, match="sequence 2 is empty"):
        encode("", name="sequence 2")


def test_columns_are_normalised_and_not_rows():
    weights = torch.tensor([[3.0, 0.0], [4.0, 2.0]])
    found = normalised(weights, torch.tensor([10.0, 1.0]))
    assert found.tolist() == [[6.0, 0.0], [8.0, 1.0]]


def test_a_column_of_zeros_stays_zero():
    assert normalised(torch.zeros(3, 1), torch.ones(1)).tolist() == [[0.0]] * 3


@pytest.mark.parametrize("layers", [1, 2, 4])
def test_hidden_states_memory_and_logits_follow_the_formulas(layers):
    model = tiny_unirep(layers=layers).double()
    (protein,) = random_proteins([40])
    tokens, _ = pad([encode(protein)])
    hidden, state = model(tokens)
    h, c, logits = by_hand(model, protein)
    assert np.allclose(hidden[0].detach(), h, atol=1e-12)
    assert np.allclose(state.h[-1, 0].detach(), h[-1], atol=1e-12)
    assert np.allclose(state.c[-1, 0].detach(), c, atol=1e-12)
    assert np.allclose(model.logits(hidden)[0].detach(), logits, atol=1e-12)


def test_reading_goes_on_where_it_stopped():
    model = tiny_unirep().double()
    tokens, _ = pad([encode(protein) for protein in random_proteins([20, 20])])
    whole, end = model(tokens)
    first, state = model(tokens[:, :9])
    second, last = model(tokens[:, 9:], state)
    assert torch.allclose(torch.cat([first, second], dim=1), whole, atol=1e-12)
    assert torch.allclose(last.c, end.c, atol=1e-12)


def test_padding_changes_nothing_before_it():
    model = tiny_unirep().double()
    short, long = random_proteins([5, 30])
    tokens, _ = pad([encode(short), encode(long)])
    alone, _ = model(tokens[:1, :6])
    together, _ = model(tokens)
    assert torch.allclose(together[0, :6], alone[0], atol=1e-12)


def test_each_position_pays_for_the_symbol_after_it_and_the_last_for_the_stop():
    model = tiny_unirep().double()
    proteins = random_proteins([4, 9])
    tokens, lengths = pad([encode(protein) for protein in proteins])
    losses = next_losses(model, tokens, lengths).detach().numpy()
    for row, protein in enumerate(proteins):
        _, _, logits = by_hand(model, protein)
        shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        # class k is symbol k + 1, and 25 is the stop
        classes = [SYMBOLS[letter] - 1 for letter in protein] + [24]
        expected = [-np.log(shares[at, k]) for at, k in enumerate(classes)]
        assert np.allclose(losses[row, : len(expected)], expected, atol=1e-12)
        assert (losses[row, len(expected) :] == 0).all()


def test_gradients_are_those_of_finite_differences():
    model = tiny_unirep(width=4).double()
    tokens, lengths = pad([encode(protein) for protein in random_proteins([3, 6])])
    next_losses(model, tokens, lengths).sum().backward()
    for name, parameter in model.named_parameters():
        gradient = parameter.grad
        at = np.unravel_index(int(gradient.abs().argmax()), gradient.shape)
        with torch.no_grad():
            values = []
            for step in (1e-6, -2e-6):
                parameter[at] += step
                values.append(float(next_losses(model, tokens, lengths).sum()))
            parameter[at] += 1e-6
        assert np.isclose((values[0] - values[1]) / 2e-6, gradient[at], rtol=1e-4, atol=1e-7), name


def test_gradients_stay_finite_where_a_gate_is_far_open_or_shut():
    model = tiny_unirep(width=4, layers=1)
    with torch.no_grad():
        model.cells[0].b.copy_(torch.tensor([200.0, -200.0] * 8))
    tokens, lengths = pad([encode("MKVLAW")])
    next_losses(model, tokens, lengths).sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters())


@pytest.mark.parametrize("sizes", [{"width": 0}, {"layers": -1}, {"embedding": 0}])
def test_sizes_that_make_no_network_are_refused(sizes):
    with pytest.raises(ConfigError, match=next(iter(sizes))):
        UniRepConfig(**sizes)
