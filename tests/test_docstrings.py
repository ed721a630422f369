"""What each public function of the kit says of itself, how long it is, and that its examples are true.

The sources are read, not imported, except for the examples. Each rule is shown to fail on something made up.
"""

import ast
import doctest
import importlib
import pkgutil
import re
from pathlib import Path

import pytest

import kdkit

PACKAGE = Path(kdkit.__file__).parent
LINES_OF_A_FUNCTION, LINES_OF_A_FILE = 40, 400
ENTRIES = 13  # ten rooms, from losses to cli, and __init__.py, __main__.py, py.typed


def modules(path=PACKAGE, prefix="kdkit"):
    """Every module below ``path``: a dict of its full name to its file. Nothing is imported."""
    found = {prefix: path / "__init__.py"}
    for info in pkgutil.iter_modules([str(path)]):
        name = f"{prefix}.{info.name}"
        found |= modules(path / info.name, name) if info.ispkg else {name: path / f"{info.name}.py"}
    return found


MODULES = modules()

# ---------------------------------------------------------------------------------------- what is looked at


def public(tree):
    """(name, node, the class around it or None) of each public class, function and method."""
    for node in tree.body:
        if not isinstance(node, ast.ClassDef | ast.FunctionDef) or node.name.startswith("_"):
            continue
        yield node.name, node, None
        for part in node.body if isinstance(node, ast.ClassDef) else ():
            if isinstance(part, ast.FunctionDef) and (part.name == "__init__" or not part.name.startswith("_")):
                yield f"{node.name}.{part.name}", part, node


def said(node, around):
    """The docstring that tells of ``node``: a constructor's is its class's, a setter's its property's."""
    if around is not None and node.name == "__init__":
        return ast.get_docstring(around)
    if is_setter(node):
        [node] = [part for part in around.body if part is not node and getattr(part, "name", None) == node.name]
    return ast.get_docstring(node)


def is_setter(node):
    return any(isinstance(mark, ast.Attribute) and mark.attr == "setter" for mark in node.decorator_list)


def own(node):
    """The nodes of a function without those of the functions in it."""
    waiting = list(node.body)
    while waiting:
        part = waiting.pop()
        yield part
        if not isinstance(part, ast.FunctionDef | ast.Lambda):
            waiting += ast.iter_child_nodes(part)


def parameters(node, around):
    """All that a function takes, but for self and cls."""
    every = node.args.posonlyargs + node.args.args + node.args.kwonlyargs
    static = any(isinstance(mark, ast.Name) and mark.id == "staticmethod" for mark in node.decorator_list)
    every = every[1:] if around is not None and not static else every
    return [*every, *(extra for extra in (node.args.vararg, node.args.kwarg) if extra is not None)]


def has_docstring(node, around):
    if not said(node, around):
        return "has no docstring"


def has_types(node, around):
    if isinstance(node, ast.ClassDef):
        return None
    bare = [each.arg for each in parameters(node, around) if each.annotation is None]
    if node.returns is None and node.name != "__init__" and not is_setter(node):
        bare.append("its result")
    return f"has no type for {', '.join(bare)}" if bare else None


def says_shapes(node, around):
    if isinstance(node, ast.ClassDef):
        return None
    types = [each.annotation for each in parameters(node, around)] + [node.returns]
    names = {part.attr if isinstance(part, ast.Attribute) else part.id for part in walk(types)}
    shape = r"\[[A-Zn\d.][^\]]*\]|``\[[^\]]+\]|[Ss]calar"
    if "Tensor" in names and not re.search(shape, said(node, around) or ""):
        return "takes or gives tensors and says no shape, such as [N, C], or scalar"


def walk(annotations):
    """Names and attributes in annotations, in those that are written as text too."""
    for annotation in filter(None, annotations):
        for part in ast.walk(annotation):
            if isinstance(part, ast.Constant) and isinstance(part.value, str):
                yield from walk([ast.parse(part.value, mode="eval").body])
            elif isinstance(part, ast.Name | ast.Attribute):
                yield part


def says_what_it_raises(node, around):
    if isinstance(node, ast.ClassDef):
        return None
    raised = [part.exc for part in own(node) if isinstance(part, ast.Raise) and part.exc is not None]
    names = {part.id for error in raised for part in ast.walk(error) if isinstance(part, ast.Name)}
    errors = sorted(name for name in names - {"NotImplementedError"} if name.endswith("Error"))
    words = (said(node, around) or "").lower()
    if errors and not any(word.lower() in words for word in ["raises", *errors]):
        return f"raises {', '.join(errors)} and does not say so"


RULES = (has_docstring, has_types, says_shapes, says_what_it_raises)


def broken(source, rules=RULES):
    """Each public function that breaks one of ``rules``: "name what is wrong"."""
    for name, node, around in public(ast.parse(source)):
        for rule in rules:
            if wrong := rule(node, around):
                yield f"{name} {wrong}"


