"""Exercises on models that write."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from kdkit import losses
from kdkit.course.check import judging, samples, words
from kdkit.course.check.judging import Verdict, judge
from kdkit.course.check.loss import SOFT_CHANGES, TOKEN_CHANGES, and_far, and_trains, each_term, mean_of_tokens
from kdkit.course.check.record import exercise

# ------------------------------------------------------------------------------------- shifted by one, and masked


def _text(generator: torch.Generator) -> tuple[Tensor, Tensor, int, int]:
    """Logits ``[3, 6, 7]`` of tokens ``[3, 6]``: a prompt of 1 or 2, answers of 1, 2 and 3, and ends that also pad."""
    prompt, end = (int(torch.randint(n, (), generator=generator)) for n in (2, 7))
    tokens = (end + 1 + torch.randint(6, (3, 6), generator=generator)) % 7
    stops = 1 + prompt + torch.tensor([1, 2, 3])[torch.randperm(3, generator=generator)]
    tokens = tokens.masked_fill(torch.arange(6) >= stops[:, None], end)
    return torch.randn(3, 6, 7, generator=generator) * 4, tokens, 1 + prompt, end


def _mean(each, m):
    return each[m].mean()


def _after(tokens: Tensor, prompt: int) -> Tensor:
    return torch.arange(tokens.shape[1]).expand_as(tokens) >= prompt


def _written(*, by=1, mask=losses.completion_mask, of_logits=False, over=_mean, log=True, sign=1):
    """A function of logits, tokens, prompt and end: the mean cross-entropy of the answers' tokens, or with mistakes.

    ``by``: how far labels are shifted. ``mask``: which tokens count; ``of_logits``: it is taken at the logits' places.
    """

    def loss(logits, tokens, prompt, end):
        m, length = mask(tokens, prompt, end), tokens.shape[1] - abs(by)
        here, there = slice(max(-by, 0), max(-by, 0) + length), slice(max(by, 0), max(by, 0) + length)
        said = logits.log_softmax(-1) if log else logits.softmax(-1).log_softmax(-1)
        nll = -said[:, here].gather(-1, tokens[:, there, None]).squeeze(-1)
        return sign * over(nll, m[:, here if of_logits else there])

    return loss


SHIFT_CHANGES: dict[str, dict[str, Any]] = {
    "nothing is shifted: what the model says at i is about token i + 1, and yours has it repeat token i": {"by": 0},
    "it is shifted twice: the labels are two tokens on. Shift either logits and labels here, or not at all where "
    "`labels=` does it inside": {"by": 2},
    "it is shifted the wrong way: what the model says at i is about token i + 1, so logits[:, :-1], tokens[:, 1:]": {
        "by": -1
    },
    "the mask is not shifted with the labels: it tells which tokens are to be learnt, so mask[:, 1:]": {
        "of_logits": True
    },
    "the prompt counts in yours: only the answer is to be learnt": {
        "mask": lambda tokens, prompt, end: losses.completion_mask(tokens, 0, end)
    },
    "the first token of the answer does not count in yours: it stands at tokens[:, prompt]": {
        "mask": lambda tokens, prompt, end: losses.completion_mask(tokens, prompt, end) & _after(tokens, prompt + 1)
    },
    "the end is masked away with the padding, since both are the same token: so the student never learns to stop. The "
    "first end after the prompt counts": {"mask": lambda tokens, prompt, end: _after(tokens, prompt) & (tokens != end)},
    "the padding counts in yours: nothing is to be learnt behind the first end": {
        "mask": lambda tokens, prompt, end: _after(tokens, prompt)
    },
    "all tokens count in yours: prompt and padding are not to be learnt": {
        "mask": lambda tokens, prompt, end: _after(tokens, 0)
    },
    "the prompt counts, and the end does not": {"mask": lambda tokens, prompt, end: tokens != end},
    "you left tokens out of the sum but not out of the mean: divide by the number of tokens that count": {
        "over": lambda nll, m: (nll * m).mean()
    },
    words.DIVIDED_TWICE: {"over": lambda nll, m: nll[m].mean() / len(m)},
    "you divided by the sentences: divide by the number of tokens that count": {
        "over": lambda nll, m: nll[m].sum() / len(m)
    },
    "you added and did not divide: by the number of tokens that count": {"over": lambda nll, m: nll[m].sum()},
    words.PER_SENTENCE: {"over": lambda nll, m: ((nll * m).sum(1) / m.sum(1)).mean()},
    words.PER_TOKEN: {"over": lambda nll, m: nll[m]},
    words.SOFTMAX_FIRST: {"log": False},
    words.MINUS: {"sign": -1},
}
SHIFT_MISTAKES = judging.two_at_once(_written, SHIFT_CHANGES)


@exercise
def shift_and_mask(function: Callable) -> Verdict:
    """Check ``function(logits [B, L, V], tokens [B, L], prompt, end) -> number``: the cross-entropy with the next
    tokens, the mean over those of the answer: after ``prompt`` tokens, up to the first ``end``, which counts; ``end``
    also is the padding.
    """
    generator = samples.fresh_generator()
    cases = [_text(generator) for _ in range(samples.ROUNDS)]
    return judge(function, cases, _written(), *SHIFT_MISTAKES)


# ------------------------------------------------------------------------------------- reverse KL


def _one(t):
    return 1.0


def _backwards(
    *, factor: Callable = _one, over: Callable = mean_of_tokens, swap: bool = True, **change: Any
) -> Callable:
    """A function of student and teacher logits ``[B, L, V]``, a mask, T: KL(student || teacher), or a mistaken one."""
    return lambda s, z, m, t: factor(t) * over(each_term(s, z, t, swap=swap, **change), m)


OWN_ENTROPY = (
    "this is -sum_i s_i log t_i: subtract the student's entropy, or it is drawn to the teacher's first choice alone"
)
REVERSE_CHANGES: dict[str, dict[str, Any]] = {
    "this is KL(teacher || student): here the student's probabilities weigh. F.kl_div(input, target) is KL(target || "
    "input's): the teacher's log_softmax first, the student's second": {"swap": False},
    "F.kl_div wants the LOGARITHM in first place: the teacher's log_softmax": {"log": False},
    "the student's raw logits stand before the logarithms as weights, and are no probabilities: softmax first": {
        "weights": lambda s, t: s
    },
    OWN_ENTROPY: {"entropy": False},
    words.ONLY_TEACHER: {"teacher_t": _one},
    words.ONLY_STUDENT: {"student_t": _one},
    "the teacher's probabilities weigh: s_i (log s_i - log t_i) is wanted, and yours is t_i (log s_i - log t_i)": {
        "swap": False,
        "factor": lambda t: -1.0,
    },
    words.SQUARE: {"factor": lambda t: t**2},
    words.NAN: {"factor": lambda t: math.nan},
    **{mistake: SOFT_CHANGES[mistake] for mistake in (words.NO_TEMPERATURE, words.MULTIPLIED)},
    **TOKEN_CHANGES,
    words.DIVIDED_TWICE: {"over": lambda each, m: mean_of_tokens(each, m) / len(m)},
}
REVERSE_MISTAKES = judging.two_at_once(_backwards, REVERSE_CHANGES)
WEIGHTS_CUT = (
    "not yet: the number is right, but the student's probabilities are cut off where they weigh (.detach(), or a "
    "target without gradient): they must learn as well, for they say where the student puts its mass"
)


@exercise
def reverse_kl(function: Callable) -> Verdict:
    """Check ``function(student_logits [B, L, V], teacher_logits [B, L, V], mask [B, L], temperature) -> number``:
    KL(student || teacher), the mean over the tokens that the mask selects, without T^2.
    """
    right, others = _backwards(), (samples.mask, samples.temperature)
    cases = samples.cases(samples.sentences, samples.sentences, *others)
    far = samples.cases(samples.far_apart_sentences, samples.far_apart_sentences, *others)[0]
    verdict = and_far(judge(function, cases, right, *REVERSE_MISTAKES), function, far, right)

    def cut(s, z, m, t):
        log_s, log_t = (s / t).log_softmax(-1), (z / t).log_softmax(-1)
        return mean_of_tokens(log_s.exp().detach() * (log_s - log_t), m)

    return _and_not(verdict, function, cases[0], cut, WEIGHTS_CUT) or and_trains(
        verdict, function, cases[0], right, shielded=True
    )


def _and_not(verdict: Verdict, function: Callable, case: tuple, wrong: Callable, message: str) -> Verdict | None:
    """Of an answer whose numbers are right: ``message`` where its gradient is that of ``wrong``; else None."""
    if not verdict.passed:
        return None
    try:
        mine, other = (_slope(loss, case) for loss in (function, wrong))
    except Exception:
        return None  # the next check says what is the matter
    return Verdict(False, message) if torch.allclose(mine, other, rtol=1e-3, atol=judging.TOLERANCE) else None


def _slope(loss: Callable, case: tuple) -> Tensor:
    return samples.gradient(lambda student: loss(student * 1, *case[1:]), case[0])  # no leaf: it may be changed


# ------------------------------------------------------------------------------------- one step of on-policy


def _drawn(logits: Tensor, tokens: Tensor) -> Tensor:
    return logits.log_softmax(-1).gather(-1, tokens[..., None]).squeeze(-1)


def _weighted(log_s, log_t):
    return (log_s - log_t).detach() * log_s


def _on_policy(*, each=_weighted, over=_mean, swap=False, full=None):
    """A function of student and teacher logits ``[B, L, V]``, drawn tokens and a mask ``[B, L]``: right, or mistaken.

    ``each(log_s, log_t)`` of the drawn tokens; ``full(log_s, log_t)``, in its place, of all ``[B, L, V]``.
    """

    def loss(s, z, tokens, m):
        s, z = (z, s) if swap else (s, z)
        if full is not None:
            return over(full(s.log_softmax(-1), z.log_softmax(-1)), m)
        return over(each(_drawn(s, tokens), _drawn(z, tokens)), m)

    return loss


ON_POLICY_CHANGES: dict[str, dict[str, Any]] = {
    "this is log s - log t itself (k1). Its average is the reverse KL, but its gradient is 0 on average: it learns "
    "nothing. Let the difference, detached, weigh log s": {"each": lambda log_s, log_t: log_s - log_t},
    "this is t/s - 1 - log t/s (k3). As a loss it follows the FORWARD KL: let (log s - log t), detached, weigh log s": {
        "each": lambda log_s, log_t: (log_t - log_s).exp() - 1 - (log_t - log_s)
    },
    "this is half the square (k2): it follows the same gradient, but here (log s - log t), detached, times log s is "
    "wanted": {"each": lambda log_s, log_t: (log_s - log_t).square() / 2},
    "the sign is turned: it makes likelier what the teacher finds unlikely": {
        "each": lambda log_s, log_t: -_weighted(log_s, log_t)
    },
    "this is the cross-entropy with the student's own text: the teacher is not asked": {
        "each": lambda log_s, log_t: -log_s
    },
    "the teacher's log-probability alone weighs: take it off the student's, or the student is drawn to one sentence": {
        "each": lambda log_s, log_t: -log_t * log_s
    },
    "the probabilities weigh, not their logarithms: (log s - log t) is wanted": {
        "each": lambda log_s, log_t: (log_s.exp() - log_t.exp()) * log_s
    },
    "the log-probability of the teacher is what you train: log s must stand behind the weight": {
        "each": lambda log_s, log_t: (log_s - log_t) * log_t
    },
    "this is the full reverse KL, over all words: here only the drawn token is looked at": {
        "full": lambda log_s, log_t: (log_s.exp() * (log_s - log_t)).sum(-1)
    },
    "student and teacher are swapped: it is the student that has drawn the tokens, and learns": {"swap": True},
    words.PADDING: {"over": lambda each, m: each.mean()},
    words.MEAN_OF_ALL: {"over": lambda each, m: (each * m).mean()},
    words.TOKENS_NOT_DIVIDED: {"over": lambda each, m: each[m].sum()},
    "you divided by the sentences: divide by the number of tokens, mask.sum()": {
        "over": lambda each, m: each[m].sum() / len(m)
    },
    words.DIVIDED_TWICE: {"over": lambda each, m: _mean(each, m) / len(m)},
    words.PER_SENTENCE: {"over": lambda each, m: ((each * m).sum(1) / m.sum(1)).mean()},
    words.PER_TOKEN: {"over": lambda each, m: each[m]},
    words.MASK_TURNED: {"over": lambda each, m: _mean(each, ~m if (~m).any() else m)},
}
ON_POLICY_MISTAKES = judging.two_at_once(_on_policy, ON_POLICY_CHANGES)
WEIGHT_LEARNS = (
    "not yet: the number is right, but a gradient flows through the weight too: (log s - log t) tells how good the "
    "drawn token is, and is to be a plain number: .detach() it"
)


def _tokens(generator: torch.Generator) -> Tensor:
    return torch.randint(7, (3, 4), generator=generator)


@exercise
def on_policy(function: Callable) -> Verdict:
    """Check ``function(student_logits [B, L, V], teacher_logits [B, L, V], tokens [B, L], mask [B, L]) -> number``: the
    single-sample policy gradient of the reverse KL, for tokens that the student has drawn from these logits (already
    shifted): the mean of (log s - log t) log s, the difference detached.
    """
    right = _on_policy()
    cases = samples.cases(samples.sentences, samples.sentences, _tokens, samples.mask)
    verdict = judge(function, cases, right, *ON_POLICY_MISTAKES)
    through = _on_policy(each=lambda log_s, log_t: (log_s - log_t.detach()) * log_s)
    return _and_not(verdict, function, cases[0], through, WEIGHT_LEARNS) or and_trains(
        verdict, function, cases[0], right, shielded=True
    )


# ------------------------------------------------------------------------------------- the k likeliest and a tail


def _known(s, z, k):
    """log-probabilities of student and teacher ``[B, k]`` at the teacher's ``k`` likeliest classes, and those."""
    first = z.topk(k, -1).indices
    return s.log_softmax(-1).gather(-1, first), z.log_softmax(-1).gather(-1, first), first


