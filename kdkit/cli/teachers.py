"""What ``--teacher`` names: a network of the kit, a file, one's own function, or one of Hugging Face's."""

from __future__ import annotations

import argparse
import importlib
import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import kdkit
from kdkit.cli import networks, reports
from kdkit.cli.options import at_size

if TYPE_CHECKING:
    from torch.nn import Module

    from kdkit.data import Splits

HELP = (
    "a .safetensors file, a name that ships with the kit, MODULE:FUNCTION that returns a torch.nn.Module, or an image "
    "classifier of Hugging Face's (a folder, or owner/name; of texts a folder); give it again for several, whose "
    "probabilities are averaged (default: yours in RUNS)"
)
CLASS_MAP_HELP = (
    'JSON file with the name that a teacher gives a class of the data where it is another: {"couch": "sofa"}, or a '
    "list of names whose probabilities are summed"
)
FUNCTION = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
ON_THE_HUB = re.compile(r"[\w.-]+/[\w.-]+")


class Teacher(NamedTuple):
    """A ``network`` that gives the logits of the data's classes, what it is called, and the ``data`` as it sees it."""

    name: str
    network: Module
    data: Splits


def find(options: argparse.Namespace, data: Splits) -> Teacher:
    """The teacher of ``--teacher``, or several as one; without it yours in RUNS, then the one that ships with the kit.

    Raises ``FileNotFoundError`` if there is none, ``ValueError`` for what is no teacher of the data's classes, or has
    learnt from other images of the same name.
    """
    given = options.teacher or [_usual(options, data)]
    names = [given] if isinstance(given, str) else given
    mapped = class_map(getattr(options, "class_map", None))
    if mapped is not None:
        options.class_map = mapped  # a setting of the result: what was meant, not where it stood
    members = [_fitted(name, data, mapped) for name in names]
    network = members[0] if len(members) == 1 else kdkit.models.Ensemble(members, options.temperature)
    network = network.to(networks.device(options.device))
    kdkit.models.eval_mode(network)
    size = getattr(network, "size", None)
    seen = at_size(options, data, size)
    name = str(reports.without_home(" and ".join(names)))
    _check_answer(name, network, seen)
    _say_size(size, seen, data)
    return Teacher(name, network, seen)


def _usual(options, data):
    """Yours in RUNS, then the one that ships with the kit."""
    mine, shipped = options.runs / f"{data.name}-teacher.safetensors", f"{data.name}-teacher"
    if mine.exists():
        card = networks.card(str(mine))
        test = at_size(options, data, networks.size(card)).test
        if card.get("test_fingerprint", test.fingerprint) != test.fingerprint:
            raise ValueError(
                f"{mine} was trained on other images of the same name. Name a teacher with --teacher, or train one on "
                "these: python -m kdkit train-teacher with --out and another name."
            )
        return str(mine)
    if shipped in kdkit.zoo.names():
        return shipped
    raise FileNotFoundError(
        f"no teacher for {data.name}: neither {mine} nor one that ships with the kit. "
        f"Train one first: python -m kdkit train-teacher --data {options.data}"
    )


def _fitted(name, data, mapped):
    """The network called ``name``, with logits for the classes of ``data``."""
    network, classes = _read(name, data, mapped is not None), data.train.classes
    if isinstance(network, kdkit.models.ForImages):
        try:
            return network.for_classes(classes, mapped)
        except ValueError as problem:
            raise ValueError(f"--teacher {name}: {problem}{class_map_advice(problem)}") from None
    return network


