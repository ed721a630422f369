"""Images with labels: drawn by the kit (``things``), or read from disk (``cifar10``, ``mnist``, ``image_folder``)."""

from dataclasses import replace
from pathlib import Path

from kdkit.data import things
from kdkit.data.images import ImageSet, Splits, hold_out
from kdkit.data.sources import cifar10, image_folder, mnist
from kdkit.data.views import Views

__all__ = ["ImageSet", "Splits", "Views", "cifar10", "image_folder", "load", "mnist", "things"]

THINGS_PER_CLASS = 1000
FEWEST = 20  # training images, so that a tenth of them can be held out


def load(name, *, download=False):
    """Splits by name: "things", "cifar10", "mnist", or the path of a folder of your own images.

    A folder holds either ``train/`` and ``test/``, each with a folder for every class, or the class folders
    themselves; then a fifth of the images is held out for the test. A tenth of the rest is for validation.
    """
    if name == "things":
        return things.splits(THINGS_PER_CLASS)
    if name in ("cifar10", "mnist"):
        return {"cifar10": cifar10, "mnist": mnist}[name](download=download)
    path = Path(name)
    if not path.exists():
        raise FileNotFoundError(f"{name!r} is no folder, nor one of: things, cifar10, mnist.")
    if (path / "train").is_dir() and (path / "test").is_dir():
        train, test = image_folder(path / "train"), image_folder(path / "test")
    else:
        everything = image_folder(path)
        train, test = hold_out(everything, len(everything) // 5)
    train, test = (replace(part, name=path.resolve().name) for part in (train, test))  # not "train" and "test"
    if train.classes != test.classes:
        raise ValueError(f"{path}: train/ and test/ hold different classes: {train.classes} and {test.classes}.")
    if len(train) < FEWEST or len(test) == 0:
        raise ValueError(
            f"{path} holds {len(train)} images to train and {len(test)} to test: at least {FEWEST} and 1 are needed, "
            "and many more for a result that means anything."
        )
    return Splits(*hold_out(train, len(train) // 10), test, source=f"image folder {path}")
