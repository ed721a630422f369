"""Files that are whole or not there: written under a temporary name, then renamed."""

import contextlib
import hashlib
import os
import tempfile
from pathlib import Path


@contextlib.contextmanager
def replacing(path):
    """Give a temporary path beside ``path``; rename it onto ``path`` when the block ends without an error.

    A reader, or a program killed at any moment, sees the old file or the new one, never half of either.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    os.close(handle)
    try:
        yield Path(name)
        _flush_to_disk(name)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _flush_to_disk(name):
    """Without this a power cut could leave the new name on an empty file."""
    with open(name, "rb+") as file:
        os.fsync(file.fileno())


def sha256(path):
    """SHA-256 of a file, as hexadecimal text."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
