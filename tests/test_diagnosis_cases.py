"""Sound distillations in which ``kdkit.diagnose`` must raise no hand, or say what it cannot tell: cases of users."""

import copy
import re

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import BatchSampler, DataLoader, SequentialSampler, SubsetRandomSampler, TensorDataset

import kdkit
from kdkit import models, zoo
from kdkit.course import check
from kdkit.course.failures import Given, Resized
from kdkit.data import things
from kdkit.training import Run


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


class Scores(nn.Module):
    """A network whose logits are its inputs ``[B, C]``, times a weight."""

    def __init__(self, scale: float = 1.0):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(scale))

    def forward(self, inputs):
        return inputs * self.scale


def samples(count: int = 120, classes: int = 4, seed: int = 0) -> TensorDataset:
    """Logits as inputs, and labels that they are mostly right about."""
    labels = torch.arange(count) % classes
    return TensorDataset(drawn(count, classes, seed=seed) + 3 * nn.functional.one_hot(labels, classes), labels)


def loaders(*parts: TensorDataset, **more) -> tuple:
    return tuple(DataLoader(part, batch_size=30, **more) for part in parts)


def looked(student=None, teacher=None, data=None, **more):
    """What ``diagnose`` says, of sound networks and data where none are given."""
    data = data or loaders(samples(), samples(seed=1))
    return kdkit.diagnose(student or Scores(), teacher or Scores(), data, **more)


def noted(loss: list[float], **settings) -> Run:
    return Run(Scores(), history=[{"loss": value} for value in loss], settings=settings)


def test_sound_scores_get_no_finding():
    report = looked()
    assert report.findings == [], report


def forgetful() -> nn.Module:
    """A student that has not learnt: more steps take it far."""
    with models.seeded(0):
        return nn.Linear(4, 4)


@pytest.mark.parametrize(
    ("loss", "said", "unsaid"),
    [
        ([2.0, 2.01, 1.99, 2.02, 2.0], "by way of 2.02 at most", "the rate is too"),  # flat: lr 5e-5 looks like this
        ([2.0, float("nan"), 1.9, 1.8], "the rate is too large", "too small, or"),
        ([2.0, 5.0, 1.9, 2.1], "the rate is too large", "too small, or"),
        ([2.0, 1.9, 1.8, 1.7], "the rate is too small, or the training too short", "is too large"),
    ],
)
def test_a_rate_is_blamed_only_where_the_losses_say_so(loss, said, unsaid):
    found = looked(student=forgetful(), run=noted(loss, lr=5e-5)).checks["learning rate"]
    assert found.wrong and said in found.sentence and unsaid not in found.sentence
    assert "targets that are not this teacher's" in found.advice


def test_an_image_network_of_two_classes_can_be_mended():
    labels = torch.arange(100) % 2
    images = drawn(100, 3, 4, 4).abs() + labels[:, None, None, None]  # class 1 is brighter

    class Brightness(nn.Module):
        def forward(self, x):
            return torch.stack([-x.mean((1, 2, 3)), x.mean((1, 2, 3))], 1) * 9

    part = TensorDataset(images, labels)
    report = kdkit.diagnose(Brightness(), Brightness(), loaders(part, part))
    assert report.findings == ["other inputs"], report


def test_a_mask_of_inf_among_the_buffers_is_sound():
    teacher = Scores()
    teacher.register_buffer("mask", torch.full((3, 3), -torch.inf).triu(1))
    assert not looked(teacher=teacher).checks["numbers"].wrong
    teacher.mask[0, 0] = torch.nan
    assert "buffer mask" in looked(teacher=teacher).checks["numbers"].sentence


def test_rows_without_a_label_do_not_shift_kept_answers():
    inputs, labels = samples().tensors
    train = TensorDataset(inputs, torch.where(torch.arange(120) % 3 == 0, -100, labels))
    report = looked(data=loaders(train, samples(seed=1)), cache=inputs.clone())
    assert report.findings == [] and not report.checks["kept answers"].wrong, report


