"""Whatever is handed to a public function, it is refused in a sentence or answered with finite numbers."""

import bad_inputs
import bad_uses
import pytest
from bad_inputs import TELLS_NAN_BY_NAN, spoilt, verdict
from hypothesis import given, settings
from hypothesis import strategies as st

from kdkit import studies

TABLE, USES = bad_inputs.table(), bad_uses.table()
PLACES = [(name, argument) for name, (_, arguments) in TABLE.items() for argument in arguments]


@pytest.mark.parametrize("name", TABLE)
def test_the_arguments_that_are_to_be_spoilt_are_good_ones(name):
    function, arguments = TABLE[name]
    function(**arguments)


@pytest.mark.parametrize(("name", "argument"), PLACES)
def test_one_bad_argument_is_refused_or_answered_soundly(name, argument):
    function, arguments = TABLE[name]
    tries = {what: verdict(function, bad, name in TELLS_NAN_BY_NAN) for what, bad in spoilt(arguments, argument)}
    assert {what: said for what, said in tries.items() if said} == {}


@pytest.fixture
def prepared(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user-cache"))
    monkeypatch.setitem(studies.SETTINGS, "small", bad_uses.SMALL)
    monkeypatch.setattr(studies, "RATES", (0.2,))
    monkeypatch.setattr(studies, "FIRST_RATE", 0)
    monkeypatch.chdir(tmp_path)
    bad_uses.prepare(tmp_path)


@pytest.mark.parametrize("name", USES)
def test_a_use_with_one_bad_argument_is_refused_or_comes_out_soundly(name, prepared):
    function, arguments = USES[name]
    function(**arguments)
    wrong = {}
    for argument in arguments:
        for what, bad in spoilt(arguments, argument):
            if what not in USERS_OWN.get(argument, ()):
                wrong[argument, what] = verdict(function, bad, name in TELLS_NAN_BY_NAN)
    assert {place: said for place, said in wrong.items() if said} == {}


USERS_OWN = {"progress": ("a class", "a function"), "say": ("a class", "a function")}  # an error in these is theirs


@settings(derandomize=True, deadline=None, max_examples=300)
@given(st.data())
def test_two_bad_arguments_are_refused_or_answered_soundly_too(data):
    name = data.draw(st.sampled_from([name for name, (_, arguments) in TABLE.items() if len(arguments) > 1]))
    function, arguments = TABLE[name]
    for argument in data.draw(st.permutations(list(arguments)))[:2]:
        arguments = data.draw(st.sampled_from(list(spoilt(arguments, argument))))[1]
    assert verdict(function, arguments, name in TELLS_NAN_BY_NAN) is None


def test_a_hundred_bad_inputs_are_tried_at_least():
    assert sum(len(list(spoilt(TABLE[name][1], argument))) for name, argument in PLACES) > 100
    uses = [(arguments, argument) for _, arguments in USES.values() for argument in arguments]
    assert sum(len(list(spoilt(*use))) for use in uses) > 1000
