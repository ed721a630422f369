"""The losses are what the course says: held against definitions of their own in numpy and scipy, in float64."""

import doctest
import importlib
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special, stats

from kdkit import losses, models
from kdkit.losses import hard_cross_entropy, kd_loss, kd_terms, kl_divergence, soft_cross_entropy

property_test = settings(derandomize=True, deadline=None, max_examples=100)
temperatures = st.one_of(st.sampled_from([0.05, 1.0, 4.0, 100.0]), st.floats(0.05, 100))
shapes = st.one_of(
    st.tuples(st.integers(1, 6), st.integers(2, 12)),
    st.tuples(st.integers(1, 4), st.integers(1, 5), st.integers(2, 12)),
)


@st.composite
def pairs(draw, dtype=None):
    """Student's and teacher's logits; the student's want a gradient. ``scale`` 0.01 is a network at its start."""
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**32)))
    shape, scale = draw(shapes), draw(st.sampled_from([0.01, 1.0, 5.0]))
    dtype = dtype or draw(st.sampled_from([torch.float32, torch.float64]))
    student, teacher = (scale * torch.randn(shape, generator=generator, dtype=dtype) for _ in range(2))
    return student.requires_grad_(), teacher


def random_labels(shape, classes, seed=0):
    return torch.randint(classes, shape, generator=torch.Generator().manual_seed(seed))


def random_logits(*shape, seed=0, dtype=torch.float32):
    return 3 * torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def log_softmax(logits, temperature):
    z = logits.detach().double().numpy() / temperature
    return z - special.logsumexp(z, -1, keepdims=True)


def reference(student, teacher, temperature):
    """Cross-entropy, KL and the teacher's entropy by their definitions: one value for each row."""
    log_s, log_t = log_softmax(student, temperature), log_softmax(teacher, temperature)
    t = np.exp(log_t)
    return -(t * log_s).sum(-1), (t * (log_t - log_s)).sum(-1), -(t * log_t).sum(-1)


def gradient(loss, logits):
    (result,) = torch.autograd.grad(loss, logits)
    return result


def tolerance(logits, temperature, float64=1e-11):
    """What rounding may do to a log-probability: it grows with the size of logits / T."""
    size = 1 + float(logits.detach().abs().max()) / temperature
    return size * (float64 if logits.dtype == torch.float64 else 3e-6)


# --------------------------------------------------------------------------------------- values


def test_values_computed_by_hand():
    # t = softmax([2, 0]) = (0.880797, 0.119203), s = (1/2, 1/2).
    # Cross-entropy: -(0.8808 + 0.1192) ln 1/2 = ln 2 = 0.693147. Entropy of t: 0.8808 * 0.126928 + 0.1192 * 2.126928
    # = 0.365334. KL(t || s) = 0.693147 - 0.365334 = 0.327813.
    student, teacher = torch.tensor([[0.0, 0.0]]), torch.tensor([[2.0, 0.0]])
    assert soft_cross_entropy(student, teacher).item() == pytest.approx(0.693147, abs=1e-6)
    assert kl_divergence(student, teacher).item() == pytest.approx(0.327813, abs=1e-6)
    # T = 2: t = softmax([1, 0]) = (0.731059, 0.268941), entropy 0.582203, KL = 0.110944, times 4: 0.443777.
    assert kd_loss(student, teacher, temperature=2).item() == pytest.approx(0.443777, abs=1e-6)
    # With label 1: 0.9 * 0.443777 + 0.1 * ln 2 = 0.399399 + 0.069315 = 0.468714.
    labels = torch.tensor([1])
    assert kd_loss(student, teacher, labels, temperature=2).item() == pytest.approx(0.468714, abs=1e-6)


def test_kl_runs_from_teacher_to_student_and_not_back():
    # KL(s || t) of the same pair is 1/2 ln(0.5 / 0.8808) + 1/2 ln(0.5 / 0.1192) = 0.433781: another number.
    uniform, sure = torch.tensor([[0.0, 0.0]]), torch.tensor([[2.0, 0.0]])
    assert kl_divergence(uniform, sure).item() == pytest.approx(0.327813, abs=1e-6)
    assert kl_divergence(sure, uniform).item() == pytest.approx(0.433781, abs=1e-6)


@property_test
@given(pairs(), temperatures)
def test_both_losses_equal_their_definitions_in_numpy(pair, temperature):
    cross_entropy, kl, _ = reference(*pair, temperature)
    within = tolerance(pair[0], temperature)
    assert soft_cross_entropy(*pair, temperature).item() == pytest.approx(cross_entropy.mean(), rel=1e-5, abs=within)
    assert kl_divergence(*pair, temperature).item() == pytest.approx(kl.mean(), rel=1e-5, abs=within)


