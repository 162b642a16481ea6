"""Configurations check themselves and travel as JSON."""

import json
import math
from dataclasses import dataclass
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepseq_nb.core.errors import ConfigError
from deepseq_nb.core.settings import check_choice, check_range, config_from_json, config_to_json


@dataclass(frozen=True, slots=True, kw_only=True)
class Inner:
    size: int = 3
    rate: float = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Outer:
    length: int
    hidden: tuple[int, ...] = (1500, 1500)
    pair: tuple[int, float] = (1, 0.5)
    shape: Literal["relu", "tanh"] = "relu"
    bias: bool = True
    label: str | None = None
    width: float | int = 1
    inner: Inner = Inner()


OUTER = Outer(
    length=9,
    hidden=(4,),
    pair=(2, 1.5),
    shape="tanh",
    bias=False,
    label="x",
    width=2.5,
    inner=Inner(size=7),
)


def test_a_configuration_survives_json():
    assert config_from_json(Outer, json.loads(json.dumps(config_to_json(OUTER)))) == OUTER


def test_tuples_are_written_as_lists_and_nested_configurations_as_objects():
    assert config_to_json(OUTER) == {
        "length": 9, "hidden": [4], "pair": [2, 1.5], "shape": "tanh", "bias": False, "label": "x", "width": 2.5,
        "inner": {"size": 7, "rate": 0.5},
    }  # fmt: skip


def test_missing_keys_take_their_defaults():
    assert config_from_json(Outer, {"length": 2}) == Outer(length=2)


def test_a_whole_number_will_do_for_a_float():
    rate = config_from_json(Inner, {"rate": 2}).rate
    assert rate == 2.0 and type(rate) is float


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"length": 1, "hiden": [2]}, "Outer has no setting 'hiden': did you mean 'hidden'"),
        (
            {"length": 1, "inner": {"sise": 2}},
            "Outer.inner has no setting 'sise': did you mean 'size'",
        ),
        ({"length": 1, "zzz": 2}, "Outer has no setting 'zzz': it has length, hidden, pair"),
        ({}, "Outer lacks 'length'"),
        ({"length": "nine"}, "Outer.length is 'nine': expected int"),
        ({"length": True}, "Outer.length is True: expected int"),
        ({"length": 1.0}, "Outer.length is 1.0: expected int"),
        ({"length": 1, "bias": 1}, "Outer.bias is 1: expected bool"),
        ({"length": 1, "hidden": 5}, r"Outer.hidden is 5: expected tuple\[int, ...\]"),
        ({"length": 1, "hidden": [5, "x"]}, r"Outer.hidden\[1\] is 'x': expected int"),
        ({"length": 1, "pair": [5]}, r"Outer.pair is \[5\]: expected tuple\[int, float\]"),
        ({"length": 1, "shape": "thanh"}, "Outer.shape is 'thanh': did you mean 'tanh'"),
        ({"length": 1, "shape": None}, "Outer.shape is None: expected one of relu, tanh"),
        ({"length": 1, "label": 3}, "Outer.label is 3: expected str"),
        ({"length": 1, "width": "3"}, "Outer.width is '3': expected float or int"),
        ({"length": 1, "width": math.nan}, "Outer.width is nan: expected float or int"),
        ({"length": 1, "inner": {"rate": math.inf}}, "Outer.inner.rate is inf: expected float"),
        ({"length": 1, "inner": 3}, "Outer.inner is 3: expected an object with named values"),
        ([1], r"Outer is \[1\]: expected an object with named values"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(data, message):
    with pytest.raises(ConfigError, match=message):
        config_from_json(Outer, data)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from([*config_to_json(OUTER), "other"]), JSON_VALUES, max_size=4))
@settings(deadline=None, max_examples=200)
def test_any_json_gives_a_configuration_or_a_config_error(data):
    try:
        assert config_from_json(Outer, config_to_json(config_from_json(Outer, data))) is not None
    except ConfigError as error:
        assert str(error).startswith("Outer")


def test_check_choice_passes_a_known_value_and_lists_the_choices_otherwise():
    check_choice("mode", "a", ("a", "b"))
    with pytest.raises(ConfigError, match="mode is 'zzz': expected one of a, b"):
        check_choice("mode", "zzz", ("a", "b"))


def test_a_whole_number_that_no_float_can_hold_is_out_of_range_and_no_traceback():
    with pytest.raises(ConfigError, match="expected a whole number at most 1e"):
        check_range("x", 10**400, at_most=10**18, whole=True)
    check_range("x", 10**400, at_least=1, whole=True)


def test_check_range_takes_each_bound_at_its_word():
    check_range("x", 1, above=0, at_most=1)
    check_range("x", 0, at_least=0, below=1, whole=True)
    for value in (0, 2, "1", True, None, math.inf):
        with pytest.raises(ConfigError, match="expected a number above 0 and at most 1"):
            check_range("x", value, above=0, at_most=1)
    with pytest.raises(ConfigError, match=r"x is 1.5: expected a whole number at least 1"):
        check_range("x", 1.5, at_least=1, whole=True)


def test_the_setting_at_fault_is_a_field_of_the_error():
    for check in (
        lambda: check_range("rate", 2, at_most=1),
        lambda: check_choice("rate", "fast", ("slow",)),
    ):
        with pytest.raises(ConfigError) as caught:
            check()
        assert caught.value.setting == "rate"
