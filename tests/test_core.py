"""The core that every training goes through: losses of one's own, features, data of one's own, and no waiting."""

from collections import Counter
from typing import NamedTuple

import pytest
import tiny
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.data import DataLoader, TensorDataset

import kdkit
from kdkit import losses, models, training
from kdkit.losses import arguments
from kdkit.training.step import step

STUDENT, TEACHER = models.student(2, 3, 3), models.student(4, 3, 3, seed=9)  # of the three classes of ``tiny``


class Hint(nn.Module):
    """What FitNets learns from: the student's features, through a projector, are to be the teacher's."""

    def __init__(self):
        super().__init__()
        self.projector = nn.Conv2d(2, 4, 1)

    def forward(self, student, teacher, batch):
        return F.mse_loss(self.projector(student["early"]), teacher["early"])


def features(width, seed=0):
    return models.Features(models.student(width, 3, 3, seed=seed), early="stages.0")


def test_the_weights_of_a_projector_learn_and_features_come_from_the_cache():
    hint, data, teacher = Hint(), tiny.splits(), features(4, seed=9)
    before = models.fingerprint(hint)
    cache = training.ViewCache(teacher, data)
    settings = {"teacher": teacher, "cache": cache, "epochs": 2, "batch_size": 32, "progress": False}
    run = kdkit.train(features(2), data, loss=hint, **settings)
    assert models.fingerprint(hint) != before and run.history[1]["loss"] < run.history[0]["loss"]
    asked = cache.teacher_images
    kdkit.train(features(2, seed=1), data, loss=Hint(), **settings, seed=1)
    assert cache.teacher_images == asked > 0


def test_a_projector_is_kept_and_resumed_and_online_equals_cached_to_the_bit(tmp_path):
    def run(epochs, stop=False, **more):
        torch.manual_seed(3)
        settings = {"epochs": 3, "batch_size": 32, "checkpoint": tmp_path / f"c{len(more)}", "teacher": teacher}
        progress = (lambda run: [][len(run.history) == 2 and 1]) if stop else False
        hint = Hint()
        run = kdkit.train(features(2), tiny.splits(), loss=hint, progress=progress, **settings, **more)
        return run.history, models.fingerprint(run.student), models.fingerprint(hint)

    teacher = features(4, seed=9)
    with pytest.raises(IndexError):
        run(3, stop=True)
    resumed = run(3)
    assert resumed == run(3, cache=training.ViewCache(teacher, tiny.splits()))
    (tmp_path / "c0").unlink()
    assert resumed == run(3)


def test_a_plain_dataloader_of_floats_is_trained_on():
    inputs = torch.randn(256, 6, generator=torch.Generator().manual_seed(0))
    data = DataLoader(TensorDataset(inputs, (inputs[:, 0] > 0).long()), batch_size=32, shuffle=True)
    with models.seeded(0):
        student, teacher = nn.Linear(6, 2), nn.Linear(6, 2)
    optimizer = torch.optim.Adam(student.parameters(), lr=0.05)
    loss = training.Distillation(temperature=2.0, soft_weight=0.0, hard_weight=1.0)
    run = training.fit(student, data, loss, optimizer, epochs=5, teacher=teacher, progress=False)
    assert run.history[-1]["hard_loss"] < 0.4 < run.history[0]["hard_loss"]


@pytest.mark.parametrize("batch", [3, "text", (1, 2, 3)])
def test_batches_of_another_kind_are_refused(batch):
    optimizer = torch.optim.SGD(STUDENT.parameters(), lr=0.1)
    with pytest.raises(ValueError, match=r"a batch must be a Batch, a pair \(inputs, labels\) or a mapping; got"):
        training.fit(STUDENT, [batch], training.Distillation(), optimizer, epochs=1, progress=False)


def test_a_loader_that_gives_each_process_other_batches_is_refused():
    data = TensorDataset(torch.zeros(8, 6), torch.arange(8) % 2)
    sampler = torch.utils.data.DistributedSampler(data, num_replicas=2, rank=0)
    with pytest.raises(ValueError, match="has a DistributedSampler: leave it out"):
        plain(nn.Linear(6, 2), DataLoader(data, sampler=sampler), epochs=1)


# ------------------------------------------------------------------------------- no waiting for a GPU

WAITING = {"aten._local_scalar_dense", "aten.nonzero", "aten.equal", "aten.masked_select", "aten.is_nonzero"}