def test_training_data_without_any_label_is_not_judged():
    train = TensorDataset(drawn(120, 4), torch.full((120,), -100))
    report = looked(data=loaders(train, samples(seed=1)))
    assert report.findings == [] and "nan" not in str(report)
    assert report.unchecked["faint teacher"] == report.unchecked["missing class"] == "no sample of train has a label"


def test_of_a_sampler_only_its_own_samples_are_looked_at():
    data, own = samples(), torch.Generator().manual_seed(3)
    halves = torch.arange(120).chunk(2)
    pair = [DataLoader(data, 30, sampler=SubsetRandomSampler(half.tolist(), generator=own)) for half in halves]
    before, after = own.get_state(), looked(data=tuple(pair))
    assert after.looked_at.startswith("60 training and 60 validation") and torch.equal(own.get_state(), before)
    batches = BatchSampler(SequentialSampler(range(40)), 20, drop_last=False)
    given = looked(data=(DataLoader(data, batch_sampler=batches), *loaders(data)))
    assert given.looked_at.startswith("40 training and 120 validation")


def test_a_frozen_head_may_be_shared():
    teacher = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    student = nn.Sequential(nn.Linear(4, 4), teacher[1])
    assert looked(student, teacher).checks["shared weights"].wrong
    teacher[1].requires_grad_(False)
    assert not looked(student, teacher).checks["shared weights"].wrong


class Shaky(nn.Module):
    """Names the brightest channel, but for noise that is another after each change of the images."""

    def forward(self, x):
        means = x.mean((2, 3))  # [B, C, H, W] -> [B, C], and so the logits
        return (means - means.mean(1, keepdim=True)) / means.std(1, keepdim=True) + 1.3 * (1e4 * means).sin()


def test_of_thirty_samples_luck_advises_no_other_inputs():
    labels = torch.arange(30) % 6
    for seed in range(10):
        images = drawn(30, 6, 4, 4, seed=seed) + 3 * nn.functional.one_hot(labels, 6)[:, :, None, None]
        part = TensorDataset(images, labels)
        report = kdkit.diagnose(Shaky(), Shaky(), loaders(part, part))
        assert "other inputs" not in report.findings, report


def test_the_global_generator_stays_where_it_was():
    teacher = nn.Sequential(Scores(), nn.Dropout(0.5)).train()
    state = torch.get_rng_state()
    assert looked(teacher=teacher).findings == ["train mode"]
    assert torch.equal(torch.get_rng_state(), state) and teacher.training


def test_kept_answers_of_tokens_are_not_compared():
    part = TensorDataset(drawn(20, 6, 4), torch.arange(120).view(20, 6) % 4)
    report = looked(data=loaders(part, part), cache=torch.zeros(20, 4))
    assert "not for tokens" in report.unchecked["kept answers"]


class Attends(nn.Module):
    def __init__(self):
        super().__init__()
        self.attention = nn.MultiheadAttention(4, 1, dropout=0.5)

    def forward(self, x):
        return x + self.attention(x, x, x)[0]


def test_dropout_within_a_module_is_seen():
    teacher = Attends()
    assert looked(teacher=teacher.train()).findings == ["train mode"]
    report = looked(teacher=Scores().train())
    assert not report.checks["train mode"].wrong, report


@pytest.mark.parametrize(("labels", "advice"), [(torch.eye(4).long(), "argmax"), (torch.zeros(4, 1).long(), "squeeze")])
def test_labels_that_are_no_class_numbers_are_refused(labels, advice):
    part = TensorDataset(drawn(4, 4), labels)
    with pytest.raises(ValueError, match=f"one class number a sample.*got .*{advice}"):
        looked(data=loaders(part, part))


class Idle(Scores):
    def __init__(self):
        super().__init__()
        self.idle = nn.Parameter(torch.zeros(1))

    def forward(self, inputs):
        return super().forward(inputs) + 0 * self.idle


def test_a_student_in_half_precision_gets_more_steps_in_float32():
    report = looked(student=Idle().half())
    assert report.checks["learning rate"].figure == "100.0%, +0.0 points by 20 more steps"


