"""A training from its first epoch to its last, whatever comes between: kept on disk, resumed, watched, stopped."""

import contextlib
import math
import time
from dataclasses import dataclass, field
from pathlib import Path

from torch import nn
from tqdm.auto import tqdm

from kdkit import models
from kdkit.data import files
from kdkit.data.seeds import as_seed
from kdkit.losses.arguments import whole
from kdkit.measure import machine
from kdkit.training import checkpoints

MOST_EPOCHS = 1_000_000  # a number with a slip of the finger is refused before it trains for years
EXPLODED = 10  # so many times the loss at the beginning: no training has come back from there


@dataclass
class Run:
    """A finished training: the ``student``, what it was trained with, and how it went.

    ``history`` holds one dict an epoch: epoch, loss, soft_loss, hard_loss, val_accuracy, val_agreement (with the
    teacher; None without one). ``seconds`` counts training time, over all sittings of a resumed run.
    """

    student: nn.Module
    settings: dict
    history: list = field(default_factory=list)
    seconds: float = 0.0

    @property
    def val_accuracy(self):
        """Accuracy on the validation split after the last epoch: never the best of many."""
        return self.history[-1]["val_accuracy"]


class Diverged(ValueError):
    """The loss has grown without end, or what is measured after an epoch is no longer a finite number."""


class TrainingInterrupted(KeyboardInterrupt):
    """Ctrl-C, or a notebook's stop button, during ``train``. Its text says what was kept."""

    def _render_traceback_(self):  # what IPython shows instead of a traceback
        return [str(self)]


def keep_going(run, optimizer, prepare, steps, checkpoint=None, progress=True):
    """Train ``run.student`` for the epochs that are still to come, from the checkpoint if there is one.

    Parameters:
        run: a ``Run`` whose settings name "epochs" and "seed", and with "teacher" whether there is one.
        optimizer: over the student's parameters.
        prepare: called once if an epoch is left; it gives ``one_epoch(number, bar)``, which trains for an epoch and
            returns its line of the history: a dict with the ``loss``, and the ``first_loss`` of its first step.
        steps: how many an epoch has, for the progress bar.
        checkpoint, progress: as for ``train``, which tells also how it ends when it is stopped.

    Returns ``run``, the student in eval mode. Raises ``Diverged``, ``TrainingInterrupted`` and ``ValueError`` as
    ``train`` does; ``ValueError`` also while another program trains with this checkpoint, since the later of two would
    overwrite what the other has learnt; ``OSError`` where the disk is full or may not be written.
    """
    files.refuse_several_processes()
    if not isinstance(progress, bool) and not callable(progress):
        raise ValueError(f"progress must be True, False or a function of the run; got {progress!r}.")
    checkpoint = None if checkpoint is None else files.expanded(checkpoint)
    with _alone(checkpoint):
        return _keep_going(run, optimizer, prepare, steps, checkpoint, progress)


def _alone(checkpoint):
    if checkpoint is None:
        return contextlib.nullcontext()
    busy = f"another program is training with {checkpoint}: wait for it, or give another checkpoint path."
    return files.alone(checkpoint, busy)


def _keep_going(run, optimizer, prepare, steps, checkpoint, progress):
    student = run.student
    start = {name: tensor.clone() for name, tensor in student.state_dict().items()}
    _resume(run, optimizer, checkpoint)
    machine.keep_freed()
    with _bar(run, steps, progress) as bar:
        try:
            _run_epochs(run, optimizer, prepare, checkpoint, bar, progress)
        except BaseException as stop:
            student.load_state_dict(start)  # so that the same call, with the same student, goes on from the checkpoint
            if isinstance(stop, KeyboardInterrupt):
                raise TrainingInterrupted(_farewell(run, checkpoint)) from None
            raise
    student.eval()
    return run


def _run_epochs(run, optimizer, prepare, checkpoint, bar, progress):
    done = len(run.history)
    if done == run.settings["epochs"]:
        return
    device, one_epoch = models.device_of(run.student), prepare()
    for epoch in range(done, run.settings["epochs"]):
        began = time.perf_counter()
        with models.seeded(epoch_seed(run.settings["seed"], epoch), device):  # for dropout and the like
            entry = one_epoch(epoch, bar)
        first_loss = entry.pop("first_loss")
        _check_sound(entry, run.history[0]["loss"] if run.history else first_loss, epoch, run.settings["lr"])
        run.history.append({"epoch": epoch + 1, **entry})
        run.seconds += time.perf_counter() - began
        _save(run, optimizer, checkpoint)
        if callable(progress):
            progress(run)


