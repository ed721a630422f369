"""Answers to the exercises of notebook 06."""

import torch
import torch.nn.functional as F


def cos(s, z):
    return (s * z).sum(-1) / (s.norm(dim=-1) * z.norm(dim=-1))


def by_embedding_loss(s, z, m):
    return F.cosine_embedding_loss(s[m], z[m].detach(), torch.ones(int(m.sum())))


EXERCISES = {
    "masked_lm": (
        [
            lambda s, y: F.cross_entropy(s.flatten(0, 1), y.flatten()),
            lambda s, y: F.cross_entropy(s.transpose(1, 2), y),
            lambda s, y: F.cross_entropy(s[y != -100], y[y != -100]),
            lambda s, y: F.nll_loss(s.log_softmax(-1).view(-1, s.shape[-1]), y.view(-1), ignore_index=-100),
            lambda s, y: -s.log_softmax(-1)[y >= 0].gather(1, y[y >= 0][:, None]).mean(),
        ],
        {
            "you divided by all tokens": lambda s, y: F.cross_entropy(s.transpose(1, 2), y, reduction="none").mean(),
            "as if their label were token 0": lambda s, y: F.cross_entropy(s.flatten(0, 1), y.clamp(0).flatten()),
            "token 0 is a token too": lambda s, y: F.cross_entropy(s[y > 0], y[y > 0]),
            "make sentences and tokens one dimension first": lambda s, y: F.cross_entropy(s, y),
            "-100 is no word": lambda s, y: -s.log_softmax(-1).flatten(0, 1)[range(12), y.flatten()].mean(),
            "you added and did not divide": lambda s, y: F.cross_entropy(s.transpose(1, 2), y, reduction="sum"),
            "divided by the number of sentences": lambda s, y: (
                F.cross_entropy(s.transpose(1, 2), y, reduction="sum") / len(y)
            ),
            "averaged each sentence first": lambda s, y: sum(map(F.cross_entropy, s, y)) / len(s),
            "takes logits and does that itself": lambda s, y: F.cross_entropy(s.softmax(-1).transpose(1, 2), y),
            "the minus is missing": lambda s, y: -F.cross_entropy(s.transpose(1, 2), y),
            "words are the last dimension": lambda s, y: F.nll_loss(s.log_softmax(1).transpose(1, 2), y),
            "log_softmax first": lambda s, y: F.nll_loss(s.transpose(1, 2), y),
            "one number is wanted": lambda s, y: F.cross_entropy(s.transpose(1, 2), y, reduction="none"),
            "no gradient reaches the student": lambda s, y: F.cross_entropy(s.detach().transpose(1, 2), y),
        },
    ),
    "cosine_distance": (
        [
            lambda s, z, m: (1 - F.cosine_similarity(s[m], z[m].detach(), dim=-1)).mean(),
            lambda s, z, m: 1 - cos(s, z.detach())[m].mean(),
            by_embedding_loss,
            lambda s, z, m: ((1 - cos(s, z.detach())) * m).sum() / m.sum(),
            lambda s, z, m: 1 - (F.normalize(s[m], dim=-1) * F.normalize(z[m].detach(), dim=-1)).sum(-1).mean(),
        ],
        {
            "this is the cosine itself": lambda s, z, m: cos(s, z)[m].mean(),
            "not cos - 1": lambda s, z, m: (cos(s, z)[m] - 1).mean(),
            "the best is -1": lambda s, z, m: -cos(s, z)[m].mean(),
            "padding counts in yours": lambda s, z, m: (1 - cos(s, z)).mean(),
            "not out of the mean": lambda s, z, m: ((1 - cos(s, z)) * m).mean(),
            "counts as an angle": lambda s, z, m: (
                1 - F.cosine_similarity(s * m.unsqueeze(-1), z * m.unsqueeze(-1), dim=-1)
            ).mean(),
            "the mask is turned round": lambda s, z, m: (1 - cos(s, z))[~m].mean(),
            "you added and did not divide": lambda s, z, m: (1 - cos(s, z))[m].sum(),
            "by that of the tokens": lambda s, z, m: (1 - cos(s, z))[m].sum() / s.shape[0],
            "averaged each sentence first": lambda s, z, m: (
                sum((1 - cos(a[b], c[b])).mean() for a, c, b in zip(s, z, m, strict=True)) / len(s)
            ),
            "one angle for all tokens together": lambda s, z, m: (
                1 - F.cosine_similarity(s[m].view(-1), z[m].view(-1), dim=0)
            ),
            "dim=-1 for the last": lambda s, z, m: (1 - F.cosine_similarity(s, z))[m].mean(),
            "this is a dot product": lambda s, z, m: (1 - (s * z).sum(-1))[m].mean(),
            "a token is the last dimension": lambda s, z, m: (1 - F.cosine_similarity(s, z)).mean(),
            "one number is wanted": lambda s, z, m: (1 - cos(s, z))[m],
            "squared distance": lambda s, z, m: F.mse_loss(s[m], z[m]),
            "a gradient flows into the teacher": lambda s, z, m: (1 - cos(s, z))[m].mean(),
            "part of its side is cut off": lambda s, z, m: (1 - cos(s.detach(), z))[m].mean(),
        },
    ),
}
