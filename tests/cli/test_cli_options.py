"""Words of the command line: what is taken, what is refused, and what is typed again."""

import argparse

import pytest

from deepseq_nb.cli.options import (
    Parser,
    alignment_options,
    count_argument,
    file_argument,
    place_argument,
    positive_argument,
    reading_words,
    samples_argument,
    seed_argument,
    typed,
)


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (count_argument, "1", 1),
        (count_argument, "100000000", 10**8),
        (samples_argument, "1000000", 10**6),
        (seed_argument, "0", 0),
        (place_argument, "-23", -23),
        (place_argument, "+7", 7),
        (positive_argument, "1e-3", 0.001),
    ],
)
def test_a_good_word_becomes_a_value(kind, text, value):
    assert kind(text) == value


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (count_argument, "0"),
        (samples_argument, "0"),
        (samples_argument, "1000001"),
        (count_argument, "-3"),
        (count_argument, "1.5"),
        (count_argument, "many"),
        (count_argument, "²"),
        (count_argument, ""),
        (count_argument, "99999999999999999999"),
        (seed_argument, "-1"),
        (seed_argument, "99999999999999999999999"),
        (place_argument, "1" + 30 * "0"),
        (place_argument, "x"),
        (positive_argument, "nan"),
        (positive_argument, "inf"),
        (positive_argument, "0"),
        (file_argument, ""),
        (file_argument, "  "),
        (file_argument, "a\0b"),
    ],
)
def test_a_bad_word_is_refused_with_what_it_was(kind, text):
    with pytest.raises(argparse.ArgumentTypeError) as caught:
        kind(text)
    assert repr(text) in str(caught.value)


def reading(*words):
    parser = Parser(prog="deepseq")
    alignment_options(parser)
    return parser.parse_args(["family.a2m", *words])


def test_only_what_differs_from_the_defaults_is_typed_again():
    assert reading_words(reading()) == []
    words = ["--alphabet", "rna", "--first-residue", "-5", "--max-column-gaps", "0.3"]
    again = reading_words(reading(*words))
    assert reading(*again) == reading(*words) and len(again) == len(words)


def test_a_name_with_a_space_is_typed_in_quotes():
    assert typed("deepseq", "train", "my family.a2m") == "deepseq train 'my family.a2m'"