def too_long(source):
    """Functions, private ones too, of more lines than are read at a glance: signature and docstring do not count."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef):
            documented = ast.get_docstring(node) is not None
            begin = node.body[0].end_lineno if documented else node.body[0].lineno - 1
            lines = node.end_lineno - begin
            if lines > LINES_OF_A_FUNCTION:
                yield f"{node.name} has {lines} lines"
    if (lines := len(source.splitlines())) > LINES_OF_A_FILE:
        yield f"{lines} lines"


# --------------------------------------------------------------------------------------------- the kit


def test_the_walk_finds_every_file():
    assert set(modules().values()) == set(PACKAGE.rglob("*.py"))
    assert {"kdkit.course.figures.axes", "kdkit.measure.intervals"} <= MODULES.keys()


def test_every_public_function_says_what_it_takes_gives_and_raises():
    assert [f"{name}.{wrong}" for name, file in MODULES.items() for wrong in broken(file.read_text("utf-8"))] == []


def test_functions_and_files_are_short():
    assert [f"{name}: {long}" for name, file in MODULES.items() for long in too_long(file.read_text("utf-8"))] == []


def test_the_kit_has_few_entries():
    assert len([path for path in PACKAGE.iterdir() if path.name != "__pycache__"]) <= ENTRIES


def examples(name):
    """(how many examples of a module fail, how many there are)."""
    return doctest.testmod(importlib.import_module(name))


def test_every_example_in_a_docstring_is_true():
    with_examples = [name for name, file in modules().items() if ">>> " in file.read_text("utf-8")]
    results = {name: examples(name) for name in with_examples}
    assert len(results) >= 3 and all(result.attempted for result in results.values())
    assert {name: result for name, result in results.items() if result.failed} == {}


# ------------------------------------------------------------------------------- each rule, seen to fail

GOOD = '''
def mean(values: Tensor, count: int = 1, *more: int) -> "Tensor | None":
    """The mean of ``values`` [N]: a scalar. Raises ``ValueError`` for none."""
    if not count:
        raise ValueError("none")

def total(loss: Callable[[float], float], **names: str) -> float:
    """A sum."""
    def later(x): raise KeyError

def _private(x): return x

class Box:
    """A box of ``size``. Raises ``ValueError`` without one."""
    def __init__(self, size: int):
        raise ValueError(size)
    def __repr__(self): return "Box"
    @property
    def state(self) -> str:
        """Its state. Setting it raises ``ValueError``."""
    @state.setter
    def state(self, text: str):
        raise ValueError(text)
    @staticmethod
    def of(size: int) -> "Box":
        """A box. ``NotImplementedError`` is no news."""
        raise NotImplementedError
'''
BAD = [
    ('"""The mean of ``values`` [N]: a scalar. Raises ``ValueError`` for none."""', "", "mean has no docstring"),
    ('    """A sum."""', "    pass", "total has no docstring"),
    ('    """A box of ``size``. Raises ``ValueError`` without one."""\n', "", "Box has no docstring"),
    ("count: int = 1", "count=1", "mean has no type for count"),
    ("*more: int", "*more", "mean has no type for more"),
    ("**names: str", "**names", "total has no type for names"),
    (' -> "Tensor | None"', "", "mean has no type for its result"),
    ("size: int):", "size):", "Box.__init__ has no type for size"),
    ("of(size: int)", "of(size)", "Box.of has no type for size"),
    ("text: str", "text", "Box.state has no type for text"),
    ("[N]: a scalar", "anything", "mean takes or gives tensors and says no shape"),
    ("Callable[[float], float]", "Callable[[torch.Tensor], float]", "total takes or gives tensors and says no shape"),
    ("-> float:", '-> "tuple[torch.Tensor]":', "total takes or gives tensors and says no shape"),
    (" Raises ``ValueError`` for none", "", "mean raises ValueError and does not say so"),
    (" Raises ``ValueError`` without one", "", "Box.__init__ raises ValueError and does not say so"),
    (" Setting it raises ``ValueError``.", "", "Box.state raises ValueError and does not say so"),
]


def test_a_good_module_breaks_no_rule():
    assert list(broken(GOOD)) == []


@pytest.mark.parametrize(("was", "becomes", "words"), BAD, ids=[words for *_, words in BAD])
def test_a_function_that_breaks_a_rule_is_named(was, becomes, words):
    assert GOOD.count(was) == 1
    assert any(found.startswith(words) for found in broken(GOOD.replace(was, becomes)))


def test_every_rule_was_seen_to_fail():
    assert {
        rule for rule in RULES for was, becomes, _ in BAD if list(broken(GOOD.replace(was, becomes), [rule]))
    } == set(RULES)


def test_a_long_function_and_a_long_file_are_found():
    body = "    x = 1\n" * (LINES_OF_A_FUNCTION + 1)
    assert list(too_long(f'def f():\n    """One\n    two."""\n{body}')) == ["f has 41 lines"]
    assert list(too_long(f"def f(\n    a,\n):\n{body[10:]}" + "\n" * 350)) == []
    assert list(too_long("\n" * 401)) == ["401 lines"]


def test_a_wrong_example_is_found(tmp_path, monkeypatch, capsys):
    (tmp_path / "made_up_examples.py").write_text('"""\n>>> 1 + 1\n3\n"""\n')
    monkeypatch.syspath_prepend(tmp_path)
    assert examples("made_up_examples") == (1, 1) and "Expected:\n    3" in capsys.readouterr().out
