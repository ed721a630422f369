"""Folders of image files -> ``ImageSet``, decoded once and kept: 60,000 small files take seconds, one file none."""

import contextlib
import dataclasses
import hashlib
import json
import os
import re
import threading
import unicodedata
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import platformdirs
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from safetensors import SafetensorError
from safetensors.torch import load, save_file
from tqdm.auto import tqdm

from kdkit.data import layout, walk
from kdkit.data.files import expanded, explained, replacing
from kdkit.data.images import ImageSet
from kdkit.data.layout import SUFFIXES
from kdkit.data.walk import LeftOut
from kdkit.losses.arguments import whole

DECODING = 2  # raise it when the same files would give other pixels: kept images are then decoded again
LONGEST_NAME = 100  # bytes; a file system takes 255, and files get longer names that begin with it
LARGEST = 1024  # pixels a side: a size with a slip of the finger would fill the memory
FILES_A_TASK = 256  # one task a file would spend more time on handing out work than on decoding


def image_folder(path, size=32):
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
    left = LeftOut()
    images, _ = read_folder(path, size, left)
    left.say(path, SUFFIXES)
    return images


def read_folder(path, size, left):
    """What ``image_folder`` does, without the warning: an ``ImageSet``, and what it was made of, a ``Found``.

    ``left``: a ``LeftOut`` that counts what is left out.
    """
    size = whole(size, "size", 1, LARGEST, advice="It is the width and height of the images in pixels, such as 32.")
    path = expanded(path)
    classes = _own_classes(path, left)
    listing = image_files(classes.values(), left)
    _refuse_empty_classes(path, classes, listing, left)
    name = data_name(path)
    images, labels, found = decoded_once(name, path, listing, size, fitted(size), left)
    return ImageSet(images, labels, classes, name=name), found


def data_name(path):
    """A folder's name as that of its images, fit to be part of a file's name: short, and without control characters."""
    name = unicodedata.normalize("NFC", path.resolve().name) or "images"
    plain = re.sub(r"[\x00-\x1f\x7f\ud800-\udfff]", "_", name)
    if plain == name and len(name.encode()) <= LONGEST_NAME:
        return name
    digest = hashlib.sha256(os.fsencode(name)).hexdigest()[:8]
    return f"{plain.encode()[: LONGEST_NAME - 9].decode(errors='ignore')}-{digest}"


def class_folders(path):
    """The class folders of ``path``: a dict of class name to folder, sorted by name.

    Raises ``ValueError`` for two names that differ only in how their accents are stored, and for names that no card
    could hold.
    """
    found = {}
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


def image_files(folders, left):
    """The images below each of the class folders, sorted: a list of (path, label). ``left`` counts what is no image."""
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


# Decoding


def exactly(side):
    """A decoder for images that must be ``side`` x ``side`` pixels already: it never changes their size."""

    def decode(image):
        if image.size != (side, side):
            raise ValueError(f"it is {image.width}x{image.height} pixels, not {side}x{side}")
        return _rgb(image)

    return decode


def fitted(side):
    """A decoder for images of any size: turned upright, the square in the middle, scaled smoothly."""

    def decode(image):
        return ImageOps.fit(_rgb(_upright(image)), (side, side), method=Image.Resampling.BICUBIC)

    return decode


def _upright(image):
    try:
        return ImageOps.exif_transpose(image)
    except Exception as error:  # broken metadata, or broken pixels, which are noticed when they are read
        warnings.warn(f"metadata that cannot be read: {error}", stacklevel=2)
        return image


def _rgb(image):
    if image.mode == "F" or image.mode.startswith("I"):
        raise ValueError("it has more than 8 bits a pixel and channel; save it as an 8-bit image")
    if not image.has_transparency_data:
        return image.convert("RGB")
    picture = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), picture).convert("RGB")


@dataclass(frozen=True)
class Found:
    """What image files were before they were scaled: ``smallest`` and ``largest``, (width, height) in pixels; how many
    were ``moving``, and of how many the metadata were ``broken``, with the path of the first of each.
    """

    smallest: tuple
    largest: tuple
    moving: tuple = (0, "")
    broken: tuple = (0, "")


def decode_files(listing, side, decoder):
    """Decode files in threads (Pillow lets go of Python's lock): uint8 ``[N, 3, side, side]``, and a ``Found``."""
    pixels = np.empty((len(listing), side, side, 3), dtype=np.uint8)
    sizes, moving = np.zeros((len(listing), 2), int), np.zeros(len(listing), bool)
    reading, doubted = threading.local(), set()

    def decode_some(start):
        for place in range(start, min(start + FILES_A_TASK, len(listing))):
            reading.place = place
            pixels[place], sizes[place], moving[place] = _read(listing[place][0], decoder)

    starts = range(0, len(listing), FILES_A_TASK)
    with ThreadPoolExecutor(os.cpu_count()) as pool, tqdm(total=len(listing), desc="decoding", unit="image") as bar:
        try:
            with _doubts_noted(reading, doubted):
                for start, _ in zip(starts, pool.map(decode_some, starts), strict=True):
                    bar.update(min(FILES_A_TASK, len(listing) - start))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)  # else the error would wait for all other images
            raise
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous(), _found(listing, sizes, moving, doubted)


