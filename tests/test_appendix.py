"""The cell of notebook 01 that is off by default, run on a small stand-in for what it would download."""

import json

import numpy as np
import torch

import kdkit
from kdkit import models
from kdkit.measure import metrics
from tools.notebooks import ROOT, text

NAMES = [*(f"class {k}" for k in range(97)), "chair", "couch", "mushroom"]


class FewPictures:
    """As torchvision's CIFAR100: uint8 [N, H, W, C] in ``data``, a list in ``targets``, names in ``classes``."""

    def __init__(self, root, train, download):
        assert download
        self.data = np.random.default_rng(int(train)).integers(256, size=(200, 32, 32, 3), dtype=np.uint8)
        self.targets, self.classes = [k % 100 for k in range(200)], NAMES


def test_the_cifar100_cell_runs_when_it_is_switched_on(monkeypatch, capsys):
    monkeypatch.setattr("torchvision.datasets.CIFAR100", FewPictures)
    cells = json.loads((ROOT / "notebooks" / "01_dark_knowledge.ipynb").read_text(encoding="utf-8"))["cells"]
    (source,) = [text(cell["source"]) for cell in cells if "online" in cell["metadata"].get("tags", [])]
    assert "ONLINE = False" in source
    names = {"torch": torch, "kdkit": kdkit, "models": models, "metrics": metrics}
    exec(source.replace("ONLINE = False", "ONLINE = True"), names)
    assert "a chair's mean soft target: couch " in capsys.readouterr().out
