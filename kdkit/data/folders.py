"""Folders of image files, one a class -> ``ImageSet``."""

import hashlib
import os
import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import torch

from kdkit.data import layout, streaming, walk
from kdkit.data.decoding import Found, Listing, decoded_once, fitted, opened
from kdkit.data.files import expanded
from kdkit.data.images import ImageSet
from kdkit.data.layout import SUFFIXES
from kdkit.data.seeds import generator
from kdkit.data.streaming import StreamedImages
from kdkit.data.walk import LeftOut
from kdkit.losses.arguments import whole

LONGEST_NAME = 100  # bytes; a file system takes 255, and files get longer names that begin with it
LOOKED_AT = 1000  # image files of those that are streamed, for their sizes
LARGEST = 1024  # pixels a side: a size with a slip of the finger would fill the memory


def image_folder(path: str | Path, size: int = 32) -> ImageSet:
    """Your own images, sorted into one folder a class: ``path/<class>/*``.

    The class names are the folders' names, sorted, with accents composed as in Unicode's NFC. Files: png, jpg, jpeg,
    bmp, webp, gif (first frame). Images in subfolders of a class folder belong to that class. Each image is turned as
    its camera says (EXIF), cut to the square in its middle and scaled to ``size`` x ``size`` pixels, smoothly; grey and
    palette images become RGB, transparent parts white.

    Returns an ``ImageSet`` with uint8 images ``[N, 3, size, size]``. What was decoded is kept in the user's cache
    folder, so that the second call is quick; it is decoded again when a file's name, size or time changes.

    Warns once of all that was left out, counted by kind: hidden and other files, links that lead nowhere or to folders,
    later frames, metadata that cannot be read. Raises ``FileNotFoundError`` if there is no such folder, ``ValueError``
    if it holds no images in at least two class folders, if a file or folder cannot be read, if a class has a name that
    could not be stored, or if ``size`` is no positive whole number.
    """
    size, left = checked_size(size), LeftOut()
    images, *_ = read_folder(listed(path, left), size, left)
    left.say(path, SUFFIXES)
    return images


def checked_size(size: int) -> int:
    """``size`` as a whole number of pixels; ``ValueError`` for what is none, or too large."""
    return whole(size, "size", 1, LARGEST, advice="It is the width and height of the images in pixels, such as 32.")


class Listed(NamedTuple):
    """A folder of images: its ``path``, its ``classes`` by name, and its files, a ``listing`` of path and label."""

    path: Path
    classes: tuple[str, ...]
    listing: Listing


def listed(path: str | Path, left: LeftOut) -> Listed:
    """The images of a folder, none of them opened yet. ``left`` counts what is left out. Raises as ``image_folder``."""
    path = expanded(path)
    classes = _own_classes(path, left)
    listing = image_files(classes.values(), left)
    _refuse_empty_classes(path, classes, listing, left)
    return Listed(path, tuple(classes), listing)


def read_folder(
    folder: Listed, size: int, left: LeftOut, stream: bool | None = False
) -> tuple[ImageSet, Found, str | None]:
    """The images of ``folder``, ``size`` x ``size``: an ``ImageSet``, what it was made of, and why it is streamed.

    ``left`` counts frames and metadata that are left out. ``stream`` and the last part of what is returned are as for
    ``streaming.why``; of images that are streamed, some are looked at for ``Found``. Raises ``ValueError`` for files
    that cannot be read.
    """
    path, classes, listing = folder
    name = data_name(path)
    reason = streaming.why(len(listing), size, stream)
    if reason is None:
        images, labels, found = decoded_once(name, path, listing, size, fitted(size), left)
        return ImageSet(images, labels, classes, name=name), found, None
    some = torch.randperm(len(listing), generator=generator(0))[:LOOKED_AT].tolist()
    found, labels = opened([listing[place] for place in some], size), torch.tensor([label for _, label in listing])
    streamed: Any = StreamedImages(path, listing, size)  # see ImageSet
    return ImageSet(streamed, labels, classes, name=name), found, reason


