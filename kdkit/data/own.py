"""Somebody's own folder of images -> ``Splits``: its parts as they are; what is missing, held out by a stated rule."""

from dataclasses import replace
from pathlib import Path

from kdkit.data import layout, walk
from kdkit.data.files import expanded
from kdkit.data.folders import data_name, read_folder
from kdkit.data.images import Splits, hold_out

SIDE = 32  # pixels to which own images are scaled, the size of all images of the course
FEWEST = 20  # training images, so that a tenth of them can be held out


def splits(path: str | Path, stream: bool | None = None) -> Splits:
    """The images in the folder ``path``: a ``Splits`` whose ``source`` says how they were split and scaled.

    ``stream`` as for ``kdkit.data.load``. Warns once of all that was left out. Raises as ``image_folder`` does, and
    ``ValueError`` where the parts hold different classes or too few images.
    """
    path, left = expanded(path), walk.LeftOut()
    names = layout.parts(path) if path.is_dir() else {}
    folders = [path / name for name in names.values()] or [path]
    read = [read_folder(folder, SIDE, left, stream) for folder in folders]
    parts = [replace(images, name=data_name(path)) for images, *_ in read]  # not "train" and "test"
    _check_classes(folders, parts)
    if names:
        _count_others(path, names, left)
    train, val, test, rule = _arranged(dict(zip(names, parts, strict=True)) if names else parts[0], names)
    if len(train) < FEWEST or not len(val) or not len(test):
        raise ValueError(
            f"{path} holds {len(train)} images to train and {len(test)} to test, {len(val)} to validate: at least "
            f"{FEWEST}, 1 and 1 are needed, and many more for a result that means anything."
        )
    left.say(path, layout.SUFFIXES)
    scaled = _scaled([found for _, found, _ in read])
    reason = next((reason for *_, reason in read if reason), None)
    scaled += f", read from disk as they are wanted, {reason}" if reason else ""
    return Splits(train, val, test, source=f"image folder {walk.show(path)} ({scaled}; {rule})")


def _arranged(parts, names):
    """Training, validation and test images, and the rule by which they were chosen, in words."""
    if not names:
        train, test = hold_out(parts, len(parts) // 5)
        return *hold_out(train, len(train) // 10), test, "a fifth held out for testing, a tenth of the rest to validate"
    said = {part: f"{name}/" for part, name in names.items()}
    if {"val", "test"} <= parts.keys():
        return parts["train"], parts["val"], parts["test"], f"{said['val']} to validate, {said['test']} for testing"
    (other,) = parts.keys() - {"train"}
    rule = f"{said[other]} for testing, a tenth of {said['train']} held out to validate"
    return *hold_out(parts["train"], len(parts["train"]) // 10), parts[other], rule


def _check_classes(folders, parts):
    for folder, part in zip(folders, parts, strict=True):
        if part.classes != parts[0].classes:
            here, there = set(part.classes), set(parts[0].classes)
            only = [
                f"only {place} has {', '.join(sorted(names))}"
                for place, names in ((folders[0], there - here), (folder, here - there))
                if names
            ]
            raise ValueError(f"The parts of a split hold different classes: {'; '.join(only)}. Give all the same.")


def _count_others(path, names, left):
    for name in layout.folders(path):
        if name not in names.values():
            left.add("folders beside the parts of the split", path / name)


def _scaled(found):
    """Which sizes the images had and what became of them, in words."""
    smallest = min((each.smallest for each in found), key=_area)
    largest = max((each.largest for each in found), key=_area)
    if smallest == largest == (SIDE, SIDE):
        return f"images of {SIDE}x{SIDE} pixels"
    sizes = " to ".join(dict.fromkeys("x".join(map(str, size)) for size in (smallest, largest)))
    return f"images of {sizes} pixels, cut to squares and scaled to {SIDE}x{SIDE}"


def _area(size):
    return size[0] * size[1]
