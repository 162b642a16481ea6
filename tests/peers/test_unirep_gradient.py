"""Reading with all layers at a time, and the gradient that was written by hand."""

import numpy as np
import pytest
import torch
from tiny_unirep import by_hand, random_proteins, tiny_unirep

from deepseq_nb.peers.unirep import State, encode, pad
from deepseq_nb.peers.unirep_gradient import read_together

SHAPES = [(1, 1), (1, 6), (2, 1), (3, 2), (4, 4), (3, 9)]  # layers, residues


def drawn(*shape: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(sum(shape))
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def given(layers: int, residues: int):
    """A model, three proteins of which the first is the longest, and a memory."""
    model = tiny_unirep(layers=layers).double()
    texts = random_proteins([residues, max(1, residues - 3), 1])
    tokens, _ = pad([encode(text) for text in texts])
    memory = State(*(drawn(layers, 3, 12).requires_grad_() for _ in range(2)))
    return model, tokens, memory


def outputs(found) -> list[torch.Tensor]:
    hidden, end = found
    return [hidden, end.h, end.c]


@pytest.mark.parametrize(("layers", "residues"), SHAPES)
def test_it_reads_what_the_formulas_say(layers, residues):
    model = tiny_unirep(layers=layers).double()
    (text,) = random_proteins([residues])
    hidden, end = read_together(model, pad([encode(text)])[0])
    expected, last_c, _ = by_hand(model, text)
    np.testing.assert_allclose(hidden[0].detach(), expected, rtol=1e-12)
    np.testing.assert_allclose(end.h[-1, 0].detach(), expected[-1], rtol=1e-12)
    np.testing.assert_allclose(end.c[-1, 0].detach(), last_c, rtol=1e-12)


@pytest.mark.parametrize(("layers", "residues"), SHAPES)
def test_every_gradient_is_that_of_automatic_differentiation(layers, residues):
    model, tokens, memory = given(layers, residues)
    wanted = [p for name, p in model.named_parameters() if "dense" not in name]
    found = []
    for read in (model, lambda *what: read_together(model, *what)):
        made = outputs(read(tokens, memory))
        loss = sum((part * drawn(*part.shape)).sum() for part in made)
        found.append(torch.autograd.grad(loss, [*wanted, *memory]))
    for plain, wave in zip(*found, strict=True):
        torch.testing.assert_close(wave, plain, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("which", [0, 1, 2])
def test_one_output_alone_has_its_gradient(which):
    model, tokens, memory = given(3, 5)
    slopes = []
    for read in (model, lambda *what: read_together(model, *what)):
        part = outputs(read(tokens, memory))[which]
        slopes.append(torch.autograd.grad(part.sum(), [model.embedding, memory.h]))
    for plain, wave in zip(*slopes, strict=True):
        torch.testing.assert_close(wave, plain, rtol=1e-10, atol=1e-12)


def test_the_gradient_is_the_slope_of_finite_differences():
    model, tokens, memory = given(2, 3)

    def read(h, c):
        return read_together(model, tokens, State(h, c))[0]

    assert torch.autograd.gradcheck(read, tuple(memory))


def test_a_memory_that_is_given_back_goes_on():
    model, tokens, memory = given(3, 9)
    whole, end = read_together(model, tokens, memory)
    first, state = read_together(model, tokens[:, :4], memory)
    second, last = read_together(model, tokens[:, 4:], state)
    torch.testing.assert_close(torch.cat([first, second], dim=1), whole, rtol=1e-12, atol=0)
    torch.testing.assert_close(last.c, end.c, rtol=1e-12, atol=0)


def test_memory_that_was_not_cleared_does_not_enter(monkeypatch):
    """Room for numbers is full of anything; whatever is there must not be read."""
    model, tokens, memory = given(4, 2)
    plain = torch.autograd.grad(model(tokens, memory)[0].sum(), [*model.cells.parameters()])
    empty = torch.Tensor.new_empty
    monkeypatch.setattr(
        torch.Tensor, "new_empty", lambda like, *shape: empty(like, *shape).fill_(torch.nan)
    )
    hidden, _ = read_together(model, tokens, memory)
    wave = torch.autograd.grad(hidden.sum(), [*model.cells.parameters()])
    for one, other in zip(wave, plain, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)


def test_a_gradient_of_a_gradient_is_refused():
    model, tokens, _ = given(2, 3)
    hidden, _ = read_together(model, tokens)
    with pytest.raises(RuntimeError, match="no gradient of its gradient"):
        torch.autograd.grad(hidden.sum(), model.embedding, create_graph=True)
