"""Losses beyond logits: against definitions written out, by hand, under what must not change them, at their ends."""

import itertools
import math

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings

from kdkit import losses

SEEDS = st.integers(0, 2**20)


def features(seed, *shape, dtype=torch.double):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def rotation(seed, width):
    return torch.linalg.qr(features(seed, width, width))[0]


# ------------------------------------------------------------------- definitions, written out in loops of plain numbers


def by_definition_attention(student, teacher, power=2):
    def attention(one):  # [C, H, W] of one image
        total = sum(abs(channel) ** power for channel in one.numpy()) / len(one)
        return total.ravel() / math.sqrt((total**2).sum())

    pairs = zip(student, teacher, strict=True)
    return np.mean([(attention(s) - attention(t)) ** 2 for s, t in pairs])


def by_definition_similarity(student, teacher):
    def gram(rows):
        table = [[float(np.dot(a, b)) for b in rows] for a in rows]
        return [[value / math.sqrt(sum(v * v for v in row)) for value in row] for row in table]

    s, t = gram(student.flatten(1).numpy()), gram(teacher.flatten(1).numpy())
    count = len(s)
    return sum((s[i][j] - t[i][j]) ** 2 for i in range(count) for j in range(count)) / count**2


def huber(x):
    return x * x / 2 if abs(x) < 1 else abs(x) - 0.5


def by_definition_distance(student, teacher):
    def relative(rows):
        table = {(i, j): math.dist(rows[i], rows[j]) for i in range(len(rows)) for j in range(len(rows))}
        others = [d for d in table.values() if d > 0]
        return {pair: d / (sum(others) / len(others)) for pair, d in table.items()}

    s, t = relative(student.tolist()), relative(teacher.tolist())
    return sum(huber(s[pair] - t[pair]) for pair in s) / len(s)


def by_definition_angle(student, teacher):
    def cosine(rows, i, j, k):
        a, b = rows[i] - rows[j], rows[k] - rows[j]
        length = np.linalg.norm(a) * np.linalg.norm(b)
        return float(a @ b / length) if length else 0.0

    triples = list(itertools.product(range(len(student)), repeat=3))
    s, t = student.numpy(), teacher.numpy()
    return sum(huber(cosine(s, *triple) - cosine(t, *triple)) for triple in triples) / len(triples)


def by_definition_pkt(student, teacher):
    def shares(rows):
        table = [[(np.dot(a, b) / np.linalg.norm(a) / np.linalg.norm(b) + 1) / 2 for b in rows] for a in rows]
        return [[value / sum(row) for value in row] for row in table]

    s, t = shares(student.numpy()), shares(teacher.numpy())
    return np.mean([[p * math.log(p / q) for p, q in zip(*rows, strict=True)] for rows in zip(t, s, strict=True)])


def by_definition_dkd(student, teacher, labels, temperature, target_weight, other_weight):
    total = 0.0
    for s, t, label in zip(student, teacher, labels.tolist(), strict=True):
        p, q = ((z / temperature).softmax(0).numpy() for z in (t, s))
        target = p[label] * math.log(p[label] / q[label]) + (1 - p[label]) * math.log((1 - p[label]) / (1 - q[label]))
        rest = [i for i in range(len(p)) if i != label]
        a, b = ([v[i] / (1 - v[label]) for i in rest] for v in (p, q))
        total += target_weight * target + other_weight * sum(x * math.log(x / y) for x, y in zip(a, b, strict=True))
    return temperature**2 * total / len(student)


def by_definition_dist(student, teacher, temperature):
    s, t = ((z / temperature).softmax(1).numpy() for z in (student, teacher))
    rows = np.mean([np.corrcoef(a, b)[0, 1] for a, b in zip(s, t, strict=True)])
    columns = np.mean([np.corrcoef(a, b)[0, 1] for a, b in zip(s.T, t.T, strict=True)])
    return temperature**2 * (2 - rows - columns)


