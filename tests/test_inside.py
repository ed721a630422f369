"""What stands behind notebook 07: a term beside the loss of logits, and what is measured inside a network."""

import pytest
import tiny
import torch
from torch import nn

from kdkit import inside, losses, models, training
from kdkit.data.things import CLASSES


def outputs(seed):
    draw = torch.Generator().manual_seed(seed)
    return {"logits": torch.randn(6, 10, generator=draw), "last": torch.randn(6, 5, generator=draw)}


BATCH = training.Batch(torch.zeros(6, 1), torch.arange(6))


def test_a_term_stands_beside_the_loss_of_the_logits():
    base = training.Distillation(temperature=3.0)
    loss = training.Beside(base, lambda s, t: losses.pkt(s["last"], t["last"]), weight=30.0)
    found, plain = loss(outputs(0), outputs(1), BATCH), base(outputs(0), outputs(1), BATCH)
    feature = losses.pkt(outputs(0)["last"], outputs(1)["last"])
    assert found.feature == feature and (found.soft, found.hard) == (plain.soft, plain.hard)
    assert found.total.item() == pytest.approx((plain.total + 30 * feature).item())


@pytest.mark.parametrize("weight", [-1, float("nan"), "2", True])
def test_a_weight_that_is_none_is_refused(weight):
    with pytest.raises(ValueError, match=r"^weight must be a"):
        training.Beside(training.Distillation(), lambda s, t: 0, weight)


def test_a_projector_in_the_term_learns_and_the_terms_stand_in_the_history():
    data = tiny.splits()
    student, teacher = (models.Features(tiny.net(seed), last="stages.2") for seed in (0, 1))
    images = models.as_input(data.train.images[:2])
    term = nn.Module()
    term.projector = models.Projector(student(images)["last"], teacher(images)["last"])
    term.forward = lambda s, t: losses.hint(*term.projector(s["last"], t["last"]))
    before = term.projector.linear.weight.clone()
    run = training.train(
        student, data, teacher=teacher, loss=training.Beside(training.Distillation(), term, 1.0), epochs=1,
        batch_size=10, progress=False,
    )  # fmt: skip
    assert not torch.equal(term.projector.linear.weight, before)
    assert {"soft_loss", "hard_loss", "feature_loss"} <= run.history[0].keys()


def test_a_feature_is_explained_wholly_by_itself_and_not_by_its_mean(monkeypatch):
    teacher, hint = inside.teacher(), inside.Hint("middle")
    monkeypatch.setattr(hint.projector, "forward", lambda student, teacher: (student, teacher))
    assert inside.explained(teacher, hint) == pytest.approx(1)
    monkeypatch.setattr(hint.projector, "forward", lambda s, t: (t.mean((0, 2, 3), keepdim=True).expand_as(t), t))
    assert inside.explained(teacher, hint) == pytest.approx(0, abs=1e-5)


def test_the_two_parts_pull_as_kl_does_with_the_weight_that_kl_gives_the_second():
    draw = torch.Generator().manual_seed(0)
    student, teacher = (4 * torch.randn(10, generator=draw) for _ in range(2))
    first, second = inside.pulls(student, teacher, label=3).values()
    t = (teacher / 4).softmax(0)
    wanted = 4 * (t - (student / 4).softmax(0))  # minus the gradient of T^2 KL
    assert torch.allclose(first + (1 - t[3]) * second, wanted, atol=1e-5)
    assert second[3] == 0 and list(inside.pulls(student, teacher, 3)) == ["is it a stool?", "if not, what?"]


def test_pages_say_how_much_of_the_pull_is_about_the_others():
    student, teacher = torch.zeros(10), torch.arange(10.0)
    first, second = (part.abs().sum() for part in inside.pulls(student, teacher, 0).values())
    pages = inside.pull_pages(student, teacher, 0, {"two": 2.0})
    share = 2 * second / (first + 2 * second)
    assert f'Weight two: {share:.0%} of the pull comes from "if not, what?"' in pages["two"][1]


def test_tables_are_compared_row_by_row():
    table = inside.gram(torch.tensor([[1.0, 0.0], [0.0, 1.0]]))
    assert torch.equal(table, torch.eye(2)) and inside.gap(table, torch.zeros(2, 2)) == 1
    pages = inside.table_pages(torch.zeros(2, 2), [table, table / 2], torch.tensor([0, 1]), (0, 1))
    assert list(pages) == ["0", "1"] and "After 1 epoch: 25% of the first gap" in pages["1"][1]


def test_fresh_images_come_class_after_class_and_a_student_is_watched_from_before_the_first_epoch(monkeypatch):
    assert inside.fresh(2).labels.tolist() == [k for k in range(len(CLASSES)) for _ in range(2)]
    monkeypatch.setattr(inside, "EPOCHS", 1)
    student, seen = inside.learn(None, taught=False, watch=lambda network: network.training)
    assert len(seen) == 2 and set(inside.features(student, inside.fresh(1).images)) == {"logits", *inside.LAYERS}
