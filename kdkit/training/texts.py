"""The recipe for labelled texts: a classifier learns from labels, and from a teacher that may read other tokens.

Read it top to bottom: ``train`` prepares, ``learn`` hands texts as batches to the one loop. A text has one view, so
the teacher is asked about each once (``TeacherLogits``), in its own tokens; its answers are found by a text's number.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from kdkit import models
from kdkit.data.labelled import LabelledTexts, TextSplits
from kdkit.data.seeds import epoch_seed, generator
from kdkit.losses import resolve_weights
from kdkit.losses.arguments import answered, check_temperature, positive, whole
from kdkit.measure import metrics
from kdkit.models.for_texts import ForTexts
from kdkit.training import distributed
from kdkit.training.batch import Batch
from kdkit.training.loop import fit
from kdkit.training.schedule import check_networks, check_numbers, check_unused
from kdkit.training.state import Run
from kdkit.training.step import Distillation

DEFAULTS = {"temperature": 4.0, "soft_weight": 0.9, "hard_weight": 0.1}
BATCH_SIZE, PEAK_LR, WARM_UP = 16, 1e-3, 0.1
EVALUATION_BATCH = 64  # texts


def train(
    student: ForTexts,
    data: TextSplits,
    *,
    teacher: ForTexts | None = None,
    cache: "TeacherLogits | None" = None,
    temperature: float = DEFAULTS["temperature"],
    soft_weight: float = DEFAULTS["soft_weight"],
    hard_weight: float = DEFAULTS["hard_weight"],
    epochs: int,
    batch_size: int = BATCH_SIZE,
    lr: float = PEAK_LR,
    seed: int = 0,
    checkpoint: str | Path | None = None,
    progress: bool | Callable[[Run], Any] = True,
) -> Run:
    """Train ``student`` on ``data.train``, watch it on ``data.val``, leave ``data.test`` alone.

    Runs with the same ``seed`` read the same texts in the same order, with and without a teacher.

    Parameters:
        student, teacher: ``models.for_texts.ForTexts``, each with its own tokenizer. Without a teacher the loss is the
            cross-entropy alone.
        data: ``TextSplits``, as ``kdkit.data.labelled_texts`` gives them.
        cache: ``TeacherLogits`` of this teacher, for several students; None makes one.
        temperature, soft_weight, hard_weight: as for ``kd_loss``; without a teacher others than the defaults are
            refused.
        batch_size: texts a step.
        lr: peak of AdamW's learning rate, for a network that begins at random; one that has read before takes less,
            such as 5e-5. It rises over a tenth of the steps, then falls to 0.
        seed, checkpoint, progress: as for ``kdkit.train``.

    Returns a ``Run``; its history has val_accuracy and val_agreement (None without a teacher). Raises as
    ``kdkit.train``.
    """
    _check(student, teacher, data)
    check_numbers(epochs, seed)
    weights = {"temperature": temperature, "soft_weight": soft_weight, "hard_weight": hard_weight}
    about: dict[str, Any] = {"data": data.name, "data_fingerprint": _fingerprint(data)}
    if teacher is None:
        check_unused(weights, DEFAULTS, "without a teacher", "pass a teacher")
    else:
        resolve_weights(soft_weight, hard_weight, have_labels=True)
        about |= {**weights, "temperature": check_temperature(temperature)}
        cache = TeacherLogits(teacher, data) if cache is None else cache.of(teacher, data)
    return learn(
        student,
        student.encode(data.train.texts),
        data.train.labels,
        Distillation(**weights),
        epochs=epochs,
        batch_size=batch_size,
        lr=lr,
        seed=seed,
        teacher=teacher,
        cache=cache,
        warm_up=WARM_UP,
        validate=Validation(student.encode(data.val.texts), data.val.labels, cache),
        about=about,
        checkpoint=checkpoint,
        progress=progress,
    )


def learn(
    network: nn.Module,
    encoded: Mapping[str, Tensor],
    labels: Tensor,
    loss: Distillation,
    *,
    epochs: int,
    batch_size: int = BATCH_SIZE,
    lr: float = PEAK_LR,
    seed: int = 0,
    **others: Any,
) -> Run:
    """Teach ``network`` to classify ``encoded`` texts, tensors ``[N, L]`` by name, with AdamW; all its weights learn.

    ``labels``: int64 ``[N]``; ``others``: for ``fit``. Returns a ``Run``, and raises, as ``fit``.
    """
    optimizer = torch.optim.AdamW([each for each in network.parameters() if each.requires_grad], lr=positive("lr", lr))
    batches = TextBatches(encoded, labels, whole(batch_size, "batch_size", 1), seed, models.device_of(network))
    about = {**others.pop("about", {}), "batch_size": batches.batch_size}
    return fit(network, batches, loss, optimizer, epochs=epochs, seed=seed, about=about, **others)


class TextBatches:
    """Encoded texts, tensors ``[N, L]`` by name, with their labels ``[N]``: a new order each epoch, by ``seed``.

    A batch has the number of each text in ``image``. One of several processes gets its part of each batch.
    """

    def __init__(
        self, encoded: Mapping[str, Tensor], labels: Tensor, batch_size: int, seed: int, device: torch.device
    ) -> None:
        self.encoded, self.labels, self.seed, self.device = encoded, labels, seed, device
        self.batch_size = batch_size

    def __len__(self) -> int:
        return -(-len(self.labels) // self.batch_size)

    def epoch(self, number: int) -> Iterator[Batch]:
        """The batches of epoch ``number``, counted from 0."""
        drawn = generator(epoch_seed(self.seed, number))
        for wanted in torch.randperm(len(self.labels), generator=drawn).split(self.batch_size):
            text, share = distributed.part_of(wanted)
            inputs = {name: tensor[text].to(self.device) for name, tensor in self.encoded.items()}
            yield Batch(inputs, self.labels[text].to(self.device), image=text, share=share)


@torch.no_grad()
def predict(network: nn.Module, encoded: Mapping[str, Tensor], name: str = "network") -> Tensor:
    """What ``network``, in eval mode, says of ``encoded`` texts: logits ``[N, C]``, float32, on the CPU.

    The mode of the network, and of each module in it, is put back afterwards.
    """
    device, count, answers = models.device_of(network), len(encoded["input_ids"]), []
    with models.evaluating(network):
        for some in torch.arange(count).split(EVALUATION_BATCH):
            inputs = {key: tensor[some].to(device) for key, tensor in encoded.items()}
            answers.append(models.logits(network, inputs, name).float().cpu())
    return torch.cat(answers)


class TeacherLogits:
    """What a teacher says of each text of ``data.train`` and ``data.val``, asked once, kept in memory.

    ``train`` and ``val``: logits ``[N, classes]``. Raises ``ValueError`` where the teacher does not answer with a
    logit for each class, or not with finite numbers.
    """

    def __init__(self, teacher: ForTexts, data: TextSplits) -> None:
        self.teacher, self._of = teacher, _identity(teacher, data)
        self.train, self.val = (self._asked(part) for part in (data.train, data.val))

    def _asked(self, part: LabelledTexts) -> Tensor:
        logits = predict(self.teacher, self.teacher.encode(part.texts), "teacher")
        if logits.shape != (len(part), len(part.classes)):
            raise ValueError(
                f"the teacher answers with {logits.shape[-1]} numbers a text; there are {len(part.classes)} classes. "
                "Give ForTexts the names of the teacher's classes, and take teacher.for_classes(data.classes)."
            )
        if not answered(logits).all():
            raise ValueError("the teacher answered with NaN or inf, which no student can learn from.")
        return logits

    def outputs(self, image: Tensor, view: None, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The teacher's logits on the training texts with the numbers ``image`` ``[B]``, where ``inputs`` are."""
        return {"logits": self.train[image].to(inputs["input_ids"].device)}

    def of(self, teacher: ForTexts, data: TextSplits) -> "TeacherLogits":
        """This, if it is of ``teacher`` on ``data``; ``ValueError`` otherwise."""
        if _identity(teacher, data) != self._of:
            raise ValueError(
                "cache is of another teacher or other texts: TeacherLogits(teacher, data) makes this one's."
            )
        return self


