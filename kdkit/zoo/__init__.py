"""Trained networks in files: those that ship with the kit, and your own.

A network is two files side by side: ``NAME.safetensors`` with the weights (half precision) and ``NAME.json``, its
card: how to build it, what it was trained on and by which command, how good it is, where its limits are, and the
SHA-256 of the weights. A network that reads text has a third: ``NAME.txt``, its vocabulary, one token a line. (One
that classifies texts is a folder: ``for_texts``.)
"""

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

import safetensors.torch
import torch
from torch import nn

from kdkit import models
from kdkit.data import files

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

SHIPPED = Path(__file__).parent / "weights"


def names() -> list[str]:
    """The names of the networks that ship with the kit."""
    return sorted(path.stem for path in SHIPPED.glob("*.safetensors"))


def load(name: str) -> nn.Module:
    """A network that ships with the kit, by name, in eval mode.

    Raises ``ValueError`` for an unknown name or a damaged file.
    """
    return read(_shipped(name))


def card(name: str) -> dict:
    """The card of a network that ships with the kit. Raises ``ValueError`` for an unknown name."""
    return read_card(_shipped(name))


def tokenizer(name: str) -> "PreTrainedTokenizerBase":
    """The tokenizer of a network that ships with the kit and reads text.

    Raises ``ValueError`` for an unknown name, ``FileNotFoundError`` for a network that reads no text.
    """
    return read_tokenizer(_shipped(name))


def save(model: nn.Module, path: str | Path, card: dict) -> None:
    """Write a course network to ``path`` (``.safetensors``) and its ``card``, a dict for people, beside it.

    Raises ``ValueError``, before anything is written, for a card that is no JSON, and for a network of another make.

    Weights are kept in half precision: half the size. Measure the network that ``read`` gives, not the one given here.
    Of a network that reads text, ``save_vocabulary`` keeps the tokens.
    """
    path = check_path(path)
    if not isinstance(card, dict) or not hasattr(model, "architecture"):
        got = f"{type(model).__name__} and {type(card).__name__}"
        raise ValueError(f"a network that kdkit.models has built, and a card, a dict, are kept; got {got}.")
    # the bytes, not save_file: that puts a file in place which only its owner may read
    weights = safetensors.torch.save({name: _half(value) for name, value in _tensors(model).items()})
    built = {"architecture": model.architecture, "sha256": hashlib.sha256(weights).hexdigest()}
    about = card_text(built | card | built)  # an old card may be given again: its word on older weights must not stay
    with files.replacing(path) as weights_file, files.replacing(path.with_suffix(".json")) as card_file:
        weights_file.write_bytes(weights)
        card_file.write_bytes(about)


def card_text(card: dict) -> bytes:
    """A card as JSON, UTF-8. ``ValueError`` for what would be no JSON, or no text, to those who read it."""
    try:
        return f"{json.dumps(card, indent=1, ensure_ascii=False, allow_nan=False)}\n".encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"the card holds text that is no Unicode: {error.object[error.start :][:40]!a}") from error
    except ValueError as error:
        raise ValueError(f"the card cannot be written as JSON ({error}): NaN and inf are no results.") from error
    except TypeError as error:
        raise ValueError(f"the card cannot be written as JSON ({error}): give texts, numbers, lists, dicts.") from error


def check_path(path: str | Path) -> Path:
    """``path`` as a ``Path``; ``ValueError`` unless it can be a network's: its name ends in .safetensors."""
    path = files.expanded(path)
    if path.suffix != ".safetensors":
        raise ValueError(f"a network's file must have a name that ends in .safetensors; got {path}.")
    return path


