"""Networks for the commands: found by name or file, measured, and kept in a file with a card."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import kdkit

if TYPE_CHECKING:
    from torch.nn import Module

    from kdkit.data import ImageSet, Splits

SAME_NETWORK = ("settings", "train_fingerprint", "test_fingerprint", "teacher_fingerprint")  # on cards of one network
LIMITS = "Measured on the test images of this data alone: on any other images expect less, however sure it sounds."
COPIES = (
    " Its images were JPEG copies, to learn from and to be tested on: do not set its accuracy beside that of networks "
    "on original pixels, and expect it to lose some there (kdkit/course/measured/README.md)."
)


def limits(data: Splits) -> str:
    """What a network of images that was measured on ``data`` is not known to do, for its card."""
    return LIMITS + (COPIES if "not the original pixels" in data.source else "")


def device(name: str) -> str:
    """The device of ``--device``; for "auto" the best that torch sees. ``ValueError`` for one that it does not see."""
    import torch

    seen = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        return "cuda" if seen["cuda"] else "mps" if seen["mps"] else "cpu"
    if not seen[name]:
        raise ValueError(f"--device {name}: torch sees no such device here. Use --device auto; doctor says more.")
    return name


def hardware(network: Module) -> str:
    """What computes ``network``, for its card: the name of the GPU, or "cpu"."""
    import torch

    kind = kdkit.models.device_of(network).type
    return torch.cuda.get_device_name() if kind == "cuda" else kind


def read(name: str, data: Splits) -> Module:
    """The network in the file ``name``, or that ships under this name, in eval mode.

    Raises ``FileNotFoundError`` if it is not there, ``ValueError`` if it is damaged, reads text, or knows other
    classes than ``data``, or in another order.
    """
    known = card(name).get("classes", data.train.classes)
    if tuple(known) != data.train.classes:
        raise ValueError(
            f"{name} was trained on {', '.join(known)}; {data.name} has {', '.join(data.train.classes)}. "
            "Take a network that was trained on the same classes."
        )
    return load(name)


def card(name: str) -> dict:
    """The card of the network in the file ``name``, or that ships under this name; ``ValueError`` if it reads text.

    Raises as ``kdkit.zoo.read_card`` and ``kdkit.zoo.card``.
    """
    found = (kdkit.zoo.read_card if name.endswith(".safetensors") else kdkit.zoo.card)(name)
    if "vocab_size" in found["architecture"]:
        raise ValueError(f"{name} reads text, and images are to be seen: take a network that sees.")
    return found


def size(found: dict) -> int | None:
    """How many pixels a side the images had from which a network learnt, by its card; None where that says nothing."""
    return found["size"][-1] if found.get("size") else None


def load(name: str) -> Module:
    """The network in the file ``name``, or that ships under this name, in eval mode. Raises as ``kdkit.zoo`` does."""
    return (kdkit.zoo.read if name.endswith(".safetensors") else kdkit.zoo.load)(name)


def measure(network: Module, images: ImageSet, flip: bool = False) -> dict[str, float]:
    """Accuracy and expected calibration error on ``images``; with ``flip`` also the accuracy of the mean of the
    logits of an image and of its mirror image.
    """
    metrics = kdkit.metrics
    logits = metrics.predict(network, images.images)  # [N, classes]
    results = {
        "accuracy": metrics.accuracy(logits, images.labels),
        "ece": metrics.expected_calibration_error(logits, images.labels),
    }
    if flip:
        both = (logits + metrics.predict(network, images.images.flip(3))) / 2
        results["accuracy_with_flips"] = metrics.accuracy(both, images.labels)
    return results


def check_learnt(accuracy: float, test: ImageSet) -> None:
    """``ValueError`` for a teacher that names no more of the ``test`` images right than guessing may."""
    guess = kdkit.metrics.guessing(test.labels)
    if accuracy < guess:
        raise ValueError(
            f"the teacher names {accuracy:.2%} of {len(test):,} test images right. Whoever names the commonest class "
            f"always may reach {guess:.2%} with luck: it is not kept. Give it more --epochs, or more images."
        )


def as_written(network: Module, card: dict) -> Module:
    """The network that a file would give back, in half precision: what is measured is what will be written."""
    with tempfile.TemporaryDirectory() as folder:
        kdkit.zoo.save(network, Path(folder) / "network.safetensors", card)
        return kdkit.zoo.read(Path(folder) / "network.safetensors")


def check_place(out: Path, origin: dict) -> None:
    """``ValueError`` unless a network of this ``origin`` may be written to ``out``: nothing is there, or what the same
    command made.
    """
    if kdkit.zoo.check_path(out).exists():
        refuse_another(out, kdkit.zoo.read_card(out), origin)


def refuse_another(out: Path, card: dict, origin: dict) -> None:
    """``ValueError`` unless the ``card`` of what lies at ``out`` is that of a network of this ``origin``."""
    if all(_on_card(card, name) == json.loads(json.dumps(_on_card(origin, name))) for name in SAME_NETWORK):
        return
    accuracy = card.get("results", {}).get("accuracy")
    good = (
        ""
        if accuracy is None
        else f", which names {accuracy:.2%} of its test {'texts' if 'texts' in card else 'images'} right"
    )
    raise ValueError(
        f"{out} holds another network already{good} ({card.get('command', 'made by no command')}). It is not "
        "overwritten: give --out another name, or move it away."
    )


def _on_card(card, name):
    """What a card says under ``name``; of settings all but where the data lies, which its fingerprints say better."""
    value = card.get(name)
    return {key: kept for key, kept in value.items() if key != "data"} if isinstance(value, dict) else value


def keep(network: Module, out: Path, card: dict, vocabulary: list[str] | None = None) -> None:
    """Write a network to ``out``, with its ``vocabulary`` if it reads text.

    Raises ``ValueError`` if another has come there meanwhile, ``OSError`` where the disk is in the way.
    """
    with kdkit.data.files.alone(out, waiting=f"another program is writing {out}: waiting for it."):
        check_place(out, card)
        if vocabulary is not None:
            kdkit.zoo.save_vocabulary(vocabulary, out)
        kdkit.zoo.save(network, out, card)