class Validation:
    """What an epoch's line of the history says of validation texts: accuracy, and agreement with the teacher.

    ``encoded``: tensors ``[N, L]`` by name; ``labels`` ``[N]``; ``cache``: None without a teacher.
    """

    def __init__(self, encoded: Mapping[str, Tensor], labels: Tensor, cache: TeacherLogits | None) -> None:
        self.encoded, self.labels = encoded, labels
        self.teacher_logits = None if cache is None else cache.val

    def __call__(self, student: nn.Module) -> dict[str, float | None]:
        logits = predict(student, self.encoded)
        if not answered(logits).all():
            return {"val_accuracy": math.nan, "val_agreement": None}  # it has diverged, as ``fit`` then says
        agreement = None if self.teacher_logits is None else metrics.agreement(logits, self.teacher_logits)
        return {"val_accuracy": metrics.accuracy(logits, self.labels), "val_agreement": agreement}


def _fingerprint(data: TextSplits) -> str:
    return f"{data.train.fingerprint}/{data.val.fingerprint}"


def _identity(teacher: ForTexts, data: TextSplits) -> tuple[str, str]:
    return models.fingerprint(teacher), _fingerprint(data)


def _check(student: ForTexts, teacher: ForTexts | None, data: TextSplits) -> None:
    if not isinstance(data, TextSplits):
        raise ValueError(f"data must be TextSplits, as kdkit.data.labelled_texts gives; got {type(data).__name__}.")
    check_networks(student, teacher)
    for name, network in ("student", student), ("teacher", teacher):
        if network is not None and not isinstance(network, ForTexts):
            raise ValueError(
                f"{name} must be ForTexts(network, tokenizer), so that it is given its own tokens; got "
                f"{type(network).__name__}."
            )
