"""What is measured, held against slow definitions of its own and against scipy."""

import math
import re
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy import special, stats
from torch import nn

from kdkit import models
from kdkit.measure import metrics
from kdkit.measure.metrics import (
    accuracy,
    agreement,
    beyond_class,
    bias_for_prior,
    entropy,
    expected_calibration_error,
    mean_soft_targets,
    paired_interval,
    predict,
)


def random_answers(count=200, classes=5, seed=0, scale=2.0):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(classes, (count,), generator=generator)
    logits = scale * torch.randn(count, classes, generator=generator)
    return logits + scale * F.one_hot(labels, classes), labels


def random_images(count, seed=0):
    return torch.randint(256, (count, 3, 10, 10), generator=torch.Generator().manual_seed(seed)).byte()


@pytest.fixture
def net():
    return models.student(2, 3, classes=4)


@pytest.fixture
def batches_of_four(monkeypatch):
    monkeypatch.setattr(models, "EVALUATION_BATCH", 4)


# --------------------------------------------------------------------------------------- accuracy and calibration


@pytest.mark.parametrize("seed", range(5))
def test_accuracy_and_agreement_count_as_one_does_by_hand(seed):
    (first, labels), (second, _) = random_answers(seed=seed), random_answers(seed=seed + 100)
    right = same = 0
    for one, two, label in zip(first.tolist(), second.tolist(), labels.tolist(), strict=True):
        right += one.index(max(one)) == label
        same += one.index(max(one)) == two.index(max(two))
    assert accuracy(first, labels) == right / 200 and agreement(first, second) == same / 200
    assert 0.2 < accuracy(first, labels) < 1


def test_two_networks_agree_where_they_are_wrong_alike():
    logits = torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    assert agreement(logits, 3 * logits) == 1 and accuracy(logits, torch.tensor([0, 1])) == 0


def slow_calibration_error(logits, labels, bins):
    probabilities = special.softmax(logits.double().numpy(), -1)
    total = 0.0
    for number in range(bins):
        inside = [
            (row.max(), row.argmax() == label)
            for row, label in zip(probabilities, labels.numpy(), strict=True)
            if number / bins <= row.max() < (number + 1) / bins or (number == bins - 1 and row.max() >= 1)
        ]
        if inside:
            confidence, right = np.mean(inside, 0)
            total += len(inside) / len(labels) * abs(right - confidence)
    return total


@pytest.mark.parametrize("bins", [1, 10, 15])
@pytest.mark.parametrize("scale", [0.5, 2.0, 50.0])
def test_calibration_error_is_the_weighted_gap_of_the_bins(bins, scale):
    logits, labels = random_answers(scale=scale)
    expected = slow_calibration_error(logits, labels, bins)
    assert expected_calibration_error(logits, labels, bins) == pytest.approx(expected, abs=1e-9)


def test_calibration_error_by_hand():
    # Confidence 0.9 twice, right once: |1/2 - 0.9| = 0.4. A third sample in another bin, sure and right, adds 0.
    logits = torch.tensor([[0.9, 0.1], [0.9, 0.1]]).log()
    assert expected_calibration_error(logits, torch.tensor([0, 1])) == pytest.approx(0.4, abs=1e-6)
    logits = torch.cat([logits, torch.tensor([[1000.0, 0.0]])])
    assert expected_calibration_error(logits, torch.tensor([0, 1, 0])) == pytest.approx(0.8 / 3, abs=1e-6)


# --------------------------------------------------------------------------------------- predict


@pytest.mark.parametrize("count", [1, 4, 10])
def test_predict_is_the_forward_in_eval_mode_batch_by_batch(net, batches_of_four, count):
    images = random_images(count)
    expected = torch.stack([net.eval()(image[None].float() / 255)[0] for image in images]).detach()
    found = predict(net.train(), images)
    assert found.shape == (count, 4) and found.dtype == torch.float32
    assert torch.allclose(found, expected, atol=1e-5)


