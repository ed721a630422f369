"""Images with labels: drawn by the kit (``things``), or read from disk (``cifar10``, ``mnist``, ``image_folder``)."""

from pathlib import Path

from kdkit.data import corruptions, own, things
from kdkit.data.files import expanded
from kdkit.data.images import ImageSet, Splits, counts, describe
from kdkit.data.sources import cifar10, image_folder, mnist
from kdkit.data.streaming import StreamedImages
from kdkit.data.views import Views

__all__ = [
    "ImageSet",
    "Splits",
    "StreamedImages",
    "Views",
    "cifar10",
    "corruptions",
    "counts",
    "describe",
    "image_folder",
    "load",
    "mnist",
    "things",
]

THINGS_PER_CLASS = 1000


def load(name: str | Path, *, size: int | None = None, download: bool = False, stream: bool | None = None) -> Splits:
    """Splits by name: "things", "cifar10", "mnist", or the path of a folder of your own images.

    A folder holds either the parts of a split, each with a folder for every class, or the class folders themselves.
    The parts are ``train/`` with ``test/``, ``val/`` or both, under any of their usual names ("Training", "test_set",
    "valid", "dev", ...). Where ``val/`` is missing, a tenth of the training images is held out for it; where ``test/``
    is missing, ``val/`` is the test; where both are, a fifth of all images. ``Splits.source`` says what was done.

    ``size``, for a folder: to how many pixels a side its images are scaled. None proposes one, by how large they are;
    ``Splits.notes`` says why, and what is odd about the files.

    ``stream=True`` leaves the images of a folder on disk and reads them as they are wanted, ``False`` decodes them all
    into memory. None: those of a part are streamed where they would take more than a quarter of the memory.

    ``download=True`` fetches cifar10 or mnist if it is not found. Raises ``FileNotFoundError`` for what is neither a
    name nor a folder, ``ValueError`` for a folder whose images or names will not do, for a ``size`` where there
    is no choice, and as ``cifar10`` does.
    """
    if name in ("things", "cifar10", "mnist") and size is not None:
        raise ValueError(f"size is for a folder of your own images; those of {name} are as large as they are.")
    if name == "things":
        return things.splits(THINGS_PER_CLASS)
    if name in ("cifar10", "mnist"):
        return {"cifar10": cifar10, "mnist": mnist}[name](download=download)
    if not expanded(name).exists():
        raise FileNotFoundError(f"{str(name)!r} is no folder, nor one of: things, cifar10, mnist.")
    return own.splits(name, size, stream)
