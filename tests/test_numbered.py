"""The numbers that exercises and mistakes have in a reader's code: for good, and of all that checks know."""

import ast
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdkit.course import codes, numbered
from kdkit.course.check import record
from kdkit.course.numbered import Attempts
from tools.links import ROOT

# How many lines there were when codes were first made, and their checksum. Lines behind these may be added; where these
# themselves change, codes that were made before are misread.
FIRST = {
    "exercises": (38, "2d79764d562c"),
    "mistakes": (274, "50acc09c5be8"),
}


@pytest.mark.parametrize("name", FIRST)
def test_numbers_that_were_given_stay(name):
    lines, (count, checksum) = getattr(numbered, name)(), FIRST[name]
    assert hashlib.sha256("\n".join(lines[:count]).encode()).hexdigest()[:12] == checksum
    assert len(set(lines)) == len(lines) and all(line == line.strip() != "" for line in lines)


def test_each_exercise_has_a_number():
    listed = [name for names in record.NOTEBOOKS.values() for name in names]
    assert [name for name in listed if name not in numbered.exercises()] == []


def test_there_are_bits_enough_for_the_numbers_of_mistakes():
    assert len(numbered.mistakes()) < 2**numbered.BITS


def explanations(folder):
    """The sentences that explain a mistake: keys of the dicts in which the checks keep their wrong answers."""
    for path in sorted(folder.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Dict) and path.name not in ("judging.py", "record.py"):
                yield from (key.value for key in node.keys if isinstance(key, ast.Constant) and " " in str(key.value))


def test_each_mistake_that_a_check_looks_for_has_one_number():
    """Those that it names in other ways are tried by the wrong answers of tests/answers, in test_check.py."""
    known = list(explanations(ROOT / "kdkit" / "course" / "check"))
    assert len(known) > 200
    assert {said: numbered.named(said) for said in known if len(numbered.named(said)) != 1} == {}


def test_of_two_mistakes_that_begin_alike_the_longer_is_named():
    assert numbered.named("not yet: you treated the two as unrelated groups, with 1.96: subtract") == [
        "you treated the two as unrelated groups, with 1.96"
    ]
    assert numbered.named("not yet: you treated the two as unrelated groups: subtract") == [
        "you treated the two as unrelated groups"
    ]
    assert numbered.named("your code stopped at `1 / 0`") == []


entries = st.fixed_dictionaries(
    {
        "attempts": st.integers(1, 12),
        "solved": st.booleans(),
        "mistakes": st.lists(st.sampled_from(numbered.mistakes()), max_size=4),
    }
)


@given(st.dictionaries(st.sampled_from(numbered.exercises()), entries))
def test_what_was_kept_is_read_from_its_code(kept):
    kind, fields = codes.decode(numbered.written(kept))
    said = numbered.read(fields)
    assert kind == "progress"
    assert said.tried == {name: min(one["attempts"], numbered.MOST) for name, one in kept.items()}
    assert said.solved == {name for name, one in kept.items() if one["solved"]}
    assert said.mistakes == {words for one in kept.values() for words in one["mistakes"]}


def test_exercises_and_mistakes_that_are_no_more_known_do_not_stop_a_reader():
    kept = {"gone": {"attempts": 1, "solved": True, "mistakes": ["what nobody says any more"]}}
    assert numbered.read(codes.decode(numbered.written(kept))[1]) == ({}, set(), set())


def test_a_code_is_read_after_lists_have_grown_and_a_newer_one_is_refused(monkeypatch):
    kept = {"memo": {"attempts": 2, "solved": True, "mistakes": [numbered.mistakes()[-1]]}}
    fields = codes.decode(numbered.written(kept))[1]
    before, names, words = numbered.read(fields), numbered.exercises(), numbered.mistakes()
    monkeypatch.setattr(numbered, "exercises", lambda: (*names, "new"))
    monkeypatch.setattr(numbered, "mistakes", lambda: (*words, "a new mistake"))
    assert numbered.read(fields) == before
    newer = [
        numbered.written({"new": {"attempts": 1, "solved": False, "mistakes": []}}),
        numbered.written({"memo": {"attempts": 1, "solved": False, "mistakes": ["a new mistake"]}}),
    ]
    monkeypatch.undo()
    for text in newer:
        with pytest.raises(ValueError, match="that this version of kdkit does not know: take the newest"):
            numbered.read(codes.decode(text)[1])


def test_two_codes_of_one_reader_are_put_together():
    one = Attempts({"a": 3, "b": 1}, {"b"}, {"x"})
    assert one | Attempts({"a": 2, "c": 1}, {"a"}, {"y"}) == ({"a": 3, "b": 1, "c": 1}, {"a", "b"}, {"x", "y"})


def test_the_code_of_a_workshops_afternoon_can_be_typed():
    solved = {name: {"attempts": 3, "solved": True, "mistakes": []} for name in numbered.exercises()[:8]}
    solved["kd_loss"] = {"attempts": 4, "solved": False, "mistakes": numbered.mistakes()[100:104]}
    assert len(numbered.written(solved)) <= 40
