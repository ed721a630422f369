"""The losses for models that write are what the course says: held against loops and numpy in float64."""

import math
import weakref
from itertools import pairwise, product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special

from kdkit import losses
from kdkit.losses import (
    completion_mask,
    jensen_shannon,
    kd_loss,
    kl_divergence,
    next_token,
    reverse_kl,
    sampled_reverse_kl,
    top_k,
    top_k_kl,
)
from kdkit.losses import rows as rows_module

property_test = settings(derandomize=True, deadline=None, max_examples=100)
temperatures = st.one_of(st.sampled_from([0.2, 1.0, 4.0, 100.0]), st.floats(0.2, 100))
betas = st.one_of(st.sampled_from([1e-3, 0.1, 0.5, 0.9, 1 - 1e-3]), st.floats(1e-3, 1 - 1e-3))
shapes = st.one_of(
    st.tuples(st.integers(1, 6), st.integers(2, 12)),
    st.tuples(st.integers(1, 4), st.integers(1, 5), st.integers(2, 12)),
)


@st.composite
def cases(draw, dtypes=(torch.float32, torch.float64)):
    """Student's and teacher's logits, the student's with a gradient, and a mask or None."""
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**32)))
    shape, scale = draw(shapes), draw(st.sampled_from([0.01, 1.0, 5.0]))
    dtype = draw(st.sampled_from(dtypes))
    student, teacher = (scale * torch.randn(shape, generator=generator, dtype=dtype) for _ in range(2))
    mask = torch.rand(shape[:-1], generator=generator) < 0.6
    mask.view(-1)[0] = True
    return student.requires_grad_(), teacher, draw(st.sampled_from([None, mask]))


def random_logits(*shape, seed=0, dtype=torch.float64):
    return 3 * torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def rows(logits, temperature, mask):
    """Probabilities of the rows that count, in numpy: [N, C]."""
    logits = logits.detach() if mask is None else logits.detach()[mask]
    return special.softmax(logits.double().flatten(0, -2).numpy() / temperature, -1)


def kl(p, q):
    """By its definition, class by class."""
    return sum(a * math.log(a / b) for a, b in zip(p, q, strict=True) if a > 0)


def mean_of(divergence, student, teacher, temperature, mask):
    s, t = rows(student, temperature, mask), rows(teacher, temperature, mask)
    return sum(divergence(*pair) for pair in zip(s, t, strict=True)) / len(s)


def jsd(s, t, beta):
    m = beta * t + (1 - beta) * s
    return beta * kl(t, m) + (1 - beta) * kl(s, m)


def gradient(loss, logits):
    return torch.autograd.grad(loss, logits)[0]


def tolerance(logits, temperature):
    size = 1 + float(logits.detach().abs().max()) / temperature
    return size * (1e-11 if logits.dtype == torch.float64 else 3e-6)


# --------------------------------------------------------------------------------------- values


def test_values_computed_by_hand():
    # t = softmax([2, 0]) = (0.880797, 0.119203), s = (1/2, 1/2). KL(s || t) = 1/2 ln(0.5 / 0.880797) + 1/2 ln(0.5 /
    # 0.119203) = 0.433781. The half and half mixture: (0.690398, 0.309602);
    # 1/2 KL(t || m) = 1/2 (0.880797 ln 1.275781 + 0.119203 ln 0.385020) = 0.050376,
    # 1/2 KL(s || m) = 1/4 (ln(0.5 / 0.690398) + ln(0.5 / 0.309602)) = 0.039165; together 0.089541.
    student, teacher = torch.tensor([[0.0, 0.0]]), torch.tensor([[2.0, 0.0]])
    assert reverse_kl(student, teacher).item() == pytest.approx(0.433781, abs=1e-6)
    assert jensen_shannon(student, teacher).item() == pytest.approx(0.089541, abs=1e-6)
    # Three classes, t = softmax([2, 0, 0]) = (0.786986, 0.106507, 0.106507), k = 1 and a tail: 0.786986 ln(3 *
    # 0.786986) + 0.213014 ln(0.213014 * 3 / 2) = 0.676074 - 0.243034; renormalised, one class alone always agrees.
    student, teacher = torch.zeros(1, 3), torch.tensor([[2.0, 0.0, 0.0]])
    assert top_k_kl(student, *top_k(teacher, 1)).item() == pytest.approx(0.433040, abs=1e-6)
    assert top_k_kl(student, *top_k(teacher, 1), tail=False).item() == 0