def _others(logits, first):
    """The log-probability ``[B, 1]`` of all classes but ``first`` ``[B, k]``."""
    return logits.log_softmax(-1).scatter(-1, first, -math.inf).logsumexp(-1, keepdim=True)


def _with_tail(s, z, k):
    log_s, log_t, first = _known(s, z, k)
    return torch.cat([log_s, _others(s, first)], -1), torch.cat([log_t, _others(z, first)], -1)


def _alone(s, z, k):
    return _known(s, z, k)[:2]


def _renormalised(s, z, k):
    return tuple(x.log_softmax(-1) for x in _alone(s, z, k))


def _teacher_renormalised(s, z, k):
    log_s, log_t = _alone(s, z, k)
    return log_s, log_t.log_softmax(-1)


def _own_first(s, z, k):
    log_s, log_t = (x.log_softmax(-1) for x in (s, z))
    first = s.topk(k, -1).indices
    return tuple(torch.cat([x.gather(-1, first), _others(x, first)], -1) for x in (log_s, log_t))


def _both_sorted(s, z, k):
    found = []
    for x in s, z:
        values, first = x.log_softmax(-1).topk(k, -1)
        found.append(torch.cat([values, _others(x, first)], -1))
    return tuple(found)


def _top_k(*, of=_with_tail, swap=False, over=lambda each: each.sum(-1).mean(), entropy=True):
    """A function of student and teacher logits ``[B, V]`` and k: the KL of k + 1 classes, or with mistakes."""

    def loss(s, z, k):
        log_s, log_t = of(s, z, k)
        log_s, log_t = (log_t, log_s) if swap else (log_s, log_t)
        return over(log_t.exp() * ((log_t if entropy else 0) - log_s))

    return loss


