"""Which folders are the parts of a split (``train/``, ``Testing/``, ``val_set/``, ...), and which are classes."""

import os
import re
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

from kdkit.data import walk

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".gif")  # of the images that are read


class Kind(NamedTuple):
    """What is looked for in a folder: what ``one`` file is called, the ``suffixes`` that tell it, and what reads it.

    ``reader`` and ``class_reader``: the functions for a folder, whatever its layout, and for one of class folders.
    """

    one: str
    suffixes: tuple[str, ...]
    reader: str
    class_reader: str

    @property
    def name(self) -> str:
        """What several of them are called."""
        return f"{self.one}s"


IMAGES = Kind("image", SUFFIXES, "kdkit.data.load", "image_folder")
TEXTS = Kind("text", (".txt",), "kdkit.data.labelled_texts", "labelled_texts")
SPELLINGS = {
    "train": {"train", "training", "trn"},
    "val": {"val", "valid", "validate", "validation", "dev", "development"},
    "test": {"test", "testing", "tst"},
}


def part_of(name: str) -> str | None:
    """The part of a split that a folder's name means, "train", "val" or "test"; None if it means none."""
    letters = re.sub(r"[\W_]", "", name.lower())
    bare = re.sub(r"(set|data|images|split)$", "", letters)
    return next((part for part, spellings in SPELLINGS.items() if bare in spellings), None)


def _names_a_part(name):
    """Whether one word of a folder's name is a part's, as in "seg_train": of such folders nobody can be sure."""
    words = set(re.split(r"[\W_]+", name.lower()))
    return any(words & spellings for spellings in SPELLINGS.values())


def folders(path: Path) -> list[str]:
    """The folders in ``path`` by name, sorted; hidden ones left out. Links are followed unless they lead back.

    Raises ``ValueError`` where ``path`` cannot be read.
    """
    found = (entry for entry in walk.entries(path) if walk.kind(entry) == "folder")
    return [entry.name for entry in found if not walk.hidden(entry.name) and not leads_back(entry)]


def leads_back(entry: os.DirEntry) -> bool:
    """Whether an entry is a link to the folder in which it lies, or to one above that."""
    here, there = os.path.realpath(os.path.dirname(entry.path)), os.path.realpath(entry.path)
    return entry.is_symlink() and os.path.commonpath([here, there]) == there


def parts(path: Path, kind: Kind = IMAGES) -> dict[str, str]:
    """The parts of a split in the folder ``path``: "train", "val" and "test", each with a folder's name.

    Empty where the folders are classes: a class may be called "train", too, if files of the ``kind`` lie in it.
    Raises ``ValueError`` for what looks like a split and is none, and for a folder one level too high.
    """
    names = folders(path)
    found, others = defaultdict(list), [name for name in names if not part_of(name)]
    for name in names:
        if part_of(name) and (not others or _holds_folders_only(path / name, kind)):
            found[part_of(name)].append(name)
    if not found:
        _refuse_too_high(path, names, kind)
        _refuse_doubtful(path, names, kind)
        return {}
    twice = [" and ".join(f"{name}/" for name in names) for names in found.values() if len(names) > 1]
    if twice:
        raise ValueError(f"{path} holds {twice[0]}, two folders for one part of a split. Rename or remove one of them.")
    if "train" not in found or len(found) == 1:
        raise _no_split(path, names, found, kind)
    return {part: found[part][0] for part in SPELLINGS if part in found}


def _no_split(path, names, found, kind):
    listed = " and ".join(f"{name}/" for name in names[:5]) + (" and more" if len(names) > 5 else "")
    one = path / next(iter(found.values()))[0]
    return ValueError(
        f"{path} holds {listed}: that looks like parts of a split, but {kind.name} to learn from (train/) and others "
        f"(test/ or val/) are needed. Rename the folders, or give {one} alone if its folders are all the classes: "
        f"then {kind.name} to test on are held out of it."
    )


def _refuse_doubtful(path, names, kind):
    """``ValueError`` where folders that may be parts hold folders and no files of the ``kind``."""
    doubtful = [name for name in names if _names_a_part(name) and _holds_folders_only(path / name, kind)]
    if doubtful:
        listed = " and ".join(f"{name}/" for name in doubtful[:3])
        raise ValueError(
            f"{path} holds {listed}: are these parts of a split? Rename them to train/ and test/ (or val/), each with "
            f"the folders of all classes in it; or move the {kind.name} of a class up into its folder."
        )


def _refuse_too_high(path, names, kind):
    """``ValueError`` where the class folders of ``path`` are data sets themselves, or all have the same folders."""
    below = {name: folders(path / name) for name in names}
    for name, inner in below.items():
        if {"train"} < {part_of(each) for each in inner} and _holds_folders_only(path / name, kind):
            raise ValueError(
                f"{path} is one level too high: {name}/ holds {' and '.join(f'{each}/' for each in inner)}. "
                f"Give {path / name}."
            )
    alike = len(names) > 1 and len({tuple(inner) for inner in below.values()}) == 1
    if alike and len(below[names[0]]) > 1 and all(_holds_folders_only(path / name, kind) for name in names):
        inner = below[names[0]]
        raise ValueError(
            f"{path} looks one level too high: {' and '.join(f'{name}/' for name in names[:3])} hold the same folders, "
            f"{', '.join(inner[:5])}. Which are the classes? If {inner[0]} is one, give {path / names[0]}; if "
            f"{names[0]} is one, move its {kind.name} up, out of its folders."
        )


def _holds_folders_only(folder, kind):
    """Whether ``folder`` has folders in it, and no file of the ``kind`` beside them."""
    wanted = (entry.name for entry in walk.entries(folder) if entry.name.lower().endswith(kind.suffixes))
    return bool(folders(folder)) and not any(not walk.hidden(name) for name in wanted)
