"""Files that are whole or not there: written under a temporary name, then renamed."""

import contextlib
import hashlib
import os
import uuid
from pathlib import Path


def expanded(path):
    """``path``, as people give it, as a ``Path``; ``~`` is their home. Raises ``ValueError`` for what is no path."""
    if not isinstance(path, str | Path) or path == "":
        raise ValueError(f"a path must be text, such as 'pictures/pets', or a Path; got {path!r}.")
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise ValueError(f"{path} begins with the home of a user whom this machine does not know.") from None


@contextlib.contextmanager
def replacing(path):
    """Give a temporary path beside ``path``; rename it onto ``path`` when the block ends without an error.

    A reader, or a program killed at any moment, sees the old file or the new one, never half of either.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
    temporary.touch()  # by touch, not mkstemp: the file gets the permissions that the user's files have
    try:
        yield temporary
        _flush_to_disk(temporary)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _flush_to_disk(name):
    """Without this a power cut could leave the new name on an empty file."""
    with open(name, "rb+") as file:
        os.fsync(file.fileno())


def sha256(path):
    """SHA-256 of a file, as hexadecimal text."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