class Waits(TorchDispatchMode):
    """Counts what would make the host wait for a GPU: numbers, truths and sizes that are read off a tensor."""

    def __init__(self):
        super().__init__()
        self.seen = Counter()

    def __torch_dispatch__(self, function, types, arguments=(), named=None):
        name = str(function.overloadpacket)
        index = arguments[1] if name in ("aten.index", "aten.index_put_") else ()
        if name in WAITING or any(part is not None and part.dtype == torch.bool for part in index):
            self.seen[name] += 1
        return function(*arguments, **(named or {}))


def waits(monkeypatch, call):
    """What ``call`` reads off tensors, where none is on the CPU, on which looking is free."""
    monkeypatch.setattr(arguments, "may_look", lambda tensor: False)
    monkeypatch.setattr(losses.logits, "may_look", lambda tensor: False)
    tolist = torch.Tensor.tolist
    with Waits() as counted, monkeypatch.context() as changed:
        changed.setattr(torch.Tensor, "tolist", lambda tensor: counted.seen.update(["tolist"]) or tolist(tensor))
        call()
    return counted.seen


@pytest.mark.parametrize("labels", [torch.arange(8) % 3, None])
def test_a_step_of_the_core_waits_for_nothing_and_kd_step_once(monkeypatch, labels):
    student, inputs = models.student(2, 3, 3), torch.rand(8, 3, 16, 16)
    optimizer = torch.optim.SGD(student.parameters(), lr=0.1)
    batch, loss = training.Batch(inputs, labels), training.Distillation(hard_weight=0.0 if labels is None else 0.1)
    step(student, batch, loss, optimizer, teacher=TEACHER)  # the first one warms up
    assert not waits(monkeypatch, lambda: step(student, batch, loss, optimizer, teacher=TEACHER, max_grad_norm=2.0))
    found = waits(monkeypatch, lambda: kdkit.kd_step(TEACHER, student, 4.0, inputs, optimizer, labels))
    assert found == {"tolist": 1}  # the loss, before any weight moves


def test_an_epoch_of_images_waits_for_nothing_but_the_progress_bar(monkeypatch):
    student, data = models.student(2, 3, 3), tiny.splits()
    batches = training.images.ImageBatches(data, 32, 0, torch.device("cpu"))
    optimizer = torch.optim.SGD(student.parameters(), lr=0.1)

    def epoch():
        for batch in batches.epoch(0):
            step(student, batch, training.Distillation(), optimizer)

    assert not waits(monkeypatch, epoch)


def test_the_counting_finds_what_waits(monkeypatch):
    logits, mask = torch.randn(4, 3), torch.tensor([True, False, True, True])
    assert waits(monkeypatch, lambda: logits.sum().item())["aten._local_scalar_dense"] == 1
    assert waits(monkeypatch, lambda: logits[mask])["aten.index"] == 1


# ------------------------------------------------------------------------------- torch.compile takes the losses

LOGITS = [torch.randn(2, 5, 7, generator=torch.Generator().manual_seed(n)) for n in (1, 2)]
LABELS, MASK = torch.arange(10).view(2, 5) % 7, torch.tensor([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]])
COMPILED = {
    "soft_cross_entropy": lambda s, t: losses.soft_cross_entropy(s, t, 2.0),
    "kl_divergence": lambda s, t: losses.kl_divergence(s, t, 2.0),
    "hard_cross_entropy": lambda s, t: losses.hard_cross_entropy(s, LABELS),
    "kd_loss": lambda s, t: losses.kd_loss(s, t, LABELS, temperature=4.0),
    "kd_loss, mask": lambda s, t: losses.kd_loss(s, t, LABELS, temperature=4.0, mask=MASK),
    "kd_terms": lambda s, t: losses.kd_terms(s, t, LABELS).total,
    "cosine_distance": lambda s, t: losses.cosine_distance(s, t, MASK),
    "hint": losses.hint,
    "log_sum": losses.log_sum,
    "attention_transfer": lambda s, t: losses.attention_transfer(s[..., None], t[..., None]),
    "attention_map": lambda s, t: losses.attention_map(s[..., None]),
    "similarity_preserving": losses.similarity_preserving,
    "gram_table": lambda s, t: losses.gram_table(s),
    "rkd_distance": lambda s, t: losses.rkd_distance(s[:, 0], t[:, 0]),
    "rkd_angle": lambda s, t: losses.rkd_angle(s[0], t[0]),
    "pkt": lambda s, t: losses.pkt(s[0], t[0]),
    "dkd": lambda s, t: losses.dkd(s, t, LABELS),
    "dist": losses.dist,
    "standardised": lambda s, t: losses.standardised(s),
    "reverse_kl": lambda s, t: losses.reverse_kl(s, t, 2.0, MASK),
    "jensen_shannon": lambda s, t: losses.jensen_shannon(s, t, beta=0.3, mask=MASK),
    "top_k": lambda s, t: losses.top_k(t, 3).log_probabilities,
    "top_k_kl": lambda s, t: losses.top_k_kl(s, *losses.top_k(t, 3), mask=MASK),
    "next_token": lambda s, t: losses.next_token(s, LABELS, MASK).logits,
    "completion_mask": lambda s, t: losses.completion_mask(LABELS, 2, 4).float(),
    "sampled_reverse_kl": lambda s, t: losses.sampled_reverse_kl(s, t, LABELS, to_go=True),
}


