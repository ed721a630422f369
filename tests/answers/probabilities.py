"""Answers to the exercises of notebooks 01 and 02."""

import torch
import torch.nn.functional as F


def masked(p, y):
    p = p.clone()
    p[torch.arange(len(p)), y] = 0
    return p


def columns_out(p, y):
    p = p.clone()
    p[:, y] = -1
    return p


def by_loop(z, y):
    p = z.softmax(-1)
    return torch.stack([p[y == k].mean(dim=0) for k in range(z.shape[1])])


def by_one_hot(z, y):
    member = F.one_hot(y, z.shape[1]).float()
    return member.T @ z.softmax(1) / member.sum(0)[:, None]


def by_autograd(s, z, t):
    s.requires_grad_()
    of_kl(z, t)(s).backward()
    return s.grad


def of_kl(z, t):
    return lambda s: F.kl_div((s / t).log_softmax(1), (z / t).softmax(1), reduction="batchmean") * t * t


def with_grad(s, z, t):
    s = s.clone().requires_grad_()
    return torch.autograd.grad(of_kl(z, t)(s), s)[0]


def by_functional_grad(s, z, t):
    return torch.func.grad(of_kl(z, t))(s)


def soft(z, t):
    return (z / t).softmax(1)


EXERCISES = {
    "soft_targets": (
        [
            lambda z, t: (z / t).softmax(dim=1),
            lambda z, t: F.softmax(z / t, -1),
            lambda z, t: (z / t).exp() / (z / t).exp().sum(1, keepdim=True),
            lambda z, t: (z / t).log_softmax(1).exp(),
            lambda z, t: torch.softmax(z.double() / t, 1),
        ],
        {
            "numbers are right, but your function changes what it was given": lambda z, t: z.div_(t).softmax(1),
            "multiplied by the temperature.*Besides, your function changes": lambda z, t: z.mul_(t).softmax(1),
            "a 4 stands where the temperature belongs": lambda z, t: (z / 4).softmax(1),
            "two things at once. First, a 4 .* Second, these are log-prob": lambda z, t: (z / 4).log_softmax(1),
            "multiplied by the temperature": lambda z, t: (z * t).softmax(1),
            "makes no difference": lambda z, t: z.softmax(1),
            "before the softmax": lambda z, t: z.softmax(1) / t,
            "runs over the batch": lambda z, t: (z / t).softmax(0),
            "log-probabilities": lambda z, t: (z / t).log_softmax(1),
            "softmax twice": lambda z, t: (z / t).softmax(1).softmax(1),
            "largest difference to the right answer is 0": lambda z, t: (z / t).softmax(1) / 2,
            "largest difference to the right answer is inf": lambda z, t: z * float("nan"),
            r"shape \[7\]; expected \[5, 7\]": lambda z, t: (z / t).softmax(1)[0],
            "is the `return` missing": lambda z, t: None,
            "gives list; a tensor": lambda z, t: (z / t).softmax(1).tolist(),
            r"F\.softmax\(z / t, dim=5\).*IndexError.*Hint: classes are the last": (
                lambda z, t: F.softmax(z / t, dim=5)
            ),
            "stopped at .*NameError.*Hint: run the cells above": lambda z, t: z / t / missing,  # noqa: F821
        },
    ),
    "second_choice": (
        [
            lambda p, y: masked(p, y).argmax(1),
            lambda p, y: masked(p, y).topk(1).indices[:, 0],
            lambda p, y: (p - 2 * F.one_hot(y, p.shape[1])).argmax(-1),
        ],
        {
            "leave the label out": lambda p, y: p.argmax(dim=1),
            "where the network errs": lambda p, y: p.topk(2).indices[:, 1],
            "these are probabilities": lambda p, y: masked(p, y).max(1).values,
            "least likely": lambda p, y: p.argmin(1),
            "second least likely": lambda p, y: p.argsort(dim=1)[:, 1],
            "names whole columns": lambda p, y: columns_out(p, y).argmax(1),
            "moved up by one": lambda p, y: torch.stack(
                [torch.tensor([v for k, v in enumerate(row) if k != c]).argmax() for row, c in zip(p, y, strict=True)]
            ),
        },
    ),
    "mean_soft_targets": (
        [by_loop, by_one_hot],
        {
            "averaged the logits": lambda z, y: torch.stack([z[y == k].mean(0) for k in range(4)]).softmax(-1),
            "softmax is missing": lambda z, y: torch.stack([z[y == k].mean(0) for k in range(4)]),
            "swapped": lambda z, y: by_loop(z, y).t(),
            "added up": lambda z, y: F.one_hot(y, 4).float().T @ z.softmax(1),
            r"take logits.shape\[1\], not 10 \(shape \[10, 4\]": lambda z, y: torch.stack(
                [z.softmax(1)[y == k].mean(0) for k in range(10)]
            ),
            "number of all images": lambda z, y: F.one_hot(y, 4).float().T @ z.softmax(1) / len(z),
            "log-probabilities": lambda z, y: torch.stack([z.log_softmax(1)[y == k].mean(0) for k in range(4)]),
            "group by the label": lambda z, y: by_loop(z, z.argmax(1)),
            "runs over the images": lambda z, y: torch.stack([z.softmax(0)[y == k].mean(0) for k in range(4)]),
        },
    ),
    "entropy": (
        [
            lambda p: -torch.special.xlogy(p, p).sum(1) / torch.tensor(2.0).log(),
            lambda p: -(p * p.clamp(min=1e-30).log2()).sum(-1),
            lambda p: torch.special.entr(p).sum(1) / torch.tensor(2.0).log(),
        ],
        {
            r"0 gave nan: 0 times": lambda p: -(p * torch.log2(p)).sum(1),
            "0 gave nan, and the logarithm is the natural one": lambda p: -(p * p.log()).sum(1),
            "First, this is in nats.* Second, that is multiplied by 1/C": lambda p: torch.special.entr(p).mean(1),
            "in nats": lambda p: torch.special.entr(p).sum(1),
            "sign is wrong": lambda p: (p * p.clamp(min=1e-30).log2()).sum(1),
            "averaged over the classes": lambda p: -(p * p.clamp(min=1e-30).log2()).mean(1),
            "base 10": lambda p: -(p * p.clamp(min=1e-30).log10()).sum(1),
            "weighted with its probability": lambda p: -p.clamp(min=1e-30).log2().sum(1),
            "no further softmax": lambda p: -(p.softmax(1) * p.log_softmax(1)).sum(1) / torch.tensor(2.0).log(),
            r"dim=0": lambda p: -(p * p.clamp(min=1e-30).log2()).sum(0),
            "averaged over the images": lambda p: -(p * p.clamp(min=1e-30).log2()).sum(1).mean(),
            "added over the images": lambda p: -(p * p.clamp(min=1e-30).log2()).sum(),
            r"shape \[7\]; expected \[6\]": lambda p: p.sum(0) * 3,
        },
    ),
    "kl_divergence": (
        [
            lambda s, z, t: F.kl_div((s / t).log_softmax(1), soft(z, t), reduction="batchmean"),
            lambda s, z, t: (soft(z, t) * ((z / t).log_softmax(1) - (s / t).log_softmax(1))).sum(1).mean(),
            lambda s, z, t: F.kl_div((s / t).log_softmax(1), soft(z, t), reduction="batchmean").item(),
        ],
        {
            "swapped": lambda s, z, t: F.kl_div((z / t).log_softmax(1), soft(s, t), reduction="batchmean"),
            "1,000 apart yours is (nan|inf): the softmax rounds to 0": lambda s, z, t: (
                (soft(z, t) * (soft(z, t).log() - soft(s, t).log())).sum(1).mean()
            ),
            "1,000 apart yours is (inf|nan)": lambda s, z, t: F.kl_div(
                soft(s, t).log(), soft(z, t), reduction="batchmean"
            ),
            "1,000 apart yours is .*something small is added": lambda s, z, t: F.kl_div(
                (soft(s, t) + 1e-9).log(), soft(z, t), reduction="batchmean"
            ),
            "numbers are right, but your function changes": lambda s, z, t: F.kl_div(
                s.div_(t).log_softmax(1), z.div_(t).softmax(1), reduction="batchmean"
            ),
            "a 4 stands": lambda s, z, t: F.kl_div((s / 4).log_softmax(1), soft(z, 4), reduction="batchmean"),
            "First, student and teacher are swapped.* Second, .*too small by their number": lambda s, z, t: F.kl_div(
                (z / t).log_softmax(1), soft(s, t), reduction="none"
            ).mean(),
            "First, F.kl_div wants the LOGARITHM.* Second, only the teacher is softened": lambda s, z, t: F.kl_div(
                s.softmax(1), soft(z, t), reduction="batchmean"
            ),
            r"First, only the student is softened.* Second, the factor T\^2 is in it": lambda s, z, t: (
                t**2 * F.kl_div((s / t).log_softmax(1), z.softmax(1), reduction="batchmean")
            ),
            "log_softmax on that side": lambda s, z, t: F.kl_div(soft(s, t), soft(z, t), reduction="batchmean"),
            "softmax second: logarithms": lambda s, z, t: F.kl_div(
                (s / t).log_softmax(1), (z / t).log_softmax(1), reduction="batchmean"
            ),
            "bare logits in second place": lambda s, z, t: F.kl_div(
                (s / t).log_softmax(1), z / t, reduction="batchmean"
            ),
            "runs over the batch": lambda s, z, t: F.kl_div(
                (s / t).log_softmax(0), (z / t).softmax(0), reduction="batchmean"
            ),
            "one number is wanted": lambda s, z, t: (soft(z, t) * (soft(z, t).log() - soft(s, t).log())).sum(1),
            "First, F.kl_div wants the LOGARITHM.* Second, you averaged": lambda s, z, t: F.kl_div(
                soft(s, t), soft(z, t), reduction="none"
            ).mean(),
            r"times -1": lambda s, z, t: -F.kl_div((s / t).log_softmax(1), soft(z, t), reduction="batchmean"),
            "averaged over the classes": lambda s, z, t: F.kl_div(
                (s / t).log_softmax(1), soft(z, t), reduction="none"
            ).mean(),
            "did not divide by its size": lambda s, z, t: F.kl_div((s / t).log_softmax(1), soft(z, t), reduction="sum"),
            "you multiplied": lambda s, z, t: F.kl_div((s * t).log_softmax(1), soft(z, 1 / t), reduction="batchmean"),
            "makes no difference": lambda s, z, t: F.kl_div(s.log_softmax(1), z.softmax(1), reduction="batchmean"),
            "only the teacher is softened": lambda s, z, t: F.kl_div(
                s.log_softmax(1), soft(z, t), reduction="batchmean"
            ),
            r"T\^2 is in it": lambda s, z, t: (
                t * t * F.kl_div((s / t).log_softmax(1), soft(z, t), reduction="batchmean")
            ),
            "raw logits stand before": lambda s, z, t: (
                (z / t * ((z / t).log_softmax(1) - (s / t).log_softmax(1))).sum(1).mean()
            ),
            "this is the cross-entropy": lambda s, z, t: F.cross_entropy(s / t, soft(z, t)),
        },
    ),
    "kd_gradient": (
        [
            lambda s, z, t: t * (soft(s, t) - soft(z, t)) / len(s),
            lambda s, z, t: t * (soft(s, t) - soft(z, t)) / s.shape[0],
        ],
        {
            "autograd computed them": by_autograd,
            "numbers are right, but autograd": with_grad,
            "right, but autograd computed": by_functional_grad,
            "a 4 stands": lambda s, z, t: 4 * (soft(s, 4) - soft(z, 4)) / len(s),
            r"First, you took both softmaxes at T = 1.* Second, that is multiplied by -1/T ": lambda s, z, t: (
                (z.softmax(1) - s.softmax(1)) / len(s)
            ),
            "sign is turned": lambda s, z, t: t * (soft(z, t) - soft(s, t)) / len(s),
            r"without T\^2": lambda s, z, t: (soft(s, t) - soft(z, t)) / (t * len(s)),
            r"kept all of T\^2": lambda s, z, t: t**2 * (soft(s, t) - soft(z, t)) / len(s),
            "no T is left": lambda s, z, t: (soft(s, t) - soft(z, t)) / len(s),
            "mean over the batch": lambda s, z, t: t * (soft(s, t) - soft(z, t)),
            "number of classes as well": lambda s, z, t: t * (soft(s, t) - soft(z, t)) / s.numel(),
            "derived above": lambda s, z, t: (soft(s, t) - soft(z, t)) / t,
            "times B/T ": lambda s, z, t: soft(s, t) - soft(z, t),
            "only one network was softened": lambda s, z, t: t * (s.softmax(1) - soft(z, t)) / len(s),
            "runs over the batch": lambda s, z, t: t * ((s / t).softmax(0) - (z / t).softmax(0)) / len(s),
            "made of the raw logits": lambda s, z, t: t * (s - z) / len(s),
            "made of logits / T": lambda s, z, t: t * (s / t - z / t) / len(s),
            "at T = 1": lambda s, z, t: t * (s.softmax(1) - z.softmax(1)) / len(s),
        },
    ),
    "high_temperature_gradient": (
        [
            lambda s, z: ((s - s.mean(1, True)) - (z - z.mean(1, True))) / (s.shape[0] * s.shape[1]),
            lambda s, z: (s - z - (s - z).mean(1, keepdim=True)) / s.numel(),
        ],
        {
            "not centred": lambda s, z: (s - z) / s.numel(),
            "mean of everything": lambda s, z: (s - z - (s - z).mean()) / s.numel(),
            "only one network's": lambda s, z: (s - (z - z.mean(1, True))) / s.numel(),
            "times B C": lambda s, z: (s - s.mean(1, True)) - (z - z.mean(1, True)),
            "centred over the batch": lambda s, z: ((s - s.mean(0)) - (z - z.mean(0))) / s.numel(),
            "number of classes is missing": lambda s, z: ((s - s.mean(1, True)) - (z - z.mean(1, True))) / len(s),
            "mean over the batch": lambda s, z: ((s - s.mean(1, True)) - (z - z.mean(1, True))) / s.shape[1],
            "sign is turned": lambda s, z: ((z - z.mean(1, True)) - (s - s.mean(1, True))) / s.numel(),
        },
    ),
}
