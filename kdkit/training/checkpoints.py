"""A training's state on disk: written whole or not at all, read only if it is undamaged."""

import io
import zipfile
from pathlib import Path

import torch

from kdkit.data import files

FORMAT = "kdkit checkpoint 1"


def write(path, state):
    """Write ``state``, a dict of tensors, numbers, strings, lists and dicts.

    ``OSError`` with a sentence if the disk is full or the place forbidden; the checkpoint before this one stands.
    """
    content = io.BytesIO()  # in memory first: on a full disk torch.save tells of positions in a file, not of the disk
    torch.save({"format": FORMAT, **state}, content)
    with files.replacing(path, needed=content.tell()) as temporary:
        temporary.write_bytes(content.getbuffer())


def read(path):
    """The dict that ``write`` was given. ``ValueError`` for a damaged or foreign file; no code in it is run."""
    content = Path(path).read_bytes()
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            damaged = archive.testzip() is not None  # torch.load itself does not look at the checksums
        state = None if damaged else torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # whatever zipfile or torch say about a damaged file
        raise ValueError(refusal(path, "is damaged, or no checkpoint at all")) from error
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise ValueError(refusal(path, "is damaged, or no checkpoint of kdkit.train"))
    del state["format"]
    return state


def refusal(path, what):
    """The sentence that refuses ``path``, and says how to go on."""
    return f"{path} {what}. Nothing was changed. Give another checkpoint path, or delete the file to start afresh."
