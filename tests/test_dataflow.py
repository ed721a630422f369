"""What a cell needs and binds, read from its code."""

import pytest

from tools.dataflow import names, needed_for, reached_from, taken_from


@pytest.mark.parametrize(
    ("source", "needs", "binds"),
    [
        ("y = x + 1", {"x"}, {"y"}),
        ("x = x + 1", {"x"}, {"x"}),
        ("x = 1\nprint(x)", set(), {"x"}),
        ("x += 1", {"x"}, {"x"}),
        ("import a.b as c, d.e\nfrom f import g", set(), {"c", "d", "g"}),
        ("for a, b in pairs:\n    print(a, b, c)", {"pairs", "c"}, {"a", "b"}),
        ("[a for a in b if a > c]", {"b", "c"}, set()),
        ("{a: c for a in b}, {d for d in e}", {"b", "c", "e"}, set()),
        ("lambda a: a + b", {"b"}, set()),
        ("def f(a=b):\n    return f(a) + later() + c\n\n\ndef later():\n    return 1", {"b", "c"}, {"f", "later"}),
        ("class A(B):\n    x = y\n\n    def m(self):\n        return z", {"B", "y", "z"}, {"A"}),
        ("def f():\n    global g\n    g = h", {"h"}, {"f", "g"}),
        ("try:\n    a = b()\nexcept E as e:\n    a = e", {"b", "E"}, {"a", "e"}),
        ("with opened(p) as f:\n    f.read(n)", {"opened", "p", "n"}, {"f"}),
        ("if a:\n    b = 1\nelse:\n    b = c", {"a", "c"}, {"b"}),
        ("print(f'{a:{b}}')", {"a", "b"}, set()),
        ("(a := b)", {"b"}, {"a"}),
        ("if here:\n    %pip install x\n!ls", {"here"}, set()),
        ("*rest, last = row", {"row"}, {"rest", "last"}),
        ("while going:\n    going = go()", {"going", "go"}, {"going"}),
    ],
)
def test_names_of_a_cell(source, needs, binds):
    found = names(source)
    assert found.needs == needs and found.binds - {"_"} == binds


@pytest.mark.parametrize("source", ["x.a = 1", "x[0] = 1", "x.a[0].b += 1", "x.step()", "x.a.step(1)"])
def test_an_object_that_is_changed_in_sight_is_touched(source):
    assert names(source).touches == {"x"}


@pytest.mark.parametrize("source", ["x", "y = x.a", "print(x)", "x()"])
def test_and_one_that_is_only_read_is_not(source):
    assert names(source).touches == set()


CELLS = ["import m", "a = m.f()", "b = []", "c = a + 1", "b.append(a)", "m.show(b)", "d = c", "e = 5"]


def test_what_cells_depend_on():
    assert needed_for({5}, CELLS) == {0, 1, 2, 4, 5}  # the list, and the cell that fills it
    assert needed_for({6}, CELLS) == {0, 1, 3, 6}
    assert needed_for({7}, CELLS) == {7}


def test_what_cells_take_from_others():
    assert list(taken_from({1, 2}, CELLS)) == [(3, "a"), (4, "a"), (4, "b")]
    assert list(taken_from({5}, CELLS)) == []  # calling a function of m has not changed m
    assert list(taken_from({0}, ["x = 1", "x = 2", "x"])) == []


def test_what_a_cell_can_reach():
    assert reached_from({2}, CELLS) == {2, 4, 5}
    assert reached_from({3}, CELLS) == {3, 6}
    assert reached_from({5}, CELLS) == {5}  # calling a function of m has not changed m
