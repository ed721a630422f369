"""Each fault that ``kdkit.diagnose`` knows, caused; and a healthy run, in which it finds nothing."""

import copy
import re
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

import kdkit
from kdkit import models, training, zoo
from kdkit.data import things
from kdkit.studies.diagnosis import CHECKS, teaching
from kdkit.training import ViewCache


@pytest.fixture(scope="module")
def healthy():
    """A student, its teacher, data, and what ``diagnose`` may be given besides."""
    splits, teacher, student = things.splits(30), zoo.load("things-teacher"), models.student(8, 3)
    cache = ViewCache(teacher, splits)
    run = kdkit.train(student, splits, teacher=teacher, cache=cache, epochs=12, batch_size=25, progress=False)
    return student, teacher, splits, {"run": run, "cache": cache}


def kept(teacher, images):
    """The teacher's logits of training images, ``[N, C]``, as users keep them."""
    return kdkit.metrics.predict(teacher, images)


def loaders(splits, change=lambda images: images):
    parts = (TensorDataset(change(models.as_input(part.images)), part.labels) for part in (splits.train, splits.val))
    return tuple(DataLoader(part, batch_size=50, shuffle=True) for part in parts)


class Wrapped(nn.Module):
    """A network behind a change of what it is given, and one of what it answers."""

    def __init__(self, network, before: Callable = lambda x: x, after: Callable = lambda z: z):
        super().__init__()
        self.inner, self.before, self.after = network, before, after

    def forward(self, inputs):
        return self.after(self.inner(self.before(inputs)))


# -------------------------------------------------------------------------------------- nothing is wrong


def test_a_healthy_run_gets_no_finding_and_all_is_checked(healthy):
    student, teacher, splits, more = healthy
    report = kdkit.diagnose(student, teacher, splits, **more)
    assert report.findings == [] and list(report.checks) == list(CHECKS)
    assert str(report).startswith("Nothing found in 21 checks of 300 training and 200 validation samples, at T = 4.")


def test_loaders_will_do_and_what_was_not_given_is_not_checked(healthy):
    student, teacher, splits, _ = healthy
    report = kdkit.diagnose(student, teacher, loaders(splits))
    assert report.findings == [] and list(report.unchecked) == ["another teacher", "kept answers"]
    assert "○ kept answers: not checked. No kept answers were given (cache=)." in str(report)


def test_nothing_of_the_users_is_changed(healthy):
    student, teacher, splits, more = healthy
    networks, random = (student, teacher.train()), torch.get_rng_state()
    before = [copy.deepcopy(network.state_dict()) for network in networks]
    kdkit.diagnose(student, teacher, splits, **more)
    for network, state in zip(networks, before, strict=True):
        assert all(torch.equal(value, state[name]) for name, value in network.state_dict().items())
        assert all(weight.grad is None for weight in network.parameters())
    assert teacher.training and not student.training and torch.equal(torch.get_rng_state(), random)
    teacher.eval()


def test_a_finding_is_told_in_full_and_what_may_follow_from_it_later(healthy):
    student, teacher, splits, _ = healthy
    report = kdkit.diagnose(student, Wrapped(teacher, after=lambda z: z.roll(1, 1)), splits)
    told, page = str(report), report._repr_html_()
    assert told.startswith("1 finding in 18 checks") and "\n  To do: Map by name" in told and "\n  See: " in told
    assert "? calibration: " in told and "(Look again when the findings above are mended.)" in told
    assert page.count("<tr>") == 1 + len(CHECKS) and "<b>To do:</b> Map by name" in page


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"teacher": "things-teacher"}, "teacher must be a torch.nn.Module; got str"),
        ({"data": things.splits(1).train}, "data must be Splits, or a pair of loaders"),
        ({"data": ([], [])}, "a loader gives no batch"),
        (
            {"data": ([(torch.zeros(2, 3, 32, 32), torch.zeros(2))],) * 2},
            "whole numbers as labels .* got torch.float32",
        ),
        ({"run": {"lr": 0.1}}, "run must be what kdkit.train returns"),
        ({"temperature": 0}, "temperature must be a finite number above 0"),
        ({"soft_weight": 0, "hard_weight": 0}, "both 0"),
    ],
)
def test_what_cannot_be_looked_at_is_refused(wrong, words):
    given = {"student": models.student(2, 3), "teacher": models.student(2, 3), "data": things.splits(1)}
    with pytest.raises(ValueError, match=words):
        kdkit.diagnose(**given | wrong)


