"""The bug museum's instruments: each measures the symptom of one exhibit of notebook 03b.

An exhibit is a function as somebody published it, with its bug. An instrument takes the function and gives the number
or the curve that its user saw; of a fixed function it gives a healthy one. Names are those of the symptoms.
"""

import copy
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from kdkit import losses, models
from kdkit.course import sandbox
from kdkit.course.sandbox import TEMPERATURE, data, fit, fresh, step_with, teacher
from kdkit.measure import metrics

CLASS_COUNTS = (10, 30, 100, 300, 1000)
HARD_WEIGHTS = (0.0, 1e-4, 1e-3, 1e-2, 0.1, 0.5)
SHARPER = (4.0, 1.0, 0.5, 0.2, 0.1)


def quiet_teacher(loss: Callable) -> list[float]:
    """How much harder the soft term pulls than the hard term, for 10 to 1000 classes: a list.

    ``loss(student_logits [B, C], teacher_logits [B, C], labels [B], temperature, soft_weight)``: the terms are weighted
    with 0.9 and 0.1, and the pull of a term is the length of its gradient. Random logits of 64 images.
    """

    def pull(classes, soft_weight):
        generator = torch.Generator().manual_seed(0)
        student, teacher = torch.randn(2, 64, classes, generator=generator, dtype=torch.double) * 3
        labels = torch.randint(classes, (64,), generator=generator)
        return _length(lambda s: loss(s, teacher, labels, TEMPERATURE, soft_weight), student)

    return [0.9 * pull(classes, 1.0) / (0.1 * pull(classes, 0.0)) for classes in CLASS_COUNTS]


def cliff(loss: Callable) -> list[float]:
    """The length of the gradient for each of ``HARD_WEIGHTS``: a list.

    ``loss(student_logits [B, C], teacher_logits [B, C], labels [B], temperature, hard_weight)``.
    """
    generator = torch.Generator().manual_seed(0)
    student, teacher = torch.randn(2, 64, 10, generator=generator, dtype=torch.double) * 3
    labels = torch.randint(10, (64,), generator=generator)
    return [_length(lambda s, w=w: loss(s, teacher, labels, TEMPERATURE, w), student) for w in HARD_WEIGHTS]


def _length(loss_of, student_logits):
    logits = student_logits.clone().requires_grad_()
    return torch.autograd.grad(loss_of(logits), logits)[0].norm().item()


def sinking_teacher(distiller: Callable) -> list[float]:
    """The TEACHER's accuracy before and after each of five epochs of a training with noisy images.

    ``distiller(teacher, student)`` makes a module that has ``loss(inputs [B, C, H, W], temperature)``.
    """
    big, student = teacher(), models.student(width=8, depth=3)
    student.fit_input(models.as_input(data().images))
    pair = distiller(big, student)
    optimizer = torch.optim.SGD(student.parameters(), lr=sandbox.LEARNING_RATE)
    generator, accuracies = torch.Generator().manual_seed(0), [sandbox.accuracy(big)]
    for _ in range(5):
        pair.train()
        for inputs in _noisy_batches(generator):
            optimizer.zero_grad()
            pair.loss(inputs, TEMPERATURE).backward()
            optimizer.step()
        accuracies.append(sandbox.accuracy(big))
    return accuracies


def _noisy_batches(generator: torch.Generator) -> Iterator[Tensor]:
    """The images of one epoch, ``[B, C, H, W]`` from 0 to 1, with noise of standard deviation 0.15."""
    for index in torch.randperm(len(data()), generator=generator).split(sandbox.BATCH):
        inputs = models.as_input(data().images[index])
        yield (inputs + 0.15 * torch.randn(inputs.shape, generator=generator)).clamp(0, 1)


def coin_tosser(keep_logits: Callable) -> float:
    """The accuracy of kept teacher logits, row by row against the labels.

    ``keep_logits(teacher, dataset) -> logits [N, C]``, with a ``dataset`` of (inputs, label).
    """
    with models.seeded(0):
        dataset = TensorDataset(models.as_input(fresh().images), fresh().labels)
        return metrics.accuracy(keep_logits(teacher().eval(), dataset), fresh().labels)


def never_zero(soft_loss: Callable) -> float:
    """The loss of a student that is an exact copy of the teacher, on 100 images.

    ``soft_loss(teacher, student, images [B, C, H, W], augment, temperature)``; ``augment`` shifts images at random.
    """
    generator = torch.Generator().manual_seed(0)

    def augment(images):
        return torch.roll(images, torch.randint(-3, 4, (2,), generator=generator).tolist(), dims=(2, 3))

    big, images = teacher().eval(), models.as_input(fresh().images[:100])
    return soft_loss(big, copy.deepcopy(big), images, augment, TEMPERATURE).item()


