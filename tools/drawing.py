"""Hold a notebook's saved pictures and the code that draws them together.

No test can compare pictures: their bytes are others with each release of matplotlib. So what has drawn them is kept
beside them: a hash of that part of ``kdkit/course``'s figures and widgets which the notebook uses, and of the functions
beside them that call these, without comments, docstrings, types and layout. A picture that is older than its code is
found by it.
"""

import ast
import functools
import hashlib
import re

from tools.links import ROOT


def drawn_by(sources):
    """The hash for a notebook's code cells, an iterable of their sources: 12 letters."""
    parts = drawing_code()
    named, found = set(re.findall(r"\w+", "\n".join(sources))), set()
    while new := named & parts.keys() - found:
        found |= new
        named = set().union(*(_names(node) for name in new for node in parts[name]))
    code = [(name, [_plain(node) for node in parts[name]]) for name in sorted(found)]
    return hashlib.sha256(repr(code).encode()).hexdigest()[:12]


@functools.cache
def drawing_code():
    """What the modules that draw define: a dict of name to its definitions, a list, for two modules may share one."""
    parts = {}
    course = ROOT / "kdkit" / "course"
    for path in sorted([*(course / "figures").glob("*.py"), *(course / "widgets").glob("*.py"), *course.glob("*.py")]):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if path.parent != course or "figures" in _names(node):
                for name in _defined(node):
                    parts.setdefault(name, []).append(node)
    return parts


def _defined(node):
    """The names that a statement of a module defines."""
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return {node.name}
    if isinstance(node, ast.Assign | ast.AnnAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        return {name.id for target in targets for name in ast.walk(target) if isinstance(name, ast.Name)}
    return set()


def _names(node):
    """All names that stand in a piece of code, after a dot or before."""
    found = {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}
    return found | {part.attr for part in ast.walk(node) if isinstance(part, ast.Attribute)}


def _plain(node):
    """A syntax tree as tuples, without docstrings and types, and without what only some releases of Python write."""
    if isinstance(node, list):
        return tuple(_plain(part) for part in node if not (isinstance(part, ast.AnnAssign) and part.value is None))
    if isinstance(node, ast.AnnAssign):
        node = ast.Assign([node.target], node.value)
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = {name: value for name, value in ast.iter_fields(node) if value is not None and value != []}
    fields = {name: value for name, value in fields.items() if name not in ("annotation", "returns")}
    if isinstance(node, ast.FunctionDef | ast.ClassDef) and ast.get_docstring(node) is not None:
        fields["body"] = node.body[1:]
    return type(node).__name__, *((name, _plain(value)) for name, value in fields.items())