# ------------------------------------------------------------------------------------------- the faults
# Each is caused: a function of the healthy run that makes a sick one, and the words that must explain it.

FAULTS: dict[str, list[tuple[Callable, str]]] = {name: [] for name in CHECKS}


def fault(check, words):
    def note(cause):
        FAULTS[check].append((cause, words))
        return cause

    return note


@fault("numbers", "student's weights classify.bias")
def nan_in_a_weight(student, teacher, splits, more):
    student = copy.deepcopy(student)
    student.classify.bias.data[3] = torch.nan
    return student, teacher, splits, {}


@fault("numbers", "right classes")
def a_right_class_is_ruled_out(student, teacher, splits, more):
    mask = torch.zeros(10)
    mask[2] = -torch.inf
    return student, Wrapped(teacher, after=lambda z: z + mask), splits, {}


@fault("output width", "do not name the same classes")
def wider_student(student, teacher, splits, more):
    return models.student(4, 3, classes=12), teacher, splits, {}


@fault("output width", "Labels go from 1 to 10")
def labels_from_1(student, teacher, splits, more):
    pairs = [TensorDataset(models.as_input(part.images), part.labels + 1) for part in (splits.train, splits.val)]
    return student, teacher, tuple(DataLoader(part, batch_size=50) for part in pairs), {}


@fault("shared weights", "share weights")
def one_network_twice(student, teacher, splits, more):
    return teacher, teacher, splits, {}


@fault("ignorant teacher", "are swapped")
def swapped(student, teacher, splits, more):
    return teacher, models.student(8, 3).eval(), splits, {}


@fault("probabilities", "probabilities in place of logits")
def softmax_inside(student, teacher, splits, more):
    return student, nn.Sequential(teacher, nn.Softmax(1)), splits, {}


@fault("another teacher", "not the teacher that the run began with")
def teacher_that_moved(student, teacher, splits, more):
    other = copy.deepcopy(teacher)
    other.train()(models.as_input(splits.train.images[:50]))
    return student, other.eval(), splits, {"run": more["run"]}


@fault("train mode", "modules in train mode")
def teacher_in_train_mode(student, teacher, splits, more):
    return student, copy.deepcopy(teacher).train(), splits, {}


@fault("dropout", "dropout or another draw")
def dropout_in_eval_mode(student, teacher, splits, more):
    return student, Wrapped(teacher, after=lambda z: F.dropout(z, 0.2)), splits, {}


@fault("stale statistics", "and the student|the student would be right")
def statistics_of_other_images(student, teacher, splits, more):
    student = copy.deepcopy(student).train()
    for _ in range(30):
        student(torch.rand(20, 3, 32, 32))
    return student.eval(), teacher, splits, {}


@fault("class order", "chair as sofa, armchair as chair")
def classes_by_the_alphabet(student, teacher, splits, more):
    order = sorted(range(10), key=lambda number: things.CLASSES[number])
    teacher = Wrapped(teacher, after=lambda z: z[:, order])
    return distilled(teacher, splits), teacher, splits, {}


@fault("other inputs", "on images standardised, channel by channel")
def teacher_of_standardised_images(student, teacher, splits, more):
    return student, Wrapped(teacher, lambda x: 0.25 * x + 0.5), splits, {}


@fault("other inputs", "from 0 to 255")
def teacher_of_bytes(student, teacher, splits, more):
    return student, Wrapped(teacher, lambda x: x / 255), splits, {}


