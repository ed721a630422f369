"""Rows of numbers, each with a check value: in memory, or in a file that several programs may use at once.

A file is read and written row by row, never mapped into memory. Of a mapped file the system says with SIGBUS, which no
program survives, that the disk is full, that the network is gone, or that somebody has cut the file short; of one that
is read and written it says so with an error.
"""

import errno
import os
import threading
import weakref
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from kdkit.data import files

NUMBER = 4  # bytes: all numbers are int32


class InMemory:
    """``count`` rows of ``width`` numbers, int32, all 0 at first."""

    def __init__(self, count: int, width: int) -> None:
        self._checks, self._rows = torch.zeros(count, dtype=torch.int32), torch.zeros(count, width, dtype=torch.int32)
        self.bytes = NUMBER * count * (width + 1)

    def checks(self, rows: Tensor | slice = slice(None)) -> Tensor:
        """The check values of ``rows`` (int64 ``[N]``, or all): int32 ``[N]``."""
        return self._checks[rows]

    def read(self, rows: Tensor) -> Tensor:
        """``rows``, int64 ``[N]``: int32 ``[N, width]``."""
        return self._rows[rows]

    def write(self, rows: Tensor, content: Tensor, checks: Tensor) -> None:
        """Put ``content`` ``[N, width]`` into ``rows``, and then their check values."""
        self._rows[rows] = content
        self._checks[rows] = checks

    def close(self) -> None:
        """Let go of what it holds."""


class InFile:
    """The same in a file: behind ``begin`` bytes of the user's own all check values, behind these all rows.

    So whoever asks which rows are there reads the check values alone.
    """

    def __init__(self, path: Path, begin: int, count: int, width: int) -> None:
        self.path, self._count, self._width, self.bytes = path, count, width, size(begin, count, width)
        self._checks_begin, self._rows_begin = begin, begin + NUMBER * count
        with files.explained(path, "opened to be read and written"):
            self._file = open(path, "r+b", buffering=0)  # noqa: SIM115  closed by close, or with its last user
        self.close = weakref.finalize(self, self._file.close)
        self._turn = threading.Lock()  # where a file has but one position

    def checks(self, rows: Tensor | None = None) -> Tensor:
        """The check values of ``rows`` (int64 ``[N]``, or all): int32 ``[N]``."""
        if rows is not None:
            return self._read(self._checks_begin, rows, 1).squeeze(1)
        with files.explained(self.path, "read"):
            content = bytearray(self._get(NUMBER * self._count, self._checks_begin))
        return self._numbers(content, self._count, 1).squeeze(1)

    def read(self, rows: Tensor) -> Tensor:
        """``rows``, int64 ``[N]``: int32 ``[N, width]``. ``ValueError`` where the file ends too early."""
        return self._read(self._rows_begin, rows, self._width)

    def write(self, rows: Tensor, content: Tensor, checks: Tensor) -> None:
        """Put ``content`` ``[N, width]`` into ``rows``, and then their check values. ``OSError`` on a full disk."""
        with files.explained(self.path, "written", self.bytes):
            self._write(self._rows_begin, rows, content)
            self._write(self._checks_begin, rows, checks.unsqueeze(1))

    def _read(self, begin, rows, width):
        with files.explained(self.path, "read"):
            parts = [self._get(NUMBER * width * many, begin + NUMBER * width * first) for first, _, many in _runs(rows)]
        return self._numbers(bytearray().join(parts), len(rows), width)

    def _numbers(self, content, count, width):
        if len(content) != NUMBER * width * count:
            raise ValueError(
                f"{self.path} ends too early: another program has changed it since it was opened. Delete it: it will "
                "be filled again."
            )
        return torch.frombuffer(content, dtype=torch.int32).view(-1, width) if content else _nothing(width)

    def _write(self, begin, rows, content):
        content = content.contiguous().numpy()
        for first, place, many in _runs(rows):
            part = content[place : place + many].data.cast("B")
            if self._put(part, begin + content.itemsize * content.shape[1] * first) != len(part):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _get(self, count, offset):
        if hasattr(os, "pread"):
            some = os.pread(self._file.fileno(), count, offset)  # Linux gives 2 GB at once, and no more
            return some if len(some) in (0, count) else some + self._get(count - len(some), offset + len(some))
        with self._turn:  # Windows
            self._file.seek(offset)
            return self._file.read(count)

    def _put(self, part, offset):
        if hasattr(os, "pwrite"):
            return os.pwrite(self._file.fileno(), part, offset)
        with self._turn:
            self._file.seek(offset)
            return self._file.write(part)


def size(begin: int, count: int, width: int) -> int:
    """Bytes of a file for ``InFile``."""
    return begin + NUMBER * count * (width + 1)


def create(path: Path, start: bytes, begin: int, count: int, width: int) -> None:
    """Make a file for ``InFile`` that begins with the bytes ``start``, whole or not at all, its space claimed.

    ``OSError`` that says what is needed and what is free, if there is not room for all of it.
    """
    wanted = size(begin, count, width)
    with files.replacing(path, wanted) as temporary, open(temporary, "r+b") as file:
        file.write(start)
        file.flush()
        if files.free(path) < wanted:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        _claim(file, wanted)


def _claim(file, count):
    """Where a file system cannot promise space, the file is only made so long: a write may then fail, and say so."""
    try:
        os.posix_fallocate(file.fileno(), 0, count)
    except AttributeError:  # macOS, Windows
        file.truncate(count)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS):
            raise
        file.truncate(count)


def _runs(rows):
    """``rows`` in runs of neighbours: (first row, its place in ``rows``, how many)."""
    rows = rows.numpy()
    places = np.concatenate([[0], np.flatnonzero(np.diff(rows) != 1) + 1]) if len(rows) else np.zeros(0, int)
    many = np.diff(np.append(places, len(rows)))
    return zip(rows[places].tolist(), places.tolist(), many.tolist(), strict=True)


def _nothing(width):
    return torch.zeros(0, width, dtype=torch.int32)