@property_test
@given(cases(), temperatures)
def test_reverse_kl_equals_its_definition(case, temperature):
    student, teacher, mask = case
    expected = mean_of(kl, student, teacher, temperature, mask)
    found = reverse_kl(student, teacher, temperature, mask)
    assert found.item() == pytest.approx(expected, rel=1e-5, abs=tolerance(student, temperature))
    assert found.item() == kl_divergence(teacher, student.detach(), temperature, mask).item(), "the sides change places"


@property_test
@given(cases(), temperatures)
def test_kl_divergence_takes_a_mask_as_kd_loss_does(case, temperature):
    student, teacher, mask = case
    expected = mean_of(lambda s, t: kl(t, s), student, teacher, temperature, mask)
    found = kl_divergence(student, teacher, temperature, mask).item()
    assert found == pytest.approx(expected, rel=1e-5, abs=tolerance(student, temperature))
    assert kd_loss(student, teacher, temperature=temperature, mask=mask).item() == pytest.approx(temperature**2 * found)


@property_test
@given(cases(), temperatures, betas)
def test_jensen_shannon_equals_its_definition(case, temperature, beta):
    student, teacher, mask = case
    expected = mean_of(lambda s, t: jsd(s, t, beta), student, teacher, temperature, mask)
    found = jensen_shannon(student, teacher, beta=beta, temperature=temperature, mask=mask)
    assert found.item() == pytest.approx(expected, rel=1e-4, abs=tolerance(student, temperature) * 1e-2)


@property_test
@given(cases((torch.float32, torch.bfloat16, torch.float16)), temperatures, betas)
def test_jensen_shannon_is_never_negative_never_above_its_bound_and_0_for_equals(case, temperature, beta):
    student, teacher, _ = case
    nearly = (teacher.float() + 1e-4 * student.detach().float()).to(teacher.dtype)
    bound = -beta * math.log(beta) - (1 - beta) * math.log(1 - beta)
    for other in student, nearly, -student:
        value = jensen_shannon(other, teacher, beta=beta, temperature=temperature)
        assert value.dtype == torch.float32 and 0 <= value.item() <= bound * (1 + 1e-6)
    assert jensen_shannon(teacher.clone(), teacher, beta=beta, temperature=temperature).item() == 0.0


def test_jensen_shannon_of_networks_that_hardly_differ_is_not_negative_in_any_row():
    generator = torch.Generator().manual_seed(0)
    teacher = 3 * torch.randn(200, 1, 2, generator=generator)
    for size in 1e-7, 1e-6, 1e-5:
        student = teacher + size * torch.randn(200, 1, 2, generator=generator)
        for beta in 0.5, 0.1, 0.001:
            values = [jensen_shannon(*pair, beta=beta).item() for pair in zip(student, teacher, strict=True)]
            assert min(values) >= 0


def test_jensen_shannon_reaches_its_bound_where_the_two_say_nothing_alike():
    student, teacher = torch.tensor([[90.0, -90.0]]), torch.tensor([[-90.0, 90.0]])
    assert jensen_shannon(student, teacher).item() == pytest.approx(math.log(2), rel=1e-6)
    ruled_out = torch.tensor([[0.0, -math.inf]]), torch.tensor([[-math.inf, 0.0]])
    assert jensen_shannon(*ruled_out, beta=0.1).item() == pytest.approx(-0.1 * math.log(0.1) - 0.9 * math.log(0.9))


def trl(student, teacher, labels, beta):
    """The sides and the mean of TRL's ``GKDTrainer.generalized_jsd_loss`` (2026), in numpy."""
    s, t = (special.log_softmax(z.numpy()[labels != -100], -1) for z in (student, teacher))
    if beta in (0, 1):
        target, other = (t, s) if beta == 0 else (s, t)
        return (np.exp(target) * (target - other)).sum() / len(s)
    m = np.logaddexp(s + np.log1p(-beta), t + np.log(beta))
    return (beta * np.exp(t) * (t - m) + (1 - beta) * np.exp(s) * (s - m)).sum() / len(s)


