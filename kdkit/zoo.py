"""Trained networks in files: those that ship with the kit, and your own.

A network is two files side by side: ``NAME.safetensors`` with the weights (half precision) and ``NAME.json``, its
card: how to build it, what it was trained on and by which command, how good it is, where its limits are, and the
SHA-256 of the weights.
"""

import json
from importlib import resources
from pathlib import Path

import safetensors.torch
import torch

from kdkit import files, models

SHIPPED = Path(str(resources.files("kdkit"))) / "weights"


def names():
    """The names of the networks that ship with the kit."""
    return sorted(path.stem for path in SHIPPED.glob("*.safetensors"))


def load(name):
    """A network that ships with the kit, by name, in eval mode. ``ValueError`` for an unknown name or damaged file."""
    return read(_shipped(name))


def card(name):
    """The card of a network that ships with the kit: a dict."""
    return read_card(_shipped(name))


def save(model, path, card):
    """Write a course network to ``path`` (``.safetensors``) and its ``card``, a dict for people, beside it.

    Weights are kept in half precision: half the size. Measure the network that ``read`` gives, not the one given here.
    """
    path = check_path(path)
    with files.replacing(path) as weights, files.replacing(path.with_suffix(".json")) as text:
        # the bytes, not save_file: that puts a file in place which only its owner may read
        weights.write_bytes(safetensors.torch.save({name: _half(value) for name, value in model.state_dict().items()}))
        built = {"architecture": model.architecture, "sha256": files.sha256(weights)}
        whole = built | card | built  # an old card may be given again: what it says of older weights must not stay
        text.write_text(json.dumps(whole, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def check_path(path):
    """``path`` as a ``Path``; ``ValueError`` unless it can be a network's: its name ends in .safetensors."""
    path = Path(path)
    if path.suffix != ".safetensors":
        raise ValueError(f"a network's file must have a name that ends in .safetensors; got {path}.")
    return path


def read(path):
    """The network that ``save`` wrote to ``path``, in eval mode, float32.

    Raises ``FileNotFoundError`` if the file or its card is missing, ``ValueError`` if the weights do not match the
    card's SHA-256.
    """
    path, about = Path(path), read_card(path)
    found = files.sha256(path)
    if found != about.get("sha256"):
        raise ValueError(
            f"{path} is damaged, or not the file that its card describes: SHA-256 {found[:12]}..., "
            f"expected {str(about.get('sha256'))[:12]}... Make or download it again."
        )
    try:
        model = models.student(**about["architecture"])
        model.load_state_dict(safetensors.torch.load_file(path))  # which makes them float32 again
    except (TypeError, ValueError, RuntimeError, safetensors.SafetensorError) as error:
        raise ValueError(
            f"{path} does not fit the architecture on its card, {about['architecture']}. Make or download it again."
        ) from error
    return model.eval()


def read_card(path):
    """The card beside ``path``, a dict. Raises ``FileNotFoundError`` if the weights or the card are missing."""
    path = Path(path)
    for part in path, path.with_suffix(".json"):
        if not part.exists():
            raise FileNotFoundError(
                f"{part} does not exist: a network is a .safetensors file and a .json card beside it."
            )
    try:
        about = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(
            f"{path.with_suffix('.json')} is damaged: it is no JSON. Make or download it again."
        ) from error
    if not isinstance(about, dict) or "architecture" not in about:
        raise ValueError(f"{path.with_suffix('.json')} is no card of a kdkit network: it names no architecture.")
    return about


def _shipped(name):
    if name not in names():
        raise ValueError(f"no network named {name!r} ships with the kit; there are: {', '.join(names()) or 'none'}.")
    return SHIPPED / f"{name}.safetensors"


def _half(tensor):
    """In half precision where that holds it: a BatchNorm variance above 65,504 would become infinite."""
    half = tensor.half() if tensor.is_floating_point() else tensor
    return (half if torch.equal(half.isfinite(), tensor.isfinite()) else tensor).contiguous()
