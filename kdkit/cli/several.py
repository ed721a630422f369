"""What a command does where torchrun has started it several times: the processes train as one, and the first speaks."""

import contextlib
import os
import signal
from collections.abc import Iterator

import kdkit

TOGETHER = ("train-teacher", "distill")  # the others refuse where they would do the same work twice


def rank() -> int:
    """Which of the processes this is, from 0; 0 in one that is alone."""
    return int(os.environ["RANK"]) if started_together() and os.environ.get("RANK", "").isdecimal() else 0


def started_together() -> bool:
    """Whether there are several. Nothing is imported for that: the doctor comes here without torch."""
    told = os.environ.get("WORLD_SIZE", "")
    return told.isdecimal() and int(told) > 1


@contextlib.contextmanager
def as_one(command: str) -> Iterator[None]:
    """Within, the processes of one ``command`` know each other, and what others than the first print is dropped.

    One that torchrun ends, because another is lost, says what is kept, as after Ctrl-C. Raises as
    ``kdkit.training.distributed.join``.
    """
    if command not in TOGETHER or not started_together():
        yield
        return
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    kdkit.training.distributed.join()
    with open(os.devnull, "w") as nowhere, contextlib.ExitStack() as stack:
        if rank() > 0:
            stack.enter_context(contextlib.redirect_stdout(nowhere))
        yield