@pytest.mark.parametrize("beta", [0, 0.1, 0.5, 0.9, 1])
def test_the_sides_and_the_mean_are_those_of_trl(beta):
    student, teacher = random_logits(3, 4, 9), random_logits(3, 4, 9, seed=1)
    labels = np.where(np.arange(12).reshape(3, 4) % 3, 5, -100)
    mask = torch.tensor(labels != -100)
    at_the_ends = {0: kl_divergence, 1: reverse_kl}
    if beta in at_the_ends:
        found = at_the_ends[beta](student, teacher, mask=mask)
    else:
        found = jensen_shannon(student, teacher, beta=beta, mask=mask)
    assert found.item() == pytest.approx(trl(student, teacher, labels, beta), rel=1e-12)


# --------------------------------------------------------------------------------------- the ends of beta


def test_jensen_shannon_vanishes_at_both_ends_and_divided_by_its_share_becomes_the_kls():
    student, teacher = random_logits(5, 7).requires_grad_(), random_logits(5, 7, seed=1)
    forward, backward = kl_divergence(student, teacher), reverse_kl(student, teacher)
    for beta, share, end in (1e-9, 1e-9, forward), (1 - 1e-9, 1e-9, backward):
        near = jensen_shannon(student, teacher, beta=beta)
        assert near.item() < 1e-7
        assert near.item() / share == pytest.approx(end.item(), rel=1e-5)
        slopes = gradient(near, student) / share, gradient(end, student)
        assert torch.allclose(*slopes, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(("beta", "instead"), [(0, "kl_divergence for beta = 0"), (1.0, "reverse_kl for beta = 1")])
def test_the_ends_are_refused_and_the_kl_that_is_meant_is_named(beta, instead):
    with pytest.raises(ValueError, match=f"between 0 and 1, without the two; got {beta:g}.*Use {instead}"):
        jensen_shannon(random_logits(2, 3), random_logits(2, 3, seed=1), beta=beta)


# --------------------------------------------------------------------------------------- gradients

LOSSES = {
    "kl": kl_divergence,
    "reverse": reverse_kl,
    "jsd": jensen_shannon,
    "jsd, .9": lambda s, t, **more: jensen_shannon(s, t, beta=0.9, **more),
    "top 3 and a tail": lambda s, t, **more: top_k_kl(s, *top_k(t, 3), **more),
    "top 3": lambda s, t, **more: top_k_kl(s, *top_k(t, 3), tail=False, **more),
    "sampled": lambda s, t, mask: sampled_reverse_kl(s, t, torch.where(mask, 2, -100)),
    "sampled to go": lambda s, t, mask: sampled_reverse_kl(s, t, torch.where(mask, 2, -100), to_go=True),
}
MASK = torch.tensor([[1, 1, 0], [1, 0, 0]]).bool()


@property_test
@given(cases((torch.float64,)), st.floats(0.5, 10), betas)
def test_gradients_equal_those_of_the_definitions(case, temperature, beta):
    student, teacher, mask = case
    log_s, log_t = ((z / temperature).log_softmax(-1) for z in (student, teacher))
    s, t = log_s.exp(), log_t.exp()
    m = beta * t + (1 - beta) * s
    each = {
        reverse_kl(student, teacher, temperature, mask): (s * (log_s - log_t)).sum(-1),
        jensen_shannon(student, teacher, beta=beta, temperature=temperature, mask=mask): (
            beta * t * (log_t - m.log()) + (1 - beta) * s * (log_s - m.log())
        ).sum(-1),
    }
    for found, values in each.items():
        expected = (values if mask is None else values[mask]).mean()
        slopes = (torch.autograd.grad(loss, student, retain_graph=True)[0] for loss in (found, expected))
        assert torch.allclose(*slopes, rtol=1e-6, atol=1e-10)


@pytest.mark.parametrize("name", LOSSES)
def test_the_teacher_never_gets_a_gradient_and_the_student_always(name):
    student, teacher = (random_logits(2, 3, 6, seed=seed).requires_grad_() for seed in range(2))
    LOSSES[name](student, teacher, mask=MASK).backward()
    assert teacher.grad is None and (student.grad[MASK] != 0).any() and not student.grad[~MASK].any()


@pytest.mark.parametrize("rubbish", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name", LOSSES)
def test_what_stands_in_masked_places_reaches_neither_value_nor_gradient(name, rubbish):
    results = []
    for value in 0.0, rubbish:
        student, teacher = random_logits(2, 3, 6), random_logits(2, 3, 6, seed=1)
        student[~MASK], teacher[~MASK] = value, value
        student.requires_grad_()
        loss = LOSSES[name](student, teacher, mask=MASK)
        results.append((loss.item(), gradient(loss, student)))
    assert results[0][0] == results[1][0] and torch.equal(results[0][1], results[1][1])


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64, torch.bfloat16])
def test_extreme_margins_give_finite_losses_and_gradients(name, dtype):
    student, teacher = (torch.zeros(2, 3, 6, dtype=dtype) for _ in range(2))
    student[..., 0], student[..., 1], teacher[..., 4], teacher[..., 5] = 1e4, -1e4, 1e4, -1e4
    student.requires_grad_()
    loss = LOSSES[name](student, teacher, mask=MASK)
    assert loss.isfinite() and gradient(loss, student).isfinite().all()
    assert loss.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(name, dtype):
    student, teacher = (random_logits(2, 3, 6, seed=seed).to(dtype) for seed in range(2))
    half, full = (LOSSES[name](*pair, mask=MASK) for pair in ((student, teacher), (student.float(), teacher.float())))
    assert half.item() == full.item()