def test_predict_takes_the_logits_of_an_output(net):
    class Wrapped(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = net

        def forward(self, inputs):
            return SimpleNamespace(logits=self.net(inputs).double())

    found = predict(Wrapped(), random_images(3))
    assert found.dtype == torch.float32 and torch.allclose(found, predict(net, random_images(3)), atol=1e-6)


@pytest.mark.parametrize("training", [True, False])
def test_predict_puts_every_mode_back_and_leaves_weights_and_images_alone(net, training):
    net.train(training)
    net.stages[0].norms[0].train(not training)  # frozen statistics inside a network that trains
    modes, before, images = [m.training for m in net.modules()], models.fingerprint(net), random_images(5)
    kept = images.clone()
    predict(net, images)
    assert [m.training for m in net.modules()] == modes and models.fingerprint(net) == before
    assert torch.equal(images, kept)


def test_predict_puts_the_mode_back_after_an_error(net):
    net.train()
    with pytest.raises(ValueError, match=r"images must be \[N, 3, H, W\]"):
        predict(net, random_images(2)[:, :1])
    assert all(module.training for module in net.modules())


def test_what_predict_gives_can_be_the_target_of_a_loss(net):
    target = predict(net, random_images(4))
    student = torch.zeros(4, 4, requires_grad=True)
    F.mse_loss(student, target).backward()
    assert torch.allclose(student.grad, -2 * target / 16) and not target.requires_grad


def test_images_become_what_a_network_wants():
    images = random_images(3)
    found = models.as_input(images)
    assert found.dtype == torch.float32 and torch.equal(found, images.float() / 255)
    assert found.is_contiguous(memory_format=torch.channels_last)


# --------------------------------------------------------------------------------------- paired intervals


@pytest.mark.parametrize("seed", range(10))
def test_interval_equals_that_of_scipy(seed):
    generator = np.random.default_rng(seed)
    first = generator.normal(0.7, 0.01, 2 + seed)
    second = first + generator.normal(0.005 * (seed - 5), 0.01, 2 + seed)
    found = paired_interval(second.tolist(), baseline=first.tolist())
    expected = stats.ttest_rel(second, first).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx(tuple(expected), abs=1e-12)
    assert found.mean == pytest.approx((second - first).mean(), abs=1e-12)
    assert found.differences == pytest.approx(second - first, abs=1e-12)
    assert paired_interval(second, baseline=first) == found, "arrays do as well as lists"


def test_interval_by_hand():
    # Differences 0.01, 0.02, 0.03: mean 0.02, standard deviation 0.01, t(0.975, 2) = 4.3027, margin of error 0.0248.
    found = paired_interval([0.51, 0.52, 0.53], baseline=[0.5, 0.5, 0.5])
    assert (found.mean, found.low, found.high) == pytest.approx((0.02, -0.004841, 0.044841), abs=1e-6)


@pytest.mark.parametrize(
    ("second", "verdict"),
    [
        ([0.71, 0.72, 0.715], r"^a gain of 1.50 points \(95 % interval \+0.26 to \+2.74, higher in 3 of 3 seeds\)$"),
        ([0.69, 0.68, 0.685], r"^a loss of 1.50 points \(95 % interval -2.74 to -0.26, higher in 0 of 3 seeds\)$"),
        ([0.71, 0.69, 0.715], r"^no difference shown: \+0.50 points \(.* -2.79 to \+3.79, higher in 2 of 3 seeds\)$"),
        ([0.70, 0.70, 0.70], r"^no difference shown: \+0.00 points \(.*higher in 0 of 3 seeds\)$"),
    ],
)
def test_verdict_claims_no_more_than_the_interval_shows(second, verdict):
    assert re.search(verdict, paired_interval(second, baseline=[0.7, 0.7, 0.7]).verdict)


@pytest.mark.parametrize("interval", [metrics.paired_interval, metrics.bootstrap_interval])
def test_differences_that_are_all_the_same_are_a_sure_result_and_no_warning(interval):
    found = interval([0.71, 0.72, 0.73], baseline=[0.70, 0.71, 0.72])  # but for rounding, of which scipy's t test warns
    assert (found.low, found.high) == pytest.approx((0.01, 0.01), abs=1e-9)


def test_one_seed_shows_nothing_however_large_the_difference():
    found = paired_interval([0.9], baseline=[0.1])
    assert (found.low, found.high) == (-math.inf, math.inf)
    assert found.verdict.startswith("no difference shown: +80.00 points (95 % interval -inf to +inf, higher in 1 of 1")


# --------------------------------------------------------------------------------------- bad input

LOGITS, LABELS = random_answers()
BAD = {
    "a column of labels": (
        lambda: accuracy(LOGITS, LABELS[:, None]),
        r"labels must have shape \[200\].*got \[200, 1\]",
    ),
    "one label": (lambda: accuracy(LOGITS, LABELS[:1]), r"labels must have shape \[200\].*got \[1\]"),
    "one-hot": (lambda: accuracy(LOGITS, F.one_hot(LABELS)), r"labels must have shape \[200\].*got \[200, 5\]"),
    "no sample": (lambda: accuracy(LOGITS[:0], LABELS[:0]), r"for at least one sample; got \[0, 5\]"),
    "one answer": (lambda: agreement(LOGITS, LOGITS[:1]), r"teacher_logits must have shape \[200, 5\].*got \[1, 5\]"),
    "answers": (lambda: agreement(LOGITS, LOGITS.argmax(1)), r"teacher_logits must have shape \[200, 5\].*got \[200\]"),
    "calibration": (lambda: expected_calibration_error(LOGITS, LABELS[:, None]), r"labels must have shape \[200\]"),
    "pairs": (lambda: paired_interval([1.0], baseline=[1.0, 2.0]), "come in pairs; got 1 values and a baseline of 2"),
    "no pair": (lambda: paired_interval([], baseline=[]), "come in pairs; got 0 values and a baseline of 0"),
    "no number of bins": (lambda: expected_calibration_error(LOGITS, LABELS, 0), "bins must be a whole number from 1"),
    "label 5 of 5": (lambda: accuracy(LOGITS, LABELS + 1), r"labels must lie in 0\.\.4 for 5 classes; got 5"),
    "an ignored label": (lambda: accuracy(LOGITS, LABELS - 100), r"labels must lie in 0\.\.4 for 5 classes; got -100"),
    "labels that are no numbers of classes": (lambda: accuracy(LOGITS, LABELS / 2), "labels must be whole numbers"),
    "a list of labels": (lambda: accuracy(LOGITS, LABELS.tolist()), "labels must be a tensor; got list"),
    "NaN of a run that diverged": (
        lambda: paired_interval([0.5, math.nan], baseline=[0.5, 0.6]),
        "values must hold finite numbers; got nan",
    ),
    "infinite numbers": (
        lambda: metrics.bootstrap_interval([1.0, 1.0], baseline=[math.inf, 1.0]),
        "baseline must hold finite",
    ),
    "NaN in a ranking": (lambda: metrics.rank_correlation([1, 2, 3], [1, math.nan, 3]), "second must hold finite"),
    "names in a ranking": (lambda: metrics.rank_correlation(["a", "b", "c"], [1, 2, 3]), "first must be a list of num"),
    "raw logits": (lambda: entropy(LOGITS), "probabilities must be at least 0 and add up to 1.*take their softmax"),
    "NaN for probabilities": (lambda: entropy(LOGITS.softmax(1) * math.nan), "probabilities must be at least 0"),
    "no images": (lambda: predict(models.student(2, 3), random_images(0)), r"at least one; got shape \[0, 3, 10, 10\]"),
    "a function for a model": (lambda: predict(len, random_images(1)), "model must be a torch.nn.Module; got builtin"),
    "floats": (lambda: models.as_input(torch.rand(2, 3, 9, 9)), "images must be uint8.*got torch.float32"),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_input_is_refused(what):
    call, message = BAD[what]
    with pytest.raises(ValueError, match=message):
        call()


NO_ANSWER = {"NaN": math.nan, "+inf": math.inf, "only -inf": -math.inf}
SCORES = {
    "accuracy": accuracy,
    "agreement": lambda logits, labels: agreement(logits, LOGITS),
    "agreement with a teacher": lambda logits, labels: agreement(LOGITS, logits),
    "calibration": expected_calibration_error,
    "confusion": metrics.confusion,
    "mean soft targets": mean_soft_targets,
    "bits beyond the class": beyond_class,
    "bias": lambda logits, labels: bias_for_prior(logits, 0, 0.1),
}


@pytest.mark.parametrize("share", [0.005, 1.0])
@pytest.mark.parametrize("rubbish", NO_ANSWER)
@pytest.mark.parametrize("score", SCORES)
def test_no_score_comes_out_of_what_is_no_answer(score, rubbish, share):
    logits = LOGITS.clone()
    logits[: int(share * len(logits))] = NO_ANSWER[rubbish]
    with pytest.raises(ValueError, match=r"hold no answer in (1|200) of 200 rows|must be finite numbers"):
        SCORES[score](logits, LABELS)


def test_a_class_that_is_ruled_out_is_an_answer():
    logits, labels = LOGITS.clone(), LABELS
    logits[:, 4] = -math.inf
    kept = logits[:, :4]
    assert accuracy(logits, labels) == (kept.argmax(1) == labels).double().mean().item()
    assert agreement(logits, kept @ torch.eye(4, 5) - 99 * torch.eye(5)[4]) == 1
    assert mean_soft_targets(logits, labels)[:, 4].eq(0).all()
    assert entropy(logits.softmax(1)).isfinite().all()
    assert math.isfinite(expected_calibration_error(logits, labels))


# --------------------------------------------------------------------------- entropy, mean soft targets, a class's bias


def test_entropy_is_that_of_scipy_and_has_its_ends():
    probabilities = random_answers()[0].softmax(1)
    assert entropy(probabilities).numpy() == pytest.approx(
        stats.entropy(probabilities.numpy(), base=2, axis=1), abs=1e-5
    )
    assert entropy(torch.eye(8)).tolist() == [0.0] * 8
    assert entropy(torch.full((3, 8), 1 / 8)).tolist() == pytest.approx([3.0] * 3)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
def test_mean_soft_targets_are_a_mean_for_each_class(temperature):
    logits, labels = random_answers()
    slow = torch.zeros(5, 5)
    for row, label in zip((logits / temperature).softmax(1), labels, strict=True):
        slow[label] += row / (labels == label).sum()
    found = mean_soft_targets(logits, labels, temperature)
    assert torch.allclose(found, slow, atol=1e-6) and torch.allclose(found.sum(1), torch.ones(5))


def test_mean_soft_targets_of_a_class_without_pictures_are_refused():
    with pytest.raises(ValueError, match="got none of class 2"):
        mean_soft_targets(torch.zeros(3, 4), torch.tensor([0, 1, 3]))


@pytest.mark.parametrize("prior", [0.001, 0.1, 0.5, 0.99])
@pytest.mark.parametrize("offset", [0.0, -30.0, 200.0])
def test_the_bias_gives_the_class_its_prior(prior, offset):
    logits = random_answers()[0]
    logits[:, 2] += offset  # as low as a student's that never saw the class, or far too high
    logits = logits.double()
    logits[:, 2] += bias_for_prior(logits, 2, prior)
    assert logits.softmax(1)[:, 2].mean().item() == pytest.approx(prior, rel=1e-6)


def test_the_bias_leaves_the_logits_alone_and_needs_a_share_and_a_class():
    logits = random_answers()[0]
    kept = logits.clone()
    bias_for_prior(logits, 0, 0.2)
    assert torch.equal(logits, kept)
    for prior in 0, 1, 1.5, -0.1:
        with pytest.raises(ValueError, match=f"prior must be a share between 0 and 1.*got {prior}"):
            bias_for_prior(logits, 0, prior)
    with pytest.raises(ValueError, match="label must be a whole number from 0 to 4; got 5"):
        bias_for_prior(logits, 5, 0.1)
    with pytest.raises(ValueError, match="at least one sample"):
        bias_for_prior(torch.zeros(0, 4), 1, 0.1)


def test_confusion_counts_answers_by_true_class():
    logits = F.one_hot(torch.tensor([0, 1, 1, 2, 0]), 3).float()
    counts = metrics.confusion(logits, torch.tensor([0, 0, 1, 2, 2]))
    assert counts.tolist() == [[1, 1, 0], [0, 1, 0], [1, 0, 1]]


def test_bootstrap_interval_of_many_pairs_is_that_of_t_and_of_few_is_narrower():
    generator = torch.Generator().manual_seed(0)
    first, second = torch.rand(400, generator=generator), torch.rand(400, generator=generator)
    by_t, by_bootstrap = (
        metrics.paired_interval(second, baseline=first),
        metrics.bootstrap_interval(second, baseline=first),
    )
    assert by_bootstrap.mean == by_t.mean and by_bootstrap.low == pytest.approx(by_t.low, abs=0.003)
    few = metrics.bootstrap_interval(second[:5], baseline=first[:5])
    assert few.high - few.low < 0.8 * (metrics.paired_interval(second[:5], baseline=first[:5]).high - few.mean) * 2
    assert metrics.bootstrap_interval(second, baseline=first) == by_bootstrap


def test_bootstrap_interval_is_that_of_drawing_by_hand():
    first, second = np.array([0.71, 0.73, 0.70, 0.74, 0.72]), np.array([0.73, 0.73, 0.74, 0.75, 0.73])
    draws = (second - first)[np.random.default_rng(5).integers(5, size=(40_000, 5))].mean(1)
    found = metrics.bootstrap_interval(second, baseline=first)
    assert (found.low, found.high) == pytest.approx(np.quantile(draws, [0.025, 0.975]), abs=5e-4)


def test_one_pair_has_no_bootstrap_interval_either():
    assert "no difference shown" in metrics.bootstrap_interval([0.6], baseline=[0.5]).verdict


def test_bootstrap_interval_never_leaves_the_differences():
    pair = metrics.bootstrap_interval([0.1, 0.2, 0.3], baseline=[0.0, 0.0, 0.0])
    assert 0.1 - 1e-9 <= pair.low <= pair.mean <= pair.high <= 0.3 + 1e-9


# ----------------------------------------------------------------------------------------- rank correlations


def test_rank_correlation_by_hand_and_with_equals():
    assert metrics.rank_correlation([1, 2, 3, 4], [10, 20, 30, 99]).value == pytest.approx(1)
    assert metrics.rank_correlation([1, 2, 3, 4], [4, 3, 2, 1]).value == pytest.approx(-1)
    a, b = [1, 2, 2, 3, 9], [5, 5, 1, 7, 6]
    assert metrics.rank_correlation(a, b).value == pytest.approx(stats.spearmanr(a, b).statistic)


def test_the_interval_of_a_rank_correlation_is_that_of_scipys_bootstrap():
    generator = np.random.default_rng(3)
    first = generator.normal(size=40)
    second = first + generator.normal(size=40)
    fixed = {"vectorized": False, "method": "percentile", "n_resamples": 1000, "random_state": generator}
    drawn = stats.bootstrap((first, second), lambda a, b: stats.spearmanr(a, b).statistic, paired=True, **fixed)
    found = metrics.rank_correlation(first, second)
    assert (found.low, found.high) == pytest.approx(tuple(drawn.confidence_interval), abs=0.04)


def test_draws_without_an_order_are_left_out():
    found = metrics.rank_correlation([1, 2, 3], [10, 20, 30])
    assert (found.value, found.low, found.high) == pytest.approx((1, 1, 1))


def test_the_interval_of_a_rank_correlation_narrows_with_more_pairs_and_holds_the_value():
    generator = torch.Generator().manual_seed(1)
    first = torch.rand(200, generator=generator)
    second = first + 0.3 * torch.rand(200, generator=generator)
    few, many = (metrics.rank_correlation(first[:n], second[:n]) for n in (12, 200))
    for seen in few, many:
        assert seen.low < seen.value < seen.high <= 1
    assert many.high - many.low < few.high - few.low
    assert metrics.rank_correlation(first, second) == many  # from a fixed seed
    assert str(many) == f"{many.value:.2f} (95 % interval {many.low:.2f} to {many.high:.2f})"


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        ([1, 2], [1, 2], "two lists of the same three or more numbers; got 2 and 2 of them"),
        ([1, 2, 3], [1, 2], "two lists of the same three or more numbers; got 3 and 2 of them"),
        ([[1, 2, 3]], [[1, 2, 3]], r"first must be a list of numbers; got shape \[1, 3\]"),
    ],
)
def test_a_rank_correlation_of_other_shapes_is_refused(first, second, message):
    with pytest.raises(ValueError, match=message):
        metrics.rank_correlation(first, second)


