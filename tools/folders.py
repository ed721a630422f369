"""Folders that a command writes anew: what stands there is replaced whole, and only if the command had written it."""

import os
import shutil
import tempfile
from pathlib import Path


def check(to, marks):
    """``ValueError`` unless the folder ``to`` may be replaced: it is missing, empty, or holds all of ``marks``."""
    if os.path.ismount(to):
        raise ValueError(f"{to} is a disk or a stick as a whole: name a folder in it, such as {to / 'kdkit'}.")
    if to.exists() and not to.is_dir():
        raise ValueError(f"{to} is a file: name a folder.")
    missing = [mark for mark in marks if not (to / mark).exists()]
    if to.exists() and any(to.iterdir()) and missing:
        what = f"{to} holds other files, and would be replaced (an earlier one would hold {missing[0]})"
        raise ValueError(f"{what}. Name another folder, or one that is not there yet.")


def replace(to, new):
    """Put the folder ``new`` where ``to`` is. The old one is deleted when the new one stands there."""
    if not to.exists():
        new.rename(to)
        return
    aside = Path(tempfile.mkdtemp(prefix=f"{to.name}.old-", dir=to.parent))
    old = to.rename(aside / to.name)
    try:
        new.rename(to)
    except OSError:
        old.rename(to)
        aside.rmdir()
        raise
    shutil.rmtree(aside)