def _read(name, data, mapped):
    """The network called ``name``: as it is if it knows the data's classes and size and is not ``mapped``."""
    if name.endswith(".safetensors") or name in kdkit.zoo.names():
        card = networks.card(name)
        known, size = card.get("classes", data.train.classes), networks.size(card)
        network = networks.load(name)
        if not mapped and tuple(known) == data.train.classes and size in (None, data.train.images.shape[-1]):
            return network
        return kdkit.models.ForImages(network, size=size, classes=known)
    if FUNCTION.fullmatch(name):
        return kdkit.models.as_described(made(name))
    if Path(name).is_dir() or (ON_THE_HUB.fullmatch(name) and not Path(name).parent.exists()):
        if not Path(name).is_dir():
            print(f"asking huggingface.co for {name}, unless it lies on this machine already", flush=True)
        return kdkit.models.from_hugging_face(name)
    raise ValueError(
        f"--teacher {name!r} is no teacher: give a .safetensors file, a name that ships with the kit "
        f"({', '.join(kdkit.zoo.names())}), MODULE:FUNCTION that returns a torch.nn.Module, or an image classifier of "
        "Hugging Face's, as a folder or as owner/name."
    )


def made(name: str) -> Module:
    """The network that the function ``MODULE:FUNCTION`` returns, called without arguments. ``ValueError`` if none."""
    module_name, function_name = name.split(":")
    sys.path.insert(0, "")  # the current folder, which the command ``kdkit`` does not look in by itself
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise ValueError(f"--teacher {name}: {module_name} needs {error.name}, which is not installed.") from error
        raise ValueError(
            f"--teacher {name}: there is no module {module_name}, neither {module_name.replace('.', '/')}.py in the "
            "current folder nor an installed one."
        ) from error
    finally:
        sys.path.remove("")
    function = getattr(module, function_name, None)
    if not callable(function):
        raise ValueError(f"--teacher {name}: {module_name} has no function {function_name}.")
    try:
        network = function()
    except Exception as error:  # whatever may go wrong in somebody's own function
        raise ValueError(f"--teacher {name}: {function_name}() failed. {type(error).__name__}: {error}") from error
    kdkit.models.check_network(f"what {name} returns", network)
    return network


def class_map(path: Path | None) -> dict | None:
    """What the JSON file of ``--class-map`` holds, if there is one. ``ValueError`` unless it is a map."""
    if path is None:
        return None
    with kdkit.data.files.explained(path, "read"):
        content = path.read_bytes()
    try:
        found = json.loads(content)
    except ValueError as error:
        raise ValueError(f"--class-map {path} is no JSON: {error}.") from error
    if not isinstance(found, dict):
        raise ValueError(f'--class-map {path} must hold a JSON object such as {{"couch": "sofa"}}.')
    return found


def class_map_advice(problem: ValueError) -> str:
    """How to give the map that a ``problem`` with classes asks for."""
    return " (--class-map takes a JSON file with such a map.)" if "class_map={" in str(problem) else ""


def _check_answer(name, network, seen):
    """``ValueError`` unless the teacher answers about an image, with a logit for each class."""
    device = kdkit.models.device_of(network)
    with kdkit.models.evaluating(network):
        answer = kdkit.models.logits(network, kdkit.models.as_input(seen.test.images[:2], device), "teacher")
    count, wanted = answer.shape[-1], len(seen.train.classes)
    if answer.ndim != 2 or count != wanted:
        raise ValueError(
            f"--teacher {name} answers with {count} numbers an image; {seen.name} has {wanted} classes. Have its "
            "function return kdkit.models.ForImages(network, classes=[...]) with the names of its classes, in the "
            "order of its answers: they are then matched by name."
        )


def _say_size(size, seen, data):
    side, own = seen.train.images.shape[-1], data.train.images.shape[-1]
    if side != own:
        parts = [part.images for part in (seen.train, seen.val, seen.test)]
        held = sum(images.numel() for images in parts if not isinstance(images, kdkit.data.StreamedImages))
        where = f"{kdkit.data.files.in_words(held)} of memory" if held else "read from disk as they are wanted"
        print(f"the teacher sees the images at {side}x{side} pixels ({where}), students at {own}x{own}")
    elif size not in (None, own):
        print(f"the teacher's images have {size}x{size} pixels: those of {own}x{own} are scaled for it")