TOP_K_CHANGES: dict[str, dict[str, Any]] = {
    "the tail is missing: the k probabilities do not add up to 1, so this is no KL, and falls below 0 for a student "
    "that is too sure of them. All other words together are one class more": {"of": _alone},
    "you renormalised: then what the student gives all other words costs nothing. They are one class more": {
        "of": _renormalised
    },
    "the teacher's k probabilities are renormalised, the student's are not: leave both as they are, and add the tail": {
        "of": _teacher_renormalised
    },
    "these are the student's k likeliest words: it is the teacher that chooses, and the student is looked up there": {
        "of": _own_first
    },
    "each side has its own k likeliest words, so different words are compared: student.gather(-1, teacher's indices)": {
        "of": _both_sorted
    },
    "all words are told apart: this is the full KL": {"of": lambda s, z, k: (s.log_softmax(-1), z.log_softmax(-1))},
    words.SWAPPED: {"swap": True},
    words.CROSS_ENTROPY: {"entropy": False},
    words.CLASSES_TOO: {"over": Tensor.mean},
    words.NOT_DIVIDED: {"over": Tensor.sum},
    words.PER_IMAGE: {"over": lambda each: each.sum(-1)},
    "you averaged over the k classes too: it is a sum over them": {"over": lambda each: each[:, :-1].mean()},
}
TOP_K_MISTAKES = judging.two_at_once(_top_k, TOP_K_CHANGES)


def _flat(generator: torch.Generator) -> Tensor:
    """Logits ``[5, 7]`` whose tail is never nearly empty, so that 1 less the k probabilities is good enough."""
    return samples.logits(generator) / 2


def _k(generator: torch.Generator) -> int:
    return int(torch.randint(2, 5, (), generator=generator))


@exercise
def top_k_tail(function: Callable) -> Verdict:
    """Check ``function(student_logits [B, V], teacher_logits [B, V], k) -> number``: KL(teacher || student) of k + 1
    classes, the teacher's k likeliest words and all others together; the mean over the batch.
    """
    cases = samples.cases(_flat, _flat, _k)
    return and_trains(judge(function, cases, _top_k(), *TOP_K_MISTAKES), function, cases[0], _top_k(), shielded=True)
