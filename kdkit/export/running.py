"""Exported files at work: each as a network, and what it costs and knows beside the original."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from kdkit import models
from kdkit.data import files
from kdkit.data.streaming import pixels
from kdkit.export.networks import INPUT, check_installed, read_note
from kdkit.measure import metrics, profiling

if TYPE_CHECKING:
    from kdkit.data import ImageSet

ORIGINAL = "torch"  # what the network itself is called beside the files
BATCHES = (1, 64)  # images at once: one picture as it comes, and many


class Exported(nn.Module):
    """A file that ``write`` made, as a network: ONNX Runtime or torch runs it, with as many threads as torch has now.

    ``note``: what the file says of itself. Raises ``FileNotFoundError`` where there is no such file, ``ValueError`` for
    one of another kind, ``ImportError`` as ``check_installed``.
    """

    def __init__(self, path: str | Path):
        super().__init__()
        path = files.expanded(path)
        if path.suffix != ".pt2":
            check_installed()
        self.note = read_note(path)
        self.run = _by_torch(path) if path.suffix == ".pt2" else _by_onnx(path)

    def forward(self, images: Tensor) -> Tensor:
        """Logits ``[N, classes]`` of float32 images ``[N, C, H, W]`` in [0, 1]."""
        return self.run(images)


def _by_torch(path):
    program = torch.export.load(path).module()
    return lambda images: program(images)  # no part of the network: it refuses to be put into eval mode, where it is


def _by_onnx(path):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # they sleep, as torch's do here
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return lambda images: torch.from_numpy(session.run(None, {INPUT: images.contiguous().numpy()})[0])


def measured(network: nn.Module, paths: Mapping[str, Path], test: ImageSet, rounds: int = 11) -> dict[str, dict]:
    """Of the ``network`` ("torch") and each exported file: what it knows and costs, by format.

    A dict each: ``accuracy`` on the ``test`` images; ``agreement`` with the network, the share of images on which both
    give the same answer; ``largest_difference`` of two logits; ``bytes`` of a file; and by number of images at once
    ``milliseconds`` and ``times_as_long`` as the network, text with its noise. All take turns, with as many threads as
    torch has now. Raises as ``Exported`` and ``profiling.latency`` do.
    """
    networks = {ORIGINAL: network, **{name: Exported(path) for name, path in paths.items()}}
    answers = {name: metrics.predict(each, test.images) for name, each in networks.items()}
    found: dict[str, dict] = {}
    for name, logits in answers.items():
        found[name] = {
            "accuracy": metrics.accuracy(logits, test.labels),
            "agreement": metrics.agreement(logits, answers[ORIGINAL]),
            "largest_difference": (logits - answers[ORIGINAL]).abs().max().item(),
            "milliseconds": {},
            "times_as_long": {},
        }
        if name != ORIGINAL:
            found[name] |= {"bytes": paths[name].stat().st_size, "file": paths[name].name}
    for batch in BATCHES:
        times = _times(networks, pixels(test.images[torch.arange(batch) % len(test)]), rounds)
        for name, ratio in profiling.ratios(times).items():
            found[name]["milliseconds"][str(batch)] = round(1000 * times[name].median, 4)
            found[name]["times_as_long"][str(batch)] = str(ratio)
    return found


def _times(networks: Mapping[str, nn.Module], images: Tensor, rounds: int) -> dict[str, profiling.Latency]:
    """Latency of all in turns on uint8 ``images``: torch likes their channels last, ONNX Runtime first."""
    dense = models.as_input(images).contiguous()
    calls = {
        name: profiling.predicting(each, dense if name.startswith("onnx") else images)
        for name, each in networks.items()
    }
    return profiling.latency({**calls, profiling.AGAIN: calls[ORIGINAL]}, rounds)