def data_name(path: Path) -> str:
    """A folder's name as that of its images, fit to be part of a file's name: short, and without control characters."""
    name = unicodedata.normalize("NFC", path.resolve().name) or "images"
    plain = re.sub(r"[\x00-\x1f\x7f\ud800-\udfff]", "_", name)
    if plain == name and len(name.encode()) <= LONGEST_NAME:
        return name
    digest = hashlib.sha256(os.fsencode(name)).hexdigest()[:8]
    return f"{plain.encode()[: LONGEST_NAME - 9].decode(errors='ignore')}-{digest}"


def class_folders(path: Path) -> dict[str, Path]:
    """The class folders of ``path``: a dict of class name to folder, sorted by name.

    Raises ``ValueError`` for two names that differ only in how their accents are stored, and for names that no card
    could hold.
    """
    found: dict[str, Path] = {}
    for folder in layout.folders(path):
        name = unicodedata.normalize("NFC", folder)
        if {unicodedata.category(letter) for letter in name} & {"Cc", "Cs", "Zl", "Zp"}:
            raise ValueError(
                f"{path} holds a folder {folder!a}: control characters, or bytes that are no UTF-8, cannot be "
                "kept in the name of a class. Rename it."
            )
        if name in found:
            raise ValueError(
                f"{path} holds two folders for one class, {found[name].name!a} and {folder!a}: the names "
                "differ only in how accents are stored. Put their images together."
            )
        found[name] = path / folder
    _refuse_twins(path, found)
    return dict(sorted(found.items()))


def _refuse_twins(path, classes):
    """Two classes that are one folder, by a link, would teach that each of its images is both."""
    seen = {}
    for name, folder in classes.items():
        twin = seen.setdefault(os.path.realpath(folder), name)
        if twin != name:
            raise ValueError(f"{path} holds one folder under two names, {twin!r} and {name!r}. Remove the link.")


def image_files(folders: Iterable[Path], left: LeftOut) -> Listing:
    """The images below each of the class folders, sorted. ``left`` counts what is no image.

    Raises ``ValueError`` for a folder that cannot be read.
    """
    return [
        (file, label) for label, folder in enumerate(folders) for file in sorted(walk.files(folder, SUFFIXES, left))
    ]


def _own_classes(path, left):
    if not path.is_dir():
        what = "is a file, not a folder" if path.exists() else "does not exist"
        raise FileNotFoundError(f"{path} {what}. Give the folder that holds one folder of images a class.")
    parts = layout.parts(path)
    if parts:
        named = " and ".join(f"{name}/" for name in parts.values())
        raise ValueError(
            f"{path} holds {named}, which are splits and not classes. kdkit.data.load({str(path)!r}) reads them all, "
            f"image_folder({str(path / parts['train'])!r}) one of them."
        )
    classes = class_folders(path)
    if len(classes) < 2:
        raise ValueError(
            f"{path} must hold a folder of images for each of at least two classes, as in {path / 'cat'} and "
            f"{path / 'dog'}; it holds {_too_few(classes)}."
        )
    _look_beside(path, left)
    return classes


def _too_few(classes):
    """None or one class folder, in words."""
    if not classes:
        return "none"
    ((name, folder),) = classes.items()
    inside = layout.folders(folder)
    deeper = f". Its images lie one level deeper? Then give {folder}" if len(inside) > 1 else ""
    return f"only one, {name!r}{deeper}"


def _look_beside(path, left):
    """Count what lies beside the class folders and may have been meant to be read."""
    for entry in walk.entries(path):
        is_a = walk.kind(entry)
        if walk.hidden(entry.name):
            if is_a == "folder" and entry.name.lower() not in walk.COMPUTERS_OWN:
                left.add("hidden", entry.path)
        elif is_a == "nothing":
            left.add("links that lead nowhere", entry.path)
        elif is_a == "folder" and layout.leads_back(entry):
            left.add("links that lead back", entry.path)
        elif is_a == "file" and entry.name.lower().endswith(SUFFIXES):
            left.add("images outside the class folders", entry.path)


def _refuse_empty_classes(path, classes, listing, left):
    used = {label for _, label in listing}
    empty = [name for label, name in enumerate(classes) if label not in used]
    if empty:
        instead = f" (What was left out: {left}.)" if left.counts else ""
        raise ValueError(
            f"No images ({', '.join(suffix[1:] for suffix in SUFFIXES)}) in these class folders of {path}: "
            f"{', '.join(empty)}. Put images there, or take the folders away.{instead}"
        )