def _check_sound(entry, beginning, epoch, lr):
    """``Diverged`` if something in an epoch's ``entry`` is no number, or its loss far above that of the beginning."""
    lost = [name for name, value in entry.items() if value is not None and not math.isfinite(value)]
    if lost:
        what = f"the {lost[0]} is no longer a finite number in epoch {epoch + 1}"
    elif entry["loss"] > EXPLODED * max(beginning, 1.0):
        what = f"the loss of epoch {epoch + 1} is {entry['loss']:.3g}, after {beginning:.3g} at the beginning"
    else:
        return
    raise Diverged(f"{what}: the training diverged. The student has its first weights back: lower lr, now {lr:g}.")


def learning_rate(step, steps, peak, warm_up):
    """The rate of ``step`` (from 0) of ``steps``: up to ``peak`` over the share ``warm_up`` of them, then down to 0."""
    turn = warm_up * steps
    return peak * min(1.0, (step + 1) / turn, (steps - step) / (steps - turn))


def check_idle(weights, defaults):
    """``ValueError`` for ``weights``, a dict, other than the ``defaults``: without a teacher they would do nothing."""
    idle = ", ".join(f"{name}={value!r}" for name, value in weights.items() if value != defaults[name])
    if idle:
        raise ValueError(f"without a teacher {idle} would do nothing: pass a teacher, or leave it out.")


def epoch_seed(seed, epoch):
    """Each epoch has a seed of its own, so that a resumed run needs no generator's state from the one that died."""
    return as_seed(seed * 1_000_003 + epoch)


def _bar(run, steps, progress):
    return tqdm(
        total=steps * run.settings["epochs"],
        initial=steps * len(run.history),
        desc="training" if run.settings["teacher"] is None else "distilling",
        unit="step",
        disable=not progress or callable(progress),
    )


def advance(bar, loss, run):
    """One more step on the progress bar, with what is known of it and of the epoch before."""
    shown = {"loss": f"{loss:.3f}", "epoch": len(run.history) + 1}
    if run.history:
        shown["val_accuracy"] = f"{run.history[-1]['val_accuracy']:.1%}"
    bar.update()
    bar.set_postfix(shown, refresh=False)


def _farewell(run, checkpoint):
    epochs = run.settings["epochs"]
    stopped = f"Stopped in epoch {min(len(run.history) + 1, epochs)} of {epochs}."
    if checkpoint is None:
        return f"{stopped} Nothing was kept: give train() a checkpoint=path for that."
    if not Path(checkpoint).exists():
        return f"{stopped} There was nothing to keep yet."
    kept = len(checkpoints.read(checkpoint)["history"])
    what = "1 epoch is" if kept == 1 else f"{kept} epochs are"
    return f"{stopped} {what} kept in {checkpoint}: run the same again to go on."


def check_schedule(student, teacher, epochs, batch_size, seed):
    """Epochs, batch size and seed as ints, in a dict.

    ``ValueError`` for numbers that no training can have, and for a student that would be its own teacher.
    """
    models.check_network("student", student)
    if teacher is not None:
        models.check_network("teacher", teacher)
    if teacher is student:
        raise ValueError("teacher and student are the same network: it would learn from itself. Pass two networks.")
    return {
        "epochs": whole(epochs, "epochs", 1, MOST_EPOCHS),
        "batch_size": whole(batch_size, "batch_size", 1),
        "seed": whole(seed, "seed"),
    }


def _save(run, optimizer, checkpoint):
    if checkpoint is None:
        return
    state = {"settings": run.settings, "history": run.history, "seconds": run.seconds}
    weights = {"student": run.student.state_dict(), "optimizer": optimizer.state_dict()}
    checkpoints.write(checkpoint, {**state, **weights})


def _resume(run, optimizer, checkpoint):
    if checkpoint is None or not Path(checkpoint).exists():
        return
    state = checkpoints.read(checkpoint)
    _check_same_run(checkpoint, state["settings"], run.settings)
    run.student.load_state_dict(state["student"])
    optimizer.load_state_dict(state["optimizer"])
    run.history, run.seconds = state["history"], state["seconds"]


def _check_same_run(path, kept, wanted):
    other = [f"{name} {kept.get(name)!r}, now {value!r}" for name, value in wanted.items() if kept.get(name) != value]
    if not other:
        return
    hint = ""
    if kept.get("student") != wanted["student"]:
        hint = " (A student that has been trained already is another student: build it anew.)"
    raise ValueError(checkpoints.refusal(path, f"belongs to another run: {'; '.join(other)}") + hint)
