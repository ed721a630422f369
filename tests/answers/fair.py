"""Answers to the exercises of notebook 04."""

import math

import torch
import torch.nn.functional as F
from scipy.stats import t


def by_hand(s, z):
    rows = torch.arange(len(s))
    return -s.log_softmax(1)[rows, z.argmax(1)].mean()


def by_metrics(a, b):
    from kdkit.measure.metrics import paired_interval

    pair = paired_interval(b, baseline=a)
    return pair.high - pair.mean


def quantile(n, share=0.975):
    return t.ppf(share, n - 1)


EXERCISES = {
    "argmax_loss": (
        [
            lambda s, z: F.cross_entropy(s, z.argmax(dim=1)),
            by_hand,
            lambda s, z: F.nll_loss(F.log_softmax(s, 1), z.max(1).indices),
            lambda s, z: F.cross_entropy(s, F.one_hot(z.argmax(1), z.shape[1]).float()),
            lambda s, z: F.cross_entropy(s.double(), z.softmax(1).argmax(1)),
        ],
        {
            "only the likeliest class counts": lambda s, z: F.cross_entropy(s, F.softmax(z, dim=1)),
            "roles are swapped": lambda s, z: F.cross_entropy(z, s.argmax(1)),
            "learn from itself": lambda s, z: F.cross_entropy(s, s.argmax(1)),
            "argmax, not argmin": lambda s, z: F.cross_entropy(s, z.argmin(1)),
            "takes logits and does that itself": lambda s, z: F.cross_entropy(F.softmax(s, 1), z.argmax(1)),
            "the mean is wanted": lambda s, z: F.cross_entropy(s, z.argmax(1), reduction="sum"),
            "minus is missing": lambda s, z: s.log_softmax(1)[range(len(s)), z.argmax(1)].mean(),
            "one number for the whole batch": lambda s, z: F.cross_entropy(s, z.argmax(1), reduction="none"),
            "no gradient reaches the student": lambda s, z: F.cross_entropy(s.detach(), z.argmax(1)),
            "cuts it off": lambda s, z: F.cross_entropy(s, z.argmax(1)).item(),
            "log_softmax first": lambda s, z: F.nll_loss(s, z.argmax(1)),
            "one for each image|one label for each image": lambda s, z: F.cross_entropy(s, z.argmax(0)),
            "is the `return` missing": lambda s, z: None,
        },
    ),
    "margin_of_error": (
        [
            lambda a, b: quantile(len(a)) * (b - a).std() / math.sqrt(len(a)),
            lambda a, b: quantile(len(a)) * (a - b).std() / len(a) ** 0.5,
            lambda a, b: torch.tensor(t.interval(0.95, len(a) - 1, 0, (b - a).std() / math.sqrt(len(a)))[1]),
            by_metrics,
        ],
        {
            "unrelated groups: what varies": lambda a, b: quantile(len(a)) * ((a.var() + b.var()) / len(a)).sqrt(),
            "unrelated groups: subtract": lambda a, b: (
                t.ppf(0.975, 2 * len(a) - 2) * ((a.var() + b.var()) / len(a)).sqrt()
            ),
            "the t quantile is larger": lambda a, b: 1.96 * (b - a).std() / math.sqrt(len(a)),
            "n - 1 degrees of freedom": lambda a, b: t.ppf(0.975, len(a)) * (b - a).std() / math.sqrt(len(a)),
            r"2\.5 % on each side": lambda a, b: quantile(len(a), 0.95) * (b - a).std() / math.sqrt(len(a)),
            "leave std.* as it is": lambda a, b: quantile(len(a)) * (b - a).std(correction=0) / math.sqrt(len(a)),
            "square root of n: that is how far": lambda a, b: quantile(len(a)) * (b - a).std(),
            "the more seeds, the shorter": lambda a, b: quantile(len(a)) * (b - a).std() * math.sqrt(len(a)),
            "has it already": lambda a, b: quantile(len(a)) * (b - a).std() / math.sqrt(len(a) - 1),
            "twice the standard error": lambda a, b: 2 * (b - a).std() / math.sqrt(len(a)),
            "an end of the interval": lambda a, b: (
                (b - a).mean() + quantile(len(a)) * (b - a).std() / math.sqrt(len(a))
            ),
            "with 1.96": lambda a, b: 1.96 * ((a.var() + b.var()) / len(a)).sqrt(),
            "one of the two": lambda a, b: quantile(len(a)) * b.std() / math.sqrt(len(a)),
            "instead of its square root": lambda a, b: quantile(len(a)) * (b - a).std() / len(a),
            "the standard error": lambda a, b: (b - a).std() / math.sqrt(len(a)),
            "the whole width": lambda a, b: 2 * quantile(len(a)) * (b - a).std() / math.sqrt(len(a)),
            "the mean difference itself": lambda a, b: (b - a).mean(),
            "has the unit of an accuracy": lambda a, b: quantile(len(a)) * (b - a).var() / math.sqrt(len(a)),
        },
    ),
}