# --------------------------------------------------------------------------------------- classes that are ruled out


@pytest.mark.parametrize("name", [name for name in LOSSES if "sampled" not in name])
@pytest.mark.parametrize("whose", ["teacher", "both"])
def test_ruled_out_classes_add_nothing_and_the_gradient_stays_finite(name, whose):
    student, teacher = random_logits(2, 3, 6), random_logits(2, 3, 6, seed=1)
    for logits in {"teacher": [teacher], "both": [student, teacher]}[whose]:
        logits[..., 5] = -math.inf
    student.requires_grad_()
    if whose == "teacher" and name == "reverse":
        with pytest.raises(
            ValueError, match=r"the teacher rules a class out.*that the student gives something.*Rule it"
        ):
            reverse_kl(student, teacher)
        return
    loss = LOSSES[name](student, teacher, mask=MASK)
    slope = gradient(loss, student)
    assert loss.isfinite() and slope.isfinite().all()
    if whose == "both":
        fewer = student.detach()[..., :5].requires_grad_()
        without = LOSSES[name](fewer, teacher[..., :5], mask=MASK)
        assert loss.item() == pytest.approx(without.item(), rel=1e-9)
        assert torch.allclose(slope[..., :5], gradient(without, fewer)) and not slope[..., 5].any()


def test_jensen_shannon_is_finite_where_the_student_rules_out_what_the_teacher_says():
    student, teacher = random_logits(4, 5), random_logits(4, 5, seed=1)
    student[:, 2] = -math.inf
    student.requires_grad_()
    loss = jensen_shannon(student, teacher)
    s, t = rows(student, 1.0, None), rows(teacher, 1.0, None)
    assert loss.item() == pytest.approx(np.mean([jsd(*pair, 0.5) for pair in zip(s, t, strict=True)]), rel=1e-9)
    assert gradient(loss, student).isfinite().all()


# --------------------------------------------------------------------------------------- top k


@property_test
@given(cases(), temperatures, st.integers(1, 12))
def test_top_k_equals_its_definition_with_a_tail_and_renormalised(case, temperature, k):
    student, teacher, mask = case
    k = min(k, student.shape[-1])

    def with_a_tail(s, t):
        first = np.argsort(-t, kind="stable")[:k]
        rest = np.delete(np.arange(len(t)), first)
        return kl([*t[first], t[rest].sum()], [*s[first], s[rest].sum() + (len(rest) == 0)])

    def renormalised(s, t):
        first = np.argsort(-t, kind="stable")[:k]
        return kl(t[first] / t[first].sum(), s[first] / s[first].sum())

    stored = top_k(teacher, k, temperature)
    assert stored.log_probabilities.shape == stored.indices.shape == (*student.shape[:-1], k)
    for tail, definition in (True, with_a_tail), (False, renormalised):
        found = top_k_kl(student, *stored, tail=tail, temperature=temperature, mask=mask).item()
        expected = mean_of(definition, student, teacher, temperature, mask)
        assert found == pytest.approx(expected, rel=1e-4, abs=tolerance(student, temperature))


