"""``compute_loss`` in loops of one's own: what a step of the kit does not do, a user does with the loss."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import kdkit
from kdkit import losses, models, training

INPUTS = torch.randn(16, 6, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(16) % 3
KD = training.Distillation(temperature=3.0)


def net(seed=0, width=12):
    with models.seeded(seed):
        return nn.Sequential(nn.Linear(6, width), nn.ReLU(), nn.Linear(width, 3))


def sgd(student):
    return torch.optim.SGD(student.parameters(), lr=0.1)


def close(first, second, atol=1e-6):
    pairs = zip(first.parameters(), second.parameters(), strict=True)
    return all(torch.allclose(one, other, atol=atol) for one, other in pairs)


def after_kd_step(steps=1):
    student = net(1)
    optimizer = sgd(student)
    for _ in range(steps):
        kdkit.kd_step(net(), student, 3.0, INPUTS, optimizer, LABELS)
    return student


def learns(update, steps=30):
    """Whether the loss falls by a quarter while ``update(student, loss_of)`` is repeated."""
    student, teacher = net(1), net()

    def loss_of(inputs=INPUTS, labels=LABELS, loss=KD):
        return kdkit.compute_loss(student, (inputs, labels), loss, teacher=teacher)

    first = loss_of()[0].item()
    for _ in range(steps):
        update(student, loss_of)
    return loss_of()[0].item() < 0.75 * first


def test_the_two_halves_are_the_whole_step():
    student = net(1)
    optimizer = sgd(student)
    terms = kdkit.compute_loss(student, (INPUTS, LABELS), KD, teacher=net())
    assert terms._fields == ("total", "soft", "hard") and not close(student, after_kd_step())
    terms.total.backward()
    optimizer.step()
    assert close(student, after_kd_step(), atol=0)


def test_four_micro_batches_are_one_batch_to_rounding():
    student = net(1)
    optimizer = sgd(student)
    for _ in range(5):
        optimizer.zero_grad()
        for inputs, labels in zip(INPUTS.split(4), LABELS.split(4), strict=True):
            terms = kdkit.compute_loss(student, (inputs, labels), KD, teacher=net())
            (terms.total / 4).backward()
        optimizer.step()
    assert close(student, after_kd_step(5))


def test_clipping_is_the_callers():
    def update(student, loss_of):
        student.zero_grad()
        loss_of().total.backward()
        assert nn.utils.clip_grad_norm_(student.parameters(), 0.5) > 0
        with torch.no_grad():
            for weight in student.parameters():
                weight -= 0.5 * weight.grad

    assert learns(update)


def test_a_grad_scaler_scales_and_unscales():
    scaler, optimizers = torch.amp.GradScaler("cpu", init_scale=1024.0), {}

    def update(student, loss_of):
        optimizer = optimizers.setdefault(student, torch.optim.SGD(student.parameters(), lr=0.5))
        optimizer.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            total = loss_of().total
        scaler.scale(total).backward()
        assert max(weight.grad.abs().max() for weight in student.parameters()) > 1, "the gradients are scaled"
        scaler.step(optimizer)
        scaler.update()

    assert learns(update)


def test_mixed_precision_runs_both_networks_in_bfloat16_and_the_loss_in_float32():
    seen, student, teacher = [], net(1), net()
    for network in student, teacher:
        network.register_forward_hook(lambda module, inputs, output: seen.append(output.dtype))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        terms = kdkit.compute_loss(student, (INPUTS, LABELS), KD, teacher=teacher)
    assert seen == [torch.bfloat16] * 2 and terms.total.dtype == torch.float32


def test_lbfgs_asks_as_often_as_it_likes():
    optimizers = {}

    def update(student, loss_of):
        optimizer = optimizers.setdefault(student, torch.optim.LBFGS(student.parameters(), lr=0.2, max_iter=4))

        def closure():
            optimizer.zero_grad()
            total = loss_of().total
            total.backward()
            return total

        optimizer.step(closure)

    assert learns(update, steps=4)


class Words(nn.Module):
    """Logits ``[B, L, 7]`` for tokens, as a mapping hands them over."""

    def __init__(self, seed):
        super().__init__()
        with models.seeded(seed):
            self.embed, self.say = nn.Embedding(7, 5), nn.Linear(5, 7)

    def forward(self, input_ids, attention_mask):
        return {"logits": self.say(self.embed(input_ids))}


def test_a_tokenizers_mapping_with_labels_and_a_mask():
    tokens, attended = torch.arange(12).view(2, 6) % 7, torch.tensor([[1] * 6, [1, 1, 1, 0, 0, 0]])
    student, teacher = Words(1), Words(2)
    inputs, labels = {"input_ids": tokens, "attention_mask": attended}, tokens.masked_fill(attended == 0, -100)
    with pytest.raises(ValueError, match="some tokens are padding"):
        kdkit.compute_loss(student, {**inputs, "labels": labels}, KD, teacher=teacher)
    terms = kdkit.compute_loss(student, training.Batch(inputs, labels, attended), KD, teacher=teacher)
    logits = student(**inputs)["logits"], teacher(**inputs)["logits"]
    assert terms.total.item() == pytest.approx(losses.kd_loss(*logits, labels, temperature=3.0, mask=attended).item())
    whole = kdkit.compute_loss(student, {**inputs, "labels": tokens, "attention_mask": None}, KD, teacher=teacher)
    assert whole.total.item() != terms.total.item()


def test_soft_labels_such_as_mixup_makes():
    mixed = 0.7 * F.one_hot(LABELS, 3).float() + 0.3 * F.one_hot(LABELS.flip(0), 3).float()

    def loss(student, teacher, batch):
        hard = F.cross_entropy(student["logits"], batch.labels)  # probabilities [B, C]
        return 0.5 * losses.kd_loss(student["logits"], teacher["logits"]) + 0.5 * hard

    student = net(1)
    (total,) = kdkit.compute_loss(student, (INPUTS, mixed), loss, teacher=net())
    hard = -(mixed * student(INPUTS).log_softmax(1)).sum(1).mean()
    soft = losses.kd_loss(student(INPUTS), net()(INPUTS))
    assert total.item() == pytest.approx(0.5 * (soft + hard).item(), rel=1e-5)


def test_several_labels_a_sample_with_a_sigmoid_for_each():
    many = torch.randint(2, (16, 3), generator=torch.Generator().manual_seed(3)).float()

    def loss(student, teacher, batch):
        entropy = F.binary_cross_entropy_with_logits
        return entropy(student["logits"], batch.labels) + entropy(student["logits"], teacher["logits"].sigmoid())

    def update(student, loss_of):
        student.zero_grad()
        loss_of(labels=many, loss=loss)[0].backward()
        assert student[0].weight.grad.abs().sum() > 0

    learns(update, steps=1)


# ------------------------------------------------------------------------------------- the loss of each sample


def test_the_mean_of_each_samples_loss_is_the_loss():
    student, teacher = net(1)(INPUTS), net()(INPUTS)
    each = losses.kd_loss(student, teacher, LABELS, reduction="none")
    assert each.shape == (16,) and each.mean().item() == pytest.approx(losses.kd_loss(student, teacher, LABELS).item())
    one = losses.kd_loss(student[3:4], teacher[3:4], LABELS[3:4])
    assert each[3].item() == pytest.approx(one.item(), rel=1e-5)


def test_what_does_not_count_reads_0_in_its_own_term():
    student, teacher = torch.randn(2, 3, 5), torch.randn(2, 3, 5)
    labels, mask = torch.tensor([[1, -100, 2], [0, 3, -100]]), torch.tensor([[1, 1, 0], [0, 1, 1]])
    student[0, 2] = teacher[0, 2] = torch.nan  # not in the mask, and its label goes, too
    labels[0, 2] = -100
    terms = losses.kd_terms(student, teacher, labels, mask=mask, reduction="none")
    assert torch.equal(terms.soft != 0, mask.bool()) and torch.equal(terms.hard != 0, labels != -100)
    soft = losses.kd_loss(student, teacher, mask=mask)
    assert terms.soft.sum().item() / 4 == pytest.approx(soft.item(), rel=1e-5)


def test_samples_are_weighed_by_the_caller():
    weights = torch.linspace(0, 2, 16)

    def weighed(student, teacher, batch):
        return (weights * losses.kd_loss(student["logits"], teacher["logits"], batch.labels, reduction="none")).mean()

    def update(student, loss_of):
        student.zero_grad()
        loss_of(loss=weighed)[0].backward()
        with torch.no_grad():
            for weight in student.parameters():
                weight -= 0.2 * weight.grad

    assert learns(update)


# ------------------------------------------------------------------------------------- what is refused


def test_a_reduction_of_another_kind_is_refused():
    with pytest.raises(ValueError, match=r"reduction must be 'mean' or 'none'; got 'sum'"):
        losses.kd_loss(INPUTS, INPUTS, reduction="sum")
    with pytest.raises(ValueError, match=r"the loss is nan: student_logits hold NaN in 1 of 2 rows"):
        losses.kd_loss(torch.tensor([[torch.nan, 0.0], [1.0, 0.0]]), torch.zeros(2, 2), reduction="none")


def test_networks_and_batches_of_another_kind_are_refused():
    student = net(1)
    with pytest.raises(ValueError, match="teacher and student are the same network"):
        kdkit.compute_loss(student, (INPUTS, LABELS), KD, teacher=student)
    with pytest.raises(ValueError, match=r"must be a Batch, a pair \(inputs, labels\) or a mapping; got Tensor"):
        kdkit.compute_loss(student, INPUTS, KD, teacher=net())
    with torch.no_grad(), pytest.raises(ValueError, match="no gradient reaches the student"):
        kdkit.compute_loss(student, (INPUTS, LABELS), KD, teacher=net())
