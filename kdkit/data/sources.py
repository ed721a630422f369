"""Real images: CIFAR-10 and MNIST, found on disk in each of their layouts, or fetched when asked for.

Looked for in ``root`` if it is given; else in ``$KDKIT_DATA``, then in the user's cache folder.
"""

import gzip
import hashlib
import os
import warnings
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch

from kdkit.data import decoding, folders, layout, walk
from kdkit.data import download as downloads
from kdkit.data.download import CIFAR10_CLASSES
from kdkit.data.files import expanded
from kdkit.data.folders import image_folder
from kdkit.data.images import ImageSet, Splits, hold_out
from kdkit.data.layout import SUFFIXES
from kdkit.data.views import Views

__all__ = ["cifar10", "find", "image_folder", "mnist", "places"]

COUNTS = {"cifar10": (50_000, 10_000), "mnist": (60_000, 10_000)}  # images to train on and to test on
VALIDATION = 5_000
MNIST_LABELS = "a25bea736e30d166cdddb491f175f624", "27ae3e4e09519cfbb04c329615203637"  # MD5 of the unzipped files
MNIST_FILES = ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")

HELP = {
    "cifar10": (
        "cifar-10-batches-py/ (as torchvision unpacks it), cifar-10-python.tar.gz, or images as "
        "train/<class>/*.png and test/<class>/*.png (or .jpg), by themselves or below cifar10/",
        "CIFAR-10",
        "170 MB",
    ),
    "mnist": (
        "train-images-idx3-ubyte and its three companions, gzipped or not, by themselves or in MNIST/raw/",
        "MNIST",
        "12 MB",
    ),
}


def cifar10(root: str | Path | None = None, download: bool = False) -> Splits:
    """CIFAR-10: colour photographs of 32x32 in ten classes (Krizhevsky 2009).

    Returns ``Splits`` of 45,000 training, 5,000 validation (held out of the 50,000 for training, always the same)
    and 10,000 test images, uint8 ``[N, 3, 32, 32]``. ``Splits.source`` says which copy was read: JPEG copies do not
    have the original pixels.

    ``root``: a folder to look in, and in no other; None looks in ``$KDKIT_DATA``, then in the user's cache folder.
    ``download=True`` fetches what is not found, into ``root`` or else the user's cache folder (170 MB).

    Raises ``FileNotFoundError`` if it is in none of the places, ``ConnectionError`` if no source can be reached,
    ``ValueError`` if a copy is damaged.
    """
    return _load("cifar10", root, download, Views())


def mnist(root: str | Path | None = None, download: bool = False) -> Splits:
    """MNIST: handwritten digits, grey, of 28x28 (LeCun et al. 1998).

    Returns ``Splits`` of 55,000 training, 5,000 validation and 10,000 test images, uint8 ``[N, 1, 28, 28]``. Its
    views are shifts only: a mirrored 3 is no digit. ``root``, ``download`` (12 MB) and errors as in ``cifar10``.
    """
    return _load("mnist", root, download, Views(flip=False, shift=2))


def places(root: str | Path | None = None) -> list[tuple[Path, str]]:
    """The folders looked in, in order: each with what it is in words. Raises ``ValueError`` for what is no path."""
    if root is not None:
        return [(expanded(root), "root")]
    given = os.environ.get("KDKIT_DATA")
    own = [(expanded(given), "$KDKIT_DATA")] if given else []
    return [*own, (decoding.cache_folder(), "kdkit's cache folder")]


def find(name: str, root: str | Path | None = None) -> str | None:
    """Which copy of "cifar10" or "mnist" would be read, in words; None if there is none. Reads no pixels.

    Raises ``ValueError`` for a folder that cannot be read.
    """
    copy = _find(name, places(root))
    return copy and copy.description


@dataclass(frozen=True)
class Copy:
    """A copy of a data set on disk: ``read()`` gives its training and its test images as two ``ImageSet``."""

    description: str
    read: Callable[[], tuple[ImageSet, ImageSet]]