@property_test
@given(cases((torch.float64,)), temperatures)
def test_more_of_the_teacher_is_never_less_and_all_of_it_is_the_full_kl(case, temperature):
    student, teacher, mask = case
    full, values = kl_divergence(student, teacher, temperature, mask), []
    for k in range(1, student.shape[-1] + 1):
        values.append(top_k_kl(student, *top_k(teacher, k, temperature), temperature=temperature, mask=mask))
    assert all(a.item() <= b.item() + 1e-12 for a, b in pairwise(values))
    alone = top_k_kl(student, *top_k(teacher, k, temperature), temperature=temperature, mask=mask, tail=False)
    for found in values[-1], alone:
        assert found.item() == pytest.approx(full.item(), rel=1e-9, abs=1e-12)
    slopes = (torch.autograd.grad(loss, student, retain_graph=True)[0] for loss in (values[-1], full))
    assert torch.allclose(*slopes, atol=1e-12)


def test_a_partial_sum_over_the_top_k_is_no_divergence_its_least_value_is_m_ln_m():
    teacher = torch.tensor([0.4, 0.2, 0.1, 0.1, 0.1, 0.1], dtype=torch.double)
    first, m = teacher[:2], 0.6
    best = torch.tensor([0.4 / m, 0.2 / m, 1e-12, 1e-12, 1e-12, 1e-12], dtype=torch.double)
    partial = float((first * (first.log() - best[:2].log())).sum())
    assert partial == pytest.approx(m * math.log(m)) and m * math.log(m) == pytest.approx(-0.306, abs=1e-3)
    others = torch.rand(1000, 6, generator=torch.Generator().manual_seed(0)).double().softmax(-1)
    assert ((first * (first.log() - others[:, :2].log())).sum(-1) >= m * math.log(m)).all()
    # The student that is best for it is the one that a tail refuses, and a renormalised KL does not see.
    stored = top_k(teacher.log()[None], 2)
    assert top_k_kl(best.log()[None], *stored).item() > 4
    assert top_k_kl(best.log()[None], *stored, tail=False).item() == pytest.approx(0, abs=1e-12)


def test_a_tail_of_which_the_student_has_nothing_is_refused_unless_the_teacher_has_nothing_either():
    student = torch.tensor([[1.0, 0.0, -math.inf]], requires_grad=True)
    with pytest.raises(ValueError, match="the loss is inf: the student rules a class out"):
        top_k_kl(student, *top_k(torch.tensor([[1.0, 0.0, 0.0]]), 2))
    loss = top_k_kl(student, *top_k(torch.tensor([[1.0, 0.0, -math.inf]]), 2))
    assert loss.item() == pytest.approx(0, abs=1e-6) and gradient(loss, student).isfinite().all()


# --------------------------------------------------------------------------------------- shifting and masking


def test_what_a_model_says_at_i_is_set_against_token_i_plus_1():
    logits, tokens = random_logits(2, 5, 9), torch.arange(10).view(2, 5) % 9
    mask = torch.tensor([[0, 0, 1, 1, 0], [0, 1, 1, 1, 1]])
    shifted = next_token(logits, tokens, mask)
    by_hand = [(logits[b, i], int(tokens[b, i + 1])) for b in range(2) for i in range(4) if mask[b, i + 1]]
    assert [int(label) for label in shifted.labels[shifted.mask]] == [label for _, label in by_hand]
    assert torch.equal(shifted.logits[shifted.mask], torch.stack([row for row, _ in by_hand]))
    assert (shifted.labels[~shifted.mask] == -100).all() and shifted.mask.dtype == torch.bool
    expected = -np.mean([float(row.log_softmax(-1)[label]) for row, label in by_hand])
    assert losses.hard_cross_entropy(shifted.logits, shifted.labels).item() == pytest.approx(expected)


def test_hugging_face_shifts_inside_and_gives_the_same():
    transformers = pytest.importorskip("transformers")
    config = transformers.GPT2Config(vocab_size=11, n_positions=8, n_embd=8, n_layer=1, n_head=1)
    torch.manual_seed(0)
    model, tokens = transformers.GPT2LMHeadModel(config).eval(), torch.arange(12).view(2, 6) % 11
    mask = torch.tensor([[0, 0, 1, 1, 1, 0], [0, 1, 1, 1, 1, 1]])
    with torch.no_grad():
        theirs = model(tokens, labels=tokens.masked_fill(mask == 0, -100))
        shifted = next_token(theirs.logits, tokens, mask)
    assert losses.hard_cross_entropy(shifted.logits, shifted.labels).item() == pytest.approx(theirs.loss.item())