@property_test
@given(pairs(torch.float64), st.floats(0.5, 100))
def test_kl_equals_scipy(pair, temperature):
    s, t = (special.softmax(logits.detach().numpy() / temperature, -1) for logits in pair)
    ours = kl_divergence(*pair, temperature).item()
    assert ours == pytest.approx(special.rel_entr(t, s).sum(-1).mean(), rel=1e-9, abs=1e-12)
    assert ours == pytest.approx(stats.entropy(t, s, axis=-1).mean(), rel=1e-9, abs=1e-12)


@property_test
@given(pairs(torch.float64), temperatures)
def test_kl_equals_pytorch_batchmean_over_the_rows(pair, temperature):
    s, t = (F.log_softmax(logits.flatten(0, -2) / temperature, -1) for logits in pair)
    theirs = F.kl_div(s, t, reduction="batchmean", log_target=True)
    assert kl_divergence(*pair, temperature).item() == pytest.approx(theirs.item(), rel=1e-9, abs=1e-12)


@property_test
@given(pairs(), temperatures)
def test_cross_entropy_minus_kl_is_the_entropy_of_the_teacher_whatever_the_student(pair, temperature):
    student, teacher = pair
    entropy = reference(student, teacher, temperature)[2].mean()
    for any_student in student, teacher, torch.zeros_like(student), -2 * student:
        difference = soft_cross_entropy(any_student, teacher, temperature) - kl_divergence(
            any_student, teacher, temperature
        )
        assert difference.item() == pytest.approx(entropy, abs=tolerance(2 * student, temperature))


@property_test
@given(pairs(), temperatures)
def test_kl_is_never_negative_and_exactly_0_for_a_student_that_matches(pair, temperature):
    student, teacher = pair
    assert kl_divergence(student, teacher, temperature).item() >= -tolerance(student, temperature)
    assert kl_divergence(teacher, teacher, temperature).item() == 0.0
    assert kd_loss(teacher.clone(), teacher, temperature=temperature).item() == 0.0


@property_test
@given(pairs(), temperatures, st.floats(-50, 50))
def test_a_constant_added_to_the_logits_changes_nothing(pair, temperature, constant):
    student, teacher = pair
    shifted = kl_divergence(student + constant, teacher - 2 * constant, temperature).item()
    within = tolerance(2 * abs(constant) + teacher.abs(), temperature)
    assert shifted == pytest.approx(kl_divergence(student, teacher, temperature).item(), rel=1e-5, abs=within)


@property_test
@given(pairs(), temperatures, st.randoms(use_true_random=False))
def test_the_order_of_the_batch_changes_nothing(pair, temperature, random):
    student, teacher = (logits.detach().flatten(0, -2) for logits in pair)
    labels = random_labels((len(student),), student.shape[1])
    order = list(range(len(student)))
    random.shuffle(order)
    there = kd_loss(student, teacher, labels, temperature=temperature).item()
    back = kd_loss(student[order], teacher[order], labels[order], temperature=temperature).item()
    assert back == pytest.approx(there, rel=1e-6, abs=1e-6)


@property_test
@given(pairs(), temperatures, st.floats(0, 3), st.floats(0.01, 3))
def test_the_total_is_the_weighted_sum_of_its_two_terms(pair, temperature, soft_weight, hard_weight):
    student, teacher = pair
    labels = random_labels(student.shape[:-1], student.shape[-1])
    weights = {"soft_weight": soft_weight, "hard_weight": hard_weight}
    total, soft, hard = kd_terms(student, teacher, labels, temperature=temperature, **weights)
    assert total.item() == pytest.approx(soft_weight * soft.item() + hard_weight * hard.item(), rel=1e-6)
    assert total.item() == kd_loss(student, teacher, labels, temperature=temperature, **weights).item()
    assert hard.item() == F.cross_entropy(student.flatten(0, -2), labels.flatten()).item()
    if soft_weight > 0:
        kl = reference(student, teacher, temperature)[1].mean()
        within = temperature**2 * tolerance(student, temperature)
        assert soft.item() == pytest.approx(temperature**2 * kl, rel=1e-5, abs=within)


# --------------------------------------------------------------------------------------- gradients


@property_test
@given(pairs(), temperatures)
def test_gradient_of_soft_cross_entropy_equals_gradient_of_kl(pair, temperature):
    student, _ = pair
    first, second = (gradient(loss(*pair, temperature), student) for loss in (soft_cross_entropy, kl_divergence))
    assert torch.allclose(first, second, rtol=1e-6, atol=tolerance(student, temperature, 1e-14) / temperature)
    assert first.abs().max() > 0