@settings(max_examples=25, deadline=None)
@given(SEEDS)
def test_each_is_what_its_definition_says(seed):
    wide, narrow = features(seed, 5, 7), features(seed + 1, 5, 3)
    maps, others = features(seed + 2, 3, 4, 2, 5), features(seed + 3, 3, 6, 2, 5)
    z, y = 4 * features(seed + 4, 6, 4), 4 * features(seed + 5, 6, 4)
    labels = torch.randint(4, (6,), generator=torch.Generator().manual_seed(seed))
    found = {
        "hint": (losses.hint(wide, wide.flip(0)), ((wide - wide.flip(0)).numpy() ** 2).mean()),
        "log_sum": (losses.log_sum(z, y, 3), math.log((abs(z - y).numpy() ** 3).sum())),
        "attention": (losses.attention_transfer(maps, others), by_definition_attention(maps, others)),
        "power": (losses.attention_transfer(maps, others, power=1), by_definition_attention(maps, others, 1)),
        "similarity": (losses.similarity_preserving(narrow, wide), by_definition_similarity(narrow, wide)),
        "maps": (losses.similarity_preserving(maps, others), by_definition_similarity(maps, others)),
        "distance": (losses.rkd_distance(narrow, wide), by_definition_distance(narrow, wide)),
        "angle": (losses.rkd_angle(narrow, wide), by_definition_angle(narrow, wide)),
        "pkt": (losses.pkt(narrow, wide), by_definition_pkt(narrow, wide)),
        "dkd": (
            losses.dkd(z, y, labels, temperature=3.0, target_weight=0.5, other_weight=2.0),
            by_definition_dkd(z, y, labels, 3.0, 0.5, 2.0),
        ),
        "dist": (losses.dist(z, y, temperature=2.0), by_definition_dist(z, y, 2.0)),
    }
    for name, (value, expected) in found.items():
        assert value.shape == () and float(value) == pytest.approx(float(expected), rel=1e-9, abs=1e-12), name


# ---------------------------------------------------------------------------------------------------- values by hand


def test_values_by_hand():
    s, t = torch.tensor([[0.0, 0.0], [3.0, 4.0]]), torch.tensor([[0.0], [1.0]])
    assert float(losses.rkd_distance(s, t)) == 0  # one distance each: both are 1 in units of their mean
    line, corner = (
        torch.tensor([[0.0, 0.0], [1.0, 0.0], [2.0, 0.0]]),
        torch.tensor([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0]]),
    )
    # line: 1, 1, 2, mean 4/3; corner: 1, 1, 1.414, mean 1.138: differences .1287, .1287, .2574, each twice of nine
    assert float(losses.rkd_distance(line, corner)) == pytest.approx(2 * (2 * 0.1287**2 + 0.2574**2) / 2 / 9, rel=1e-3)
    # cosines at the first, the middle and the last point: line 1, -1, 1; corner .7071, 0, .7071; each twice of 27
    expected = 2 * (2 * 0.2929**2 / 2 + (1 - 0.5)) / 27
    assert float(losses.rkd_angle(line, corner)) == pytest.approx(expected, rel=1e-3)
    one, other = torch.eye(2), torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    # likeness 1 and .5, so 2/3 and 1/3, against a half each: (.5 log(.5 / .6667) + .5 log(.5 / .3333)) / 2
    assert float(losses.pkt(one, other)) == pytest.approx((math.log(0.75) + math.log(1.5)) / 4, rel=1e-5)
    assert losses.standardised(torch.tensor([[0.0, 0.0, 6.0]]))[0].tolist() == pytest.approx(
        [-0.57735, -0.57735, 1.1547]
    )
    zeros, teacher = torch.zeros(1, 3), torch.tensor([[2.0, 1.0, 0.0]])
    p, q = math.e**2 / (math.e**2 + math.e + 1), 1 / 3
    is_it = p * math.log(p / q) + (1 - p) * math.log((1 - p) / (1 - q))
    o = math.e / (math.e + 1)
    which = o * math.log(2 * o) + (1 - o) * math.log(2 * (1 - o))
    found = [
        float(losses.dkd(zeros, teacher, torch.tensor([0]), temperature=1.0, target_weight=a, other_weight=b))
        for a, b in ((1, 0), (0, 1))
    ]
    assert found == pytest.approx([is_it, which], rel=1e-5)


@given(SEEDS, st.floats(0.5, 8))
@settings(max_examples=20, deadline=None)
def test_decoupled_terms_with_their_own_weights_add_up_to_kl(seed, temperature):
    """KL = target term + (1 - p_target) other term: for one sample at a time, whose weight is a number."""
    z, y, label = features(seed, 1, 5), features(seed + 1, 1, 5), torch.tensor([seed % 5])
    share = 1 - float((y / temperature).softmax(1)[0, label])
    coupled = losses.dkd(z, y, label, temperature=temperature, target_weight=1.0, other_weight=share)
    assert float(coupled) == pytest.approx(temperature**2 * float(losses.kl_divergence(z, y, temperature)), rel=1e-9)


