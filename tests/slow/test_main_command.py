"""The README's main command as it stands there, with all its defaults: what a newcomer types first."""

import json
import re
import subprocess
import sys


def test_distilling_things_with_all_defaults_teaches_every_student_and_says_so(tmp_path):
    command = [sys.executable, "-m", "kdkit", "distill", "--data", "things", "--json", "d.json"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    result = json.loads((tmp_path / "d.json").read_text())
    assert result["teacher_accuracy"] > 0.97 and result["broken"] == [] and len(result["runs"]) == 3
    assert all(run[f"student_{arm}"] > 0.97 for run in result["runs"] for arm in ("alone", "distilled"))
    verdict = r"distillation: (a gain|a loss|no difference shown)[^\n]* points \(95 % interval "
    assert re.search(verdict, done.stdout) and f"distillation: {result['verdict']}\n" in done.stdout
    assert "things: 10 classes: chair, armchair" in done.stdout and "to train: 8 epochs of 40 steps" in done.stdout