def test_more_steps_that_harm_tell_nothing(monkeypatch):
    monkeypatch.setattr(kdkit.studies.diagnosis.teaching, "RATE", 1e3)
    student = nn.Linear(4, 4)
    student.weight.data, student.bias.data = torch.eye(4), torch.zeros(4)
    assert "tell nothing" in looked(student=student).unchecked["learning rate"]


def test_no_batch_of_one_is_made():
    teacher = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4))
    report = looked(teacher=teacher.train(), data=loaders(samples(101), samples(101, seed=1)))
    assert report.checks["train mode"].wrong and "stale statistics" in report.checks, report


# ----------------------------------------------------------------------------- many classes, few samples, odd networks


def test_of_four_samples_a_class_no_order_is_told():
    part = samples(500, 125)
    turned = TensorDataset(part.tensors[0], (part.tensors[1] + 1) % 125)
    report = looked(data=loaders(turned, turned))
    assert "of 4.0 samples a class that proves nothing" in report.unchecked["class order"]


def test_a_table_of_a_real_vocabulary_is_not_made():
    part = samples(20, 5000)
    report = looked(data=loaders(part, part))
    assert report.unchecked["class order"] == "a table of 5000 by 5000 classes is too large to look at"


def test_smoothing_is_not_told_from_one_sample_a_class():
    labels = torch.arange(100)
    part = TensorDataset(drawn(100, 100) + 7 * nn.functional.one_hot(labels, 100), labels)
    report = looked(data=loaders(part, part))
    assert report.unchecked["smoothed"].startswith("a class has 1.0 samples of train"), report


def test_smoothing_is_not_told_from_no_bits_beyond_the_class():
    labels = torch.arange(120) % 4
    part = TensorDataset(3.0 * nn.functional.one_hot(labels, 4), labels)
    assert "too few to compare" in looked(data=loaders(part, part)).unchecked["smoothed"]


def test_a_teacher_that_is_better_on_train_still_teaches():
    labels = torch.arange(120) % 4
    train = TensorDataset(drawn(120, 4) + 8 * nn.functional.one_hot(labels, 4), labels)
    val = TensorDataset(drawn(120, 4, seed=1) + 1.2 * nn.functional.one_hot(labels, 4), labels)
    report = looked(data=loaders(train, val))
    assert report.findings == [] and "knows its training data best" in report.checks["memorised"].sentence, report


def test_where_one_class_is_nearly_all_accuracy_judges_nobody():
    labels = (torch.arange(200) % 33 == 0).long()
    part = TensorDataset(drawn(200, 2) + 2 * nn.functional.one_hot(labels, 2), labels)
    report = looked(data=loaders(part, part))
    assert report.findings == [] and "of val are of one class" in report.unchecked["ignorant teacher"], report


class Remembers(Scores):
    def forward(self, inputs):
        self.last = inputs.clone()
        return super().forward(inputs)


def test_a_teacher_that_keeps_its_features_is_not_another():
    teacher = Remembers()
    run = noted([1.0], teacher=models.fingerprint(teacher))
    assert "changes with each call" in looked(teacher=teacher, run=run).unchecked["another teacher"]
    assert looked(teacher=Scores(2.0), run=run).findings == ["another teacher"]


def test_of_a_thousand_classes_a_target_may_look_uniform():
    labels = torch.arange(500)
    part = TensorDataset(drawn(500, 1000) + 12 * nn.functional.one_hot(labels, 1000), labels)
    report = looked(data=loaders(part, part), temperature=8.0, soft_weight=0.1, hard_weight=0.9)
    assert report.findings == [] and {"temperature", "faint teacher"} <= set(report.unchecked), report


