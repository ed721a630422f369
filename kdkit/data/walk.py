"""What lies in a folder: the files that are wanted, and a count by kind of all that is passed over."""

import os
import stat
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

COMPUTERS_OWN = {"__macosx", "@eadir", "$recycle.bin", "system volume information", "lost+found", "__pycache__"}
MISSED_BY_NOBODY = {"thumbs.db", "desktop.ini", "icon\r"}


class LeftOut:
    """What was passed over while a folder was read, counted by kind and said once."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.first: dict[str, str] = {}

    def add(self, kind: str, path: str | Path | os.DirEntry, count: int = 1) -> None:
        """Count ``path``, the first of ``count`` of one ``kind``."""
        if count:
            self.counts[kind] += count
            self.first.setdefault(kind, os.fspath(path))

    def __str__(self) -> str:
        return ", ".join(f"{kind} ({count:,}, such as {show(self.first[kind])})" for kind, count in self.counts.items())

    def say(self, folder: str | Path, kinds: Iterable[str]) -> None:
        """Warn in one sentence, if anything was left out of ``folder``; ``kinds`` are the files that are read."""
        if self.counts:
            warnings.warn(f"Left out of {show(folder)}: {self}. What is read: {', '.join(kinds)}.", stacklevel=3)


def show(path: str | Path) -> str:
    """``path`` as text that can be printed and stored: bytes that are no UTF-8 as ``\\xff``."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def entries(folder: str | Path) -> list[os.DirEntry]:
    """What lies in ``folder``, sorted by name. Raises ``ValueError`` where it cannot be read."""
    try:
        with os.scandir(folder) as found:
            return sorted(found, key=lambda entry: entry.name)
    except OSError as error:
        raise unreadable(folder, error) from error


def unreadable(path: str | Path, error: OSError) -> ValueError:
    """A ``ValueError`` that says what to do about a file or folder that the system does not let us read."""
    way = "Give yourself permission to read it" if isinstance(error, PermissionError) else "Repair it"
    return ValueError(f"{show(path)} cannot be read ({error.strerror}). {way}, or take it out of the folder.")


def kind(entry: os.DirEntry) -> str:
    """What an entry is, or what a link leads to: "folder", "file", "nothing", or "other" for devices and pipes.

    Raises ``ValueError`` where that may not be read.
    """
    try:
        if not entry.is_symlink():  # known from the listing, mostly without a question to the disk
            return "folder" if entry.is_dir() else "file" if entry.is_file() else "other"
        mode = entry.stat().st_mode
    except PermissionError as error:
        raise unreadable(entry.path, error) from error
    except OSError:  # what it led to is gone, or it leads in a ring
        return "nothing"
    return "folder" if stat.S_ISDIR(mode) else "file" if stat.S_ISREG(mode) else "other"


def hidden(name: str) -> bool:
    """Whether a name is hidden, or that of a folder which computers make for themselves."""
    return name.startswith(".") or name.lower() in COMPUTERS_OWN


def files(folder: str | Path, suffixes: tuple[str, ...], left: LeftOut) -> Iterator[str]:
    """Paths of all files below ``folder`` that end in one of ``suffixes``; the others go to ``left``.

    Links to files are read, links to folders are not followed: they may lead in a ring. Raises ``ValueError`` for a
    folder that cannot be read.
    """
    for entry in entries(folder):
        name, is_a = entry.name.lower(), kind(entry)
        if hidden(name):
            if name.endswith(suffixes) or (is_a == "folder" and name not in COMPUTERS_OWN):
                left.add("hidden", entry.path)
        elif is_a == "folder" and not entry.is_symlink():
            yield from files(entry.path, suffixes, left)
        elif is_a == "file" and name.endswith(suffixes):
            yield entry.path
        elif name not in MISSED_BY_NOBODY:
            left.add(_reason(name, is_a), entry.path)


def _reason(name, is_a):
    """Why what is called ``name`` was left out, in words."""
    if is_a == "file":
        return os.path.splitext(name)[1] or "files without an ending"
    return {"folder": "links to folders", "nothing": "links that lead nowhere", "other": "devices and pipes"}[is_a]