@property_test
@given(pairs(), temperatures)
def test_gradient_of_t_squared_kl_is_t_times_s_minus_t_over_the_number_of_rows(pair, temperature):
    student, teacher = pair
    s, t = (np.exp(log_softmax(logits, temperature)) for logits in pair)
    expected = temperature * (s - t) / (student.numel() // student.shape[-1])
    found = gradient(kd_loss(student, teacher, temperature=temperature), student)
    assert np.allclose(
        found.double().numpy(), expected, rtol=1e-5, atol=temperature * tolerance(student, temperature) / 10
    )


def test_gradient_of_both_terms_together():
    student, teacher = (random_logits(4, 6, seed=seed, dtype=torch.float64) for seed in range(2))
    labels = torch.tensor([0, 5, -100, 2])
    s, t, sharp = (np.exp(log_softmax(*of)) for of in ((student, 3.0), (teacher, 3.0), (student, 1.0)))
    one_hot = np.eye(6)[labels.clamp(min=0)]
    labelled = (labels >= 0).numpy()[:, None]
    expected = 0.7 * 3.0 * (s - t) / 4 + 0.3 * labelled * (sharp - one_hot) / 3
    loss = kd_loss(student.requires_grad_(), teacher, labels, temperature=3.0, soft_weight=0.7, hard_weight=0.3)
    assert np.allclose(gradient(loss, student).numpy(), expected, rtol=0, atol=1e-14)


def test_gradients_of_plain_kl_shrink_as_one_over_t_squared_and_the_factor_takes_that_back():
    student, teacher = random_logits(4, 10, dtype=torch.float64).requires_grad_(), random_logits(4, 10, seed=1)
    plain = [gradient(kl_divergence(student, teacher, t), student).norm().item() for t in (100.0, 200.0)]
    scaled = [gradient(kd_loss(student, teacher, temperature=t), student).norm().item() for t in (100.0, 200.0)]
    assert plain[0] / plain[1] == pytest.approx(4, rel=0.02) and scaled[0] / scaled[1] == pytest.approx(1, rel=0.02)


@pytest.mark.parametrize("loss", [soft_cross_entropy, kl_divergence, kd_loss])
def test_the_teacher_never_gets_a_gradient(loss):
    student, teacher = (random_logits(2, 3, seed=seed).requires_grad_() for seed in range(2))
    loss(student, teacher, temperature=2.0).backward()
    assert teacher.grad is None and student.grad is not None


# --------------------------------------------------------------------------------------- the two limits


@pytest.mark.parametrize("shape", [(4, 10), (2, 3, 7)])
def test_at_high_temperature_the_loss_becomes_the_squared_difference_of_centred_logits(shape):
    student, teacher = (random_logits(*shape, seed=seed, dtype=torch.float64) for seed in range(2))
    centred = [z.numpy() - z.numpy().mean(-1, keepdims=True) for z in (student, teacher)]
    limit = ((centred[0] - centred[1]) ** 2).sum(-1).mean() / (2 * shape[-1])
    off = [abs(kd_loss(student, teacher, temperature=t).item() / limit - 1) for t in (1e2, 1e3, 1e4)]
    assert off[1] < 5e-3 and off[2] < 5e-4
    assert off[0] / off[1] == pytest.approx(10, rel=0.2), "the distance shrinks as 1/T"


def test_at_low_temperature_the_teacher_says_only_its_first_choice():
    teacher = torch.stack([torch.randperm(6, generator=torch.Generator().manual_seed(n)) * 2.0 for n in range(5)])
    student, first = random_logits(5, 6), teacher.argmax(-1)
    assert soft_cross_entropy(student, teacher, 0.05).item() == pytest.approx(
        F.cross_entropy(student / 0.05, first).item(), rel=1e-6
    )


# --------------------------------------------------------------------------------------- tokens and masks


@property_test
@given(pairs(torch.float64), temperatures)
def test_tokens_count_like_samples(pair, temperature):
    flat = [logits.flatten(0, -2) for logits in pair]
    for loss in soft_cross_entropy, kl_divergence, kd_loss:
        whole = loss(*pair, temperature=temperature).item()
        assert whole == pytest.approx(loss(*flat, temperature=temperature).item(), rel=1e-9, abs=1e-12)


def test_the_loss_of_a_sequence_does_not_grow_with_its_length():
    student, teacher = random_logits(2, 3, 5), random_logits(2, 3, 5, seed=1)
    once = kd_loss(student, teacher).item()
    assert kd_loss(student.repeat(1, 4, 1), teacher.repeat(1, 4, 1)).item() == pytest.approx(once, rel=1e-5)


@pytest.mark.parametrize("kind", [torch.bool, torch.int64, torch.uint8, torch.float32, torch.float16])
@pytest.mark.parametrize("shape", [(6, 5), (3, 4, 5)])
def test_a_mask_of_any_kind_selects_the_rows_that_count_and_the_mean_is_over_these(shape, kind):
    student, teacher = random_logits(*shape, dtype=torch.float64), random_logits(*shape, seed=1, dtype=torch.float64)
    mask = (torch.arange(math.prod(shape[:-1])) % 3 != 0).view(shape[:-1])
    kl = reference(student, teacher, 4.0)[1]
    expected = 16 * sum(kl[place] for place in np.ndindex(kl.shape) if mask[place]) / int(mask.sum())
    assert kd_loss(student, teacher, mask=mask.to(kind)).item() == pytest.approx(expected, rel=1e-12)


def test_a_mask_of_ones_changes_nothing():
    student, teacher = random_logits(3, 4, 5), random_logits(3, 4, 5, seed=1)
    assert kd_loss(student, teacher, mask=torch.ones(3, 4)).item() == pytest.approx(
        kd_loss(student, teacher).item(), rel=1e-6
    )


def test_the_mask_is_for_the_soft_term_only():
    student, teacher, labels = random_logits(4, 5), random_logits(4, 5, seed=1), torch.tensor([0, 1, 2, -100])
    terms = kd_terms(student, teacher, labels, mask=torch.tensor([1, 0, 0, 1]))
    assert terms.hard.item() == F.cross_entropy(student[:3], labels[:3]).item()


@pytest.mark.parametrize("rubbish", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("whose", ["student", "teacher", "both"])
def test_what_stands_in_masked_places_reaches_neither_value_nor_gradient(rubbish, whose):
    clean = [random_logits(2, 3, 5, seed=seed) for seed in range(2)]
    mask = torch.tensor([[1, 1, 0], [1, 0, 0]])
    dirty = [z.clone() for z in clean]
    for z in {"student": dirty[:1], "teacher": dirty[1:], "both": dirty}[whose]:
        z[mask == 0] = rubbish
        z[0, 2, 1] = 0.0  # not all of a row need be bad
    results = []
    for student, teacher in clean, dirty:
        student.requires_grad_()
        loss = kd_loss(student, teacher, mask=mask)
        results.append((loss.item(), gradient(loss, student)))
    assert results[0][0] == results[1][0] and torch.equal(results[0][1], results[1][1])
    assert (results[1][1][mask == 0] == 0).all() and (results[1][1][mask == 1] != 0).any()


@pytest.mark.parametrize("rubbish", [math.nan, math.inf, -math.inf])
def test_what_the_student_says_where_there_is_no_label_reaches_neither_value_nor_gradient(rubbish):
    student, labels = random_logits(2, 3, 5), torch.tensor([[1, -100, 2], [-100, -100, 4]])
    expected = F.cross_entropy(student[labels >= 0], labels[labels >= 0]).item()
    student[labels == -100] = rubbish
    student.requires_grad_()
    teacher = random_logits(2, 3, 5, seed=1)
    for loss in (
        hard_cross_entropy(student, labels),
        kd_loss(student, teacher, labels, soft_weight=0, hard_weight=1),
        kd_loss(student, teacher, labels, mask=labels >= 0),
    ):
        slope = gradient(loss, student)
        assert loss.isfinite() and slope.isfinite().all()
        assert (slope[labels == -100] == 0).all() and (slope[labels >= 0] != 0).any()
    assert hard_cross_entropy(student, labels).item() == pytest.approx(expected, rel=1e-6)


# --------------------------------------------------------------------------------------- the hard term and the weights


@pytest.mark.parametrize("shape", [(7, 10), (3, 4, 10), (1, 2)])
@pytest.mark.parametrize("ignored", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_hard_labels_alone_are_the_usual_cross_entropy_to_the_bit(shape, ignored, dtype):
    student, teacher = random_logits(*shape, dtype=dtype).requires_grad_(), random_logits(*shape, seed=1)
    labels = random_labels(shape[:-1], shape[-1])
    if ignored and labels.numel() > 1:
        labels.view(-1)[::3] = -100
    ours = kd_loss(student, teacher, labels, soft_weight=0, hard_weight=1)
    usual = F.cross_entropy(student.flatten(0, -2), labels.flatten())
    assert torch.equal(ours, usual) and torch.equal(gradient(ours, student), gradient(usual, student))


@pytest.mark.parametrize("kind", [torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64])
def test_labels_may_be_integers_of_any_kind(kind):
    student, labels = random_logits(4, 10), torch.tensor([0, 9, 5, 1])
    assert hard_cross_entropy(student, labels.to(kind)).item() == F.cross_entropy(student, labels).item()


def test_label_156_of_an_8_bit_tensor_is_not_taken_for_minus_100():
    student, labels = random_logits(2, 200), torch.tensor([156, 156])
    assert hard_cross_entropy(student, labels.byte()).item() == F.cross_entropy(student, labels).item()


def test_weights_left_out_are_nine_tenths_and_one_tenth_with_labels_and_1_and_0_without():
    student, teacher, labels = random_logits(4, 5), random_logits(4, 5, seed=1), torch.tensor([0, 1, 2, 3])
    soft, hard = 16 * kl_divergence(student, teacher, 4.0).item(), F.cross_entropy(student, labels).item()
    assert kd_loss(student, teacher, labels).item() == pytest.approx(0.9 * soft + 0.1 * hard, rel=1e-6)
    assert kd_loss(student, teacher).item() == soft
    assert kd_loss(student, teacher, labels, soft_weight=2).item() == pytest.approx(2 * soft + 0.1 * hard, rel=1e-6)
    assert kd_loss(student, teacher, labels, hard_weight=0).item() == pytest.approx(0.9 * soft, rel=1e-6)
    assert kd_loss(student, teacher, soft_weight=0.5).item() == pytest.approx(0.5 * soft, rel=1e-6)


def test_a_term_of_weight_0_is_not_computed_and_reads_0():
    student, labels = random_logits(4, 5), torch.tensor([0, 1, 2, 3])
    terms = kd_terms(student, torch.full((4, 5), math.nan), labels, soft_weight=0, hard_weight=2)
    assert terms.soft.item() == 0 and terms.total.item() == 2 * F.cross_entropy(student, labels).item()
    assert kd_terms(student, student, labels, soft_weight=1, hard_weight=0).hard.item() == 0


# --------------------------------------------------------------------------------------- kinds of numbers, extremes


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_logits_are_computed_in_float32(dtype):
    rounded = [random_logits(8, 10, seed=seed).to(dtype) for seed in range(2)]
    labels = random_labels((8,), 10)
    (student, teacher), (wide, wide_teacher) = rounded, [z.float().requires_grad_() for z in rounded]
    student.requires_grad_()
    ours = kd_loss(student, teacher, labels, temperature=20.0)
    expected = kd_loss(wide, wide_teacher, labels, temperature=20.0)
    assert ours.dtype == torch.float32 and ours.item() == expected.item()
    assert torch.equal(gradient(ours, student), gradient(expected, wide).to(dtype))
    for loss in soft_cross_entropy, kl_divergence:
        assert loss(student, teacher, 20.0).item() == loss(wide, wide_teacher, 20.0).item()


def test_float64_stays_float64():
    pair = random_logits(4, 10, dtype=torch.float64), random_logits(4, 10, seed=1, dtype=torch.float64)
    for loss in (*kd_terms(*pair, random_labels((4,), 10)), soft_cross_entropy(*pair), kl_divergence(*pair)):
        assert loss.dtype == torch.float64
    assert kl_divergence(*pair, 3.0).item() == pytest.approx(reference(*pair, 3.0)[1].mean(), rel=1e-13)


@pytest.mark.parametrize("temperature", [0.05, 1.0, 100.0])
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_extreme_margins_give_finite_losses_and_gradients(temperature, dtype):
    student = torch.tensor([[1e4, -1e4, 0.0], [-1e4, 1e4, 1e4]], dtype=dtype).requires_grad_()
    teacher = torch.tensor([[-1e4, 1e4, 0.0], [-1e4, 1e4, -1e4]], dtype=dtype)
    loss = kd_loss(student, teacher, torch.tensor([1, 0]), temperature=temperature)
    assert loss.isfinite() and loss > 0 and gradient(loss, student).isfinite().all()


# --------------------------------------------------------------------------------------- classes that are ruled out

RULED_OUT = [-math.inf, torch.finfo(torch.float32).min]


def ruled_out(kind, temperature, whose, value):
    """Logits with classes that the teacher, or both, rule out; and s - t, the gradient by the logits / T."""
    student, teacher = random_logits(4, 6).to(kind), random_logits(4, 6, seed=1).to(kind)
    value = max(value, torch.finfo(kind).min) if math.isfinite(value) else value
    teacher[:, 5] = teacher[1, :3] = value
    if whose == "both":
        student[:, 5] = value
    s, t = (special.softmax(logits.double().numpy() / temperature, -1) for logits in (student, teacher))
    return student.requires_grad_(), teacher, s, t


@pytest.mark.parametrize("temperature", [0.1, 0.5, 1.0, 4.0, 50.0])
@pytest.mark.parametrize("kind", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("whose", ["the teacher's", "both"])
@pytest.mark.parametrize("value", RULED_OUT)
def test_a_class_that_the_teacher_rules_out_adds_nothing_and_the_gradient_is_s_minus_t(temperature, kind, whose, value):
    student, teacher, s, t = ruled_out(kind, temperature, whose, value)
    possible = t > 0
    log_s = np.log(s, where=possible, out=np.zeros_like(s))
    log_t = np.log(t, where=possible, out=np.zeros_like(t))
    values = {
        soft_cross_entropy: -(t * log_s).sum(-1).mean(),
        kl_divergence: (t * (log_t - log_s)).sum(-1).mean(),
        kd_loss: temperature**2 * (t * (log_t - log_s)).sum(-1).mean(),
    }
    for loss, expected in values.items():
        found = loss(student, teacher, temperature=temperature)
        factor = temperature if loss is kd_loss else 1 / temperature
        assert found.item() == pytest.approx(expected, rel=1e-4, abs=1e-5 * (1 + temperature))
        slope = gradient(found, student).double().numpy()
        within = 1e-2 if kind == torch.bfloat16 else 1e-4
        assert np.allclose(slope, factor * (s - t) / 4, rtol=within, atol=within * factor / 10)


def test_a_student_that_matches_a_teacher_with_ruled_out_classes_reads_exactly_0():
    logits = torch.tensor([[2.0, -math.inf, 0.0], [-math.inf, 1.0, -math.inf]])
    assert kl_divergence(logits, logits).item() == 0 and kd_loss(logits.clone(), logits, temperature=0.3).item() == 0


def test_hard_labels_of_a_student_that_rules_other_classes_out_are_finite():
    student = torch.tensor([[1.0, 2.0, -math.inf]], requires_grad=True)
    loss = hard_cross_entropy(student, torch.tensor([0]))
    assert loss.item() == pytest.approx(math.log(1 + math.e), rel=1e-6) and gradient(loss, student).isfinite().all()


def spoilt(value, row=0, of=0):
    pair = [random_logits(3, 4, seed=seed) for seed in range(2)]
    pair[of][row] = value
    return pair


NOT_FINITE = {
    "NaN in the teacher": (spoilt(math.nan, of=1), "the loss is nan: teacher_logits hold NaN in 1 of 3 rows"),
    "NaN in the student": (spoilt(math.nan), "the loss is nan: student_logits hold NaN in 1 of 3 rows"),
    "+inf": (spoilt(torch.tensor([0.0, 0.0, math.inf, 0.0]), of=1), r"teacher_logits hold \+inf in 1 of 3 rows"),
    "nothing left": (spoilt(-math.inf, of=1), "teacher_logits hold a row of only -inf, which rules every class out"),
    "a student that rules out what the teacher says": (
        spoilt(torch.tensor([0.0, 0.0, -math.inf, 0.0])),
        r"the loss is inf: the student rules a class out \(-inf\).*Rule out the same classes in both",
    ),
    "numbers too large": (spoilt(1e38), "the loss is (nan|inf): the logits are finite, but too large"),
}


@pytest.mark.parametrize("loss", [soft_cross_entropy, kl_divergence, kd_loss])
@pytest.mark.parametrize("what", NOT_FINITE)
def test_a_loss_that_is_not_finite_is_refused_with_what_made_it_so(loss, what):
    pair, message = NOT_FINITE[what]
    with pytest.raises(ValueError, match=message):
        loss(*pair, temperature=0.05)


def test_terms_for_loops_tell_nan_by_nan():
    student, teacher = spoilt(math.nan)
    labels = torch.tensor([0, 1, 2])
    assert kd_terms(student, teacher, labels).total.isnan() and hard_cross_entropy(student, labels).isnan()
    assert losses.cosine_distance(student, teacher).isnan()


def test_a_compiled_loss_is_the_loss_and_waits_for_nothing():
    student, teacher = random_logits(4, 5), random_logits(4, 5, seed=1)
    compiled = torch.compile(kl_divergence, backend="eager", fullgraph=True)  # fails where a value is looked at
    assert compiled(student, teacher, 2.0).item() == kl_divergence(student, teacher, 2.0).item()


def test_inputs_are_left_as_they_were():
    inputs = [
        random_logits(4, 5),
        random_logits(4, 5, seed=1),
        torch.tensor([0, -100, 2, 4]),
        torch.tensor([1, 0, 1, 1]),
    ]
    before = [z.clone() for z in inputs]
    kd_loss(*inputs[:3], mask=inputs[3])
    assert all(torch.equal(z, kept) for z, kept in zip(inputs, before, strict=True))


@pytest.mark.parametrize(
    "name", ["losses.logits", "losses.features", "models.convnet", "models.encoder", "models.outputs", "models.taps"]
)
def test_examples_in_docstrings_are_true(name):
    result = doctest.testmod(importlib.import_module(f"kdkit.{name}"), extraglobs={"torch": torch, "models": models})
    assert result.attempted > 0 and result.failed == 0


# --------------------------------------------------------------------------------------- hidden states


@property_test
@given(pairs(), st.floats(0.1, 10))
def test_cosine_distance_equals_pytorchs_and_does_not_see_lengths(pair, factor):
    student, teacher = (hidden.detach() for hidden in pair)
    rows = student.flatten(0, -2), teacher.flatten(0, -2)
    expected = F.cosine_embedding_loss(*rows, torch.ones(len(rows[0])))
    for one, other in (student, teacher), (factor * student, teacher), (teacher, student):
        assert torch.allclose(losses.cosine_distance(one, other), expected, atol=1e-4)


def test_cosine_distance_is_0_1_and_2_for_the_same_a_right_and_the_opposite_angle():
    ahead, aside = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 3.0]])
    found = [losses.cosine_distance(ahead, other).item() for other in (5 * ahead, aside, -ahead)]
    assert found == pytest.approx([0, 1, 2], abs=1e-6)


def test_cosine_distance_is_the_mean_over_the_tokens_that_count_and_the_teacher_gets_no_gradient():
    student, teacher = random_logits(2, 3, 4).requires_grad_(), random_logits(2, 3, 4, seed=1).requires_grad_()
    mask = torch.tensor([[1, 1, 0], [1, 0, 0]])
    loss = losses.cosine_distance(student, teacher, mask)
    kept = [1 - F.cosine_similarity(student[a, b], teacher[a, b], dim=0) for a, b in ((0, 0), (0, 1), (1, 0))]
    assert torch.allclose(loss, sum(kept) / 3)
    loss.backward()
    assert teacher.grad is None and not student.grad[~mask.bool()].any() and student.grad[mask.bool()].any()


# --------------------------------------------------------------------------------------- bad input

S, T3 = torch.zeros(4, 10), torch.zeros(2, 3, 10)
LABELS = torch.tensor([0, 1, 2, 9])
OUTPUT = SimpleNamespace(logits=S)


def hard(labels, logits=S, **keywords):
    return kd_loss(logits, logits, labels, **keywords)


def at(temperature):
    return kd_loss(S, S, temperature=temperature)


def weighted(soft_weight, hard_weight, labels=LABELS):
    return kd_loss(S, S, labels, soft_weight=soft_weight, hard_weight=hard_weight)


def masked(mask, logits=T3):
    return kd_loss(logits, logits, mask=mask)


BAD = {
    "hidden states of different sizes": (
        lambda: losses.cosine_distance(S, torch.zeros(4, 9)),
        r"must be alike in shape to have an angle; got student_hidden \[4, 10\], teacher_hidden \[4, 9\]",
    ),
    # shapes that broadcasting would have let through
    "one class against ten": (lambda: kd_loss(S[:, :1], S), r"class counts differ.*\[4, 1\].*\[4, 10\]"),
    "one sample against four": (lambda: kd_loss(S, S[:1]), r"batch sizes differ.*\[4, 10\].*\[1, 10\]"),
    "one token against three": (lambda: kd_loss(T3[:, :1], T3), r"shapes differ.*\[2, 1, 10\].*\[2, 3, 10\]"),
    "two dimensions against three": (lambda: kd_loss(S[:3], T3), r"differ: student_logits \[3, 10\], teacher_logits"),
    # other shapes
    "transposed": (lambda: kd_loss(S, S.T), r"shapes differ: student_logits \[4, 10\], teacher_logits \[10, 4\]"),
    "other classes": (lambda: kl_divergence(S, torch.zeros(4, 100)), "same classes, but their class counts differ"),
    "other batch": (lambda: soft_cross_entropy(S, torch.zeros(3, 10)), "same samples.*but their batch sizes differ"),
    "one dimension": (lambda: kd_loss(S[0], S[0]), r"student_logits must be \[B, C\] or \[B, L, V\]; got shape \[10\]"),
    "four dimensions": (lambda: kd_loss(S[None, None], S[None, None]), r"got shape \[1, 1, 4, 10\]"),
    "empty batch": (lambda: kd_loss(S[:0], S[:0]), r"student_logits is empty: shape \[0, 10\]"),
    "no classes": (lambda: kl_divergence(S[:, :0], S[:, :0]), r"student_logits is empty: shape \[4, 0\]"),
    "one logit": (lambda: kd_loss(S[:, :1], S[:, :1]), r"\[4, 1\] have a single class.*give \[0, z\].*sigmoid loss"),
    "one logit for each token": (lambda: kl_divergence(T3[..., :1], T3[..., :1]), r"\[2, 3, 1\] have a single class"),
    "one logit alone": (lambda: soft_cross_entropy(S[:, :1], S[:, :1]), "have a single class, whose softmax is 1"),
    "one logit and a label": (lambda: hard_cross_entropy(S[:, :1], LABELS), "have a single class, whose softmax is 1"),
    "logits on another device": (
        lambda: kd_loss(S, S.to("meta")),
        "teacher_logits must be a dense tensor of real numbers; got torch.strided of torch.float32 on meta",
    ),
    # what is no logits
    "numpy student": (lambda: kd_loss(S.numpy(), S), "student_logits must be a tensor of logits; got ndarray"),
    "numpy teacher": (lambda: kl_divergence(S, S.numpy()), "teacher_logits must be a tensor of logits; got ndarray"),
    "an output object": (
        lambda: kd_loss(S, OUTPUT),
        r"teacher_logits.*got SimpleNamespace. \(Take `.logits` of it\?\)",
    ),
    "None": (lambda: soft_cross_entropy(None, S), "student_logits must be a tensor of logits; got NoneType"),
    "integers": (
        lambda: kd_loss(S.long(), S),
        "student_logits must hold floating-point.*int64.*Labels go into `labels`",
    ),
    "labels as teacher": (
        lambda: kd_loss(S, LABELS),
        "teacher_logits must hold floating-point.*Labels go into `labels`",
    ),
    # temperature
    "T = 0": (lambda: at(0), "temperature must be a finite number above 0; got 0.*argmax"),
    "T = -1": (lambda: at(-1), "temperature must be a finite number above 0; got -1"),
    "T = nan": (lambda: at(math.nan), "temperature must be a finite number above 0; got nan"),
    "T = inf": (lambda: at(math.inf), "temperature must be a finite number above 0; got inf.*uniform"),
    "T = 10**400": (lambda: at(10**400), "temperature must be a finite number above 0; got inf"),
    "T a string": (lambda: at("4"), "temperature must be a plain number; got '4'"),
    "T = None": (lambda: kl_divergence(S, S, None), "temperature must be a plain number; got None"),
    "T = True": (lambda: soft_cross_entropy(S, S, True), "temperature must be a plain number; got True"),
    "T a tensor": (
        lambda: at(torch.tensor([1.0, 2.0])),
        r"temperature must be a plain number; got tensor\(\[1., 2.\]\)",
    ),
    "T = 0 for the hard term alone": (lambda: hard(LABELS, soft_weight=0, temperature=0), "above 0; got 0"),
    # labels
    "one-hot": (
        lambda: hard(F.one_hot(LABELS, 10).float()),
        r"labels must be an integer tensor \[4\].*got torch.float32",
    ),
    "one-hot integers": (
        lambda: hard(F.one_hot(LABELS, 10)),
        r"labels must be \[4\], one for each row.*got shape \[4, 10\]",
    ),
    "truth values": (lambda: hard(LABELS > 0), r"labels must be an integer tensor \[4\].*got torch.bool"),
    "complex labels": (lambda: hard(LABELS * 1j), r"labels must be an integer tensor \[4\].*got torch.complex64"),
    "a list": (lambda: hard([0, 1, 2, 9]), r"labels must be an integer tensor \[4\].*got list"),
    "too few labels": (lambda: hard(LABELS[:3]), r"labels must be \[4\], one for each row of logits; got shape \[3\]"),
    "a column of labels": (lambda: hard(LABELS[:, None]), r"labels must be \[4\].*got shape \[4, 1\]"),
    "a label a sequence": (lambda: hard(LABELS[:2], T3), r"labels must be \[2, 3\].*got shape \[2\]"),
    "label 10 of 10": (lambda: hard(LABELS + 1), r"labels must lie in 0..9 for 10 classes \(or be -100\); got 10"),
    "label -1": (lambda: hard(LABELS - 1), r"labels must lie in 0..9 for 10 classes \(or be -100\); got -1"),
    "label -101": (lambda: hard_cross_entropy(S, LABELS - 101), r"labels must lie in 0..9.*got -101"),
    "no label at all": (lambda: hard(torch.full((4,), -100)), "every label is -100.*Set hard_weight=0"),
    # weights
    "negative soft_weight": (lambda: weighted(-0.1, 1), "soft_weight must be a finite number of at least 0; got -0.1"),
    "negative hard_weight": (lambda: weighted(1, -1), "hard_weight must be a finite number of at least 0; got -1"),
    "NaN": (lambda: weighted(math.nan, 1), "soft_weight must be a finite number of at least 0; got nan"),
    "infinite": (lambda: weighted(1, math.inf), "hard_weight must be a finite number of at least 0; got inf"),
    "a string": (lambda: weighted("0.9", 1), "soft_weight must be a plain number; got '0.9'"),
    "both 0": (lambda: weighted(0, 0), "soft_weight and hard_weight are both 0.*Give one above 0"),
    "0 and nothing": (lambda: weighted(0, None, None), "soft_weight and hard_weight are both 0"),
    "hard_weight without labels": (
        lambda: weighted(0.5, 0.5, None),
        "hard_weight=0.5.*labels is None.*Pass labels, or set",
    ),
    # masks
    "nothing selected": (lambda: masked(torch.zeros(2, 3)), "mask selects nothing.*1 .or True. means 'counts'"),
    "twos": (lambda: masked(torch.full((2, 3), 2)), r"mask must be bool or hold only 0 and 1"),
    "half": (lambda: masked(torch.full((2, 3), 0.5)), r"mask must be bool or hold only 0 and 1"),
    "NaN in a mask": (lambda: masked(torch.full((2, 3), math.nan)), r"mask must be bool or hold only 0 and 1"),
    "transposed mask": (lambda: masked(torch.ones(3, 2)), r"mask must be a tensor \[2, 3\].*got shape \[3, 2\]"),
    "mask of a sequence": (lambda: masked(torch.ones(2, 1)), r"mask must be a tensor \[2, 3\].*got shape \[2, 1\]"),
    "mask of every logit": (
        lambda: masked(torch.ones(2, 3, 10)),
        r"mask must be a tensor \[2, 3\].*got shape \[2, 3, 10\]",
    ),
    "mask as a list": (lambda: masked([1, 0, 1, 1], S), r"mask must be a tensor \[4\].*got list"),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_input_is_refused_with_what_was_got_and_what_was_expected(what):
    call, message = BAD[what]
    with pytest.raises(ValueError, match=message):
        call()