def _load(name, root, download, views):
    looked_in = places(root)
    for place, _ in looked_in:
        _refuse_file(place)
    copy = _find(name, looked_in)
    if copy is None and download:
        copy = _fetch(name, looked_in[-1][0])
    if copy is None:
        raise FileNotFoundError(_not_found(name, looked_in))
    train, test = copy.read()
    _check_counts(name, copy, train, test)
    train, val = hold_out(train, min(VALIDATION, len(train) // 10))
    return Splits(train, val, test, views=views, source=copy.description)


def _find(name, looked_in):
    finder = {"cifar10": _find_cifar10, "mnist": _find_mnist}[name]
    copies = (finder(place) for place, _ in looked_in if place.is_dir())
    return next((copy for copy in copies if copy), None)


def _fetch(name, into):
    sources = {"cifar10": downloads.CIFAR10, "mnist": downloads.MNIST}[name]
    try:
        downloads.fetch(sources, into, lambda: _find(name, [(into, "")]))
    except ConnectionError as error:
        accepted, title, _ = HELP[name]
        raise ConnectionError(
            f"{title} could not be fetched. Tried:\n{error}\n"
            f"If you get a copy by another way, put it into {into}, as {accepted}.\n{_no_download()}"
        ) from None
    return _find(name, [(into, "")])


# CIFAR-10


def _find_cifar10(place):
    for folder in (place / "cifar-10-batches-py", place):
        if (folder / "data_batch_1").is_file():
            words = f"torchvision folder {folder} (original pixels)"
            return Copy(words, partial(_read_batches, folder))
    archive = place / "cifar-10-python.tar.gz"
    if archive.is_file():
        return Copy(f"archive {archive} (original pixels)", partial(_read_archive, archive))
    for folder in (place, place / "cifar10"):
        if _split_classes(folder) == [sorted(CIFAR10_CLASSES)] * 2:
            parts = _listed(folder, walk.LeftOut())
            if not _too_many(parts):
                return Copy(f"image folder {folder} ({_kinds(parts)})", partial(_read_images, folder))
    return None


def _read_batches(folder):
    """Through torchvision, which compares checksums before it unpickles anything."""
    from torchvision.datasets import CIFAR10  # here, so that a broken torchvision breaks nothing else

    reader = type("CIFAR10", (CIFAR10,), {"base_folder": folder.name})  # the folder may have been renamed
    try:
        with warnings.catch_warnings():
            # NumPy 2.4 finds the dtypes old-fashioned that were pickled in 2009.
            warnings.filterwarnings("ignore", message=r"dtype\(\): align")
            return tuple(_image_set(reader(folder.parent, train=train)) for train in (True, False))
    except RuntimeError as error:
        raise ValueError(
            f"{folder} is incomplete or damaged: its files do not have CIFAR-10's checksums. Delete the folder, "
            "then copy or download it again."
        ) from error


def _image_set(dataset):
    images = torch.from_numpy(dataset.data).permute(0, 3, 1, 2).contiguous()  # [N, H, W, C] -> [N, C, H, W]
    return ImageSet(images, torch.tensor(dataset.targets), dataset.classes, name="cifar10")


def _read_archive(archive):
    try:
        return _read_batches(downloads.unpack(archive, "cifar-10-batches-py", decoding.cache_folder()))
    except PermissionError as error:
        raise PermissionError(f"{error} Or unpack {archive} yourself, where it is: tar xzf {archive.name}") from error


def _split_classes(folder):
    """The names of the class folders in ``train/`` and in ``test/``; None if one is not there."""
    parts = [folder / "train", folder / "test"]
    return [layout.folders(part) for part in parts] if all(part.is_dir() for part in parts) else None


def _listed(folder, left):
    """The image files of CIFAR-10's ``train/`` and ``test/``, a list of (path, label) each."""
    parts = folder / "train", folder / "test"
    return [folders.class_files([part / name for name in CIFAR10_CLASSES], left) for part in parts]


def _too_many(parts):
    """How many images are too many to be CIFAR-10's, in words; CINIC-10, for one, has the same classes and sizes."""
    for name, part, most in zip(("train", "test"), parts, COUNTS["cifar10"], strict=True):
        if len(part) > most:
            return f"{name}/ holds {len(part):,} images where CIFAR-10 has {most:,}: another data set of its classes?"
    return None


def _kinds(parts):
    """PNG or JPEG, in words, by the file names."""
    kinds = {os.path.splitext(file)[1].lower()[1:].replace("jpg", "jpeg").upper() for part in parts for file, _ in part}
    lossy = "JPEG" in kinds
    return " and ".join(sorted(kinds)) + (", so not the original pixels" if lossy else "") if kinds else "empty"


def _read_images(folder):
    left = walk.LeftOut()
    train, test = _listed(folder, left)
    images, labels, _ = decoding.decoded_once("cifar10", folder, train + test, 32, decoding.exactly(32), left)
    left.say(folder, SUFFIXES)
    both = ImageSet(images, labels, CIFAR10_CLASSES, name="cifar10")
    return both.subset(slice(len(train))), both.subset(slice(len(train), None))


# MNIST


def _find_mnist(place):
    for folder in (place / "MNIST" / "raw", place / "raw", place / "mnist", place):
        files = [_idx_file(folder, name) for name in MNIST_FILES]
        if all(files) and not _other_labels(files):
            return Copy(f"MNIST's files in {folder} (original pixels)", partial(_read_mnist, files))
    return None


def _idx_file(folder, name):
    spellings = [name, name.replace("-idx", ".idx")]  # some copies have a full stop there
    candidates = [folder / f"{spelling}-ubyte{end}" for end in ("", ".gz") for spelling in spellings]
    return next((file for file in candidates if file.is_file()), None)


def _other_labels(files):
    """Whether there are as many labels as MNIST has, and others: Fashion-MNIST and more use the same file names."""
    for file, count, md5 in zip(files[1::2], COUNTS["mnist"], MNIST_LABELS, strict=True):
        try:
            labels = _content(file)
        except (OSError, EOFError, zlib.error):
            return False  # a damaged copy, which is named when it is read
        whole = len(labels) == 8 + count and labels[:8] == bytes([0, 0, 8, 1]) + count.to_bytes(4, "big")
        if whole and hashlib.md5(labels).hexdigest() != md5:
            return True
    return False


def _content(file):
    return gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()


def _read_mnist(files):
    train_images, train_labels, test_images, test_labels = (_read_idx(file) for file in files)
    pairs = ((train_images, train_labels), (test_images, test_labels))
    digits = tuple(map(str, range(10)))
    return tuple(  # images [N, H, W] -> [N, 1, H, W]
        ImageSet(images.unsqueeze(1), labels.long(), digits, name="mnist") for images, labels in pairs
    )


def _read_idx(file):
    """An idx file: two zero bytes, 8 for uint8, the number of axes, their lengths as big-endian int32, the bytes."""
    try:
        data = _content(file)
        axes = 3 if "images" in file.name else 1
        shape = np.frombuffer(data, ">i4", count=axes, offset=4)
        if data[:4] != bytes([0, 0, 8, axes]) or len(data) != 4 + 4 * axes + shape.prod(dtype=np.int64):
            raise ValueError("its size is not what its first bytes say")
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise ValueError(f"{file} is damaged or incomplete ({error}). Delete it, then get it again.") from error
    values = np.frombuffer(data, np.uint8, offset=4 + 4 * axes)
    return torch.from_numpy(values.reshape(shape).copy())  # [N, H, W], or [N] where they are labels


# What is said when something is missing


def _refuse_file(place):
    if place.is_file():
        raise ValueError(f"{place} is a file; give the folder that holds it.")


def _check_counts(name, copy, train, test):
    """A part of a data set may be used on purpose, so it is a warning; classes without images are an error."""
    fewest = torch.bincount(train.labels, minlength=len(train.classes)).min()
    if fewest < 10 or not len(test):
        raise ValueError(
            f"The {copy.description} holds {int(fewest)} training images of a class and {len(test)} test images: "
            "too few to hold out a tenth for validation and to test. Is it an incomplete copy?"
        )
    if (len(train), len(test)) != COUNTS[name]:
        expected = " and ".join(f"{count:,}" for count in COUNTS[name])
        warnings.warn(
            f"The {copy.description} holds {len(train):,} training and {len(test):,} test images, not {expected}: "
            "an incomplete copy, or another data set?",
            stacklevel=4,
        )


def _not_found(name, looked_in):
    accepted, title, size = HELP[name]
    lines = [f"  - {place} ({what}): {_state(name, place)}" for place, what in looked_in]
    return (
        f"{title} was not found. Looked in:\n" + "\n".join(lines) + "\n"
        f"What is read there: {accepted}.\n"
        f"To fetch it ({size}, once): {name}(download=True), or --download on the command line.\n{_no_download()}"
    )


def _no_download():
    return "Without any download: kdkit.data.things.splits(per_class=500), or --data things, draws its own images."


def _state(name, place):
    """Why a place was passed over, in a few words."""
    if not place.is_dir():
        return "no such folder"
    if name == "mnist":
        return _mnist_state(place)
    for folder in (place, place / "cifar10"):
        found = _split_classes(folder)
        if found == [sorted(CIFAR10_CLASSES)] * 2:
            return f"{folder}: {_too_many(_listed(folder, walk.LeftOut()))}"
        if found:
            wrong = next(classes for classes in found if classes != sorted(CIFAR10_CLASSES))
            return f"{folder} has train/ and test/, but not CIFAR-10's ten classes: {_shortly(wrong)}"
    return "nothing of it"


def _mnist_state(place):
    for folder in (place / "MNIST" / "raw", place / "raw", place / "mnist", place):
        missing = [f"{name}-ubyte" for name in MNIST_FILES if not _idx_file(folder, name)]
        if not missing:
            return f"{folder} has files of MNIST's names with other labels: another data set, such as Fashion-MNIST?"
        if len(missing) < len(MNIST_FILES):
            return f"{folder} lacks {' and '.join(missing)}"
    return "nothing of it"


def _shortly(names):
    shown = ", ".join(names[:10]) or "none"
    return f"{shown} and {len(names) - 10} more" if len(names) > 10 else shown
