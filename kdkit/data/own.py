"""Somebody's own folder of images -> ``Splits``: its parts as they are; what is missing, held out by a stated rule."""

import statistics
from dataclasses import replace
from pathlib import Path

from kdkit.data import layout, look, walk
from kdkit.data.decoding import shorter_sides
from kdkit.data.files import expanded
from kdkit.data.folders import Listed, checked_size, data_name, listed, read_folder
from kdkit.data.images import Splits, hold_out
from kdkit.data.views import Views

SIDES = (32, 64, 96, 128)  # proposed sizes, in pixels; 32 is that of all images of the course
MOST_PIXELS = 100_000_000  # of all images together, where a size is proposed: 0.3 GB, and minutes on two cores
USUAL_SIDE = 32  # at which a view is shifted by whole pixels; at twice the size by twice as many
NOT_COMPARED = (
    "Images that stay on disk are not compared with each other: whether some stand in two parts was not looked at."
)
FEWEST = 20  # training images, so that a tenth of them can be held out


def splits(path: str | Path, size: int | None = None, stream: bool | None = None) -> Splits:
    """The images in the folder ``path``: a ``Splits`` whose ``source`` says how they were split and scaled.

    ``size``: in pixels a side; None proposes one, and says why in ``notes``. The same folder at another size gives the
    same images in the same order and views. ``stream`` as for ``kdkit.data.load``. Warns once of all that was left out.
    Raises as ``image_folder`` does, and
    ``ValueError`` where the parts hold different classes or too few images.
    """
    path, left = expanded(path), walk.LeftOut()
    side = None if size is None else checked_size(size)
    names = layout.parts(path) if path.is_dir() else {}
    folders = [listed(folder, left) for folder in [path / name for name in names.values()] or [path]]
    _check_classes(folders)
    reason = ""
    if side is None:
        side, reason = proposed(folders)
    read = [read_folder(folder, side, left, stream) for folder in folders]
    parts = [replace(images, name=data_name(path)) for images, *_ in read]  # not "train" and "test"
    if names:
        _count_others(path, names, left)
    train, val, test, rule = _arranged(dict(zip(names, parts, strict=True)) if names else parts[0], names)
    if len(train) < FEWEST or not len(val) or not len(test):
        raise ValueError(
            f"{path} holds {len(train)} images to train and {len(test)} to test, {len(val)} to validate: at least "
            f"{FEWEST}, 1 and 1 are needed, and many more for a result that means anything."
        )
    left.say(path, layout.SUFFIXES)
    found = [each for _, each, _ in read]
    streamed = next((why for *_, why in read if why), None)
    notes = [reason, *look.odd(found, len(train) + len(val) + len(test), side)]
    notes += [NOT_COMPARED] if streamed else look.repeated(path, folders, parts)
    scaled = _scaled(found, side) + (f", read from disk as they are wanted, {streamed}" if streamed else "")
    source = f"image folder {walk.show(path)} ({scaled}; {rule})"
    views = Views(step=max(1, round(side / USUAL_SIDE)))
    return Splits(train, val, test, views, source, tuple(note for note in notes if note))


def proposed(folders: list[Listed]) -> tuple[int, str]:
    """How many pixels a side these images had best be scaled to, and the reason in a sentence.

    The largest of 32, 64, 96 and 128 that half of the images have, and in which all of them together have no more than
    100 million pixels; 32 at least.
    """
    sides = [side for folder in folders for side in shorter_sides(folder.listing)]
    if not sides:  # no image can be read, as decoding will say
        return SIDES[0], ""
    median, count = statistics.median_low(sides), len(sides)
    enough = [side for side in SIDES if side <= median] or [SIDES[0]]
    chosen = max([side for side in enough if side**2 * count <= MOST_PIXELS] or [SIDES[0]])
    reason = f"half of the images have at least {median:,} on their shorter side"
    if chosen < max(enough):
        reason = f"{reason}, but {count:,} of {max(enough)}x{max(enough)} would take long on a few cores"
    return chosen, (
        f"Scaled to {chosen}x{chosen} pixels, a proposal out of 32, 64, 96 and 128: {reason}. Larger shows a network "
        "more and costs more time; another size is set by size=N, or --size N."
    )


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


def _check_classes(folders):
    for folder in folders:
        if folder.classes != folders[0].classes:
            here, there = set(folder.classes), set(folders[0].classes)
            only = [
                f"only {place.path} has {', '.join(sorted(names))}"
                for place, names in ((folders[0], there - here), (folder, here - there))
                if names
            ]
            raise ValueError(f"The parts of a split hold different classes: {'; '.join(only)}. Give all the same.")


def _count_others(path, names, left):
    for name in layout.folders(path):
        if name not in names.values():
            left.add("folders beside the parts of the split", path / name)


def _scaled(found, side):
    """Which sizes the images had and what became of them, in words."""
    smallest = min((each.smallest for each in found), key=_area)
    largest = max((each.largest for each in found), key=_area)
    if smallest == largest == (side, side):
        return f"images of {side}x{side} pixels"
    sizes = " to ".join(dict.fromkeys("x".join(map(str, size)) for size in (smallest, largest)))
    return f"images of {sizes} pixels, cut to squares and scaled to {side}x{side}"


def _area(size):
    return size[0] * size[1]
