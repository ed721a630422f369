"""Which names each cell of a notebook binds and which it needs, read from its code and not by running it.

So one can say what a cell depends on, and what would miss it if it were taken out.
"""

import ast
import builtins
import re
import symtable
from typing import NamedTuple

ALWAYS_THERE = {*dir(builtins), "__name__", "get_ipython", "display"}
BLOCKS = ("body", "handlers", "orelse", "finalbody")


class Names(NamedTuple):
    """What a cell takes from the cells above it and what it leaves to those below: sets of names."""

    needs: set
    binds: set
    imports: set  # those of ``binds`` that are modules or come from one
    touches: set  # whose object it changes in sight: ``x.y = 1``, ``x[0] = 1``, or ``x.step()`` in a line of its own


def names(source):
    """The ``Names`` of a cell. What a function does to its arguments is not seen, nor what stands behind a ``%``."""
    bound, needs, imports, later, touches = set(), set(), set(), set(), set()
    for part in _parts(ast.parse(re.sub(r"^(\s*)[%!].*", r"\1pass", source, flags=re.MULTILINE)).body):
        read, binds, deferred = _of_a_part(part)
        needs |= read - bound
        bound |= binds
        imports |= binds if isinstance(part, ast.Import | ast.ImportFrom) else set()
        later |= deferred
        touches |= _touched(part)
    return Names((needs | (later - bound)) - ALWAYS_THERE, bound, imports, touches)


def taken_from(origins, sources):
    """(number of a cell, name) for what the others take from the cells ``origins`` above them."""
    left = set()
    for number, (needs, changes) in enumerate(_cells(sources)):
        if number in origins:
            left |= changes
        else:
            yield from ((number, name) for name in sorted(needs & left))
            left -= changes


def reached_from(origins, sources):
    """The numbers of the cells ``origins`` and of those that what they change can reach, directly or not."""
    cells, reached, changed = _cells(sources), set(), set()
    for number, (needs, changes) in enumerate(cells):
        if number in origins or needs & changed:
            reached.add(number)
            changed |= changes
    return reached


def needed_for(wanted, sources):
    """The numbers of the cells ``wanted`` and of those that they depend on, directly or not."""
    cells, needed, lacking = _cells(sources), set(), set()
    for number, (needs, changes) in reversed(list(enumerate(cells))):
        if number in wanted or changes & lacking:
            needed.add(number)
            lacking |= needs
    return needed


def _cells(sources):
    """(names needed, names changed) of each cell. To call what a module holds does not change the module."""
    cells = list(map(names, sources))
    imported = set().union(*(cell.imports for cell in cells))
    return [(cell.needs, cell.binds | (cell.touches - imported)) for cell in cells]


def _parts(body):
    """Statements in their order, compound ones taken apart: first what a block's head reads, then what it binds."""
    for statement in body:
        if isinstance(statement, ast.If | ast.While):
            yield ast.Expr(statement.test)
        elif isinstance(statement, ast.For):
            yield ast.Assign([statement.target], statement.iter, lineno=1)
        elif isinstance(statement, ast.With):
            for item in statement.items:
                yield ast.Assign([item.optional_vars or ast.Name("_", ast.Store())], item.context_expr, lineno=1)
        elif isinstance(statement, ast.ExceptHandler):
            yield ast.Assign(
                [ast.Name(statement.name or "_", ast.Store())], statement.type or ast.Constant(None), lineno=1
            )
        elif not isinstance(statement, ast.Try):
            yield statement
            continue
        for block in BLOCKS:
            yield from _parts(getattr(statement, block, ()))


def _of_a_part(part):
    """(names read at once, names bound, names that a function in it reads when it is called)."""
    code = ast.unparse(ast.fix_missing_locations(_Generators().visit(part)))
    table = symtable.symtable(code, "cell", "exec")
    symbols, inner = table.get_symbols(), [symbol for child in table.get_children() for symbol in _globals(child)]
    bound = {s.get_name() for s in symbols if s.is_assigned() or s.is_imported()}
    bound |= {s.get_name() for s in inner if s.is_assigned()}
    read = {s.get_name() for s in symbols if s.is_referenced()}
    read |= bound if isinstance(part, ast.AugAssign) else set()
    later = {s.get_name() for s in inner if s.is_referenced()}
    return (read, bound, later) if isinstance(part, ast.FunctionDef | ast.ClassDef) else (read | later, bound, set())


class _Generators(ast.NodeTransformer):
    """Comprehensions as generators, which read and bind the same names; since Python 3.12 only those have a table."""

    def visit_ListComp(self, node):
        self.generic_visit(node)
        return ast.GeneratorExp(node.elt, node.generators)

    visit_SetComp = visit_ListComp

    def visit_DictComp(self, node):
        self.generic_visit(node)
        return ast.GeneratorExp(ast.Tuple([node.key, node.value], ast.Load()), node.generators)


def _globals(table):
    """The global symbols of a function, a lambda, a class or a comprehension, and of those inside it."""
    yield from (symbol for symbol in table.get_symbols() if symbol.is_global())
    for child in table.get_children():
        yield from _globals(child)


def _touched(part):
    """Names whose object a statement changes in sight."""
    targets = getattr(part, "targets", [getattr(part, "target", None)])
    if isinstance(part, ast.Expr) and isinstance(part.value, ast.Call):
        targets = [part.value.func]
    found = set()
    for target in targets:
        while isinstance(target, ast.Attribute | ast.Subscript):
            target = target.value
            if isinstance(target, ast.Name):
                found.add(target.id)
    return found
