"""Answers to the exercises of notebook 03."""

import torch
import torch.nn.functional as F

from kdkit import losses

from .probabilities import soft


def einsum(s, z):
    return -torch.einsum("bc,bc->", z.softmax(1), s.log_softmax(1)) / len(s)


def kl(s, z, t=1.0):
    return F.kl_div((s / t).log_softmax(-1), (z / t).softmax(-1), reduction="batchmean")


def loss_of(soft_term, *, hard=lambda s, y, t: F.cross_entropy(s, y), power=2):
    return lambda s, z, y, t, w: w * t**power * soft_term(s, z.detach(), t) + (1 - w) * hard(s, y, t)


def by_hand(s, z, y, t, w):
    log_s, log_t = (s / t).log_softmax(1), (z.detach() / t).log_softmax(1)
    soft_term = (log_t.exp() * (log_t - log_s)).sum() / len(s) * t * t
    hard = -s.log_softmax(1)[torch.arange(len(s)), y].mean()
    return w * soft_term + (1 - w) * hard


def soft_last(z, t):
    return (z / t).softmax(-1)


def by_token(s, z, m, t):
    each = F.kl_div((s / t).log_softmax(-1), (z / t).softmax(-1), reduction="none").sum(-1)
    return (each * m).sum() / m.sum()


def step(loss=None, *, teacher_eval=True, shield=torch.no_grad, student_train=True, order="bsz", temperature=None):
    """A step with something left out. ``order``: b(ackward), s(tep), z(ero_grad)."""
    loss = loss or loss_of(kl)

    def kd_step(teacher, student, t, inputs, optimizer, labels):
        if teacher_eval:
            teacher.eval()
        if student_train:
            student.train()
        with shield():
            teacher_logits = teacher(inputs)
        value = loss(student(inputs), teacher_logits, labels, temperature or t, 0.9)
        for letter in order:
            {"b": value.backward, "s": optimizer.step, "z": optimizer.zero_grad}[letter]()

    return kd_step


def detached(teacher, student, t, inputs, optimizer, labels):
    teacher.eval()
    student.train()
    loss_of(kl)(student(inputs), teacher(inputs).detach(), labels, t, 0.9).backward()
    optimizer.step()
    optimizer.zero_grad()


def with_kdkit(teacher, student, t, inputs, optimizer, labels):
    teacher.eval()
    student.train()
    with torch.no_grad():
        z = teacher(inputs)
    loss = losses.kd_loss(student(inputs), z, labels, temperature=t, soft_weight=0.9, hard_weight=0.1)
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    return loss.item()


def under_autocast(loss, dtype=torch.bfloat16):
    """A step whose forward passes run under autocast."""

    def kd_step(teacher, student, t, inputs, optimizer, labels):
        teacher.eval()
        student.train()
        with torch.autocast("cpu", dtype=dtype):
            with torch.no_grad():
                teacher_logits = teacher(inputs)
            value = loss(student(inputs), teacher_logits, labels, t, 0.9)
        value.backward()
        optimizer.step()
        optimizer.zero_grad()

    return kd_step


def eval_afterwards(teacher, student, t, inputs, optimizer, labels):
    with_kdkit(teacher, student, t, inputs, optimizer, labels)
    student.eval()


def own_batch_statistics(teacher, student, t, inputs, optimizer, labels):
    student.eval()
    step(student_train=False)(teacher, student, t, inputs, optimizer, labels)


def in_inference_mode(s, z, y, t, w):
    with torch.inference_mode():
        p = (z / t).softmax(1)
    return w * t**2 * F.kl_div((s / t).log_softmax(1), p, reduction="batchmean") + (1 - w) * F.cross_entropy(s, y)


def frozen_teacher(teacher, student, t, inputs, optimizer, labels):
    teacher.requires_grad_(False)
    teacher.eval()
    student.train()
    optimizer.zero_grad(set_to_none=False)
    loss_of(kl)(student(inputs), teacher(inputs), labels, t, 0.9).backward()
    optimizer.step()
    optimizer.zero_grad(set_to_none=False)


