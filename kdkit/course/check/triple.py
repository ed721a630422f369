"""Exercises on two of DistilBERT's three losses; the third, on tokens, is ``sequence_kl`` of notebook 03."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from kdkit import losses
from kdkit.course.check import samples, words
from kdkit.course.check.judging import Verdict, judge
from kdkit.course.check.loss import and_trains
from kdkit.course.check.record import exercise


def _each_word(s, y):
    """The cross-entropy of each token ``[N, L]``, 0 where the label is -100."""
    return F.cross_entropy(s.transpose(1, 2), y, reduction="none")  # logits [N, L, V] -> [N, V, L]


def _over_words(loss, scores, y):
    """``loss`` of all tokens at once, the mean over those whose label is not -100."""
    return loss(scores.flatten(0, 1), y.flatten())  # [N, L, V] -> [N L, V], [N, L] -> [N L]


MASKED_LM_MISTAKES = {
    "you divided by all tokens: the mean is over the masked tokens alone, (labels != -100).sum() of them": (
        lambda s, y: _each_word(s, y).mean()
    ),
    "tokens that are not masked count in yours, as if their label were token 0: leave out those with label -100": (
        lambda s, y: _over_words(F.cross_entropy, s, y.clamp(min=0))  # -100 taken for a place from the end, or word 0
    ),
    "token 0 is a token too: masked is where the label is not -100": lambda s, y: F.cross_entropy(s[y > 0], y[y > 0]),
    "you added and did not divide: by the number of masked tokens": lambda s, y: _each_word(s, y).sum(),
    "you divided by the number of sentences: by that of the masked tokens is wanted": (
        lambda s, y: _each_word(s, y).sum() / len(s)
    ),
    "you averaged each sentence first: then a token in a sentence with few masked ones weighs more": (
        lambda s, y: (_each_word(s, y).sum(1) / (y != -100).sum(1)).mean()
    ),
    words.SOFTMAX_FIRST: (lambda s, y: _over_words(F.cross_entropy, s.softmax(-1), y)),
    words.MINUS: lambda s, y: -losses.hard_cross_entropy(s, y),
    words.OVER_TOKENS: (lambda s, y: _over_words(F.nll_loss, s.log_softmax(1), y)),
    "one number is wanted: average over the masked tokens": lambda s, y: _each_word(s, y)[y != -100],
    "one number is wanted: average over the masked tokens, which are those with another label than -100": _each_word,
    words.LOGIT_FOR_LOG: (lambda s, y: _over_words(F.nll_loss, s, y)),
}


@exercise
def masked_lm(function: Callable) -> Verdict:
    """Check ``function(student_logits [N, L, V], labels [N, L]) -> number``: the cross-entropy of masked tokens, the
    mean over them; where nothing is masked the label is -100.
    """
    cases = samples.cases(samples.sentences, masked_labels)
    verdict = judge(function, cases, losses.hard_cross_entropy, MASKED_LM_MISTAKES)
    return and_trains_alone(verdict, function, cases[0])


def and_trains_alone(verdict: Verdict, function: Callable, case: tuple) -> Verdict:
    """``and_trains`` for a loss without a teacher; ``case``: student logits ``[N, L, V]`` and labels ``[N, L]``."""

    def with_nobody(s, _, y):
        return function(s, y)

    ours = with_nobody if verdict.passed else function
    return and_trains(verdict, ours, (case[0], case[0], case[1]), lambda s, _, y: losses.hard_cross_entropy(s, y))


def _cos(s, z):
    """The cosine of the angle between two hidden states at each token."""
    return F.cosine_similarity(s, z, dim=-1)  # [N, L]


COSINE_MISTAKES = {
    "this is the cosine itself, which is 1 for equal directions: a loss has to fall, so take 1 - cos": (
        lambda s, z, m: _cos(s, z)[m].mean()
    ),
    "the sign is turned: 1 - cos, not cos - 1": lambda s, z, m: (_cos(s, z)[m] - 1).mean(),
    "this falls as it should, but the best is -1: add 1, so that it reads 0 there": lambda s, z, m: (
        -_cos(s, z)[m].mean()
    ),
    words.PADDING: lambda s, z, m: (1 - _cos(s, z)).mean(),
    words.MEAN_OF_ALL: (lambda s, z, m: ((1 - _cos(s, z)) * m).mean()),
    "padding is set to 0 before the cosine is taken, and counts as an angle then: select with the mask": (
        lambda s, z, m: (1 - _cos(s * m[..., None], z * m[..., None])).mean()
    ),
    words.MASK_TURNED: lambda s, z, m: (1 - _cos(s, z))[~m].mean() if (~m).any() else (1 - _cos(s, z)).mean(),
    words.TOKENS_NOT_DIVIDED: lambda s, z, m: (1 - _cos(s, z))[m].sum(),
    "you divided by the number of sentences: by that of the tokens, mask.sum()": (
        lambda s, z, m: (1 - _cos(s, z))[m].sum() / len(s)
    ),
    words.PER_SENTENCE: lambda s, z, m: (((1 - _cos(s, z)) * m).sum(1) / m.sum(1)).mean(),
    "you took one angle for all tokens together: one for each token, then the mean": (
        lambda s, z, m: 1 - F.cosine_similarity(s[m].flatten(), z[m].flatten(), dim=0)  # [tokens, H] -> [tokens H]
    ),
    "this is a dot product: divide by the lengths of both vectors": lambda s, z, m: (1 - (s * z).sum(-1))[m].mean(),
    "the cosine runs over the tokens (dim=1): the vector of a token is the last dimension, dim=-1": (
        lambda s, z, m: (1 - F.cosine_similarity(s, z, dim=1)).mean()
    ),
    words.PER_TOKEN: lambda s, z, m: (1 - _cos(s, z))[m],
    "this is the squared distance: it also sees how long a vector is, and the cosine only where it points": (
        lambda s, z, m: F.mse_loss(s[m], z[m])
    ),
}


@exercise
def cosine_distance(function: Callable) -> Verdict:
    """Check ``function(student_hidden [N, L, H], teacher_hidden [N, L, H], mask [N, L]) -> number``: 1 - cos of the
    angle between the two at each token, the mean over the tokens that the mask selects.
    """
    cases = samples.cases(samples.sentences, samples.sentences, samples.mask)
    verdict = judge(function, cases, losses.cosine_distance, COSINE_MISTAKES)
    return and_trains(verdict, function, cases[0], losses.cosine_distance, shielded=True)


def masked_labels(generator: torch.Generator) -> Tensor:
    """Labels ``[3, 4]`` of 7 tokens: 1, 2 and 3 of them masked in the sentences, in any order; -100 elsewhere."""
    count = torch.tensor([1, 2, 3])[torch.randperm(3, generator=generator)]
    order = torch.rand(3, 4, generator=generator).argsort(1)
    return torch.randint(7, (3, 4), generator=generator).where(order < count[:, None], -100)