def pale_targets(soft_loss: Callable) -> tuple[float, float]:
    """(accuracy, mean confidence) of a student that was trained with ``soft_loss(teacher, student, inputs, T)``."""

    def step(teacher, student, temperature, inputs, optimizer):
        teacher.eval()
        student.train()
        optimizer.zero_grad()
        soft_loss(teacher, student, inputs, temperature).backward()
        optimizer.step()

    return fit(step, watch=confidence)[-1]


def confidence(network: nn.Module) -> tuple[float, float]:
    """(accuracy, mean of the highest probability) on the 500 images that no network has seen, at T = 1."""
    logits = metrics.predict(network, fresh().images)
    return metrics.accuracy(logits, fresh().labels), logits.softmax(1).amax(1).mean().item()


def frozen_student(step: Callable) -> list[float]:
    """The accuracy of the small network after each epoch.

    ``step(small, large, temperature, inputs, optimizer)``, with an optimizer over the weights of the small one.
    """
    return fit(lambda large, small, temperature, inputs, optimizer: step(small, large, temperature, inputs, optimizer))


def restless_kl(kl: Callable[[Tensor, Tensor], Tensor | float]) -> list[float]:
    """What ``kl(student_logits [N, C], teacher_logits [N, C])`` reads at T = 4: for a student after each epoch of a
    right training, and last for the teacher itself, set against its own logits.
    """
    teacher_logits = metrics.predict(teacher(), fresh().images) / TEMPERATURE

    def reading(network):
        return float(kl(metrics.predict(network, fresh().images) / TEMPERATURE, teacher_logits))

    learn = step_with(lambda student, teacher, labels: TEMPERATURE**2 * losses.kl_divergence(student, teacher, 4.0))
    return [*fit(learn, watch=reading), reading(teacher())]


def too_good(best_epoch: Callable[[Tensor, Tensor], int]) -> float:
    """How much better, on average, a student looks on its test images than it is: a difference of accuracies.

    ``best_epoch(val_accuracies [E], test_accuracies [E]) -> epoch``. One training of 12 epochs; validation and test
    images are drawn 200 times, 100 each, out of 1,000. How good it "is": its accuracy on all 1,000.
    """
    pool = sandbox.things.make(per_class=100, seed=404)

    def right(network):
        return (metrics.predict(network, pool.images).argmax(1) == pool.labels).double()

    answers = torch.stack(fit(sandbox.labels_alone, watch=right, epochs=12))  # [epochs, images]
    generator, excess = torch.Generator().manual_seed(0), []
    for _ in range(200):
        val, test = torch.randperm(len(pool), generator=generator)[:200].split(100)
        scores = answers[:, test].mean(1)
        epoch = int(best_epoch(answers[:, val].mean(1), scores))
        excess.append((scores[epoch] - answers[epoch].mean()).item())
    return sum(excess) / len(excess)


def healthy_loss(loss: Callable[[Tensor, Tensor, float], Tensor]) -> list[tuple[float, float, float]]:
    """(T, loss, length of its gradient) for each temperature of ``SHARPER``: a list.

    ``loss(student_logits [B, C], teacher_logits [B, C], temperature)``; random logits of 64 images in float32.
    """
    generator = torch.Generator().manual_seed(0)
    student, teacher = torch.randn(2, 64, 10, generator=generator) * 3
    return [
        (t, loss(student, teacher, t).item(), _length(lambda s, t=t: loss(s, teacher, t), student)) for t in SHARPER
    ]


def short_sighted(soft_loss: Callable) -> tuple[float, float]:
    """(accuracy of the teacher as it is asked in a training, accuracy of the student that this makes).

    ``soft_loss(teacher, student, images [B, C, H, W], normalise, temperature)``; the student wants what ``normalise``
    makes of images from 0 to 1.
    """
    right: list[Tensor] = []

    def step(teacher, student, temperature, inputs, optimizer, labels):
        teacher.eval()
        student.train()
        asked = teacher.register_forward_hook(lambda net, images, logits: right.append(logits.argmax(1) == labels))
        optimizer.zero_grad()
        soft_loss(teacher, student, inputs, _normalise, temperature).backward()
        optimizer.step()
        asked.remove()

    def accuracy(student):
        with torch.no_grad():
            logits = student.eval()(_normalise(models.as_input(fresh().images)))
        return metrics.accuracy(logits, fresh().labels)

    learnt = fit(step, watch=accuracy)[-1]
    return torch.cat(right).double().mean().item(), learnt


def _normalise(images):
    return (images - 0.5) / 0.25
