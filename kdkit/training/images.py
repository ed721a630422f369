"""The recipe for images: ``train``, with the same views of them for a student that learns alone and a distilled one."""

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from kdkit import models
from kdkit.data.images import ImageSet, Splits, check_splits
from kdkit.data.seeds import epoch_seed, generator
from kdkit.data.streaming import StreamedImages
from kdkit.losses import resolve_weights
from kdkit.losses.arguments import answered, check_temperature, positive, whole
from kdkit.measure import metrics
from kdkit.training import distributed, reading
from kdkit.training.batch import Batch
from kdkit.training.cache import ViewCache
from kdkit.training.loop import fit
from kdkit.training.schedule import check_networks, check_numbers, check_unused
from kdkit.training.state import Run
from kdkit.training.step import Distillation, Loss

DEFAULTS = {"temperature": 4.0, "soft_weight": 0.9, "hard_weight": 0.1}
PEAK_LR = 0.2  # for batches of 512; other sizes by the square root
# T^2 KL gives gradients about T times as long as labels do, and the first ones of a wide network are longer still. If
# they are not cut, no one rate suits both arms, and some students stay at chance (benchmarks/defaults.py).
MAX_GRAD_NORM = 2.0
MOMENTUM, WEIGHT_DECAY = 0.9, 5e-4
WARM_UP = 0.2  # share of the steps in which the learning rate rises
STATISTICS_IMAGES = 5000  # of 32x32, drawn from all, from which a network's first layer computes its statistics


def train(
    student: nn.Module,
    data: Splits,
    *,
    teacher: nn.Module | None = None,
    cache: ViewCache | None = None,
    temperature: float = DEFAULTS["temperature"],
    soft_weight: float = DEFAULTS["soft_weight"],
    hard_weight: float = DEFAULTS["hard_weight"],
    loss: Loss | None = None,
    epochs: int,
    batch_size: int = 512,
    lr: float | None = None,
    max_grad_norm: float | None = MAX_GRAD_NORM,
    accumulate: int = 1,
    precision: str = "float32",
    compile: bool = False,
    seed: int = 0,
    checkpoint: str | Path | None = None,
    progress: bool | Callable[[Run], Any] = True,
) -> Run:
    """Train ``student`` on ``data.train``; watch it on ``data.val``; leave ``data.test`` alone.

    Two runs with the same ``seed`` and equal students see the same images in the same views and order, with and
    without a teacher: they are a fair pair.

    Parameters:
        student: a module that maps float32 images ``[N, C, H, W]`` in [0, 1] to logits; it is trained in place, on
            the device where it is. If it has ``fit_input`` (or what it wraps has), that computes its input statistics
            first, from a sample of ``data.train``.
        data: ``Splits``.
        teacher: None for plain cross-entropy with weight 1; a module for distillation.
        cache: a ``ViewCache`` of this teacher on this data, or None to ask the teacher at each step. The result is
            the same to the bit (same machine, threads, batch size; float32).
        temperature, soft_weight, hard_weight: as for ``kd_loss``. Without a teacher, or with a loss of your own, they
            mean nothing, and others than the defaults are refused.
        loss: None for ``kd_loss``; or a loss of your own (``training.Loss``), such as one of features that a teacher
            and a student give as ``models.Features``. If it is a module, its weights learn with the student's.
        batch_size: images a step at most. An epoch is dealt into equal batches, for a network's last bits depend on
            the size of the batch; the few images that are left over wait for the next epoch.
        lr: peak learning rate, or None for 0.2 at 512 images a batch and by the square root for others (0.05 at 32). It
            rises over a fifth of the steps, then falls to 0.
        max_grad_norm: gradients longer than this are cut to it, so that one rate suits both arms at any temperature;
            None leaves them as they are.
        accumulate, precision, compile: as for ``training.fit``.
        seed: of the order of images (and of dropout, if the student has any).
        checkpoint: a file that is written after each epoch. If it exists, the run goes on from there, and ends with
            the weights and history of a run that was never stopped.
        progress: show a progress bar; or a function to call with the ``Run`` after each epoch instead, such as a plot.

    Stopped by Ctrl-C or by an error, it gives the student its first weights back: the same call then goes on from the
    checkpoint.

    On Linux the process keeps, from then on, the memory that it frees (``measure.machine``): steps are quicker for it.

    Returns a ``Run``. Raises ``ValueError`` for settings that contradict each other and for a checkpoint that is
    damaged or belongs to another run; ``Diverged``, one of these, for a loss that grows without end or a result that
    is no number any more; ``TrainingInterrupted`` on Ctrl-C.
    """
    _check_data(data)
    check_networks(student, teacher)
    check_numbers(epochs, seed)
    batch_size = whole(batch_size, "batch_size", 1)
    if cache is not None:
        _check_cache(cache, data, teacher)
    weights = {"temperature": temperature, "soft_weight": soft_weight, "hard_weight": hard_weight}
    about = {**_identity(data), **_taught(teacher, loss, weights), "batch_size": batch_size}
    peak = _peak_lr(lr, batch_size)
    cut = None if max_grad_norm is None else positive("max_grad_norm", max_grad_norm, "None to cut none")
    fit_input(student, data)
    loss = Distillation(**weights) if loss is None else loss
    return fit(
        student,
        ImageBatches(data, batch_size, seed, models.device_of(student), cache),
        loss,
        _optimizer(student, loss, peak),
        epochs=epochs,
        teacher=teacher,
        cache=cache,
        seed=seed,
        warm_up=WARM_UP,
        max_grad_norm=cut,
        accumulate=accumulate,
        precision=precision,
        compile=compile,
        validate=Validation(data.val, teacher, cache),
        about=about,
        checkpoint=checkpoint,
        progress=progress,
    )