def test_equal_numbers_have_no_order():
    with pytest.raises(ValueError, match="have no order"):
        metrics.rank_correlation([1, 1, 1], [1, 2, 3])


def test_whoever_is_always_right_has_not_guessed_however_skewed_or_few_the_labels_are():
    for labels in [0] * 57 + [1] * 3, [0, 0, 1, 1], [0] * 38 + [1] * 2:
        share = max(labels.count(0), labels.count(1)) / len(labels)
        assert share < metrics.guessing(torch.tensor(labels)) < 1
    assert metrics.guessing(torch.arange(10).repeat(200)) == pytest.approx(0.1134, abs=1e-4)


@pytest.mark.parametrize("labels", [[0, 1], torch.tensor([0.0, 1.0]), torch.tensor([-1, 1]), torch.tensor([]).long()])
def test_guessing_takes_numbers_of_classes(labels):
    with pytest.raises(ValueError, match="labels must be"):
        metrics.guessing(labels)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_bits_beyond_the_class_are_the_entropy_of_the_mean_less_the_mean_entropy(temperature):
    logits, labels = random_answers()
    targets = (logits.double() / temperature).softmax(1)
    mean = mean_soft_targets(logits.double(), labels, temperature)
    share = labels.bincount(minlength=logits.shape[1]) / len(labels)
    expected = (share * entropy(mean)).sum() - entropy(targets).mean()
    assert beyond_class(logits, labels, temperature) == pytest.approx(expected.item(), abs=1e-9)


def test_bits_beyond_the_class_by_hand():
    sure = torch.tensor([[0.0, -math.inf], [-math.inf, 0.0], [-math.inf, 0.0]])
    assert beyond_class(sure, torch.tensor([0, 0, 1])) == pytest.approx(2 / 3)  # one bit in the first class alone
    assert beyond_class(sure, torch.tensor([0, 1, 1])) == 0