def test_without_a_mask_all_but_the_first_token_count():
    shifted = next_token(random_logits(2, 3, 9), torch.arange(6).view(2, 3))
    assert shifted.labels.tolist() == [[1, 2], [4, 5]] and shifted.mask.all()


def test_an_answer_goes_from_the_prompt_to_its_first_end_that_counts_itself():
    tokens = torch.tensor([[0, 5, 6, 7, 0, 0], [5, 5, 0, 6, 0, 0], [0, 0, 6, 6, 6, 6]])  # 0 ends, and pads
    expected = [[0, 0, 1, 1, 1, 0], [0, 0, 1, 0, 0, 0], [0, 0, 1, 1, 1, 1]]
    assert completion_mask(tokens, prompt=2, end=0).long().tolist() == expected


# --------------------------------------------------------------------------------------- single samples: all of them


def markov(logits):
    """A model that writes: what it says next depends on the last token alone; its last row is the start."""

    def at(tokens):
        return logits[torch.cat([torch.full((len(tokens), 1), -1), tokens[:, :-1]], 1)]

    return at


V, LENGTH = 3, 3
ALL = torch.tensor(list(product(range(V), repeat=LENGTH)))  # each sequence that can be written


def ended(tokens):
    """Labels of sequences that stop at their first 0."""
    return tokens.masked_fill(~completion_mask(tokens, 0, 0), -100)


def test_the_gradient_of_single_samples_is_on_average_that_of_the_full_reverse_kl():
    # Over one place, exactly: the average over all tokens, weighted by how likely the student draws each.
    z, teacher = random_logits(1, 1, 5).requires_grad_(), random_logits(1, 1, 5, seed=1)
    s, full = z.detach().softmax(-1).flatten(), reverse_kl(z, teacher)
    mean = torch.zeros_like(z)
    value = 0.0
    for token, share in enumerate(s):
        loss = sampled_reverse_kl(z, teacher, torch.tensor([[token]]))
        mean, value = mean + share * gradient(loss, z), value + share * loss.item()
    assert value.item() == pytest.approx(full.item())
    assert torch.allclose(mean, gradient(full, z))


def test_k1_as_a_loss_teaches_nothing_and_k3_teaches_the_forward_kl():
    z, teacher = random_logits(1, 5).requires_grad_(), random_logits(1, 5, seed=1)
    s = z.detach().softmax(-1)
    log_ratio = teacher.log_softmax(-1) - z.log_softmax(-1)  # log t/s
    expected_k1 = (s * -log_ratio).sum()  # s, from which the tokens are drawn, gets no gradient
    expected_k3 = (s * (log_ratio.exp() - 1 - log_ratio)).sum()
    assert expected_k1.item() == pytest.approx(reverse_kl(z, teacher).item())
    assert expected_k3.item() == pytest.approx(reverse_kl(z, teacher).item())
    assert torch.allclose(torch.autograd.grad(expected_k1, z, retain_graph=True)[0], torch.zeros_like(z), atol=1e-12)
    assert torch.allclose(gradient(expected_k3, z), gradient(kl_divergence(z, teacher), z))
    assert not torch.allclose(gradient(kl_divergence(z, teacher), z), gradient(reverse_kl(z, teacher), z), atol=1e-2)


@pytest.mark.parametrize("to_go", [False, True])
@pytest.mark.parametrize("sequences", [1, 2])
def test_credit_to_go_is_the_gradient_of_the_kl_of_whole_sequences_and_the_baseline_does_not_change_it(
    sequences, to_go
):
    """By every batch that can be written, weighted by its probability: no sampling noise."""
    z, teacher = (random_logits(V + 1, V, seed=seed) / 3 for seed in range(2))
    z.requires_grad_()
    labels = ALL  # all of one length: then a mean over tokens is a sum over each sequence, divided by LENGTH
    log_s, log_t = (
        markov(logits.log_softmax(-1))(ALL).gather(-1, ALL[..., None]).squeeze(-1) for logits in (z, teacher)
    )
    p = log_s.sum(1).exp()
    whole = (p * (log_s - log_t).sum(1)).sum() / LENGTH
    per_token = (
        p.detach() * (markov(z.softmax(-1) * (z.log_softmax(-1) - teacher.log_softmax(-1)))(ALL).sum((1, 2)))
    ).sum() / LENGTH
    mean, value = torch.zeros_like(z), 0.0
    for batch in product(range(len(ALL)), repeat=sequences):
        batch = list(batch)
        share = p[batch].detach().prod()
        loss = sampled_reverse_kl(markov(z)(labels[batch]), markov(teacher)(labels[batch]), labels[batch], to_go=to_go)
        mean, value = mean + share * torch.autograd.grad(loss, z)[0], value + share * loss.item()
    assert value.item() == pytest.approx(whole.item())
    expected = whole if to_go else per_token
    assert torch.allclose(mean, torch.autograd.grad(expected, z, retain_graph=True)[0], atol=1e-10)