def test_two_classes_leave_the_second_term_of_dkd_nothing():
    z, y = features(0, 8, 2), features(1, 8, 2)
    found = [float(losses.dkd(z, y, torch.zeros(8).long(), other_weight=weight)) for weight in (0.0, 100.0)]
    assert found[0] == found[1] == pytest.approx(16 * float(losses.kl_divergence(z, y, 4.0)))


# ------------------------------------------------------------------------------------------ what must not change them

RELATIONS = (losses.similarity_preserving, losses.rkd_distance, losses.rkd_angle, losses.pkt)


@pytest.mark.parametrize("loss", RELATIONS)
@settings(max_examples=15, deadline=None)
@given(SEEDS)
def test_relations_know_neither_rotation_nor_scale_nor_the_order_of_the_batch(loss, seed):
    s, t = features(seed, 6, 4), features(seed + 1, 6, 9)
    value, order = float(loss(s, t)), torch.randperm(6, generator=torch.Generator().manual_seed(seed))
    for other_s, other_t in (
        *((s @ rotation(seed, 4), t @ rotation(seed + 1, 9)), (3 * s, 0.2 * t), (s[order], t[order])),
        (F.pad(s, (0, 5)), t),
    ):
        assert float(loss(other_s, other_t)) == pytest.approx(value, rel=1e-6, abs=1e-12)
    assert float(loss(s @ rotation(seed, 4), s)) == pytest.approx(0, abs=1e-12)
    assert value > 1e-6


@pytest.mark.parametrize("loss", [losses.rkd_distance, losses.rkd_angle])
def test_distances_and_angles_do_not_know_the_origin(loss):
    s, t = features(0, 6, 4), features(1, 6, 9)
    assert float(loss(s + 5, t - 2)) == pytest.approx(float(loss(s, t)), rel=1e-6)


def test_attention_knows_neither_channels_nor_sign_nor_scale_and_pools_the_larger_map():
    s, t = features(0, 2, 4, 6, 6), features(1, 2, 8, 3, 3)
    value = float(losses.attention_transfer(s, t))
    assert float(losses.attention_transfer(-3 * s[:, [2, 0, 3, 1]], 0.1 * t.flip(1))) == pytest.approx(value)
    assert float(losses.attention_transfer(F.avg_pool2d(s, 2), t)) == pytest.approx(value)
    assert float(losses.attention_transfer(t, s)) == pytest.approx(value)
    assert float(losses.attention_transfer(torch.cat([t, t], 1), t)) == pytest.approx(0, abs=1e-15)


def test_dist_knows_no_shift_of_logits_and_standardising_no_shift_and_no_scale():
    z, y = features(0, 6, 5), features(1, 6, 5)
    assert float(losses.dist(z + 7, y - 3)) == pytest.approx(float(losses.dist(z, y)))
    assert torch.allclose(losses.standardised(3 * z + 2), losses.standardised(z))
    assert torch.allclose(losses.standardised(z).std(1), torch.ones(6).double())
    sequences = losses.standardised(z.view(2, 3, 5))
    assert torch.equal(sequences.view(6, 5), losses.standardised(z))
    assert float(losses.dist(z.view(2, 3, 5), y.view(2, 3, 5))) == pytest.approx(float(losses.dist(z, y)))


def test_rows_without_a_label_do_not_count_in_dkd_whatever_they_hold():
    z, y, labels = features(0, 6, 5), features(1, 6, 5), torch.tensor([0, 1, -100, 3, 4, 0])
    kept = labels != -100
    z[2] = y[2] = math.nan
    z.requires_grad_()
    value = losses.dkd(z, y, labels)
    value.backward()
    assert value.item() == pytest.approx(float(losses.dkd(z.detach()[kept], y[kept], labels[kept])))
    assert z.grad.isfinite().all() and z.grad[2].abs().max() == 0


# ------------------------------------------------------------------------------------------------------------ the ends

