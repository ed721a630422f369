"""Several processes that train as one: which of them this is, its part of a batch, who writes, and what all are told.

torchrun starts them, on one machine or on several:

    torchrun --nproc-per-node 2 -m kdkit distill --data things

A step still learns from one global batch. Each process takes its part of it; gradients are added up (by torch's
``DistributedDataParallel``) so that they are those of the mean over the global batch, though the parts may differ in
size. Every process has the teacher whole and in eval mode, and says nothing of it to the others; in a cache each looks
up, and fills in, its own part. The first process alone validates, writes checkpoints and shows progress. A checkpoint
does not know how many there were: a run goes on with another number of processes.

Losses are those of one process but for rounding. Where a network has BatchNorm they are not: each process normalises
its own part, as torch does. On GPUs, ``nn.SyncBatchNorm.convert_sync_batchnorm(student)`` before the training lets
BatchNorm see the whole batch.

In a process that is alone nothing here does anything.
"""

import atexit
import contextlib
import os
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from kdkit.data import files
from kdkit.training.batch import Batch, deal, samples

PATIENCE = timedelta(minutes=10)  # longer than the first process validates while the others wait for it
GONE = ("onnection closed", "onnection reset", "roken pipe", "timed out", "Timed out", "NCCL", "onnection refused")


def world() -> int:
    """How many processes train together."""
    return dist.get_world_size() if _joined() else 1


def rank() -> int:
    """Which of them this one is, from 0."""
    return dist.get_rank() if _joined() else 0


def first() -> bool:
    """Whether this is the process that writes, prints and validates."""
    return rank() == 0


def _joined() -> bool:
    return dist.is_available() and dist.is_initialized()


def join() -> None:
    """Meet the other processes, if torchrun has started this one with others; on GPUs, take the one that is meant.

    Gloo carries what is on CPUs, NCCL what is on GPUs. ``ValueError`` where the environment tells of other processes,
    and not how to meet them; ``ConnectionError`` where they do not come.
    """
    if _joined() or files.processes() == 1:
        return
    missing = [name for name in ("RANK", "MASTER_ADDR", "MASTER_PORT") if name not in os.environ]
    if missing:
        raise ValueError(
            f"WORLD_SIZE={os.environ['WORLD_SIZE']} in the environment tells of several processes, and {missing[0]} is "
            "missing. Start them with torchrun; or, for one alone, take WORLD_SIZE away."
        )
    cuda = torch.cuda.is_available()
    if cuda:
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", 0)) % torch.cuda.device_count())
    with explained():
        dist.init_process_group("cpu:gloo,cuda:nccl" if cuda else "gloo", timeout=PATIENCE)
    atexit.register(_leave)


def _leave() -> None:
    with contextlib.suppress(Exception):  # the others may be gone
        dist.destroy_process_group()


@contextlib.contextmanager
def explained() -> Iterator[None]:
    """Within, the loss of another process is told in a sentence: ``ConnectionError``. Other errors pass as they are."""
    try:
        yield
    except (RuntimeError, ValueError) as error:
        if files.processes() == 1 or not _is_loss(error):
            raise
        raise ConnectionError(
            f"another of {files.processes()} processes has ended, or does not answer; what it said may stand above. "
            "Run the same again, with as many processes as you like: it goes on from its checkpoint, if it keeps one."
        ) from error


def _is_loss(error: BaseException | None) -> bool:
    if error is None:
        return False
    lost = isinstance(error, dist.DistBackendError | dist.DistNetworkError)
    return lost or any(word in str(error) for word in GONE) or _is_loss(error.__cause__)


def part(batch: Batch) -> Batch:
    """This process's part of the global ``batch``; of one that has been dealt already, all of it.

    ``ValueError`` for a batch with fewer samples than there are processes.
    """
    if world() == 1 or batch.share is not None:
        return batch
    _check_enough(samples(batch))
    return deal(batch, world())[rank()]


def part_of(numbers: Tensor) -> tuple[Tensor, float | None]:
    """This process's part of ``numbers`` ``[B]``, those of a global batch's samples, and its share of them.

    To read no more than that. Alone: all, and None. ``ValueError`` as ``part``.
    """
    if world() == 1:
        return numbers, None
    _check_enough(len(numbers))
    mine = deal(Batch(numbers), world())[rank()]
    return mine.inputs, mine.share  # type: ignore[return-value]  # a tensor was given, and a float made


def _check_enough(count: int) -> None:
    if count < world():
        raise ValueError(
            f"a batch of {count} cannot be dealt among {world()} processes: give a larger batch size, or leave such a "
            "batch out (DataLoader(..., drop_last=True))."
        )


def wrapped(module: Any) -> Any:
    """``module`` so that all processes' gradients are added up; itself where it is alone or learns nothing."""
    learns = isinstance(module, nn.Module) and any(weight.requires_grad for weight in module.parameters())
    if world() == 1 or not learns:
        return module
    shared = DistributedDataParallel(module)
    shared.register_comm_hook(None, _add_up)  # torch itself takes the mean; here each part comes with its share
    return shared


def _add_up(state, bucket):
    future = dist.all_reduce(bucket.buffer(), async_op=True).get_future()
    return future.then(lambda done: done.value()[0])


@contextlib.contextmanager
def telling(last: bool, *modules: Any) -> Iterator[None]:
    """Within, gradients are kept to oneself, unless this is the ``last`` part of a step: then they all are added up."""
    with contextlib.ExitStack() as stack:
        for module in modules:
            if isinstance(module, DistributedDataParallel) and not last:
                stack.enter_context(module.no_sync())
        yield


def summed(values: Tensor) -> Tensor:
    """The sum of all processes' ``values`` ``[...]``, on the device where they are."""
    if world() > 1:
        dist.all_reduce(values)
    return values


def from_first(value: Any) -> Any:
    """What the first process holds, for all."""
    if world() == 1:
        return value
    held = [value]
    dist.broadcast_object_list(held)
    return held[0]


@torch.no_grad()
def alike(module: nn.Module) -> None:
    """Let ``module`` be the first process's everywhere: after a step BatchNorm's statistics are not."""
    if world() > 1:
        for tensor in module.state_dict().values():
            dist.broadcast(tensor, 0)
