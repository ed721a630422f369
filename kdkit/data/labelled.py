"""Somebody's own folder of labelled texts -> ``TextSplits``: laid out, split and refused as a folder of images is."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from kdkit.data import layout, look, own, text, walk
from kdkit.data.files import expanded
from kdkit.data.folders import Listed, data_name, listed, refuse_empty_classes
from kdkit.data.layout import TEXTS

FEWEST = 20  # training texts, so that a tenth of them can be held out


@dataclass(frozen=True, eq=False)
class LabelledTexts:
    """N ``texts``, their ``labels``, int64 ``[N]``, numbers into ``classes``, and these by name."""

    texts: tuple[str, ...]
    labels: Tensor
    classes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.texts)

    def __repr__(self) -> str:
        return f"LabelledTexts({len(self):,} texts, {len(self.classes)} classes)"

    def subset(self, index: Tensor) -> "LabelledTexts":
        """The texts at ``index`` (a tensor ``[n]`` of int64 or bool)."""
        places = torch.arange(len(self))[index]
        return LabelledTexts(tuple(self.texts[place] for place in places.tolist()), self.labels[index], self.classes)

    @property
    def fingerprint(self) -> str:
        """A short hash of texts and labels: a training belongs to these, in this order."""
        told = repr((self.texts, self.labels.tolist()))
        return hashlib.sha256(told.encode("utf-8", "surrogatepass")).hexdigest()[:16]


@dataclass(frozen=True, eq=False)
class TextSplits:
    """Texts to learn from (``train``), to choose by (``val``) and to report (``test``).

    ``name``: what the texts are; ``source``: where they came from; ``notes``: what is odd about them, in sentences.
    """

    train: LabelledTexts
    val: LabelledTexts
    test: LabelledTexts
    name: str = "texts"
    source: str = ""
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        sizes = ", ".join(f"{part} {len(getattr(self, part)):,}" for part in ("train", "val", "test"))
        return f"TextSplits({self.name!r}: {sizes})"

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes."""
        return self.train.classes


def labelled_texts(path: str | Path) -> TextSplits:
    """Your own texts, sorted into one folder a class: ``path/<class>/*.txt``, in UTF-8.

    Or the parts of a split, ``train/`` with ``test/``, ``val/`` or both, each with the class folders in it. What a part
    is called, and what is held out where one is missing, is as for images (``kdkit.data.load``).

    Warns once of all that was left out, texts without a word among it. ``notes`` says what is odd: texts that stand
    there twice (but for spaces), in one class, in two parts or under two classes; signs that were lost; classes with
    longer texts than others. Raises ``FileNotFoundError`` if there is no such folder, ``ValueError`` as
    ``image_folder`` does, for a text that is not UTF-8, and where too few are left to learn from.
    """
    path, left = expanded(path), walk.LeftOut()
    names = layout.parts(path, TEXTS) if path.is_dir() else {}
    folders = [listed(folder, left, TEXTS) for folder in [path / name for name in names.values()] or [path]]
    own.check_classes(folders)
    read = [_read(folder, left) for folder in folders]
    parts = [LabelledTexts(texts, _labels(folder), folder.classes) for folder, texts in read]
    if names:
        own.count_others(path, names, left)
    train, val, test, rule = own.arranged(parts, names)
    if len(train) < FEWEST or not len(val) or not len(test):
        raise ValueError(
            f"{path} holds {len(train)} texts to train and {len(test)} to test, {len(val)} to validate: at least "
            f"{FEWEST}, 1 and 1 are needed, and many more for a result that means anything."
        )
    left.say(path, TEXTS.suffixes)
    kept, texts = [folder for folder, _ in read], [texts for _, texts in read]
    contents: list[Iterable] = [[" ".join(each.split()).encode() for each in some] for some in texts]
    notes = [*look.odd_texts(path, kept, texts), *look.repeated(path, kept, contents, TEXTS)]
    source = f"text folder {walk.show(path)} ({look.lengths(sum(texts, ()))}; {rule})"
    return TextSplits(train, val, test, data_name(path), source, tuple(notes))


def _read(folder: Listed, left: walk.LeftOut) -> tuple[Listed, tuple[str, ...]]:
    """The folder without its texts that hold no word, and the others."""
    found = [(entry, text.read(entry[0])) for entry in folder.listing]
    for (file, _), words in found:
        if not words.strip():
            left.add("texts without a word", file)
    kept = [(entry, words) for entry, words in found if words.strip()]
    listing = [entry for entry, _ in kept]
    refuse_empty_classes(folder.path, folder.classes, listing, left, TEXTS)
    return folder._replace(listing=listing), tuple(words for _, words in kept)


def _labels(folder: Listed) -> Tensor:
    return torch.tensor([label for _, label in folder.listing])


def holds_texts(path: str | Path) -> bool:
    """Whether there are texts (.txt) below the folder ``path``, and no image."""
    path, found = expanded(path), walk.LeftOut()
    if not path.is_dir() or next(walk.files(path, layout.SUFFIXES, found), None) is not None:
        return False
    return next(walk.files(path, TEXTS.suffixes, walk.LeftOut()), None) is not None
