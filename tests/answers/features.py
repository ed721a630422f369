"""Answers to the exercises of notebook 07."""

import math

import torch
import torch.nn.functional as F


def by_conv(s, t, w):
    return F.mse_loss(F.conv2d(s, w[:, :, None, None]), t.detach())


def projected(s, w):
    return (w @ s.flatten(2)).view(len(s), len(w), *s.shape[2:])


def products(f):
    rows = f.reshape(len(f), -1)
    return torch.stack([torch.stack([(one * other).sum() for other in rows]) for one in rows])


def without(logits, y):
    return torch.stack([torch.cat([row[:k], row[k + 1 :]]) for row, k in zip(logits, y.tolist(), strict=True)])


def kl(s, z, t):
    return F.kl_div((s / t).log_softmax(1), (z.detach() / t).softmax(1), reduction="batchmean")


def by_ruling_out(s, z, y, t):
    out = F.one_hot(y, s.shape[1]).bool()
    log_s, log_t = (x.masked_fill(out, -math.inf).div(t).log_softmax(1).masked_fill(out, 0.0) for x in (s, z.detach()))
    return (log_t.exp().masked_fill(out, 0.0) * (log_t - log_s)).sum(1).mean()


EXERCISES = {
    "projected_hint": (
        [
            by_conv,
            lambda s, t, w: F.mse_loss(projected(s, w), t.detach()),
            lambda s, t, w: ((torch.einsum("ts,bshw->bthw", w, s) - t.detach()) ** 2).mean(),
            lambda s, t, w: (F.linear(s.movedim(1, -1), w) - t.detach().movedim(1, -1)).square().mean(),
        ],
        {
            "you added and did not divide": lambda s, t, w: ((projected(s, w) - t) ** 2).sum(),
            "divided by the batch alone": lambda s, t, w: ((projected(s, w) - t) ** 2).sum() / len(s),
            "mean absolute difference": lambda s, t, w: F.l1_loss(projected(s, w), t),
            "of both signs cancel": lambda s, t, w: (projected(s, w) - t).mean(),
            "the root is too much": lambda s, t, w: F.mse_loss(projected(s, w), t) ** 0.5,
            "half of it": lambda s, t, w: 0.5 * F.mse_loss(projected(s, w), t),
            "the sign is turned": lambda s, t, w: -F.mse_loss(projected(s, w), t),
            "one number is wanted": lambda s, t, w: F.mse_loss(projected(s, w), t, reduction="none"),
            "sees only directions": lambda s, t, w: F.mse_loss(F.normalize(projected(s, w)), F.normalize(t)),
            "place by place": lambda s, t, w: F.mse_loss(projected(s, w).mean((2, 3)), t.mean((2, 3))),
            "project the student up": lambda s, t, w: F.mse_loss(s, (w.T @ t.flatten(2)).view_as(s)),
            "a gradient flows into the teacher": lambda s, t, w: F.mse_loss(projected(s, w), t),
            "no gradient reaches the student": lambda s, t, w: F.mse_loss(projected(s, w), t).item(),
            "no gradient reaches the projector": lambda s, t, w: F.mse_loss(projected(s, w.detach()), t.detach()),
            "stopped": lambda s, t, w: F.mse_loss(s, t.view(3, -1)),
        },
    ),
    "gram": (
        [
            lambda f: F.normalize(f.flatten(1) @ f.flatten(1).T),
            lambda f: products(f) / products(f).norm(dim=1, keepdim=True),
            lambda f: F.normalize(torch.einsum("bchw,dchw->bd", f, f), dim=1),
        ],
        {
            "rows are as they come": products,
            "not the rows of the table: these are cosines": lambda f: F.cosine_similarity(
                f.flatten(1)[:, None], f.flatten(1)[None], dim=-1
            ),
            "leave the features as long as they are": lambda f: F.normalize(
                F.cosine_similarity(f.flatten(1)[:, None], f.flatten(1)[None], dim=-1)
            ),
            "rows are dim=1": lambda f: products(f) / products(f).norm(dim=0),
            "sum of its absolute values": lambda f: products(f) / products(f).abs().sum(1, keepdim=True),
            "one number: each row": lambda f: products(f) / products(f).square().sum().sqrt(),
            "you took a softmax": lambda f: F.softmax(products(f), dim=1),
            "averaged the places away": lambda f: F.normalize(f.mean((2, 3)) @ f.mean((2, 3)).T),
            "these are distances": lambda f: F.normalize((f.flatten(1)[:, None] - f.flatten(1)[None]).norm(dim=-1)),
        },
    ),
    "other_classes": (
        [
            lambda s, z, y, t: kl(without(s, y), without(z, y), t),
            by_ruling_out,
        ],
        {
            "all classes are in it": lambda s, z, y, t: kl(s, z, t),
            "do not add up to 1": lambda s, z, y, t: (
                (without((z / t).softmax(1), y) * (without((z / t).log_softmax(1) - (s / t).log_softmax(1), y)))
                .sum(1)
                .mean()
            ),
            "is set to 0": lambda s, z, y, t: kl(
                s * (1 - F.one_hot(y, s.shape[1])), z * (1 - F.one_hot(y, s.shape[1])), t
            ),
            "T\\^2 is in it": lambda s, z, y, t: t**2 * kl(without(s, y), without(z, y), t),
            "makes no difference": lambda s, z, y, t: kl(without(s, y), without(z, y), 1.0),
            "swapped": lambda s, z, y, t: kl(without(z, y), without(s, y), t),
            "averaged over the classes": lambda s, z, y, t: F.kl_div(
                (without(s, y) / t).log_softmax(1), (without(z, y) / t).softmax(1), reduction="none"
            ).mean(),
            "you added over the batch": lambda s, z, y, t: kl(without(s, y), without(z, y), t) * len(s),
            "this is the cross-entropy": lambda s, z, y, t: F.cross_entropy(
                without(s, y) / t, (without(z, y) / t).softmax(1)
            ),
            "a gradient flows into the teacher": lambda s, z, y, t: F.kl_div(
                (without(s, y) / t).log_softmax(1), (without(z, y) / t).softmax(1), reduction="batchmean"
            ),
            "no gradient reaches the student": lambda s, z, y, t: kl(without(s, y), without(z, y), t).item(),
        },
    ),
}