@pytest.mark.parametrize("name", COMPILED)
def test_a_loss_is_compiled_without_a_graph_break_and_gives_the_same(name):
    compiled = torch.compile(COMPILED[name], fullgraph=True, backend="eager")
    assert torch.allclose(compiled(*LOGITS), COMPILED[name](*LOGITS), atol=1e-6)
    functions = {name for name in losses.__all__ if name.islower()}
    assert set(COMPILED) >= functions - {"resolve_weights", "why_not_finite"}


# ------------------------------------------------------------------------------- the loop's edges


def plain(student, batches, optimizer=None, **settings):
    optimizer = optimizer or torch.optim.SGD(student.parameters(), lr=0.1, momentum=0.9)
    return training.fit(student, batches, training.Distillation(), optimizer, progress=False, **settings)


def pairs(count=4):
    generator = torch.Generator().manual_seed(5)
    return [(torch.randn(8, 6, generator=generator), torch.arange(8) % 2) for _ in range(count)]


def test_the_same_call_with_the_same_optimizer_goes_on_after_ctrl_c(tmp_path):
    def stop(student):
        if len(validated) == 2:
            raise KeyboardInterrupt
        validated.append(1)
        return {}

    def network():
        with models.seeded(0):
            return nn.Linear(6, 2)

    whole, validated, student = plain(network(), pairs(), epochs=4), [], network()
    optimizer = torch.optim.SGD(student.parameters(), lr=0.1, momentum=0.9)
    with pytest.raises(training.TrainingInterrupted, match="2 epochs are kept"):
        plain(student, pairs(), optimizer, epochs=4, checkpoint=tmp_path / "c", validate=stop)
    assert optimizer.param_groups[0]["lr"] == 0.1 and not optimizer.state
    resumed = plain(student, pairs(), optimizer, epochs=4, checkpoint=tmp_path / "c")
    assert resumed.history == whole.history and optimizer.param_groups[0]["lr"] == 0.1
    assert models.fingerprint(student) == models.fingerprint(whole.student)


def test_terms_keep_their_names_and_the_first_is_the_total_whatever_it_is_called():
    class Terms(NamedTuple):
        everything: torch.Tensor
        ce: torch.Tensor

    def named(student, teacher, batch):
        ce = F.cross_entropy(student["logits"], batch.labels)
        return Terms(2 * ce, ce)

    student = nn.Linear(6, 2)
    for loss, names in (named, {"loss", "ce_loss"}), (lambda *three: tuple(named(*three)), {"loss", "1_loss"}):
        optimizer = torch.optim.SGD(student.parameters(), lr=0.1)
        entry = training.fit(student, pairs(), loss, optimizer, epochs=1, progress=False).history[0]
        assert entry.keys() == {"epoch", *names}


@pytest.mark.parametrize(
    "change, words",
    [
        ({"batches": []}, "there is no batch to learn from"),
        ({"warm_up": 0.5}, "belongs to another run: warm_up 0.0, now 0.5"),
        ({"batches": pairs(5)}, "belongs to another run: steps 4, now 5"),
        ({"optimizer": torch.optim.SGD(nn.Linear(6, 2).parameters(), lr=0.1)}, "holds none of the student's weights"),
    ],
)
def test_what_does_not_belong_together_is_refused(tmp_path, change, words):
    with models.seeded(0):
        first, second = nn.Linear(6, 2), nn.Linear(6, 2)
    second.load_state_dict(first.state_dict())
    plain(first, pairs(), epochs=1, checkpoint=tmp_path / "c")
    with pytest.raises(ValueError, match=words):
        plain(second, **{"batches": pairs(), "epochs": 1, "checkpoint": tmp_path / "c", **change})
