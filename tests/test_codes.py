"""Codes that people type: what goes in comes out, and a slip of the hand is found."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdkit.course import codes

numbers = st.integers(0, 40) | st.integers(0, 2**70)


@pytest.mark.parametrize("kind", codes.LAYOUTS)
@given(data=st.data())
def test_what_was_written_is_read(kind, data):
    fields = data.draw(st.fixed_dictionaries({name: numbers for name in codes.LAYOUTS[kind]}))
    text = codes.encode(kind, fields)
    assert codes.decode(text) == (kind, fields)
    assert set(text) <= set(codes.SYMBOLS + "-")


def test_what_is_not_given_is_0_and_costs_nothing():
    assert codes.encode("progress", {}) == codes.encode("progress", {"mistakes": 0})
    kind, fields = codes.decode(codes.encode("progress", {}))
    assert kind == "progress" and set(fields.values()) == {0}


TEXT = codes.encode("workshop", {"failed": 5, "system": 1, "python": 11, "cores": 2, "milliseconds": 138})


@pytest.mark.parametrize(
    "typed",
    [
        TEXT.lower(),
        TEXT.replace("-", ""),
        TEXT.replace("-", " "),
        f" {TEXT}\n",
        TEXT.replace("-", "\N{EN DASH}"),
        TEXT.replace("0", "O").replace("1", "l"),
        TEXT.replace("1", "I"),
    ],
)
def test_small_letters_other_hyphens_and_letters_that_look_like_digits_are_understood(typed):
    assert codes.decode(typed) == codes.decode(TEXT)


def test_each_wrong_symbol_is_found():
    plain = TEXT.replace("-", "")
    for place, symbol in itertools.product(range(2, len(plain)), codes.SYMBOLS + "U?"):
        if symbol != plain[place]:
            with pytest.raises(ValueError, match="was mistyped, or a part of it is missing"):
                codes.decode(plain[:place] + symbol + plain[place + 1 :])


def test_two_symbols_that_changed_places_are_found_and_one_that_is_missing_or_twice_there():
    plain = TEXT.replace("-", "")
    for place in range(2, len(plain)):
        wrong = {plain[:place] + plain[place + 1 :], plain[:place] + plain[place] * 2 + plain[place + 1 :]}
        if place + 1 < len(plain):
            wrong.add(plain[:place] + plain[place + 1] + plain[place] + plain[place + 2 :])
        for typed in wrong - {plain}:
            with pytest.raises(ValueError, match="was mistyped"):
                codes.decode(typed)


@pytest.mark.parametrize("typed", ["", "KW", "hello there", "W-0123-45", "KX" + TEXT[2:]])
def test_what_is_no_code_is_told_from_a_slip(typed):
    with pytest.raises(ValueError, match="a code begins with KW- or KP-; got"):
        codes.decode(typed)


def test_a_code_of_a_newer_kit_is_refused_and_one_of_an_older_is_read(monkeypatch):
    newer = {**codes.LAYOUTS, "workshop": (*codes.LAYOUTS["workshop"], "later")}
    monkeypatch.setattr(codes, "LAYOUTS", newer)
    text = codes.encode("workshop", {"later": 3})
    assert codes.decode(TEXT)[1]["later"] == 0
    monkeypatch.undo()
    with pytest.raises(ValueError, match="holds more than this version of kdkit knows"):
        codes.decode(text)


@pytest.mark.parametrize(
    ("kind", "fields", "said"),
    [
        ("party", {}, "kind must be one of workshop, progress; got 'party'"),
        ("workshop", {"name": 1}, "a workshop code holds failed, .*; got name as well"),
        ("workshop", {"failed": -1}, "whole numbers of at least 0"),
        ("workshop", {"failed": 0.5}, "whole numbers of at least 0"),
    ],
)
def test_what_a_code_cannot_hold_is_refused(kind, fields, said):
    with pytest.raises(ValueError, match=said):
        codes.encode(kind, fields)


def test_no_two_kinds_begin_with_the_same_letter_or_with_one_that_is_read_as_a_digit():
    letters = [kind[0].upper() for kind in codes.LAYOUTS]
    assert len(set(letters)) == len(letters) and set(letters) <= set(codes.SYMBOLS)


@pytest.mark.parametrize("marks", [[], [True], [False, True, False, False], [True] * 70])
def test_many_yes_and_no_in_a_number(marks):
    assert codes.unpacked(codes.packed(marks), len(marks)) == marks
