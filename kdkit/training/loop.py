"""The one loop over epochs: every training of the kit is a call of ``fit``, with batches, a loss and an optimizer.

Read it top to bottom: ``fit`` prepares and protects, ``_epoch`` repeats ``step.step``.
"""

import contextlib
import copy
import functools
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR
from tqdm.auto import tqdm

from kdkit import models
from kdkit.data import files
from kdkit.data.seeds import epoch_seed
from kdkit.measure import machine
from kdkit.training import state
from kdkit.training.schedule import check_networks, check_numbers, warm_up_and_decay
from kdkit.training.state import Diverged, Run, TrainingInterrupted
from kdkit.training.step import Batch, Loss, step

EXPLODED = 10  # so many times the loss at the beginning: no training has come back from there


class Batches(Protocol):
    """What an epoch consists of: ``len`` says how many batches, ``epoch`` gives those of one, counted from 0."""

    def __len__(self) -> int: ...

    def epoch(self, number: int) -> Iterator[Batch]: ...


def fit(
    student: nn.Module,
    batches: Batches | Iterable,
    loss: Loss,
    optimizer: Optimizer,
    *,
    epochs: int,
    teacher: nn.Module | None = None,
    cache: Any = None,
    seed: int = 0,
    warm_up: float = 0.0,
    max_grad_norm: float | None = None,
    validate: Callable[[nn.Module], dict] | None = None,
    about: dict | None = None,
    checkpoint: str | Path | None = None,
    progress: bool | Callable[[Run], Any] = True,
    take: Callable[..., tuple] = step,
) -> Run:
    """Train ``student`` on ``batches``, epoch after epoch.

    Parameters:
        student: trained in place, on the device where it is.
        batches: ``Batches``; or a ``DataLoader`` of your own, which gives ``Batch``, pairs of inputs and labels, or
            mappings with "labels" among them.
        loss: see ``step.Loss``. If it is a module, its weights learn where ``optimizer`` holds them, and are kept.
        optimizer: its rates are the peaks of the schedule: up to them over the share ``warm_up`` of the steps, then
            to 0.
        teacher, cache, max_grad_norm: as for ``step``.
        seed: of what is drawn in an epoch from torch's own generators: dropout, a ``DataLoader``'s order.
        validate: called with the student after each epoch; its dict joins the epoch's line of the history.
        about: what makes this run this run, beside its numbers: a dict. A checkpoint of another run is refused.
        checkpoint: a file that is written after each epoch. If it exists, the run goes on from there, and ends with
            the weights and history of a run that was never stopped.
        progress: show a progress bar; or a function to call with the ``Run`` after each epoch instead, such as a plot.
        take: makes one step, called as ``step`` is.

    Returns a ``Run``, the student in eval mode. Stopped by Ctrl-C or by an error, it gives the student its first
    weights back: the same call then goes on from the checkpoint. Raises ``ValueError`` for settings that contradict
    each other, for a checkpoint that is damaged or belongs to another run, and while another program trains with it;
    ``Diverged``, one of these, for a loss that grows without end; ``TrainingInterrupted`` on Ctrl-C; ``OSError`` where
    the disk is full or may not be written.
    """
    files.refuse_several_processes()
    check_networks(student, teacher)
    numbers = check_numbers(epochs, seed) | {"lr": optimizer.param_groups[0]["lr"], "max_grad_norm": max_grad_norm}
    run = Run(student, {**(about or {}), **_fingerprints(student, teacher), **numbers})
    batches = batches if hasattr(batches, "epoch") else Loader(batches, models.device_of(student))
    schedule = warm_up_and_decay(optimizer, run.settings["epochs"] * len(batches), warm_up)
    take = functools.partial(take, teacher=teacher, cache=cache, max_grad_norm=max_grad_norm)
    learning = {"student": student, **({"loss": loss} if isinstance(loss, nn.Module) else {})}
    kept = {**learning, "optimizer": optimizer, "schedule": schedule}
    path = None if checkpoint is None else files.expanded(checkpoint)
    with _alone(path), _first_weights_back(run, learning, path):
        state.resume(path, run, kept)
        machine.keep_freed()
        with _bar(run, len(batches), progress) as bar:
            for number in range(len(run.history), run.settings["epochs"]):
                began = time.perf_counter()
                with models.seeded(epoch_seed(seed, number), models.device_of(student)):  # for dropout and the like
                    entry = _epoch(run, batches.epoch(number), loss, optimizer, schedule, take, bar)
                    entry |= {} if validate is None else validate(student)
                _note(run, entry, time.perf_counter() - began)
                state.save(path, run, kept)
                if callable(progress):
                    progress(run)
    student.eval()
    return run


def _epoch(
    run: Run,
    batches: Iterator[Batch],
    loss: Loss,
    optimizer: Optimizer,
    schedule: LambdaLR,
    take: Callable[..., tuple],
    bar: tqdm,
) -> dict:
    """A step for each batch; the first loss, and the mean of each term, by its name in the history."""
    seen, names = [], ("total",)
    for batch in batches:
        terms = take(run.student, batch, loss, optimizer)
        schedule.step()
        seen.append(torch.stack(terms))
        names = getattr(terms, "_fields", names)
        if bar.update():  # it has been drawn: only then is a GPU waited for
            _show_on(bar, run, terms[0].item())
    values = torch.stack(seen).cpu().double()  # [steps, terms], read once an epoch
    names = ["loss" if name == "total" else f"{name}_loss" for name in names]
    return {"first_loss": values[0, 0].item(), **dict(zip(names, values.mean(0).tolist(), strict=True))}