def test_a_cache_of_another_teacher_is_seen_beside_loaders():
    splits = kdkit.data.things.splits(3)
    teacher, other = models.student(2, 3, seed=1).eval(), models.student(2, 3, seed=2).eval()
    parts = (TensorDataset(models.as_input(part.images), part.labels) for part in (splits.train, splits.val))
    cache = kdkit.training.ViewCache(other, splits)
    views = splits.views.take(splits.views.pad(splits.train.images), torch.arange(9), torch.zeros(9, dtype=torch.int64))
    cache.outputs(torch.arange(9), torch.zeros(9, dtype=torch.int64), views)
    report = kdkit.diagnose(other, teacher, loaders(*parts), cache=cache)
    assert report.checks["kept answers"].wrong, report


def test_of_uint8_images_no_other_inputs_are_tried():
    part = TensorDataset((drawn(30, 3, 4, 4) * 50 + 128).clamp(0, 255).byte(), torch.arange(30) % 3)

    class Means(nn.Module):
        def forward(self, x):
            return x.float().mean((2, 3))

    report = kdkit.diagnose(Means(), Means(), loaders(part, part))
    assert "of floating-point numbers" in report.unchecked["other inputs"]


def test_stale_statistics_may_be_other_images():
    normed = nn.BatchNorm1d(4)
    normed.running_mean[:] = torch.tensor([90.0, 0, 0, 0])
    report = looked(teacher=nn.Sequential(Scores(), normed).eval())
    assert report.findings == ["stale statistics"]
    found = report.checks["stale statistics"]
    assert "either the running ones are not those" in found.sentence and "or these inputs are not of" in found.sentence
    assert found.advice.startswith("To tell them apart, ask it about samples that it learnt from")
    assert "<b>See:</b> notebook 03b, sinking_teacher" in report._repr_html_()


class Around(nn.Module):
    """Images in the middle of what a network gets: two thirds of each side."""

    def forward(self, images):
        return nn.functional.pad(nn.functional.interpolate(images, 22, mode="bilinear"), (5,) * 4, mode="replicate")


@pytest.mark.parametrize(
    ("change", "way", "meaning"),
    [
        (Resized(24, 24), "drawn smaller, with a rim", "cut to their middle, or larger than what it learnt from"),
        (Resized(32, 16), "sharpened", "blurred: drawn at a smaller size than what it learnt from"),
        (Around(), "cut to their middle", "more around the object than what it learnt from"),
    ],
)
def test_another_crop_or_size_is_told_from_stale_statistics(change, way, meaning):
    teacher, splits = zoo.load("things-teacher"), things.splits(30)
    student = copy.deepcopy(teacher)
    report = kdkit.diagnose(student, Given(teacher, change), splits)
    assert report.findings == ["other inputs"], report
    found = report.checks["other inputs"]
    assert f"far more often on images {way}: those that it is given" in found.sentence and meaning in found.sentence
    given = nn.Sequential(change)  # where the loader does it, both networks see the wrong images
    parts = (TensorDataset(given(models.as_input(part.images)), part.labels) for part in (splits.train, splits.val))
    assert f"far more often on images {way}" in str(kdkit.diagnose(student, teacher, loaders(*parts)))


@pytest.mark.parametrize("other", ["blurred", "one class only"])
def test_statistics_of_other_images_are_not_taken_for_another_crop_or_size(other):
    teacher, splits = zoo.load("things-teacher"), things.splits(30)
    images = models.as_input(splits.train.images)
    moved = copy.deepcopy(teacher).train()
    for batch in Resized(32, 16)(images).split(30) * 5 if other == "blurred" else [images[::10]] * 30:
        moved(batch)
    report = kdkit.diagnose(copy.deepcopy(teacher), moved.eval(), splits)
    assert report.findings == ["stale statistics"], report


def test_a_temperature_of_small_logits_is_told_in_figures():
    report = looked(teacher=Scores(0.01), temperature=0.00001, hard_weight=0.0)
    assert report.findings == ["temperature"] and re.search("Raise T: 0.0[0-9]+ to 0.0", str(report)), report


def test_a_word_that_is_a_list_is_no_diagnosis():
    verdict = check.diagnosis(lambda: {"Alma": ["class order"]})
    assert verdict.passed is False and "['class order'] is none of" in verdict.message
