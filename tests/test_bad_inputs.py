"""Whatever is handed to a public function, it is refused in a sentence or answered with finite numbers."""

import bad_inputs
import pytest
from bad_inputs import TELLS_NAN_BY_NAN, spoilt, verdict
from hypothesis import given, settings
from hypothesis import strategies as st

TABLE = bad_inputs.table()
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