class ImageBatches:
    """The batches of an epoch: each image in the view that is due, in an order of the seed's own.

    An epoch is dealt into equal batches; the few images that are left over wait for the next epoch. The teacher of a
    ``cache`` is asked about them all the same: otherwise the next student, in another order, would miss them there.
    One of several processes gets its part of each batch, and no other image.
    """

    def __init__(
        self, data: Splits, batch_size: int, seed: int, device: torch.device, cache: ViewCache | None = None
    ) -> None:
        self.views, self.seed, self.cache, images = data.views, seed, cache, data.train.images
        source = reading.Streamed if isinstance(images, StreamedImages) else reading.InMemory
        self.source = source(images, data.views, device)
        self.labels = data.train.labels.to(device)
        self.batches = -(-len(data.train) // batch_size)

    def __len__(self) -> int:
        return self.batches

    def epoch(self, number: int) -> Iterator[Batch]:
        """The batches of epoch ``number``, counted from 0."""
        view = self.views.schedule(len(self.labels), number)
        order = torch.randperm(len(self.labels), generator=generator(epoch_seed(self.seed, number)))
        size = len(order) // self.batches
        dealt, left_over = order[: self.batches * size], len(order) - self.batches * size
        wanted = [*dealt.view(self.batches, size)]  # [size] each
        if self.cache is not None and left_over:
            more = -(-left_over // size)
            wanted += order[len(order) - more * size :].view(more, size)
        mine = [distributed.part_of(image) for image in wanted]
        for place, inputs in enumerate(self.source.batches([image for image, _ in mine], view)):
            image, share = mine[place]
            if place < self.batches:
                labels = self.labels[image.to(self.labels.device, non_blocking=True)]
                yield Batch(inputs, labels, image=image, view=view[image], share=share)
            elif self.cache is not None:
                self.cache.outputs(image, view[image], inputs)


class Validation:
    """What an epoch's line of the history says of the validation images: accuracy, and agreement with the teacher."""

    def __init__(self, val: ImageSet, teacher: nn.Module | None, cache: ViewCache | None) -> None:
        self.val, self.teacher, self.cache = val, teacher, cache
        self.teacher_logits: Tensor | None = None

    def __call__(self, student: nn.Module) -> dict[str, float | None]:
        logits = metrics.predict(student, self.val.images)
        if not answered(logits).all():
            return {"val_accuracy": math.nan, "val_agreement": None}  # it has diverged, as ``fit`` then says
        if self.teacher is not None and self.teacher_logits is None:  # asked once, and only if an epoch is left
            images, cache = self.val.images, self.cache
            self.teacher_logits = metrics.predict(self.teacher, images) if cache is None else cache.val_logits()
        agreement = None if self.teacher_logits is None else metrics.agreement(logits, self.teacher_logits)
        return {"val_accuracy": metrics.accuracy(logits, self.val.labels), "val_agreement": agreement}


def fit_input(student: nn.Module, data: Splits) -> None:
    """Let the first layer of ``student``, or of the network that it wraps, compute its statistics, if it has any.

    From images drawn from all of ``data.train``: folders are sorted by class, and the first 5,000 may be all airplanes.
    Of larger images fewer are drawn: as many pixels.
    """
    network: Any = models.unwrapped(student)
    if hasattr(network, "fit_input"):
        height, width = data.train.images.shape[2:]
        count = max(1, min(STATISTICS_IMAGES, STATISTICS_IMAGES * 32 * 32 // (height * width)))
        network.fit_input(models.as_input(data.train.sample(count).images))


def _optimizer(student: nn.Module, loss: Loss, lr: float) -> torch.optim.Optimizer:
    learning = [*student.parameters(), *(loss.parameters() if isinstance(loss, nn.Module) else ())]
    learning = [weight for weight in learning if weight.requires_grad]
    return torch.optim.SGD(learning, lr=lr, momentum=MOMENTUM, nesterov=True, weight_decay=WEIGHT_DECAY)


def _peak_lr(lr: float | None, batch_size: int) -> float:
    if lr is None:
        return PEAK_LR * math.sqrt(batch_size / 512)
    return positive("lr", lr, "None for the default")


def _check_data(data: Splits) -> None:
    check_splits(data)
    for part, count in ("train", len(data.train)), ("val", len(data.val)):
        if count == 0:
            raise ValueError(f"data.{part} holds no image: {data!r}. Training needs both.")


def _check_cache(cache: ViewCache, data: Splits, teacher: nn.Module | None) -> None:
    if not isinstance(cache, ViewCache):
        raise ValueError(f"cache must be a ViewCache(teacher, data, path); got {type(cache).__name__}.")
    if teacher is None:
        raise ValueError("a cache of teacher logits without a teacher: pass teacher=cache.teacher to distil.")
    cache.check_belongs(teacher, data)


def _identity(data: Splits) -> dict:
    """What makes a run a run on these images, and on no others."""
    return {
        "data": data.name,
        "train_images": len(data.train),
        "data_fingerprint": f"{data.train.fingerprint}/{data.val.fingerprint}",
        "labels_fingerprint": f"{data.train.labels_fingerprint}/{data.val.labels_fingerprint}",
        "views": str(data.views),
    }


def _taught(teacher: nn.Module | None, loss: Loss | None, weights: dict) -> dict:
    """Which loss is learnt from, for the settings of a run."""
    if loss is not None:
        check_unused(weights, DEFAULTS, "with a loss of your own", "give it to that loss")
        return {"loss": models.fingerprint(loss) if isinstance(loss, nn.Module) else repr(loss)}
    if teacher is None:
        check_unused(weights, DEFAULTS, "without a teacher", "pass a teacher")
        return {"temperature": None, "soft_weight": 0.0, "hard_weight": 1.0}
    soft, hard = resolve_weights(weights["soft_weight"], weights["hard_weight"], have_labels=True)
    return {"temperature": check_temperature(weights["temperature"]), "soft_weight": soft, "hard_weight": hard}
