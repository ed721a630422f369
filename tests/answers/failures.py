"""Answers to the exercises of notebook 08."""

import math

import torch
import torch.nn.functional as F

from kdkit.measure import metrics


def table(p, y):
    """The mean soft target of each class."""
    return torch.stack([p[y == k].mean(0) for k in range(p.shape[1])])


def bits(p):
    return -(p * p.log2()).sum(-1)


def by_entropies(z, y, t):
    """The entropy of the mean, less the mean of the entropies."""
    p = (z / t).softmax(1)
    share = y.bincount(minlength=p.shape[1]) / len(y)
    return (share * bits(table(p, y))).sum() - bits(p).mean()


def by_kl_div(z, y, t):
    p = F.softmax(z / t, dim=1)
    return F.kl_div(table(p, y)[y].log(), p, reduction="batchmean") / math.log(2)


def by_loop(z, y, t):
    p, total = (z / t).softmax(1), 0.0
    for row, label in zip(p, y, strict=True):
        total += (row * (row / p[y == label].mean(0)).log2()).sum().item()
    return total / len(p)


def of_soft(compute):
    return lambda z, y, t: compute((z / t).softmax(1), y)


RIGHT = {
    "Alma": "class order",
    "Boris": "smoothed",
    "Chen": "kept answers",
    "Dora": "other inputs",
    "Emil": "learning rate",
}


def but(**wrong):
    return lambda: {**RIGHT, **wrong}


EXERCISES = {
    "beyond_class": (
        [by_entropies, by_kl_div, by_loop, metrics.beyond_class],
        {
            "in nats": lambda z, y, t: by_entropies(z, y, t) * math.log(2),
            "the temperature makes no difference": lambda z, y, t: by_entropies(z, y, 1.0),
            "you multiplied by the temperature": lambda z, y, t: by_entropies(z * t, y, 1.0),
            "the sign is turned": lambda z, y, t: -by_entropies(z, y, t),
            "the entropy of the mean target": of_soft(lambda p, y: bits(table(p, y)[y]).mean()),
            "the mean of the entropies, how undecided": of_soft(lambda p, y: bits(p).mean()),
            "the class itself counts": of_soft(lambda p, y: bits(p.mean(0)) - bits(p).mean()),
            "the two are swapped": of_soft(
                lambda p, y: F.kl_div(p.log(), table(p, y)[y], reduction="batchmean") / math.log(2)
            ),
            "averaged each class first": of_soft(
                lambda p, y: sum(bits(p[y == k].mean(0)) - bits(p[y == k]).mean() for k in range(4)) / 4
            ),
            "you averaged the logits": lambda z, y, t: (
                F.kl_div((table(z, y)[y] / t).log_softmax(1), (z / t).softmax(1), reduction="batchmean") / math.log(2)
            ),
            "group by the label": of_soft(lambda p, y: by_entropies(p.log(), p.argmax(1), 1.0)),
            "one number is wanted": of_soft(lambda p, y: (p * (p / table(p, y)[y]).log2()).sum(1)),
            "the mean is wanted": of_soft(lambda p, y: (p * (p / table(p, y)[y]).log2()).sum()),
            "averaged over the classes too": of_soft(lambda p, y: (p * (p / table(p, y)[y]).log2()).mean()),
            "belongs to a loss": lambda z, y, t: t * t * by_entropies(z, y, t),
            "divided by T|times 1/T": lambda z, y, t: by_entropies(z, y, t) / t,
        },
    ),
    "diagnosis": (
        [but(), lambda: dict(reversed(RIGHT.items()))],
        {
            "Alma: not other inputs: .* No other scale, colour order, size or crop": but(Alma="other inputs"),
            "Boris: not memorised: .* The teacher is right about as often": but(Boris="memorised"),
            "Chen: not class order: 99.* No other order of the classes": but(Chen="class order"),
            "Chen: learning rate .* is what follows": but(Chen="learning rate"),
            "Dora: not train mode: eval. The teacher's BatchNorm": but(Dora="train mode"),
            "Emil: not kept answers: no kept answers were given": but(Emil="kept answers"),
            "Emil: 'lazy' is none of smoothed, memorised": but(Emil="lazy"),
            "4 of 5 diagnoses are right": but(Dora="missing class"),
            "a dict of name to word is wanted": lambda: "smoothed",
        },
    ),
}
