"""How readers fix the exhibits of the bug museum: well, in several ways, and badly."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader

from kdkit import losses

from .loss import by_hand, kl, loss_of
from .probabilities import soft


def hard_weighted(soft_term, hard=F.cross_entropy):
    return lambda s, z, y, t, w: w * hard(s, y) + (1 - w) * soft_term(s, z, t)


def two_branches(at_zero, otherwise):
    return lambda s, z, y, t, w: at_zero(s, z, y, t) if w == 0 else otherwise(s, z, y, t, w)


def squared(s, z, t):
    return t**2 * kl(s, z, t)


class Distiller(nn.Module):
    def __init__(self, teacher, student):
        super().__init__()
        self.teacher, self.student = teacher.eval(), student

    def loss(self, inputs, temperature):
        with torch.no_grad():
            teacher_logits = self.teacher(inputs)
        return losses.kd_loss(self.student(inputs), teacher_logits, temperature=temperature)


class OwnTrain(Distiller):
    def train(self, mode=True):
        super().train(mode)
        self.teacher.eval()
        return self


class EvalBeforeAsking(Distiller):
    def loss(self, inputs, temperature):
        self.teacher.eval()
        return super().loss(inputs, temperature)


class NotAChild(Distiller):
    def __init__(self, teacher, student):
        super().__init__(nn.Identity(), student)
        del self.teacher
        self.__dict__["teacher"] = teacher.eval()


class AllInEval(Distiller):
    def loss(self, inputs, temperature):
        self.eval()
        return super().loss(inputs, temperature)


class NoTrain(Distiller):
    def train(self, mode=True):
        return self


class OnlyStudentTrains(Distiller):
    def train(self, mode=True):
        self.student.train()
        return self


class AnotherLoss(OwnTrain):
    def loss(self, inputs, temperature):
        return super().loss(inputs, temperature) / temperature**2


class AnotherTemperature(OwnTrain):
    def loss(self, inputs, temperature):
        return super().loss(inputs, 1.0)


class InFloat64(OwnTrain):
    def loss(self, inputs, temperature):
        return super().loss(inputs, temperature).double()


class Detached(OwnTrain):
    def loss(self, inputs, temperature):
        return super().loss(inputs, temperature).detach()


class ReturnsNothing(OwnTrain):
    def loss(self, inputs, temperature):
        super().loss(inputs, temperature)


class OneInAList(OwnTrain):
    def loss(self, inputs, temperature):
        return super().loss(inputs, temperature)[None]


class Stops(OwnTrain):
    def loss(self, inputs, temperature):
        return self.teacher(inputs) @ inputs


def keep(**options):
    def keep_logits(teacher, dataset):
        with torch.no_grad():
            return torch.cat([teacher(inputs) for inputs, _ in DataLoader(dataset, batch_size=100, **options)])

    return keep_logits


def without_loader(teacher, dataset):
    with torch.no_grad():
        return teacher(torch.stack([inputs for inputs, _ in dataset]))


def first_batch(teacher, dataset):
    return keep()(teacher, dataset)[:100]


def once(teacher, student, images, augment, temperature, of_teacher=lambda view, images: view):
    view = augment(images)
    with torch.no_grad():
        teacher_logits = teacher(of_teacher(view, images))
    return losses.kd_loss(student(view), teacher_logits, temperature=temperature)


def joined(teacher, student, images, augment, temperature):
    views = [augment(image[None]) for image in images]
    view = torch.cat(views)
    with torch.no_grad():
        teacher_logits = teacher(view)
    return losses.kd_loss(student(view), teacher_logits, temperature=temperature)


def by_keyword(teacher, student, images, augment, temperature):
    view = augment(images)
    with torch.no_grad():
        teacher_logits = teacher.forward(input=view)
    return losses.kd_loss(student.forward(input=view), teacher_logits, temperature=temperature)


def one_by_one(teacher, student, images, augment, temperature):
    view = augment(images)
    with torch.no_grad():
        teacher_logits = torch.cat([teacher(picture[None]) for picture in view])
    return losses.kd_loss(student(view), teacher_logits, temperature=temperature)


def in_place(teacher, student, images, augment, temperature):
    images.copy_(augment(images))
    return once(teacher, student, images, lambda view: view, temperature)


def no_augmentation(teacher, student, images, augment, temperature):
    return once(teacher, student, images, lambda images: images, temperature)


def pale(t_power=2, of_student=lambda s: s, of_teacher=lambda z: z):
    def soft_loss(teacher, student, inputs, temperature):
        with torch.no_grad():
            teacher_output = of_teacher(teacher(inputs))
        t = F.softmax(teacher_output / temperature, dim=1)
        log_s = F.log_softmax(of_student(student(inputs)) / temperature, dim=1)
        return temperature**t_power * F.kl_div(log_s, t, reduction="batchmean")

    return soft_loss


def pale_target(target):
    def soft_loss(teacher, student, inputs, temperature):
        with torch.no_grad():
            t = target(teacher(inputs), temperature)
        log_s = F.log_softmax(student(inputs) / temperature, dim=1)
        return temperature**2 * F.kl_div(log_s, t, reduction="batchmean")

    return soft_loss


def compress(small, large, temperature, inputs, optimizer, power=2, train=True, shield=torch.no_grad, batch=1):
    large.eval()
    small.train(train)
    with shield():
        t = F.softmax(large(inputs) / temperature, dim=1)
    log_s = F.log_softmax(small(inputs) / temperature, dim=1)
    loss = temperature**power * F.kl_div(log_s, t, reduction="batchmean") * batch
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def changed(**options):
    return lambda small, large, t, x, o: compress(small, large, t, x, o, **options)


class Frozen(Distiller):
    def __init__(self, teacher, student):
        super().__init__(teacher.requires_grad_(False), student)


class TwiceInTheConstructor(Distiller):
    def __init__(self, teacher, student):
        super().__init__(teacher, student)
        self.teacher.eval()


class EvalAfterAsking(Distiller):
    def loss(self, inputs, temperature):
        loss = super().loss(inputs, temperature)
        self.teacher.eval()
        return loss


def with_a_seed(teacher, dataset):
    return keep(shuffle=True, generator=torch.Generator().manual_seed(0))(teacher, dataset)


def two_views(teacher, student, images, augment, temperature):
    with torch.no_grad():
        teacher_logits = teacher(augment(images).clone())
    return losses.kd_loss(student(augment(images)), teacher_logits, temperature=temperature)


def reverse(s, z, t):
    log_s = (s / t).log_softmax(1)
    return (log_s.exp() * (log_s - (z / t).log_softmax(1))).sum(1).mean()


def hidden_nan(s, z, t):
    if s.requires_grad:
        s.register_hook(torch.nan_to_num)
    return F.kl_div((z / t).log_softmax(1), soft(s, t), reduction="batchmean")


def clamped_reverse(s, z, t):
    p = soft(s, t).clamp(min=1e-30)
    return (p * (p.log() - (z / t).log_softmax(1).clamp(min=-60))).sum(1).mean()


def each_its_own(teacher, student, images, normalise, temperature):
    with torch.no_grad():
        teacher_logits = teacher(images)
    return losses.kd_loss(student(normalise(images)), teacher_logits, temperature=temperature)


EXERCISES = {
    "quiet_teacher": (
        [loss_of(kl), by_hand, lambda *case: by_hand(*case).double()],
        {
            "no gradient reaches": lambda *case: by_hand(*case).item(),
            "you changed the code, but .* Print by how many numbers": loss_of(
                lambda s, z, t: F.kl_div((s / t).log_softmax(1), soft(z, t), reduction="none").mean(1).mean()
            ),
            "First, the soft term is averaged|Second, the soft term is averaged": loss_of(
                lambda s, z, t: F.kl_div((s / t).log_softmax(1), soft(z, t), reduction="none").mean(), power=0
            ),
            "added over the batch": loss_of(
                lambda s, z, t: F.kl_div((s / t).log_softmax(1), soft(z, t), reduction="sum")
            ),
            r"T\^2 is missing": loss_of(kl, power=0),
            "in the soft term, student and teacher are swapped": loss_of(lambda s, z, t: kl(z, s, t)),
            "weights are swapped": lambda s, z, y, t, w: loss_of(kl)(s, z, y, t, 1 - w),
            "soft term is a cross-entropy": loss_of(lambda s, z, t: F.cross_entropy(s / t, soft(z, t))),
            "hard term is at the temperature": loss_of(kl, hard=lambda s, y, t: F.cross_entropy(s / t, y)),
        },
    ),
    "cliff": (
        [
            two_branches(lambda s, z, y, t: squared(s, z, t), hard_weighted(squared)),
            lambda s, z, y, t, w: squared(s, z, t) if y is None else by_hand(s, z, y, t, 1 - w),
        ],
        {
            "you changed the code, but .* Follow the branch": two_branches(
                lambda s, z, y, t: kl(s, z, t), hard_weighted(squared)
            ),
            "a 4 stands": lambda s, z, y, t, w: hard_weighted(squared)(s, z, y, 4.0, w),
            r"T\^2 is gone everywhere": hard_weighted(kl),
            r"T\^2 belongs to the soft term": lambda s, z, y, t, w: t**2 * hard_weighted(kl)(s, z, y, t, w),
            "weights are swapped": lambda s, z, y, t, w: hard_weighted(squared)(s, z, y, t, 1 - w),
            "cross-entropy alone": two_branches(lambda s, z, y, t: F.cross_entropy(s, y), hard_weighted(squared)),
            "one T is missing": two_branches(lambda s, z, y, t: t * kl(s, z, t), hard_weighted(squared)),
            "the cliff is still there": lambda s, z, y, t, w: kl(s, z, t) if y is None else by_hand(s, z, y, t, 1 - w),
            "no gradient reaches": two_branches(
                lambda s, z, y, t: squared(s, z, t).detach(), lambda *case: hard_weighted(squared)(*case).detach()
            ),
            "there may be no labels": lambda s, z, y, t, w: w * F.cross_entropy(s, y) + (1 - w) * squared(s, z, t),
            "largest difference": two_branches(lambda s, z, y, t: 10 * kl(s, z, t), hard_weighted(squared)),
        },
    ),
    "sinking_teacher": (
        [OwnTrain, EvalBeforeAsking, NotAChild, InFloat64],
        {
            "no gradient reaches": Detached,
            "you changed the code, but .*requires_grad_.False. keeps gradients away": Frozen,
            "but the bug is still there: the teacher is in train mode when": TwiceInTheConstructor,
            "still there: the teacher's BatchNorm statistics move all the same": EvalAfterAsking,
            "returned nothing": ReturnsNothing,
            r"has the shape \[1\]": OneInAList,
            "student is in eval mode too": AllInEval,
            "in eval mode too, and it is the one": NoTrain,
            r"eval\(\) no longer reaches": OnlyStudentTrains,
            "another one now": AnotherLoss,
            "but the loss is another": AnotherTemperature,
            r"stopped at `return self\.teacher\(inputs\) @ inputs`": Stops,
        },
    ),
    "coin_tosser": (
        [
            keep(),
            keep(shuffle=False),
            without_loader,
            lambda teacher, dataset: keep()(teacher, dataset).half(),
            lambda teacher, dataset: keep()(teacher, dataset).double(),
        ],
        {
            "you changed the code, but .* row 7 is not that of image 7": with_a_seed,
            r"got \[100, 7\]": first_batch,
            r"got \[200, 7\]": keep(drop_last=True),
            "other logits": lambda teacher, dataset: keep()(teacher, dataset).softmax(1),
            r"got \[230\]": lambda teacher, dataset: keep()(teacher, dataset).argmax(1),
            "got NoneType": lambda teacher, dataset: None,
            "other logits than": lambda teacher, dataset: keep()(teacher.train(), dataset),
        },
    ),
    "never_zero": (
        [once, joined, by_keyword, one_by_one, lambda *scene: once(*scene).double()],
        {
            "returned nothing": lambda *scene: once(*scene) and None,
            "no gradient reaches": lambda *scene: once(*scene).detach(),
            "augmentation is lost": no_augmentation,
            "right: both .* Besides|numbers are right, but your function changes": in_place,
            "a 4 stands": lambda teacher, student, images, augment, t: once(teacher, student, images, augment, 4.0),
            "you changed the code, but the bug is still there: the two networks .* How often is augment": two_views,
            "the teacher sees the bare images": lambda *scene: once(*scene, of_teacher=lambda view, images: images),
            "but the loss is another": lambda teacher, student, images, augment, t: (
                once(teacher, student, images, augment, t) / t**2
            ),
            "both networks must be asked": lambda teacher, student, images, augment, t: student(images).sum(),
            "stopped at .*AttributeError": lambda teacher, student, images, augment, t: augment(images).shift(3),
            "the student sees the bare images": lambda teacher, student, images, augment, t: losses.kd_loss(
                student(images), teacher(augment(images)), temperature=t
            ),
        },
    ),
    "pale_targets": (
        [pale(), pale_target(lambda z, t: soft(z, t)), pale_target(lambda z, t: (z.log_softmax(1) / t).softmax(1))],
        {
            "no gradient reaches": lambda *case: pale()(*case).detach(),
            "you changed the code, but .* largest number in the first row of t": pale_target(
                lambda z, t: (z.log_softmax(1).exp() / t).softmax(1)
            ),
            "a 4 stands": lambda teacher, student, x, t: pale()(teacher, student, x, 4.0),
            "taken twice as well": pale(of_student=lambda s: s.softmax(1), of_teacher=lambda z: z.softmax(1)),
            "teacher is right now, but": pale(of_student=lambda s: s.softmax(1)),
            "teacher's temperature is lost": pale_target(lambda z, t: z.softmax(1)),
            "probabilities by T": pale_target(lambda z, t: z.softmax(1) / t),
            "softmax of a softmax": pale_target(lambda z, t: (soft(z, t) / t).softmax(1)),
            r"T\^2 is lost": pale(t_power=0),
            "no distribution": pale_target(lambda z, t: z / t),
        },
    ),
    "frozen_student": (
        [compress, lambda small, large, t, x, o: compress(small, large, t, x, o)],
        {
            "you changed the code, but .* the large one gets the gradients": lambda small, large, t, x, o: compress(
                large, small, t, x, o
            ),
            "still there: the small network's weights do not move": lambda small, large, t, x, o: o.zero_grad(),
            "not as it should": changed(power=0),
            "weights differ by": changed(train=False),
            "large one still gets gradients": changed(shield=torch.enable_grad),
            "moves, but not": changed(batch=5),
            "stopped at .*TypeError": lambda small, large, t, x, o: compress(small, large),
            "a function of 5 arguments": lambda small, large: None,
        },
    ),
    "restless_kl": (
        [
            kl,
            lambda s, z: losses.kl_divergence(s, z),
            lambda s, z: F.cross_entropy(s, z.softmax(1)) - F.cross_entropy(z, z.softmax(1)),
        ],
        {
            "you changed the code, but .* against itself it reads more than 0": lambda s, z: F.cross_entropy(
                s, z.softmax(1)
            ),
            "taken OFF": lambda s, z: F.cross_entropy(s, z.softmax(1)) + F.cross_entropy(z, z.softmax(1)),
            "student's entropy": lambda s, z: F.cross_entropy(s, z.softmax(1)) - F.cross_entropy(s, s.softmax(1)),
            "swapped": lambda s, z: kl(z, s),
            "sign is turned": lambda s, z: -kl(s, z),
            "averaged over the classes": lambda s, z: kl(s, z) / s.shape[1],
            "added over the batch": lambda s, z: kl(s, z) * len(s),
        },
    ),
    "too_good": (
        [
            lambda val, test: int(val.argmax()),
            lambda val, test: len(test) - 1,
            lambda val, test: val.argmax(),
            lambda val, test: -1,
            lambda val, test: np.argmax(val.numpy()),
            lambda val, test: val.half().argmax(),
            lambda val, test: torch.tensor([round(100 * v.item(), 1) for v in val]).argmax(),
            lambda val, test: max(range(len(val)), key=lambda epoch: (val[epoch], epoch)),
        ],
        {
            "you changed the code, but .* best on the test images": lambda val, test: int(test.topk(1).indices),
            "still looks at the test set": lambda val, test: (val + test).argmax(),
            "other test accuracies, another epoch": lambda val, test: torch.minimum(val, test).argmax(),
            "it still looks": lambda val, test: (0.99 * val + 0.01 * test).argmax(),
            "looks at the test set: other": lambda val, test: (val + 1e-4 * test).argmax(),
            "worst epoch": lambda val, test: val.argmin(),
            "that is an accuracy": lambda val, test: val.max(),
            "not yet: it still looks": lambda val, test: float(test[val.argmax()]),
            "largest difference": lambda val, test: 8,
        },
    ),
    "healthy_loss": (
        [
            reverse,
            lambda s, z, t: F.kl_div(
                (z / t).log_softmax(1), (s / t).log_softmax(1), reduction="batchmean", log_target=True
            ),
        ],
        {
            "you changed the code, but .*gradient is nan": lambda s, z, t: (
                F.kl_div((z / t).log_softmax(1), soft(s, t), reduction="sum") / len(s)
            ),
            "the other direction": kl,
            "number is right, but no gradient": lambda s, z, t: reverse(s, z, t).detach(),
            "student's gradient is not that of the loss": lambda s, z, t: (
                F.kl_div((z / t).log_softmax(1), soft(s, t).detach(), reduction="batchmean") + 0 * s.sum()
            ),
            "where logits lie far apart the gradient is another": hidden_nan,
            "1,000 apart yours is .* a clamp cuts off": clamped_reverse,
            "First, this is the other direction.* Second, .*too small": lambda s, z, t: kl(s, z, t) / s.shape[1],
            "a 4 stands": lambda s, z, t: reverse(s, z, 4.0),
        },
    ),
    "short_sighted": (
        [each_its_own, lambda *case: each_its_own(*case).double()],
        {
            "you changed the code, but .* the teacher sees other images": lambda teacher, student, x, normalise, t: (
                each_its_own(lambda x: teacher(normalise(x)), student, x, normalise, t)
            ),
            "student is to see normalised images": lambda teacher, student, x, normalise, t: each_its_own(
                teacher, student, x, lambda x: x, t
            ),
            "each network sees what it was made for, but the loss": lambda *case: each_its_own(*case) / 2,
            "a 4 stands": lambda teacher, student, x, normalise, t: each_its_own(teacher, student, x, normalise, 4.0),
            "no gradient reaches": lambda *case: each_its_own(*case).detach(),
            "both networks must be asked": lambda teacher, student, x, normalise, t: student(x).sum(),
            "returned nothing": lambda *case: each_its_own(*case) and None,
        },
    ),
}
