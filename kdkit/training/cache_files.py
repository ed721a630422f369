"""Cache files of teachers' answers: how one begins, how large it will be, which there are, and their removal."""

import json
import struct
from pathlib import Path
from typing import NamedTuple

from kdkit.data import files
from kdkit.training import entries, rows

MAGIC, OLDER = b"kdkit view cache 3\n", (b"kdkit view cache 1\n", b"kdkit view cache 2\n")
HEADER_BYTES = 4096


class Size(NamedTuple):
    """What a cache file takes on disk: bytes ``an_entry``, so many ``entries``, and bytes ``in_all``."""

    an_entry: int
    entries: int
    in_all: int

    def __str__(self) -> str:
        return f"{self.an_entry:,} bytes an entry, {self.entries:,} entries, {files.in_words(self.in_all)} in all"


def size(count: int, classes: int, k: int | None = None) -> Size:
    """What the logits of ``count`` entries will take, of all ``classes`` or of the ``k`` likeliest: a ``Size``.

    An entry is one image in one view, or one validation image. ImageNet's 1,281,167 images in 50 views and its 50,000
    for validation:

    >>> print(size(1_281_167 * 50 + 50_000, classes=1000))
    4,004 bytes an entry, 64,108,350 entries, 256.7 GB in all
    >>> print(size(1_281_167 * 50 + 50_000, classes=1000, k=20))
    84 bytes an entry, 64,108,350 entries, 5.4 GB in all
    """
    width = classes if k in (None, classes) else entries.truncated_width(classes, k)
    return Size(rows.size(0, 1, width), count, rows.size(HEADER_BYTES, count, width))


def header(about: dict) -> bytes:
    """What a file begins with that is ``about`` this."""
    content = json.dumps(about).encode()
    return MAGIC + struct.pack("<I", len(content)) + content


def read_header(path: Path, start: bytes) -> dict:
    """The dict that the file ``path``, which begins with the bytes ``start``, is about.

    Raises ``ValueError`` for an older cache and for what is none.
    """
    if start.startswith(OLDER):
        raise ValueError(
            f"{path} is a cache of an older kdkit, which this one does not read. Delete it: it will be filled again. "
            "Or give another path."
        )
    found = _read(start)
    if found is None:
        raise ValueError(f"{path} is no cache of teacher logits, or is damaged. Give another path, or delete it.")
    return found


def _read(start):
    """The dict that such a file begins with; None if it begins otherwise."""
    if not start.startswith(MAGIC):
        return None
    try:
        (length,) = struct.unpack_from("<I", start, len(MAGIC))
        begin = len(MAGIC) + 4
        found = json.loads(start[begin : begin + length])
    except (ValueError, struct.error):
        return None
    return found if isinstance(found, dict) else None


class Kept(NamedTuple):
    """A cache file: its ``path``, its ``bytes`` on disk, and of which data set and teacher it is, in words: ``of``."""

    path: Path
    bytes: int
    of: str


def kept(folder: str | Path) -> list[Kept]:
    """The cache files in ``folder`` and the folders in it, the largest first: a list of ``Kept``.

    Those of older versions too, which nothing reads any more. None where there is no such folder. Raises
    ``NotADirectoryError`` if it is a file.
    """
    folder = files.expanded(folder)
    if folder.is_file():
        raise NotADirectoryError(f"{folder} is a file: give the folder that the caches are in.")
    with files.explained(folder, "listed"):
        found = [(path, _about(path)) for path in folder.rglob("*") if path.is_file()]
        caches = [Kept(path, path.stat().st_size, about) for path, about in found if about is not None]
    return sorted(caches, key=lambda one: (-one.bytes, one.path))


def remove(path: str | Path) -> int:
    """Delete the cache file ``path``; its teacher is asked again when it is needed. How many bytes are free for it.

    ``ValueError`` if it is no cache.
    """
    path = Path(path)
    if not path.is_file() or _about(path) is None:
        raise ValueError(f"{path} is no cache of teacher logits: nothing was deleted.")
    count = path.stat().st_size
    with files.explained(path, "deleted"):
        path.unlink()
    return count


def _about(path):
    """Whose cache ``path`` is, in words; None if it is none."""
    with files.explained(path, "read"), open(path, "rb") as file:
        start = file.read(HEADER_BYTES)
    if start.startswith(OLDER):
        return "an older version of kdkit: no longer read"
    found = _read(start)
    return found and f"{found.get('name')}, teacher {found.get('teacher')}, {found.get('views')}"