@contextlib.contextmanager
def _doubts_noted(reading, doubted):
    """Pillow's warnings, of metadata that it cannot read, add the place of the file to ``doubted``."""

    def note(*warning, **options):
        if hasattr(reading, "place"):  # this thread reads a file
            doubted.add(reading.place)
        else:
            usual(*warning, **options)

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # a large picture is no broken one
        usual, warnings.showwarning = warnings.showwarning, note
        yield


def _found(listing, sizes, moving, doubted):
    if not listing:
        return Found((0, 0), (0, 0))

    def of(places):
        return (len(places), listing[min(places)][0]) if places else (0, "")

    by_area = sizes.prod(1).argsort(kind="stable")
    smallest, largest = (tuple(sizes[place].tolist()) for place in (by_area[0], by_area[-1]))
    return Found(smallest, largest, of(moving.nonzero()[0].tolist()), of(doubted))


def _read(file, decoder):
    try:
        with Image.open(file) as image:
            return decoder(_without_empty_alpha(image)), image.size, _moves(image)
    except PermissionError as error:
        raise walk.unreadable(file, error) from error
    except Exception as error:  # Pillow's readers raise a dozen kinds
        unknown = isinstance(error, UnidentifiedImageError)
        reason = "it is no image, or a damaged one" if unknown else str(error).rstrip(".")
        raise ValueError(
            f"{walk.show(file)} cannot be used: {reason}. Repair it or take it out of the folder."
        ) from error


def _without_empty_alpha(image):
    """Many programs leave the fourth byte of each pixel of a BMP at 0 and mean nothing by it."""
    empty = image.format == "BMP" and image.mode == "RGBA" and image.getchannel("A").getextrema() == (0, 0)
    return image.convert("RGB") if empty else image


def _moves(image):
    """Whether a picture has more frames than the one that is read; an MPO is a still with extras, as phones make it."""
    return image.format != "MPO" and getattr(image, "is_animated", False)


# What was decoded, kept


def cache_folder():
    """The user's cache folder for kdkit: ~/.cache/kdkit on Linux."""
    return platformdirs.user_cache_path("kdkit")


def decoded():
    """The files in which decoded images are kept, by name: a list of paths."""
    return sorted((cache_folder() / "decoded").glob("*.safetensors"))


def remove_decoded(path):
    """Delete one of the files that ``decoded`` lists; the images are decoded again when they are needed."""
    with explained(path, "deleted"):
        path.unlink()


def decoded_once(name, folder, listing, side, decoder, left):
    """Images uint8 ``[N, 3, side, side]``, labels int64 ``[N]`` and a ``Found`` of a listing, from the cache if there.

    The cache file belongs to the folder's place, ``side``, and each file's name, size and time. A damaged cache
    file is named in a warning and written anew; where none can be written, a warning says so. ``left`` counts the
    frames and metadata that were not read. Raises ``ValueError`` where the folder changes while it is read.
    """
    key = _key(folder, listing, side)
    file = cache_folder() / "decoded" / f"{name}-{key[:16]}.safetensors"
    kept = _load(file)
    if kept is None:
        images, found = decode_files(listing, side, decoder)
        if _key(folder, listing, side) != key:
            raise ValueError(
                f"{walk.show(folder)} was changed while it was read. Wait until it is whole, then try again."
            )
        kept = images, torch.tensor([label for _, label in listing]), found
        _keep(file, *kept)
    for kind, (count, first) in ("later frames", kept[2].moving), ("broken metadata", kept[2].broken):
        left.add(kind, first, count)
    return kept


def _key(folder, listing, side):
    digest = hashlib.sha256(os.fsencode(f"{DECODING} {Path(folder).resolve()} {side}"))
    for file, label in listing:
        try:
            status = os.stat(file)
        except OSError as error:
            raise walk.unreadable(file, error) from error
        line = f"{os.path.relpath(file, folder)} {label} {status.st_size} {status.st_mtime_ns}\n"
        digest.update(os.fsencode(line))
    return digest.hexdigest()


def _load(file):
    """Images, labels and ``Found`` of a cache file; None if there is none, or a damaged one."""
    try:
        if not file.exists():
            return None
        content = file.read_bytes()  # not mapped: a file that is cut short meanwhile would end the program
        kept, header = load(content), json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        images, labels, about = kept["images"], kept["labels"], header["__metadata__"]
        if _checksum(images, labels, about["found"]) == about["sha256"]:
            return images, labels, Found(*map(tuple, json.loads(about["found"])))
        reason = "its checksum is wrong"
    except PermissionError:  # nor can it be written: that will be said
        return None
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        reason = str(error)
    warnings.warn(f"{file} is damaged ({reason}): decoding the images again.", stacklevel=2)
    return None


def _keep(file, images, labels, found):
    about = json.dumps(dataclasses.astuple(found))
    try:
        with replacing(file) as part:
            metadata = {"found": about, "sha256": _checksum(images, labels, about)}
            save_file({"images": images, "labels": labels}, part, metadata)
    except (OSError, SafetensorError) as error:
        warnings.warn(
            f"The decoded images cannot be kept in {file.parent} ({error}): they will be decoded again next time.",
            stacklevel=2,
        )


def _checksum(images, labels, about):
    digest = hashlib.sha256(images.contiguous().numpy().data)
    digest.update(labels.numpy().data)
    digest.update(about.encode())
    return digest.hexdigest()
