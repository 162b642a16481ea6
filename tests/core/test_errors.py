"""One base class, fields for programs, and a text for people."""

import inspect
import pickle

import pytest

from deepseq_nb.core import errors
from deepseq_nb.core.errors import AlignmentError, DeepseqError, WeightsError, printable

KINDS = [kind for _, kind in inspect.getmembers(errors, inspect.isclass)]


def test_every_error_is_a_deepseq_error_and_a_value_error():
    assert len(KINDS) == 13
    assert all(issubclass(kind, DeepseqError) and issubclass(kind, ValueError) for kind in KINDS)
    assert issubclass(WeightsError, AlignmentError)


@pytest.mark.parametrize("kind", KINDS)
def test_fields_are_none_unless_given_and_the_text_is_the_message(kind):
    bare = kind("no such file")
    assert str(bare) == "no such file" and bare.args == ("no such file",)
    assert (bare.setting, bare.file, bare.line) == (None, None, None)
    full = kind("odd", setting="theta", file="a.csv", line=3)
    assert (str(full), full.setting, full.file, full.line) == ("odd", "theta", "a.csv", 3)


def test_an_error_survives_the_way_between_processes():
    sent = pickle.loads(pickle.dumps(AlignmentError("odd", file="a.a2m", line=2)))
    assert type(sent) is AlignmentError and (str(sent), sent.file, sent.line) == ("odd", "a.a2m", 2)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Süße/11-62 plain", "Süße/11-62 plain"),
        ("\x1b[2J\x07", r"\x1b[2J\x07"),
        ("a\x9b31m", r"a\x9b31m"),
        ("\ufffe\u202e\udcff", r"\ufffe\u202e\udcff"),
        ("two\nlines\tand a tab", "two\nlines\tand a tab"),
    ],
)
def test_signs_that_a_terminal_would_obey_are_shown_as_escapes(text, shown):
    assert printable(text) == shown


def test_a_very_long_word_is_shown_by_its_beginning_and_its_length():
    assert printable(f"no {'L' * 5000} here", 100) == f"no {'L' * 60}... (5,000 letters) here"
    assert printable("L" * 100, 100) == "L" * 100
    assert printable("L" * 5000) == "L" * 5000