def test_single_samples_of_sequences_of_many_lengths_count_to_their_end_only():
    z, teacher, tokens = (
        random_logits(2, 3, 4).requires_grad_(),
        random_logits(2, 3, 4, seed=1),
        torch.tensor([[1, 0, 0], [2, 3, 1]]),
    )
    labels = ended(tokens)
    assert labels.tolist() == [[1, 0, -100], [2, 3, 1]]
    log_s, log_t = (x.log_softmax(-1).gather(-1, tokens[..., None]).squeeze(-1) for x in (z, teacher))
    k1 = (log_s - log_t).detach()
    loss = sampled_reverse_kl(z, teacher, labels, to_go=True)
    assert loss.item() == pytest.approx(k1[labels >= 0].mean().item())
    to_go = [[k1[0, 0] + k1[0, 1], k1[0, 1]], [k1[1].sum(), k1[1, 1:].sum(), k1[1, 2]]]
    less = [
        [to_go[0][0] - to_go[1][0], to_go[0][1] - to_go[1][1]],
        [to_go[1][0] - to_go[0][0], to_go[1][1] - to_go[0][1], to_go[1][2]],
    ]
    surrogate = sum(less[b][i] * log_s[b, i] for b in range(2) for i in range(len(less[b]))) / 5
    assert torch.allclose(torch.autograd.grad(loss, z, retain_graph=True)[0], gradient(surrogate, z))


# --------------------------------------------------------------------------------------- bad input

