"""Quick trainings that look inside: a teacher and students with named features, for notebook 07.

Not for results: one student, 300 drawn images, a few epochs.
"""

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from kdkit import losses, models, training, zoo
from kdkit.course import figures
from kdkit.data import things
from kdkit.data.images import ImageSet, Splits

LAYERS = {"early": "stages.0", "middle": "stages.1", "last": "stages.2"}
EPOCHS, BATCH, RATE = 16, 50, 0.15


@functools.cache
def data() -> Splits:
    """30 images of each class to learn from."""
    return things.splits(per_class=30)


@functools.cache
def fresh(per_class: int = 20) -> ImageSet:
    """Images that no network has seen, class after class."""
    drawn = things.make(per_class, seed=303)
    return drawn.subset(drawn.labels.argsort(stable=True))


def teacher() -> models.Features:
    """The shipped teacher, which answers with the features of ``LAYERS``, too."""
    return models.Features(zoo.load("things-teacher"), **LAYERS)


def student(seed: int = 0) -> models.Features:
    """A small student with the same layers, untrained: a third as many channels in all, and half as many layers."""
    network = models.student(width=8, depth=3, seed=seed)
    training.fit_input(network, data())
    return models.Features(network, **LAYERS)


@torch.no_grad()
def features(network: nn.Module, images: Tensor) -> dict[str, Tensor]:
    """What ``network`` computes for uint8 images ``[N, C, H, W]``, by name; it stays in its mode."""
    with models.evaluating(network):
        return network(models.as_input(images))


def learn(
    loss: training.Loss | None, *, taught: bool = True, seed: int = 0, watch: Callable[[nn.Module], Any] | None = None
) -> tuple[models.Features, list]:
    """A new student that learns by ``loss`` (None: plain distillation, or labels where it is not ``taught``).

    Returns it with what ``watch(student)`` said before the first epoch and after each.
    """
    learner, watch = student(seed), watch or (lambda network: None)
    seen = [watch(learner)]
    with tqdm(total=EPOCHS, desc="learning", unit="epoch") as bar:

        def note(run: training.Run) -> None:
            seen.append(watch(run.student))
            bar.update()

        training.train(
            learner,
            data(),
            teacher=teacher() if taught else None,
            loss=loss,
            epochs=EPOCHS,
            batch_size=BATCH,
            lr=RATE,
            seed=seed,
            progress=note,
        )
    return learner, seen


class Hint(nn.Module):
    """The loss of a hint at one of ``LAYERS``, with the projector that it needs; its weights learn, too.

    ``forward(student_outputs, teacher_outputs)`` is the term; as a ``training.Loss`` of its own it takes a batch, too.
    """

    def __init__(self, layer: str):
        super().__init__()
        self.layer = layer
        image = data().train.images[:2]
        self.projector = models.Projector(*(features(net, image)[layer] for net in (student(), teacher())))

    def forward(self, student: dict, teacher: dict, batch: training.Batch | None = None) -> Tensor:
        """A scalar: the mean squared error between the projected feature and the teacher's."""
        return losses.hint(*self.projector(student[self.layer], teacher[self.layer]))


@torch.no_grad()
def explained(network: nn.Module, hint: Hint) -> float:
    """Which share of the variance of the teacher's feature the projected one explains, on fresh images: at most 1."""
    mine, theirs = (features(net, fresh().images) for net in (network, teacher()))
    wanted = theirs[hint.layer]
    return 1 - (hint(mine, theirs) / (wanted - wanted.mean((0, 2, 3), keepdim=True)).square().mean()).item()


def gram(feature: Tensor) -> Tensor:
    """How alike a network finds the images of a batch, by its feature ``[B, ...]``: ``[B, B]``, rows of length 1."""
    return losses.gram_table(feature)


def attention(feature: Tensor) -> Tensor:
    """Where a feature ``[B, C, H, W]`` is large: the mean of its squares over channels, ``[B, H, W]``."""
    return losses.attention_map(feature)


def cosines(network: nn.Module, one: str = "chair", others: tuple[str, ...] = ("armchair", "mushroom")) -> dict:
    """How like ``one`` class others are to each layer of ``network``: rows for a ``figures.Table``.

    The cosine of mean vectors of fresh images. The vector of an image is the largest value of each channel: what the
    classifier sees of the last layer.
    """
    seen, labels = features(network, fresh().images), fresh().labels

    def mean(layer, name):
        return seen[layer].amax((2, 3))[labels == things.CLASSES.index(name)].mean(0)

    def alike(layer, other):
        return nn.functional.cosine_similarity(mean(layer, one), mean(layer, other), dim=0).item()

    return {layer: {f"{one}, {other}": f"{alike(layer, other):.2f}" for other in others} for layer in LAYERS}


def gap(table: Tensor, wanted: Tensor) -> float:
    """How far two tables ``[B, B]`` of ``gram`` are apart: the mean over rows of their squared distance."""
    return (table - wanted).square().sum(1).mean().item()


def table_pages(wanted: Tensor, tables: list[Tensor], labels: Tensor, epochs: tuple[int, ...]) -> dict:
    """Pages for a ``FlipBook``: a teacher's table ``[B, B]`` beside a student's after so many ``epochs``."""
    names, pages = [things.CLASSES[label] for label in labels], {}
    for epoch in epochs:
        left = gap(tables[epoch], wanted) / gap(tables[0], wanted)
        title = f"After {epoch} epoch{'s' * (epoch != 1)}: {left:.0%} of the first gap"
        fig = figures.gram_tables({"teacher": wanted, "student": tables[epoch]}, names, title=title)
        pages[str(epoch)] = (fig, str(fig.get_label()))
    return pages


def pulls(student: Tensor, teacher: Tensor, label: int, *, temperature: float = 4.0) -> dict[str, Tensor]:
    """Which way the two parts of DKD pull a student's logits ``[C]``, each with weight 1: by name, ``[C]``."""
    parts = {"is it a {}?": (1.0, 0.0), "if not, what?": (0.0, 1.0)}
    found = {}
    for name, (target, other) in parts.items():
        z = student.clone().requires_grad_()
        weights = {"target_weight": target, "other_weight": other}
        loss = losses.dkd(z[None], teacher[None], torch.tensor([label]), temperature=temperature, **weights)
        found[name.format(things.CLASSES[label])] = -torch.autograd.grad(loss, z)[0]
    return found


def pull_pages(student: Tensor, teacher: Tensor, label: int, weights: dict[str, float]) -> dict:
    """Pages for a ``FlipBook``: ``pulls`` at logits ``[C]``, the second part with each of ``weights``, by name."""
    (first, is_it), (second, which) = pulls(student, teacher, label).items()
    pages = {}
    for name, weight in weights.items():
        others = weight * which.abs().sum().item()
        share = others / (others + is_it.abs().sum().item())
        title = f'Weight {name}: {share:.0%} of the pull comes from "{second}"'
        fig = figures.logit_pulls({first: is_it, second: weight * which}, things.CLASSES, label=label, title=title)
        pages[name] = (fig, str(fig.get_label()))
    return pages
