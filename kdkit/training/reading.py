"""Where a training's images come from: a tensor in memory, or files that other processes read ahead."""

import os
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from kdkit.data.streaming import StreamedImages
from kdkit.data.views import Views
from kdkit.measure import machine

MOST_WORKERS = 8


class InMemory:
    """All ``images``, uint8 ``[N, C, H, W]``, padded and on the ``device``."""

    def __init__(self, images: Tensor, views: Views, device: torch.device) -> None:
        self.views, self.device = views, device
        self.padded = views.pad(images).to(device)

    def batches(self, wanted: Sequence[Tensor], view: Tensor) -> Iterator[Tensor]:
        """The images of each of the index tensors ``wanted``, in the views ``view`` ``[N]``: float32 ``[B, C, H, W]``.

        On the device, one batch after another.
        """
        for image in wanted:
            places, chosen = (each.to(self.device, non_blocking=True) for each in (image, view[image]))
            yield self.views.take(self.padded, places, chosen)


class Streamed:
    """The same of ``images`` on disk, bit for bit: a ``DataLoader`` makes the views of some batches ahead."""

    def __init__(self, images: StreamedImages, views: Views, device: torch.device) -> None:
        self.images, self.views, self.device = images, views, device

    def batches(self, wanted: Sequence[Tensor], view: Tensor) -> Iterator[Tensor]:
        """As of ``InMemory``: float32 ``[B, C, H, W]``. Raises ``ValueError`` that names a file that is damaged."""
        workers = self.images.workers
        loader = DataLoader(
            _Views(self.images, self.views),
            batch_size=None,  # what is asked for is a batch already
            sampler=[(image, view[image]) for image in wanted],
            num_workers=min(os.cpu_count() or 1, MOST_WORKERS) if workers is None else workers,
            worker_init_fn=_give_back,
            pin_memory=self.device.type == "cuda",
            generator=torch.Generator(),  # else it draws from the one that a student's dropout draws from
        )
        for seen in loader:
            if isinstance(seen, Exception):
                raise seen
            yield seen.to(self.device, non_blocking=True).float().div_(255)


def _give_back(worker):
    """A reader is forked from a process that keeps what it frees; of batch after batch it would keep gigabytes."""
    machine.give_back()


class _Views(Dataset):
    """Batches of views, uint8; an error is handed over, since a loader would wrap it in a page of its own words."""

    def __init__(self, images, views):
        self.images, self.views = images, views

    def __getitem__(self, wanted):
        image, view = wanted
        try:
            return self.views.cut(self.views.pad(self.images[image]), torch.arange(len(image)), view)
        except ValueError as error:
            return error
