"""``compile=True`` with the real compiler: where there is one, a compiled student learns what a plain one does."""

import shutil

import pytest
import tiny

import kdkit


@pytest.mark.skipif(shutil.which("g++") is None and shutil.which("clang++") is None, reason="no C++ compiler here")
@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_a_compiled_student_learns_what_a_plain_one_does(precision):
    def losses(compile):
        settings = {"epochs": 2, "batch_size": 32, "progress": False, "precision": precision, "compile": compile}
        run = kdkit.train(tiny.net(1), tiny.splits(), teacher=tiny.net(7, 4), **settings)
        return [entry["loss"] for entry in run.history]

    assert losses(True) == pytest.approx(losses(False), rel=1e-4 if precision == "float32" else 0.05)