def mode_put_back(teacher, student, t, inputs, optimizer, labels):
    with_kdkit(teacher, student, t, inputs, optimizer, labels)
    teacher.train()


def careless(s, z, y, t, w):
    """Right, but the teacher's side is not cut off."""
    return w * t**2 * kl(s, z, t) + (1 - w) * F.cross_entropy(s, y)


EXERCISES = {
    "soft_cross_entropy": (
        [
            lambda s, z: -(F.softmax(z, dim=1) * F.log_softmax(s, dim=1)).sum(dim=1).mean(),
            lambda s, z: F.cross_entropy(s, z.softmax(1)),
            einsum,
            lambda s, z: kl(s, z) - (z.softmax(1) * z.log_softmax(1)).sum(1).mean(),
            lambda s, z: einsum(s.double(), z.double()),
        ],
        {
            "this is the KL": kl,
            "logarithm is missing": lambda s, z: -(z.softmax(1) * s.softmax(1)).sum(1).mean(),
            "swapped": lambda s, z: F.cross_entropy(z, s.softmax(1)),
            "averaged over the classes": lambda s, z: -(z.softmax(1) * s.log_softmax(1)).mean(),
            "did not divide": lambda s, z: F.cross_entropy(s, z.softmax(1), reduction="sum"),
            "one number is wanted": lambda s, z: F.cross_entropy(s, z.softmax(1), reduction="none"),
            "sign is turned": lambda s, z: (z.softmax(1) * s.log_softmax(1)).sum(1).mean(),
            "argmax": lambda s, z: F.cross_entropy(s, z.argmax(1)),
            "are no weights yet": lambda s, z: -(z * s.log_softmax(1)).sum(1).mean(),
            "neither network's logits": lambda s, z: -(z * s).sum(1).mean(),
            "softmax of the student twice": lambda s, z: F.cross_entropy(s.softmax(1), z.softmax(1)),
            "runs over the batch": lambda s, z: -(z.softmax(0) * s.log_softmax(0)).sum(1).mean(),
            "numbers are right, but your function changes what": (
                lambda s, z: -(z.sub_(z.logsumexp(1, keepdim=True)).exp() * s.log_softmax(1)).sum() / len(s)
            ),
            "1,000 apart yours is": lambda s, z: -(z.softmax(1) * s.softmax(1).log()).sum(1).mean(),
            "First, student and teacher are swapped.* Second, .*too small": lambda s, z: (
                -(s.softmax(1) * z.log_softmax(1)).mean()
            ),
            "First, you averaged over the classes.* Second, the sign is turned": lambda s, z: (
                z.softmax(1) * s.log_softmax(1)
            ).mean(),
            "right, but your function changes": (
                lambda s, z: -(z.softmax(1) * s.sub_(s.logsumexp(1, keepdim=True))).sum() / len(s)
            ),
            "no gradient reaches the student": lambda s, z: einsum(s, z).item(),
            "gradient is not that of the loss": lambda s, z: einsum(s.detach(), z) + 0 * s.sum(),
        },
    ),
    "kd_loss": (
        [
            loss_of(kl),
            by_hand,
            lambda s, z, y, t, w: losses.kd_loss(s, z, y, temperature=t, soft_weight=w, hard_weight=1 - w),
            lambda s, z, y, t, w: by_hand(s, z.detach_(), y, t, w),
            lambda s, z, y, t, w: by_hand(s.double(), z.double(), y, t, w),
            lambda s, z, y, t, w: torch.lerp(F.cross_entropy(s, y), t**2 * kl(s, z.detach(), t), w),
        ],
        {
            r"T\^2 is missing": loss_of(kl, power=0),
            "not yet: a 4 stands": lambda s, z, y, t, w: loss_of(kl)(s, z, y, 4.0, w),
            r"16 is T\^2 for T = 4 alone": lambda s, z, y, t, w: w * 16 * kl(s, z, t) + (1 - w) * F.cross_entropy(s, y),
            "in the soft term, a 4 stands": loss_of(lambda s, z, t: kl(s, z, 4.0)),
            "1,000 apart yours is": loss_of(
                lambda s, z, t: F.kl_div(soft(s, t).log(), soft(z, t), reduction="sum") / len(s)
            ),
            "First, the weights are swapped.* Second, the hard term is at the temperature": (
                lambda s, z, y, t, w: loss_of(kl, hard=lambda s, y, t: F.cross_entropy(s / t, y))(s, z, y, t, 1 - w)
            ),
            r"First, the factor T\^2 is missing.* Second, the label is not used": lambda s, z, y, t, w: w * kl(s, z, t),
            "numbers are right, but your function changes": lambda s, z, y, t, w: (
                w * t**2 * kl(s.clone(), z.detach(), t) + (1 - w) * F.cross_entropy(s.add_(1.0), y)
            ),
            "one T is missing": loss_of(kl, power=1),
            r"T\^2 belongs to the soft term alone": lambda s, z, y, t, w: (
                t**2 * (w * kl(s, z, t) + (1 - w) * F.cross_entropy(s, y))
            ),
            "you divided by": loss_of(kl, power=-2),
            "weights are swapped": lambda s, z, y, t, w: loss_of(kl)(s, z, y, t, 1 - w),
            "hard term is at the temperature": loss_of(kl, hard=lambda s, y, t: F.cross_entropy(s / t, y)),
            "must add up to 1": lambda s, z, y, t, w: w * t**2 * kl(s, z, t) + F.cross_entropy(s, y),
            "neither term is weighted": lambda s, z, y, t, w: t**2 * kl(s, z, t) + F.cross_entropy(s, y),
            "soft_weight is missing": lambda s, z, y, t, w: t**2 * kl(s, z, t) + (1 - w) * F.cross_entropy(s, y),
            "label is not used": lambda s, z, y, t, w: w * t**2 * kl(s, z, t),
            "teacher is not used": lambda s, z, y, t, w: F.cross_entropy(s, y),
            "averaged over the classes": loss_of(
                lambda s, z, t: F.kl_div((s / t).log_softmax(1), soft(z, t), reduction="none").mean()
            ),
            "added over the batch": loss_of(
                lambda s, z, t: F.kl_div((s / t).log_softmax(1), soft(z, t), reduction="sum")
            ),
            "in the soft term, student and teacher are swapped": loss_of(lambda s, z, t: kl(z, s, t)),
            "in the soft term, F.kl_div wants the LOGARITHM": loss_of(
                lambda s, z, t: F.kl_div(soft(s, t), soft(z, t), reduction="batchmean")
            ),
            "only the teacher is softened": loss_of(
                lambda s, z, t: F.kl_div(s.log_softmax(1), soft(z, t), reduction="batchmean")
            ),
            "only the student is softened": loss_of(
                lambda s, z, t: F.kl_div((s / t).log_softmax(1), z.softmax(1), reduction="batchmean")
            ),
            "result is nan": loss_of(lambda s, z, t: F.kl_div(soft(z, t), (s / t).log_softmax(1), reduction="sum")),
            "in the soft term, the temperature makes no difference": loss_of(lambda s, z, t: kl(s, z)),
            "soft term is a cross-entropy": loss_of(lambda s, z, t: F.cross_entropy(s / t, soft(z, t))),
            "twice in the hard term": loss_of(kl, hard=lambda s, y, t: F.cross_entropy(s.softmax(1), y)),
            "into the teacher": careless,
            "no gradient reaches": lambda s, z, y, t, w: loss_of(kl)(s, z, y, t, w).detach(),
            "Hint: torch.no_grad": in_inference_mode,
            "runs over the batch": loss_of(
                lambda s, z, t: F.kl_div((s / t).log_softmax(0), (z / t).softmax(0), reduction="batchmean")
            ),
            "you multiplied the logits": loss_of(lambda s, z, t: kl(s, z, 1 / t)),
            "soft term alone, without": lambda s, z, y, t, w: t**2 * kl(s, z, t),
            r"First, the factor T\^2 is missing.* Second, the soft term is averaged": loss_of(
                lambda s, z, t: F.kl_div((s / t).log_softmax(1), soft(z, t), reduction="none").mean(), power=0
            ),
            r"First, the factor T\^2 is missing.* Second, in the soft term, the temperature makes": loss_of(
                lambda s, z, t: kl(s, z), power=0
            ),
            "teacher stands in the cross-entropy": lambda s, z, y, t, w: (
                w * t**2 * kl(s, z, t) + (1 - w) * F.cross_entropy(z, y)
            ),
            "raw logits stand before": loss_of(lambda s, z, t: -(z / t * (s / t).log_softmax(1)).sum(1).mean()),
            "raw logits .* of logits / T": loss_of(
                lambda s, z, t: (z * ((z / t).log_softmax(1) - (s / t).log_softmax(1))).sum(1).mean()
            ),
            "hard term is added": loss_of(kl, hard=lambda s, y, t: F.cross_entropy(s, y, reduction="sum")),
        },
    ),
    "kd_step": (
        [
            with_kdkit,
            step(),
            step(order="zbs"),
            step(by_hand),
            frozen_teacher,
            mode_put_back,
            under_autocast(loss_of(kl)),
            under_autocast(by_hand),
            under_autocast(loss_of(kl), torch.float16),
        ],
        {
            "statistics moved": step(teacher_eval=False),
            "are the two swapped": lambda teacher, student, *rest: step()(student, teacher, *rest),
            "got gradients": step(careless, shield=torch.enable_grad),
            "recorded the teacher": detached,
            "gradients of the first step": step(order="bs"),
            "did not move": step(order="bz"),
            "did not move: loss.backward": step(order="bzs"),
            "answered in eval mode": own_batch_statistics,
            r"T\^2 is missing": step(loss_of(kl, power=0)),
            "averaged over the classes": step(loss_of(lambda s, z, t: kl(s, z, t) / s.shape[1])),
            "label is not used": step(lambda s, z, y, t, w: w * t**2 * kl(s, z, t)),
            "weights are swapped": step(lambda s, z, y, t, w: loss_of(kl)(s, z, y, t, 1 - w)),
            "in the soft term, student and teacher are swapped": step(loss_of(lambda s, z, t: kl(z, s, t))),
            "weights are nan now": step(
                loss_of(lambda s, z, t: F.kl_div(soft(z, t), (s / t).log_softmax(1), reduction="sum"))
            ),
            "a 4 stands": step(temperature=4.0),
            "differ from ours": step(temperature=5.0),
            r"First, the gradients of the first step.* Second, the factor T\^2 is missing": step(
                loss_of(kl, power=0), order="bs"
            ),
            r"First, the factor T\^2 is missing.* Second, the label is not used": step(
                lambda s, z, y, t, w: w * kl(s, z, t)
            ),
            r"not yet: the factor T\^2 is missing": under_autocast(loss_of(kl, power=0)),
            "not yet: the weights are swapped": under_autocast(lambda s, z, y, t, w: loss_of(kl)(s, z, y, t, 1 - w)),
            "weights differ from ours by": under_autocast(lambda s, z, y, t, w: -loss_of(kl)(s, z, y, t, w)),
            "raw logits stand before": step(loss_of(lambda s, z, t: -(z * F.log_softmax(s / t, 1)).sum(1).mean())),
            "6 arguments": lambda teacher, student: None,
            "stopped at .*TypeError.*Hint: look at the arguments": (
                lambda teacher, student, t, x, o, y: losses.kd_loss(student(x))
            ),
        },
    ),
    "sequence_kl": (
        [
            lambda s, z, m, t: kl(s[m], z[m], t),
            by_token,
            lambda s, z, m, t: losses.kd_loss(s, z, temperature=t, mask=m) / t**2,
            lambda s, z, m, t: kl(s.flatten(0, 1)[m.flatten()], z.flatten(0, 1)[m.flatten()], t),
        ],
        {
            "a 4 stands": lambda s, z, m, t: kl(s[m], z[m], 4.0),
            "1,000 apart yours is": lambda s, z, m, t: (
                (soft_last(z, t) * (soft_last(z, t).log() - soft_last(s, t).log())).sum(-1)[m].mean()
            ),
            "First, the padding counts.* Second, student and teacher are swapped": lambda s, z, m, t: kl(
                z.flatten(0, 1), s.flatten(0, 1), t
            ),
            "numbers are right, but your function changes": lambda s, z, m, t: kl(s.div_(t)[m], z.div_(t)[m]),
            "padding counts in yours": lambda s, z, m, t: kl(s.flatten(0, 1), z.flatten(0, 1), t),
            "divided by the sentences: 'batchmean'": lambda s, z, m, t: kl(s[m], z[m], t) * m.sum() / len(s),
            "padding counts, and you divided": lambda s, z, m, t: kl(s, z, t),
            "not out of the mean": lambda s, z, m, t: by_token(s, z, m, t) * m.sum() / m.numel(),
            "over the words of the vocabulary too: it is a sum": lambda s, z, m, t: F.kl_div(
                (s[m] / t).log_softmax(-1), (z[m] / t).softmax(-1), reduction="none"
            ).mean(),
            "padding counts, and you averaged": lambda s, z, m, t: F.kl_div(
                (s / t).log_softmax(-1), (z / t).softmax(-1), reduction="none"
            ).mean(),
            "mask is turned round": lambda s, z, m, t: by_token(s, z, ~m, t),
            "averaged each sentence first": lambda s, z, m, t: torch.stack(
                [kl(a[k], b[k], t) for a, b, k in zip(s, z, m, strict=True)]
            ).mean(),
            "added and did not divide": lambda s, z, m, t: by_token(s, z, m, t) * m.sum(),
            "runs over the tokens": lambda s, z, m, t: (
                F.kl_div((s / t).log_softmax(1), (z / t).softmax(1), reduction="none").sum(-1)[m].mean()
            ),
            "swapped": lambda s, z, m, t: kl(z[m], s[m], t),
            r"T\^2 is in it": lambda s, z, m, t: t**2 * kl(s[m], z[m], t),
            "makes no difference": lambda s, z, m, t: kl(s[m], z[m]),
            "you multiplied": lambda s, z, m, t: kl(s[m], z[m], 1 / t),
            "F.kl_div wants the LOGARITHM": lambda s, z, m, t: F.kl_div(
                soft(s[m], t), soft(z[m], t), reduction="batchmean"
            ),
            "only the teacher": lambda s, z, m, t: F.kl_div(s[m].log_softmax(1), soft(z[m], t), reduction="batchmean"),
            "only the student": lambda s, z, m, t: F.kl_div(
                (s[m] / t).log_softmax(1), z[m].softmax(1), reduction="batchmean"
            ),
            "result is nan": lambda s, z, m, t: F.kl_div(soft(z[m], t), (s[m] / t).log_softmax(1), reduction="sum"),
            "one number is wanted": lambda s, z, m, t: F.kl_div(
                (s[m] / t).log_softmax(-1), (z[m] / t).softmax(-1), reduction="none"
            ).sum(-1),
            "raw logits stand before": lambda s, z, m, t: (
                (z / t * ((z / t).log_softmax(-1) - (s / t).log_softmax(-1))).sum(-1)[m].mean()
            ),
            "this is the cross-entropy": lambda s, z, m, t: F.cross_entropy(s[m] / t, (z[m] / t).softmax(-1)),
        },
    ),
}
