"""The one loop over epochs: every training of the kit is a call of ``fit``, with batches, a loss and an optimizer.

Read it top to bottom: ``fit`` prepares and protects, ``_epoch`` repeats ``step.step``.
"""

import contextlib
import copy
import functools
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DistributedSampler
from tqdm.auto import tqdm

from kdkit import models
from kdkit.data import files
from kdkit.data.seeds import epoch_seed
from kdkit.measure import machine
from kdkit.training import distributed, state
from kdkit.training.batch import Batch, as_batch
from kdkit.training.computing import check_how
from kdkit.training.schedule import back_to_peaks, check_numbers, warm_up_and_decay
from kdkit.training.state import Diverged, Run, TrainingInterrupted
from kdkit.training.step import Loss, check_roles, step

EXPLODED = 10  # a loss so many times as large as the first one: no training has come back from there


class Batches(Protocol):
    """What an epoch consists of: ``len`` says how many batches, ``epoch`` gives those of one, counted from 0.

    They lie on the student's device. One of several processes gets its own part of each (``distributed.part_of``), or
    all of it, and it is dealt here.
    """

    def __len__(self) -> int: ...

    def epoch(self, number: int) -> Iterator[Batch]:
        """The batches of epoch ``number``."""
        ...


class SizedIterable(Sized, Iterable, Protocol):
    """What has a ``len`` and can be gone through again, such as a ``DataLoader``."""


def fit(
    student: nn.Module,
    batches: Batches | SizedIterable,
    loss: Loss,
    optimizer: Optimizer,
    *,
    epochs: int,
    teacher: nn.Module | None = None,
    cache: Any = None,
    seed: int = 0,
    warm_up: float = 0.0,
    max_grad_norm: float | None = None,
    accumulate: int = 1,
    precision: str = "float32",
    compile: bool = False,
    validate: Callable[[nn.Module], dict] | None = None,
    about: dict | None = None,
    checkpoint: str | Path | None = None,
    progress: bool | Callable[[Run], Any] = True,
    step_function: Callable[..., tuple] = step,
) -> Run:
    """Train ``student`` on ``batches``, epoch after epoch.

    Parameters:
        student: trained in place, on the device where it is.
        batches: a ``DataLoader``, or anything else that has a ``len`` and can be gone through again, of pairs (inputs,
            labels), mappings with "labels", or ``Batch`` (needed for a mask); tensors are moved to the student's
            device. Or ``Batches``.
        loss: called as ``loss(student_outputs, teacher_outputs, batch)``, see ``step.Loss``. One with weights of its
            own is a module on the student's device, whose weights are in the optimizer beside the student's. It is
            kept in the checkpoint.
        optimizer: what it holds learns, and nothing else. Its learning rates are peaks: the schedule rises to them in
            a straight line over the share ``warm_up`` of all steps, and then falls to 0.
        teacher, cache, max_grad_norm: as for ``step``.
        seed: torch's own generators are seeded with it anew in each epoch, for dropout and the order of a
            ``DataLoader`` (without a generator of its own). Afterwards they are as they were.
        accumulate: each batch goes through the networks in so many parts, one after the other, which takes less memory;
            there is still one update a batch, by the mean over it. The result is the same but for rounding, unless a
            part is not what the batch is: BatchNorm then normalises parts, and losses that compare the samples of a
            batch (``losses.pkt``, ``rkd_angle`` ...) see fewer of them.
        precision: "float32"; or "bf16": teacher and student compute in bfloat16 where ``torch.autocast`` thinks it
            safe. Weights, losses, validation and what a cache keeps stay in float32.
        compile: let ``torch.compile`` compile the student for training. What is returned, validated and kept in the
            checkpoint is the student itself.
        validate: called as ``validate(student)`` after each epoch, the student in train mode: it returns a dict of
            numbers, or None, for the epoch's entry in the history.
        about: settings that tell this run from others, a dict. A checkpoint of another run is refused.
        checkpoint: a file that is written after each epoch. If it exists, the run goes on from there, and ends with
            the weights and history of a run that was never stopped.
        progress: show a progress bar; or a function to call with the ``Run`` after each epoch instead, such as a plot.
        step_function: makes one step, called as ``step`` is.

    One of several processes (torchrun: ``kdkit.training.distributed``) learns from its part of each batch; the first of
    them validates, writes the checkpoint and calls ``progress``.

    Returns a ``Run``, the student in eval mode, the optimizer's rates back at their peaks. On Ctrl-C or an error,
    student, loss and optimizer are put back to what they were when ``fit`` was called: by that a checkpoint is
    recognised, so that the same call goes on from it. The unfinished epoch is lost.

    Raises ``ValueError`` for settings that contradict each other, for a checkpoint that is damaged, belongs to another
    run or is in use by another program; ``Diverged``, a kind of ``ValueError``, for a loss that grows without end;
    ``TrainingInterrupted`` on Ctrl-C; ``OSError`` where the disk is full or cannot be written to, ``ConnectionError``
    where another process is lost.
    """
    check_roles(teacher, student, optimizer)
    distributed.join()
    batches = _as_batches(batches, models.device_of(student))
    how = check_how(student, accumulate, precision, compile)
    settings = {**(about or {}), **_fingerprints(student, teacher), **check_numbers(epochs, seed), **how}
    settings |= {"lr": optimizer.param_groups[0]["lr"], "warm_up": warm_up, "max_grad_norm": max_grad_norm}
    run = Run(student, {**settings, "steps": _number_of(batches)})
    kept = {"student": student, "optimizer": optimizer, **({"loss": loss} if isinstance(loss, nn.Module) else {})}
    path = None if checkpoint is None else files.expanded(checkpoint)
    mine = path if distributed.first() else None  # the others write nothing
    with distributed.explained(), _alone(mine), _put_back_if_stopped(run, kept, path):
        schedule = warm_up_and_decay(optimizer, run.settings["epochs"] * len(batches), warm_up)
        kept = {**kept, "schedule": schedule}
        state.resume(mine, run, kept)
        one_step = functools.partial(
            step_function,
            distributed.wrapped(torch.compile(student) if compile else student),
            loss=distributed.wrapped(loss),
            optimizer=optimizer,
            teacher=teacher,
            cache=cache,
            max_grad_norm=max_grad_norm,
            accumulate=accumulate,
            precision=precision,
        )
        machine.keep_freed()  # a step frees and takes the same memory: it is quicker to keep it
        with _bar(run, len(batches), progress) as bar:
            for number in range(len(run.history), run.settings["epochs"]):
                began = time.perf_counter()
                with models.seeded(epoch_seed(seed, number), models.device_of(student)):  # for dropout and the like
                    entry = _epoch(run, batches.epoch(number), one_step, schedule, bar)
                    entry |= _validated(student, validate)
                _note(run, entry, time.perf_counter() - began)
                state.save(mine, run, kept)
                if callable(progress) and distributed.first():
                    progress(run)
        distributed.alike(student)
    back_to_peaks(schedule)
    student.eval()
    return run


