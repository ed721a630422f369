"""A projector makes two features alike in shape, learns with the student, and is the same from the same seed."""

import pytest
import tiny
import torch
import torchvision
from torch import nn

import kdkit
from kdkit import losses, models
from kdkit.models import Features, Projector

ROWS = torch.randn(6, 3, generator=torch.Generator().manual_seed(0))
MAPS = torch.randn(6, 3, 8, 8, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(("narrow", "wide"), [(ROWS, torch.randn(6, 7)), (MAPS, torch.randn(6, 7, 4, 4))])
def test_it_is_a_linear_map_over_channels_to_the_smaller_size(narrow, wide):
    projector = Projector(narrow, wide, seed=3)
    ours, theirs = projector(narrow, wide)
    assert ours.shape == theirs.shape == wide.shape and torch.equal(theirs, wide)
    weight = projector.linear.weight.flatten(1)  # [7, 3, 1, 1] -> [7, 3]
    pooled = narrow if narrow.ndim == 2 else nn.functional.avg_pool2d(narrow, 2)
    assert torch.allclose(ours, torch.einsum("oc,bc...->bo...", weight, pooled), atol=1e-6)
    again, other = Projector(narrow, wide, seed=3), Projector(narrow, wide, seed=4)
    assert models.fingerprint(again) == models.fingerprint(projector) != models.fingerprint(other)


def test_the_teachers_map_is_pooled_where_it_is_the_larger():
    ours, theirs = Projector(MAPS, torch.ones(6, 5, 16, 16))(MAPS, torch.ones(6, 5, 16, 16))
    assert ours.shape == theirs.shape == (6, 5, 8, 8)


def test_normalised_features_have_mean_0_and_variance_1_and_no_scale_changes_the_loss():
    wide = 5 + 3 * torch.randn(6, 7, generator=torch.Generator().manual_seed(2))
    projector = Projector(ROWS, wide, normalised=True)
    both = projector(ROWS, wide)
    assert all(torch.allclose(feature.mean(0), torch.zeros(7), atol=1e-5) for feature in both)
    assert all(torch.allclose(feature.var(0, correction=0), torch.ones(7), atol=1e-3) for feature in both)
    losses_found = [float(losses.log_sum(*projector(ROWS, scale * wide)).detach()) for scale in (1, 100)]
    assert losses_found[0] == pytest.approx(losses_found[1], abs=1e-3)
    assert not list(Projector(ROWS, wide).norms)


def test_the_teacher_gets_no_gradient_and_the_projector_does():
    wide = torch.randn(6, 7, requires_grad=True)
    projector = Projector(ROWS, wide)
    losses.hint(*projector(ROWS, wide)).backward()
    assert wide.grad is None and projector.linear.weight.grad.abs().max() > 0


class Hint(nn.Module):
    def __init__(self, projector):
        super().__init__()
        self.projector = projector

    def forward(self, student, teacher, batch):
        return losses.hint(*self.projector(student["early"], teacher["early"]))


def test_it_learns_in_a_training_of_the_kit():
    data, teacher = tiny.splits(), Features(models.student(4, 3, 3, seed=9), early="stages.0")
    student = Features(models.student(2, 3, 3), early="stages.0")
    images = models.as_input(data.train.images[:2])
    hint = Hint(Projector(student(images)["early"], teacher(images)["early"]))
    before = models.fingerprint(hint)
    run = kdkit.train(student, data, teacher=teacher, loss=hint, epochs=2, batch_size=32, progress=False)
    assert models.fingerprint(hint) != before and run.history[1]["loss"] < run.history[0]["loss"]


def test_features_of_a_torchvision_resnet_and_of_a_hugging_face_encoder_leave_no_hook():
    import reading

    resnet = torchvision.models.resnet18(weights=None, num_classes=3).eval()
    images = torch.rand(2, 3, 32, 32)
    found = Features(resnet, middle="layer2", last="avgpool")(images)
    assert found["middle"].shape == (2, 128, 4, 4) and torch.equal(found["logits"], resnet(images))
    bert, batch = reading.teacher(depth=2).eval(), reading.masked_batch()
    taps = Features(bert, first="bert.encoder.layer.0")
    states = taps(input_ids=batch.input_ids, attention_mask=batch.attention_mask.long())
    assert states["first"].shape[:2] == batch.input_ids.shape
    assert not any(module._forward_hooks for network in (resnet, bert) for module in network.modules())


@pytest.mark.parametrize(
    ("ours", "theirs", "message"),
    [
        (MAPS, ROWS, r"teacher's feature must be \[B, C, H, W\]; got shape \[6, 3\]"),
        (ROWS, ROWS[:2], "of the same samples; got 6 of the student, 2 of the teacher"),
        (MAPS[0], MAPS[0], r"student's feature must be \[B, D\]; got shape \[3, 8, 8\]"),
    ],
)
def test_what_it_cannot_join_is_refused(ours, theirs, message):
    with pytest.raises(ValueError, match=message):
        Projector(ours, theirs)