LABELS = torch.tensor([0, 1, 2, 3])
ON_LOGITS = {
    "dkd": lambda s, t: losses.dkd(s, t, LABELS),
    "dist": losses.dist,
    "standardised": lambda s, t: losses.hint(losses.standardised(s), losses.standardised(t)),
}
ON_ROWS = {loss.__name__: loss for loss in RELATIONS} | {"hint": losses.hint, "log_sum": losses.log_sum} | ON_LOGITS
HARD = {
    "equal": lambda rows: rows * 0 + 0.1,  # four of it and their mean differ by rounding
    "zero": lambda rows: rows * 0,
    "two equal rows": lambda rows: rows[[0, 0, 2, 3]],
    "opposite": lambda rows: torch.cat([rows[:2], -rows[:2]]),
    "margins of 200": lambda rows: 200 * F.one_hot(LABELS, 4).to(rows),
    "large": lambda rows: 1e4 * rows,
    "small": lambda rows: 1e-6 * rows,
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("name", ON_ROWS)
def test_finite_with_finite_gradients_where_rows_are_equal_zero_opposite_or_far_apart(name, dtype):
    plain = features(3, 4, 4).to(dtype)
    for first, second in itertools.product([None, *HARD], repeat=2):
        student = (HARD[first](plain) if first else plain.clone()).requires_grad_()
        teacher = HARD[second](plain) if second else plain
        value = ON_ROWS[name](student, teacher)
        value.backward()
        assert value.isfinite() and student.grad.isfinite().all(), (name, first, second)
        assert value.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
        if first in ("equal", "zero", "two equal rows") and name in (
            "rkd_distance",
            "rkd_angle",
            "pkt",
            "standardised",
        ):
            assert student.grad.abs().max() < 1e3, "a difference of nothing has no gradient, not one of 1e12"


@pytest.mark.parametrize("value", [0.1, 0.3, 1.7, 0.0])
@pytest.mark.parametrize("classes", [3, 6, 7, 10, 11, 13])
def test_constant_rows_have_no_spread_whatever_rounding_leaves_of_them(value, classes):
    rows = torch.full((4, classes), value, requires_grad=True)
    assert losses.standardised(rows).abs().max() == 0
    other = features(classes, 4, classes, dtype=torch.float32)
    for loss in losses.hint(losses.standardised(rows), other), losses.dist(rows, other):
        (slope,) = torch.autograd.grad(loss, rows)
        assert slope.abs().max() < 10
    assert losses.dist(rows, rows).item() == 2


def test_a_sure_network_is_like_itself_to_dist():
    sure = 20 * F.one_hot(torch.arange(8) % 5, 100).double() + features(0, 8, 100)
    assert float(losses.dist(sure, sure)) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("scale", [1e-8, 1e8])
@pytest.mark.parametrize("loss", [*RELATIONS, losses.attention_transfer])
def test_how_large_its_numbers_are_neither_changes_a_loss_nor_kills_its_gradient(loss, scale):
    shape = (4, 3, 2, 2) if loss is losses.attention_transfer else (4, 6)
    s, t = features(0, *shape, dtype=torch.float32).requires_grad_(), features(1, *shape, dtype=torch.float32)
    slopes = [torch.autograd.grad(loss(times * s, t), s)[0] for times in (1.0, scale)]
    assert loss(scale * s, t).item() == pytest.approx(loss(s, t).item(), rel=1e-4)
    assert torch.allclose(slopes[0], slopes[1], rtol=1e-3, atol=1e-6) and slopes[1].abs().max() > 1e-5


def test_where_the_teacher_rules_out_all_other_classes_nothing_is_said_of_them():
    s = torch.tensor([[1.0, 2.0, 0.5]], requires_grad=True)
    ruled_out = torch.tensor([[5.0, -math.inf, -math.inf]])
    loss = losses.dkd(s, ruled_out, torch.tensor([0]), temperature=1.0)
    loss.backward()
    assert loss.item() == pytest.approx(float(losses.kl_divergence(s.detach(), ruled_out)))
    assert s.grad.isfinite().all()
    s = torch.tensor([[-math.inf, 1.0, 0.0]], requires_grad=True)  # the label, too
    losses.dkd(s, torch.tensor([[-math.inf, 1.0, 2.0]]), torch.tensor([0])).backward()
    assert s.grad.isfinite().all()


@pytest.mark.parametrize("loss", RELATIONS)
def test_autocast_does_not_make_them_coarse(loss):
    s, t = features(0, 6, 4, dtype=torch.float32), features(1, 6, 9, dtype=torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = loss(s, t)
    assert found.dtype == torch.float32 and float(found) == pytest.approx(float(loss(s, t)), rel=1e-5)


def test_maps_of_nothing_have_a_finite_loss_and_no_gradient():
    dead = torch.zeros(2, 3, 4, 4, requires_grad=True)
    value = losses.attention_transfer(dead, features(0, 2, 5, 4, 4).float())
    value.backward()
    assert value.isfinite() and dead.grad.abs().max() == 0


def test_a_class_that_the_teacher_rules_out_counts_as_probability_0():
    s, t = features(0, 4, 4, dtype=torch.float32).requires_grad_(), features(1, 4, 4, dtype=torch.float32)
    t[torch.arange(4), (LABELS + 1) % 4] = -math.inf
    near = t.clamp(min=-1e4)
    for name in "dkd", "dist":
        value = ON_LOGITS[name](s, t)
        (gradient,) = torch.autograd.grad(value, s)
        assert value.item() == pytest.approx(ON_LOGITS[name](s, near).item(), rel=1e-5) and gradient.isfinite().all()


@pytest.mark.parametrize("loss", [losses.rkd_distance, losses.rkd_angle, losses.pkt])
def test_a_batch_of_one_has_no_relations(loss):
    assert float(loss(features(0, 1, 4), features(1, 1, 7))) == 0


@pytest.mark.parametrize("name", [*ON_ROWS, "attention"])
def test_the_teacher_gets_no_gradient_and_both_stay_as_they_are(name):
    shape = (4, 3, 2, 2) if name == "attention" else (4, 4)
    loss = losses.attention_transfer if name == "attention" else ON_ROWS[name]
    s, t = features(0, *shape).requires_grad_(), features(1, *shape).requires_grad_()
    before = s.detach().clone(), t.detach().clone()
    loss(s, t).backward()
    assert s.grad.abs().max() > 0 and torch.equal(s, before[0]) and torch.equal(t, before[1])
    assert t.grad is None or (name == "standardised" and t.grad.abs().max() == 0)


@pytest.mark.parametrize("name", [*ON_ROWS, "attention"])
def test_gradients_are_those_of_finite_differences(name):
    shape = (4, 3, 2, 2) if name == "attention" else (4, 4)
    loss = losses.attention_transfer if name == "attention" else ON_ROWS[name]
    t = features(1, *shape)
    assert torch.autograd.gradcheck(lambda s: loss(s, t), features(0, *shape).requires_grad_())


# ----------------------------------------------------------------------------------------------------------- bad input

ROWS, MAPS = torch.zeros(2, 3), torch.zeros(2, 3, 4, 4)
BAD = {
    "another width": (lambda: losses.hint(ROWS, ROWS[:, :2]), r"alike in shape; got \[2, 3\] of the student, \[2, 2\]"),
    "other samples": (
        lambda: losses.pkt(ROWS, ROWS[:1]),
        "of the same samples; got 2 of the student, 1 of the teacher",
    ),
    "maps for rows": (lambda: losses.rkd_angle(MAPS, ROWS), r"student's feature must be \[B, D\]; got shape \[2, 3, 4"),
    "rows for maps": (
        lambda: losses.attention_transfer(MAPS, ROWS),
        r"teacher's feature must be \[B, C, H, W\]; got shape \[2, 3\]",
    ),
    "whole numbers": (lambda: losses.hint(ROWS.long(), ROWS), "floating-point tensor .*got torch.int64"),
    "a list": (lambda: losses.similarity_preserving([1.0], ROWS), "floating-point tensor .*got list"),
    "nothing": (lambda: losses.rkd_distance(ROWS[:0], ROWS[:0]), "student's feature is empty"),
    "a power below 1": (lambda: losses.log_sum(ROWS, ROWS, power=0.5), "power must be at least 1"),
    "NaN in a feature": (lambda: losses.pkt(ROWS * math.nan, ROWS), "loss is nan: the student's feature holds NaN"),
    "too large": (lambda: losses.hint(ROWS + 1e25, ROWS), "loss is inf: the features are finite, but too large"),
    "no weight at all": (
        lambda: losses.dist(ROWS, ROWS, inter_weight=0, intra_weight=0),
        "inter_weight and intra_weight are both 0",
    ),
    "power 0": (lambda: losses.attention_transfer(MAPS, MAPS, power=0), "power must be a finite number above 0"),
    "labels of others": (lambda: losses.dkd(ROWS, ROWS, torch.zeros(3).long()), r"labels must be \[2\]"),
    "a negative weight": (
        lambda: losses.dkd(ROWS, ROWS, torch.zeros(2).long(), other_weight=-1),
        "other_weight must be a finite number of at least 0",
    ),
    "T = 0": (lambda: losses.dist(ROWS, ROWS, temperature=0), "temperature must be a finite number above 0"),
    "NaN": (lambda: losses.dist(ROWS * math.nan, ROWS), "the loss is nan: student_logits hold NaN"),
    "-inf without a mean": (lambda: losses.standardised(ROWS - math.inf), "logits must be finite to have a mean"),
    "one class": (lambda: losses.standardised(ROWS[:, :1]), "have a single class"),
}


@pytest.mark.parametrize(("call", "message"), BAD.values(), ids=BAD)
def test_bad_input_is_refused_with_what_was_got(call, message):
    with pytest.raises(ValueError, match=message):
        call()
