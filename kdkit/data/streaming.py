"""Images that stay on disk: what does not fit into memory is decoded anew each time that it is wanted."""

import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from kdkit.data import files
from kdkit.data.decoding import DECODING, Listing, decode, fitted, status_of

SHARE = 1 / 4  # of the memory; training makes a padded copy, and everything else wants room, too
CGROUP = Path("/sys/fs/cgroup/memory.max")  # what a container may have
Index = Tensor | slice | Sequence[int]


class StreamedImages:
    """Image files in the place of the uint8 tensor ``[N, 3, side, side]`` that they are once they are decoded.

    Shape, ``len``, indexing, ``split`` and ``flip`` are a tensor's, and read nothing; ``read`` decodes. So it stands in
    an ``ImageSet``, and ``models.as_input`` and ``Views.pad`` take it. Pixels are those that ``image_folder`` gives.

    Parameters: ``folder``, and a ``listing`` of (path, label) below it; ``side``, pixels; ``workers``, how many
    processes read ahead while a student learns (``training``), None for one a core, at most 8.

    Raises ``ValueError`` for a file that cannot be asked for its size.
    """

    dtype, ndim = torch.uint8, 4

    def __init__(self, folder: str | Path, listing: Listing, side: int, workers: int | None = None) -> None:
        self.folder, self.side, self.workers, self.mirrored = os.fspath(folder), side, workers, False
        # arrays of bytes: a list of a million names would be copied, page by page, into each reading process
        self._names = np.array([os.fsencode(os.path.relpath(path, folder)) for path, _ in listing], dtype=np.bytes_)
        self._stamps = np.array([status_of(path) for path, _ in listing], dtype=np.int64).reshape(-1, 2)

    def __len__(self) -> int:
        return len(self._names)

    def __repr__(self) -> str:
        return f"StreamedImages({len(self):,} files of {self.folder}, {self.side}x{self.side} once they are read)"

    @property
    def shape(self) -> torch.Size:
        """``[N, 3, side, side]``."""
        return torch.Size((len(self), 3, self.side, self.side))

    def __getitem__(self, index: Index) -> "StreamedImages":
        return self._with(np.asarray(index) if not isinstance(index, slice) else index)

    def split(self, size: int) -> Iterator["StreamedImages"]:
        """Parts of ``size`` images, the last of what is left."""
        return (self[slice(start, start + size)] for start in range(0, len(self), size))

    def flip(self, axis: int) -> "StreamedImages":
        """The mirror images; ``axis`` must be 3, that of a row's pixels. Raises ``ValueError`` for another."""
        if axis != 3:
            raise ValueError(f"axis must be 3: only left and right can be exchanged; got {axis}.")
        mirrored = self._with(slice(None))
        mirrored.mirrored = not self.mirrored
        return mirrored

    def read(self) -> Tensor:
        """The pixels: uint8 ``[N, 3, side, side]``. Raises ``ValueError`` that names a file that cannot be read."""
        paths = [os.path.join(self.folder, os.fsdecode(name)) for name in self._names]
        threads = 1 if torch.utils.data.get_worker_info() else os.cpu_count() or 1  # other workers have the other cores
        images = decode(paths, self.side, fitted(self.side), threads)
        return images.flip(3) if self.mirrored else images

    @property
    def fingerprint(self) -> str:
        """A short hash of shape, and of each file's name, size and time: a million files are not read for it."""
        digest = hashlib.sha256(f"{DECODING} {tuple(self.shape)} {self.mirrored}".encode())
        for name, stamp in zip(self._names.tolist(), self._stamps.tolist(), strict=True):
            digest.update(b"%s %d %d\n" % (name, *stamp))
        return digest.hexdigest()[:16]

    def _with(self, index):
        other = object.__new__(StreamedImages)
        other.__dict__ = {**self.__dict__, "_names": self._names[index], "_stamps": self._stamps[index]}
        return other


def pixels(images: Tensor | StreamedImages) -> Tensor:
    """``images`` ``[N, C, H, W]`` as the tensor that they are, read from disk if they lie there."""
    return images.read() if isinstance(images, StreamedImages) else images


def why(count: int, side: int, asked: bool | None) -> str | None:
    """Why ``count`` images of ``side`` x ``side`` pixels are to be streamed, in words; None if they are to be decoded.

    ``asked``: True to stream them, False not to; None, the rule: they are where they would take more than a quarter of
    the memory.
    """
    if asked is not None:
        return "as asked for" if asked else None
    decoded, memory = 3 * side**2 * count, memory_bytes()
    if memory is None or decoded <= SHARE * memory:
        return None
    sizes = f"{files.in_words(decoded)} decoded, {files.in_words(memory)} of memory"
    return f"since they would take more than a quarter of the memory: {sizes}"


def memory_bytes() -> int | None:
    """The memory of this machine, or what this container may have of it; None where the system does not say."""
    try:
        found = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # Windows
        return None
    limit = CGROUP.read_text().strip() if CGROUP.exists() else ""
    return min(found, int(limit)) if limit.isdecimal() else found