S, TOKENS = torch.zeros(2, 3, 6), torch.tensor([[1, 2, 3], [4, 5, 0]])
KNOWN = top_k(S, 2)
BAD = {
    "padded vocabularies": (
        lambda: reverse_kl(torch.zeros(1, 2, 151936), torch.zeros(1, 2, 152064)),
        r"class counts differ.*151936.*152064.*cut it off both, logits\[..., :n\], with n = len\(tokenizer\)",
    ),
    "padded vocabularies in kd_loss": (
        lambda: kd_loss(S, S[..., :5]),
        "If the tokenizers differ, a number is another word",
    ),
    "beta of a list": (lambda: jensen_shannon(S, S, beta=[0.5]), "beta must be a plain number"),
    "beta above 1": (lambda: jensen_shannon(S, S, beta=1.5), "between 0 and 1, without the two; got 1.5"),
    "beta below 0": (lambda: jensen_shannon(S, S, beta=-0.5), "beta must be a finite number of at least 0; got -0.5"),
    "no k": (lambda: top_k(S, 0), "k must be a whole number from 1 to 6; got 0"),
    "more than all": (lambda: top_k(S, 7), "k must be a whole number from 1 to 6; got 7"),
    "logits for log-probabilities": (
        lambda: top_k_kl(S, S[..., :2] + 3, KNOWN.indices),
        "add up to at most 1; got 40.2. Are these logits",
    ),
    "NaN in log-probabilities": (lambda: top_k_kl(S, KNOWN[0] * math.nan, KNOWN[1]), "at most 1; got nan"),
    "a class twice": (lambda: top_k_kl(S, KNOWN[0], KNOWN[1] * 0), "each class once in a row; got one twice"),
    "a class that is none": (lambda: top_k_kl(S, KNOWN[0], KNOWN[1] + 6), r"indices must lie in 0..5; got 1?[0-9]"),
    "indices as floats": (lambda: top_k_kl(S, KNOWN[0], KNOWN[0]), r"indices must be integers \[2, 3, 'k'\]"),
    "other rows": (lambda: top_k_kl(S, *top_k(S[:1], 2)), r"log_probabilities must be floats \[2, 3, 'k'\]"),
    "two ks": (lambda: top_k_kl(S, KNOWN[0], KNOWN[1][..., :1]), "the same k classes, 1 to 6; got 2 and 1"),
    "shifted logits": (
        lambda: next_token(S[:, :-1], TOKENS),
        r"\[2, 2, 6\] are one place shorter than tokens.*already",
    ),
    "labels for tokens": (
        lambda: next_token(*next_token(S, TOKENS, TOKENS > 2)[:2]),
        "tokens hold -100: these are labels",
    ),
    "tokens outside": (lambda: next_token(S, TOKENS + 1), r"labels must lie in 0..5 for 6 classes.*got 6"),
    "one token": (lambda: next_token(S[:, :1], TOKENS[:, :1]), "with L of at least 2"),
    "a mask of first tokens": (
        lambda: next_token(S, TOKENS, torch.tensor([[1, 0, 0], [1, 0, 0]])),
        "loss_mask selects only first tokens, which nothing predicts",
    ),
    "float tokens": (lambda: completion_mask(S[0], 1, 0), r"tokens must be an integer tensor \[B, L\]"),
    "nothing but a prompt": (lambda: completion_mask(TOKENS, 3, 0), "prompt must be a whole number from 0 to 2; got 3"),
    "samples of images": (lambda: sampled_reverse_kl(S[0], S[0], TOKENS[0]), r"\[B, L, V\], of whole sequences; got"),
    "a drawn token that the teacher rules out": (
        lambda: sampled_reverse_kl(S, S.index_fill(-1, torch.tensor(4), -math.inf), TOKENS),
        "the loss is inf",
    ),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_input_is_refused_with_what_was_got_and_what_was_expected(what):
    call, words = BAD[what]
    with pytest.raises(ValueError, match=f"(?s){words}"):
        call()


def test_inputs_are_left_as_they_were():
    for loss in LOSSES.values():
        inputs = random_logits(2, 3, 6), random_logits(2, 3, 6, seed=1), MASK.clone()
        before = [z.clone() for z in inputs]
        loss(*inputs[:2], mask=inputs[2])
        assert all(torch.equal(z, kept) for z, kept in zip(inputs, before, strict=True))


# --------------------------------------------------------------------------------------- large vocabularies


class Kept:
    """What autograd keeps for the way back."""

    def __init__(self, tensor):
        self.tensor = tensor


@pytest.mark.parametrize("name", ["kl", "reverse", "jsd"])
@pytest.mark.parametrize(("shape", "dtype"), [((11, 30), torch.float32), ((3, 7, 30), torch.bfloat16)])
@pytest.mark.parametrize("masked", [False, True])
def test_large_logits_are_taken_in_pieces_and_give_the_same(name, shape, dtype, masked, monkeypatch):
    student, teacher = (random_logits(*shape, seed=seed, dtype=torch.float32).to(dtype) for seed in range(2))
    mask = (torch.arange(math.prod(shape[:-1])) % 3 > 0).view(shape[:-1]) if masked else None
    if masked:
        student[~mask] = math.nan
    found = {}
    for size in 2**24, 4 * 30 + 5:  # 4 rows at once
        monkeypatch.setattr(rows_module, "PIECE", size)
        waiting, z = weakref.WeakSet(), student.clone().requires_grad_()

        def keep(tensor, waiting=waiting):
            waiting.add(kept := Kept(tensor))
            return kept

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda kept: kept.tensor):
            loss = LOSSES[name](z, teacher, mask=mask)
        much = sum(kept.tensor.numel() for kept in waiting) / z.numel()
        found[size] = loss, gradient(3 * loss, z), much
    (whole, slope, much), (pieces, other, little) = found.values()
    assert whole.item() == pieces.item() and whole.dtype == pieces.dtype
    assert torch.allclose(slope, other, rtol=1e-2 if dtype == torch.bfloat16 else 1e-5, atol=1e-6)
    assert little == 1 and much >= 3, "of all that a loss computes, only the gradient waits for the way back"


def test_in_pieces_a_loss_can_be_read_without_a_gradient(monkeypatch):
    monkeypatch.setattr(rows_module, "PIECE", 20)
    student, teacher = random_logits(9, 7), random_logits(9, 7, seed=1)
    expected = mean_of(kl, student, teacher, 1.0, None)
    assert reverse_kl(student, teacher).item() == pytest.approx(expected)
    with torch.no_grad():
        assert reverse_kl(student.requires_grad_(), teacher).item() == pytest.approx(expected)
