"""Benchmarks run for hours, so no test runs them. That what they name is there, is tested."""

import ast
import importlib.util
import types

import pytest

from tools.links import ROOT

BENCHMARKS = sorted((ROOT / "benchmarks").glob("*.py"))


def names_of(path):
    """Of a module's code: ``(written, module, name)`` of each ``module.name`` whose first part is a module."""
    spec = importlib.util.spec_from_file_location(f"benchmark_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            owner = getattr(module, node.value.id, None)
            if isinstance(owner, types.ModuleType):
                yield owner, node.attr


@pytest.mark.parametrize("path", BENCHMARKS, ids=lambda path: path.stem)
def test_what_a_benchmark_takes_from_a_module_is_there(path):
    missing = [f"{owner.__name__}.{name}" for owner, name in names_of(path) if not hasattr(owner, name)]
    assert not missing