def _validated(student: nn.Module, validate: Callable[[nn.Module], dict] | None) -> dict:
    """What the first process measures, for all."""
    return distributed.from_first({} if validate is None or not distributed.first() else validate(student))


def _as_batches(batches: Any, device: torch.device) -> Batches:
    return batches if callable(getattr(batches, "epoch", None)) else Loader(batches, device)


def _number_of(batches: Batches) -> int:
    if len(batches) == 0:
        raise ValueError("there is no batch to learn from: too few samples for a DataLoader with drop_last=True?")
    return len(batches)


def _epoch(run: Run, batches: Iterator[Batch], one_step: Callable[..., tuple], schedule: LambdaLR, bar: tqdm) -> dict:
    """A step for each batch; the first loss, and the mean of each term, by its name in the history."""
    seen: list[Tensor] = []
    names: Sequence = ()
    for batch in batches:
        batch = distributed.part(batch)
        terms = one_step(batch)
        schedule.step()
        seen.append(torch.stack(terms))
        names = getattr(terms, "_fields", range(len(terms)))
        if bar.update():  # True if the bar has just been drawn: only then is a GPU waited for
            _show_on(bar, run, terms[0].item() / (1 if batch.share is None else float(batch.share)))
    values = distributed.summed(torch.stack(seen)).cpu().double()  # [steps, terms], read once an epoch
    _show_on(bar, run, values[-1, 0].item())
    names = ["loss", *(f"{name}_loss" for name in names[1:])]  # the first term is the total, whatever its name
    return {"first_loss": values[0, 0].item(), **dict(zip(names, values.mean(0).tolist(), strict=True))}


def _note(run: Run, entry: dict, seconds: float) -> None:
    """Add an epoch to the history. ``Diverged`` if something in it is no number, or its loss far above the first."""
    epoch, first_step = len(run.history) + 1, entry.pop("first_loss")
    beginning = run.history[0]["loss"] if run.history else first_step
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
def _put_back_if_stopped(run: Run, parts: dict[str, Any], path: Path | None) -> Iterator[None]:
    """Whatever stops the training, the same call with the same student must go on from the checkpoint."""
    start = {name: copy.deepcopy(part.state_dict()) for name, part in parts.items()}
    try:
        yield
    except BaseException as stop:
        for name, part in parts.items():
            part.load_state_dict(start[name])
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
        disable=progress is not True or not distributed.first(),
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
    ``device``, where they go. Every process has to be given the same batches, and takes its part of each.
    ``ValueError`` for batches of another kind, and for a ``DistributedSampler``, which gives each other ones.
    """

    def __init__(self, loader: SizedIterable, device: torch.device) -> None:
        if isinstance(getattr(loader, "sampler", None), DistributedSampler):
            raise ValueError(
                "the DataLoader has a DistributedSampler: leave it out. Each process is given every batch, and takes "
                "its part of it."
            )
        self.loader, self.device = loader, device

    def __len__(self) -> int:
        return len(self.loader)

    def epoch(self, number: int) -> Iterator[Batch]:
        """The batches, on the device. In which order is the loader's affair."""
        for batch in self.loader:
            part = distributed.part(as_batch(batch))
            inputs, labels, mask = (_moved(value, self.device) for value in part[:3])
            yield part._replace(inputs=inputs, labels=labels, mask=mask)


def _moved(part: Any, device: torch.device) -> Any:
    if isinstance(part, Tensor):
        return part.to(device, non_blocking=device.type == "cuda")  # no wait for each copy
    if isinstance(part, Mapping):
        return {name: _moved(value, device) for name, value in part.items()}
    return [_moved(value, device) for value in part] if isinstance(part, tuple | list) else part