def _note(run: Run, entry: dict, seconds: float) -> None:
    """Add an epoch to the history. ``Diverged`` if something in it is no number, or its loss far above the first."""
    epoch, first = len(run.history) + 1, entry.pop("first_loss")
    beginning = run.history[0]["loss"] if run.history else first
    lost = [name for name, value in entry.items() if value is not None and not math.isfinite(value)]
    what = None
    if lost:
        what = f"the {lost[0]} is no longer a finite number in epoch {epoch}"
    elif entry["loss"] > EXPLODED * max(beginning, 1.0):
        what = f"the loss of epoch {epoch} is {entry['loss']:.3g}, after {beginning:.3g} at the beginning"
    if what:
        lr = run.settings["lr"]
        raise Diverged(f"{what}: the training diverged. The student has its first weights back: lower lr, now {lr:g}.")
    run.history.append({"epoch": epoch, **entry})
    run.seconds += seconds


@contextlib.contextmanager
def _first_weights_back(run: Run, learning: dict[str, nn.Module], path: Path | None) -> Iterator[None]:
    """Whatever stops the training, the same call with the same student must go on from the checkpoint."""
    start = {name: copy.deepcopy(module.state_dict()) for name, module in learning.items()}
    try:
        yield
    except BaseException as stop:
        for name, module in learning.items():
            module.load_state_dict(start[name])
        if isinstance(stop, KeyboardInterrupt):
            raise TrainingInterrupted(_farewell(run, path)) from None
        raise


def _farewell(run: Run, path: Path | None) -> str:
    epochs = run.settings["epochs"]
    stopped = f"Stopped in epoch {min(len(run.history) + 1, epochs)} of {epochs}."
    if path is None:
        return f"{stopped} Nothing was kept: give a checkpoint=path for that."
    if not path.exists():
        return f"{stopped} There was nothing to keep yet."
    kept = len(state.read(path)["history"])
    what = "1 epoch is" if kept == 1 else f"{kept} epochs are"
    return f"{stopped} {what} kept in {path}: run the same again to go on."


def _alone(path: Path | None) -> contextlib.AbstractContextManager:
    if path is None:
        return contextlib.nullcontext()
    return files.alone(path, f"another program is training with {path}: wait for it, or give another checkpoint path.")


def _fingerprints(student: nn.Module, teacher: nn.Module | None) -> dict:
    return {
        "student": models.fingerprint(student),
        "teacher": None if teacher is None else models.fingerprint(teacher),
    }


def _bar(run: Run, steps: int, progress: bool | Callable) -> tqdm:
    if not isinstance(progress, bool) and not callable(progress):
        raise ValueError(f"progress must be True, False or a function of the run; got {progress!r}.")
    return tqdm(
        total=steps * run.settings["epochs"],
        initial=steps * len(run.history),
        desc="training" if run.settings["teacher"] is None else "distilling",
        unit="step",
        disable=progress is not True,
    )


def _show_on(bar: tqdm, run: Run, loss: float) -> None:
    """What is known of the last step and of the epoch before: shown when the bar is drawn the next time."""
    shown = {"loss": f"{loss:.3f}", "epoch": len(run.history) + 1}
    if run.history and "val_accuracy" in run.history[-1]:
        shown["val_accuracy"] = f"{run.history[-1]['val_accuracy']:.1%}"
    bar.set_postfix(shown, refresh=False)


class Loader:
    """The batches of a ``DataLoader``, or of anything else that can be gone through again and has a ``len``.

    Parameters: ``loader``, which gives ``Batch``, pairs of inputs and labels, or mappings with "labels" among them;
    ``device``, where they go. ``ValueError`` for batches of another kind.
    """

    def __init__(self, loader: Iterable, device: torch.device) -> None:
        self.loader, self.device = loader, device

    def __len__(self) -> int:
        return len(self.loader)

    def epoch(self, number: int) -> Iterator[Batch]:
        """The batches, on the device. In which order is the loader's affair."""
        for batch in self.loader:
            inputs, labels, mask, image, view = _as_batch(batch)
            yield Batch(*(_moved(part, self.device) for part in (inputs, labels, mask)), image, view)


def _as_batch(batch: Any) -> Batch:
    if isinstance(batch, Batch):
        return batch
    if isinstance(batch, Mapping):
        return Batch({name: value for name, value in batch.items() if name != "labels"}, batch.get("labels"))
    if isinstance(batch, tuple | list) and len(batch) == 2:
        return Batch(*batch)
    raise ValueError(f"a batch must be a Batch, a pair (inputs, labels) or a mapping; got {type(batch).__name__}.")


def _moved(part: Any, device: torch.device) -> Any:
    if isinstance(part, Tensor):
        return part.to(device)
    if isinstance(part, Mapping):
        return {name: _moved(value, device) for name, value in part.items()}
    return [_moved(value, device) for value in part] if isinstance(part, tuple | list) else part
