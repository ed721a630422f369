"""A training's state: what it has become, and what of it stands on disk, written whole or not at all."""

import io
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import nn

from kdkit.data import files
from kdkit.training import distributed

FORMAT = "kdkit checkpoint 2"
OLDER = ("kdkit checkpoint 1",)
LATER = {"accumulate": 1, "precision": "float32", "compile": False}  # settings that older checkpoints do not tell


@dataclass
class Run:
    """A finished training: the ``student``, what it was trained with, and how it went.

    ``history`` holds one dict an epoch: epoch, loss and its terms (soft_loss, hard_loss, ...), and what was measured on
    the validation data (val_accuracy, val_agreement with the teacher, None without one). ``seconds`` counts training
    time, over all sittings of a resumed run.
    """

    student: nn.Module
    settings: dict
    history: list[dict] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def val_accuracy(self) -> float:
        """Accuracy on the validation split after the last epoch: never the best of many."""
        return self.history[-1]["val_accuracy"]


class Diverged(ValueError):
    """The loss has grown without end, or what is measured after an epoch is no longer a finite number."""


class TrainingInterrupted(KeyboardInterrupt):
    """Ctrl-C, or a notebook's stop button, during a training. Its text says what was kept."""

    def _render_traceback_(self) -> list[str]:  # what IPython shows instead of a traceback
        return [str(self)]


def save(path: Path | None, run: Run, parts: dict) -> None:
    """Write ``run`` and the state of ``parts``, a dict of what has a ``state_dict``; nothing where ``path`` is None."""
    if path is not None:
        state = {"settings": run.settings, "history": run.history, "seconds": run.seconds}
        write(path, {**state, **{name: part.state_dict() for name, part in parts.items()}})


def resume(path: Path | None, run: Run, parts: dict) -> None:
    """Put ``run`` and ``parts`` back to where the checkpoint left them, if there is one.

    ``ValueError`` if it is damaged, or the checkpoint of another run. The first of several processes reads it for all.
    """
    state = None
    if path is not None and path.exists():
        state = read(path)
        _check_same_run(path, state["settings"], run.settings)
    state = distributed.from_first(state)
    if state is None:
        return
    for name, part in parts.items():
        part.load_state_dict(state[name])
    run.history, run.seconds = state["history"], state["seconds"]


def _check_same_run(path: Path, kept: dict, wanted: dict) -> None:
    kept = LATER | kept
    other = [f"{name} {kept.get(name)!r}, now {value!r}" for name, value in wanted.items() if kept.get(name) != value]
    if not other:
        return
    hint = ""
    if kept.get("student") != wanted["student"]:
        hint = " (A student that has been trained already is another student: build it anew.)"
    raise ValueError(refusal(path, f"belongs to another run: {'; '.join(other)}") + hint)


def write(path: Path, state: dict) -> None:
    """Write ``state``, a dict of tensors, numbers, strings, lists and dicts.

    ``OSError`` with a sentence if the disk is full or the place forbidden; the checkpoint before this one stands.
    """
    content = io.BytesIO()  # in memory first: on a full disk torch.save tells of positions in a file, not of the disk
    torch.save({"format": FORMAT, **state}, content)
    with files.replacing(path, needed=content.tell()) as temporary:
        temporary.write_bytes(content.getvalue())  # no copy; an error with a getbuffer() in it can crash Python 3.12.1


def read(path: Path) -> dict:
    """The dict that ``write`` was given. ``ValueError`` for a damaged, older or foreign file; no code in it is run."""
    content = Path(path).read_bytes()
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            damaged = archive.testzip() is not None  # torch.load itself does not look at the checksums
        state = None if damaged else torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # whatever zipfile or torch say about a damaged file
        raise ValueError(refusal(path, "is damaged, or no checkpoint at all")) from error
    if isinstance(state, dict) and state.get("format") in OLDER:
        raise ValueError(refusal(path, "is a checkpoint of an older kdkit, which this one cannot go on from"))
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise ValueError(refusal(path, "is damaged, or no checkpoint of kdkit.train"))
    del state["format"]
    return state


def refusal(path: Path, what: str) -> str:
    """The sentence that refuses ``path``, and says how to go on."""
    return f"{path} {what}. Nothing was changed. Give another checkpoint path, or delete the file to start afresh."