@fault("other inputs", "before ImageNet's normalisation|from 0 to 1")
def normalised_for_the_student_alone(student, teacher, splits, more):
    mean, deviation = (torch.tensor(values)[:, None, None] for values in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    data = loaders(splits, lambda x: (x - mean) / deviation)
    return Wrapped(student, lambda x: x * deviation + mean), teacher, data, {}


@fault("kept answers", "kept in another order")
def kept_while_shuffling(student, teacher, splits, more):
    order = torch.randperm(len(splits.train), generator=torch.Generator().manual_seed(0))
    return student, teacher, splits, {"cache": kept(teacher, splits.train.images[order])}


@fault("kept answers", "another teacher, or other views")
def kept_of_another_teacher(student, teacher, splits, more):
    return student, teacher, loaders(splits), {"cache": kept(student, splits.train.images)}


@fault("kept answers", "Probabilities were kept")
def kept_probabilities(student, teacher, splits, more):
    return student, teacher, splits, {"cache": kept(teacher, splits.train.images).softmax(1)}


@fault("kept answers", "is not what the teacher says")
def a_cache_that_was_filled_with_other_images(student, teacher, splits, more):
    cache, views = ViewCache(teacher, splits), splits.views
    image, view = torch.arange(100), torch.zeros(100, dtype=torch.int64)
    cache.outputs(image, view, views.take(views.pad(splits.train.images), image.flip(0), view))
    return student, teacher, splits, {"cache": cache}


@fault("kept answers", "the cache of another teacher")
def a_cache_of_another_teacher(student, teacher, splits, more):
    return student, teacher, splits, {"cache": ViewCache(student, splits)}


@fault("memorised", "by heart")
def teacher_that_learnt_by_heart(student, teacher, splits, more):
    drawn = splits.train.labels[torch.randperm(300, generator=torch.Generator().manual_seed(0))]
    noisy = torch.where(torch.arange(300) % 5 < 2, drawn, splits.train.labels)  # two of five
    splits = replace(splits, train=replace(splits.train, labels=noisy))
    return student, Wrapped(by_heart(splits.train), after=lambda z: 1.4 * z), splits, {"temperature": 1.0}


@fault("smoothed", "label smoothing")
def smoothed_teacher(student, teacher, splits, more):
    teacher, splits = models.student(8, 3, seed=1), things.splits(50)

    def loss(student, _, batch):
        return F.cross_entropy(student["logits"], batch.labels, label_smoothing=0.1)

    kdkit.train(teacher, splits, loss=loss, epochs=12, batch_size=50, progress=False)
    return distilled(teacher, splits), teacher, splits, {}


@fault("temperature", "a label in all but name")
def too_cold(student, teacher, splits, more):
    return student, teacher, splits, {"temperature": 0.3}


@fault("temperature", "each class gets about as much")
def too_hot(student, teacher, splits, more):
    return student, teacher, splits, {"temperature": 60.0}


@fault("faint teacher", "hardly heard")
def mean_over_classes_and_no_square(student, teacher, splits, more):
    return student, teacher, splits, {"soft_weight": 0.5 / 4**2 / 10, "hard_weight": 0.5}


@fault("missing class", "No training data of mushroom")
def a_class_is_missing(student, teacher, splits, more):
    return student, teacher, splits.without("mushroom"), {}


@fault("missing class", "No training data of class 9")
def a_class_is_missing_in_a_loader(student, teacher, splits, more):
    train, _ = loaders(splits.without("bottle"))
    return student, teacher, (train, loaders(splits)[1]), {}


@fault("padding", "42% of the tokens are padding")
def padding_counts(student, teacher, splits, more):
    return *readers(), sentences(), {}


@fault("ignorant teacher", "no more than who names the commonest class")
def untrained_teacher(student, teacher, splits, more):
    teacher = models.student(8, 3, seed=3)
    return distilled(teacher, splits), teacher, splits, {}


@fault("learning rate", "the rate is too small")
def rate_too_small(student, teacher, splits, more):
    return trained(teacher, splits, lr=0.0005)


@fault("learning rate", "the rate is too large")
def rate_too_large(student, teacher, splits, more):
    return trained(teacher, splits, lr=3.0)


@fault("agreement", "never says bottle")
def a_class_that_the_student_never_says(student, teacher, splits, more):
    student = copy.deepcopy(student)
    student.classify.bias.data[9] -= 100
    student.requires_grad_(False)  # so that no more steps can be tried
    return student, teacher, splits, {}


@fault("calibration", "the student is 1.% sure")
def far_too_unsure(student, teacher, splits, more):
    return Wrapped(student, after=lambda z: z / 20), teacher, splits, {"soft_weight": 0.0, "hard_weight": 1.0}


@fault("calibration", "the student is 9.% sure on the mean and right [345].%")
def far_too_sure(student, teacher, splits, more):
    student = Wrapped(by_heart(splits.first(50).train), after=lambda z: 5 * z)
    return student, teacher, splits, {"soft_weight": 0.0, "hard_weight": 1.0}


def by_heart(images):
    """A network that has learnt these images and labels, and hardly anything about others."""
    with models.seeded(0):
        network = nn.Sequential(nn.Flatten(), nn.Linear(3072, 100), nn.ReLU(), nn.Linear(100, 10))
    optimizer = torch.optim.Adam(network.parameters(), 1e-3)
    for _ in range(300):
        F.cross_entropy(network(models.as_input(images.images)), images.labels).backward()
        optimizer.step()
        optimizer.zero_grad()
    return network


def distilled(teacher, splits):
    student = models.student(8, 3)
    kdkit.train(student, splits, teacher=teacher, epochs=6, batch_size=25, progress=False)
    return student


def trained(teacher, splits, **more):
    student = models.student(4, 3)
    run = kdkit.train(student, splits, teacher=teacher, epochs=4, batch_size=25, progress=False, **more)
    return student, teacher, splits, {"run": run}


class Reader(nn.Module):
    """A network that names the token after each token, and sees nothing but that one."""

    def __init__(self):
        super().__init__()
        self.words = nn.Embedding(30, 30)

    def forward(self, input_ids, attention_mask):
        return self.words(input_ids)


def readers():
    teacher, student = Reader(), Reader()
    logits = 2 * torch.randn(30, 30, generator=torch.Generator().manual_seed(0)) + 12 * torch.eye(30).roll(1, 1)
    for network in (teacher, student):
        network.words.weight.data = logits.clone()
    return student, teacher


def sentences(mask=False):
    """Batches of sentences in which each token is followed by the next number; the last quarter to half is padding."""
    lengths = torch.arange(20) % 6 + 8
    ids = (torch.arange(20)[:, None] + torch.arange(16)) % 30
    attended = torch.arange(16) < lengths[:, None] - 1
    labels = torch.where(attended, (ids + 1) % 30, -100)
    batch = training.Batch({"input_ids": ids, "attention_mask": attended.long()}, labels, attended if mask else None)
    return [batch] * 3, [batch] * 3


CAUSES = [(check, cause, words) for check, causes in FAULTS.items() for cause, words in causes]


@pytest.mark.parametrize(("check", "cause", "words"), CAUSES, ids=[cause.__name__ for _, cause, _ in CAUSES])
def test_a_fault_that_is_caused_is_found_and_no_other(check, cause, words, healthy, monkeypatch):
    if check != "learning rate":
        monkeypatch.setattr(teaching, "STEPS", 1)  # they take half of the time
    student, teacher, data, more = cause(*healthy)
    report = kdkit.diagnose(student, teacher, data, **more)
    assert report.findings == [check], report
    found = report.checks[check]
    assert re.search(words, f"{found.sentence} {found.advice}") and found.see, report


def test_every_check_was_seen_to_raise_a_hand():
    assert [check for check, causes in FAULTS.items() if not causes] == []