def read(path: str | Path) -> nn.Module:
    """The network that ``save`` wrote to ``path``, in eval mode, float32.

    Raises ``FileNotFoundError`` if the file or its card is missing, ``ValueError`` if the weights do not match the
    card's SHA-256.
    """
    path, about = files.expanded(path), read_card(path)
    with files.explained(path, "read"):
        content = path.read_bytes()  # not mapped: a file that is cut short meanwhile would end the program
    found = hashlib.sha256(content).hexdigest()
    if found != about.get("sha256"):
        raise ValueError(
            f"{path} is damaged, or not the file that its card describes: SHA-256 {found[:12]}..., "
            f"expected {str(about.get('sha256'))[:12]}... Make or download it again."
        )
    try:
        model = _build(about["architecture"])
        weights = safetensors.torch.load(content)
        if weights.keys() != _tensors(model).keys():
            raise ValueError("other weights than this network has")
        model.load_state_dict(weights, strict=False)  # which makes them float32 again
    except (TypeError, ValueError, RuntimeError, safetensors.SafetensorError) as error:
        raise ValueError(
            f"{path} does not fit the architecture on its card, {about['architecture']}. Make or download it again."
        ) from error
    return model.eval()


def save_vocabulary(vocabulary: list[str], path: str | Path) -> None:
    """Keep the tokens that a tokenizer knows, in order, beside the network at ``path``."""
    with files.replacing(check_path(path).with_suffix(".txt")) as text:
        text.write_text("".join(f"{token}\n" for token in vocabulary), encoding="utf-8")


def read_tokenizer(path: str | Path) -> "PreTrainedTokenizerBase":
    """The tokenizer of the network at ``path``. Raises ``FileNotFoundError`` and ``ValueError`` as ``read`` does."""
    from kdkit.data import tokens

    return tokens.tokenizer(read_vocabulary(path, read_card(path)["architecture"].get("vocab_size")))


def read_vocabulary(path: str | Path, vocab_size: int) -> list[str]:
    """The ``vocab_size`` tokens that ``save_vocabulary`` kept beside ``path``.

    Raises ``FileNotFoundError`` where there is no such file, and ``ValueError`` where it holds more or fewer.
    """
    path = files.expanded(path).with_suffix(".txt")
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist: it holds the vocabulary of a network that reads text.")
    vocabulary = path.read_text(encoding="utf-8").split("\n")[:-1]
    if len(vocabulary) != vocab_size:
        raise ValueError(
            f"{path} holds {len(vocabulary)} tokens; {vocab_size} are wanted. It is damaged, or of another network: "
            "make or download it again."
        )
    return vocabulary


def read_card(path: str | Path) -> dict:
    """The card beside ``path``.

    Raises ``FileNotFoundError`` if the weights or the card are missing, and ``ValueError`` for what is no card, or one
    of an earlier kit.
    """
    path = files.expanded(path)
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
    if isinstance(about["architecture"], dict) and "words" in about["architecture"]:
        raise ValueError(
            f"{path.with_suffix('.json')} was written by an earlier kdkit: in its architecture, rename 'words' to "
            "'vocab_size' and 'length' to 'max_length'."
        )
    return about


def _shipped(name):
    if name not in names():
        raise ValueError(f"no network named {name!r} ships with the kit; there are: {', '.join(names()) or 'none'}.")
    return SHIPPED / f"{name}.safetensors"


def _build(architecture):
    """An untrained network of the course: one that reads or writes text if it has a ``vocab_size``, else for images."""
    if "vocab_size" not in architecture:
        return models.student(**architecture)
    from kdkit.models import bert, gpt  # transformers takes seconds to import

    sizes = dict(architecture)
    return gpt.gpt(**sizes) if sizes.pop("family", "bert") == "gpt" else bert.teacher(**sizes)


def _tensors(model):
    """All that ``model`` has learnt, by name; what stands in two places of it (tied weights), once."""
    seen = set()
    return {
        name: value
        for name, value in model.state_dict().items()
        if not (value.data_ptr() in seen or seen.add(value.data_ptr())) or value.numel() == 0
    }


def _half(tensor):
    """In half precision where that holds it: a BatchNorm variance above 65,504 would become infinite."""
    half = tensor.half() if tensor.is_floating_point() else tensor
    return (half if torch.equal(half.isfinite(), tensor.isfinite()) else tensor).contiguous()
