"""How a training computes: in parts, in bfloat16, compiled; and that it changes nothing that it should not."""

import pytest
import tiny
import torch
from torch import nn

import kdkit
from kdkit import losses, models, training
from kdkit.training import computing, state
from kdkit.training.batch import deal


def plain(seed, width=16):
    """A network without BatchNorm."""
    with models.seeded(seed):
        return nn.Sequential(nn.Flatten(), nn.Linear(300, width), nn.ReLU(), nn.Linear(width, 3))


def run(student=None, teacher=None, **settings):
    settings = {"epochs": 3, "batch_size": 25, "lr": 0.02, "progress": False} | settings
    data = tiny.splits(train=75)
    return kdkit.train(student or plain(1), data, teacher=teacher or plain(7, 32), **settings)


def furthest(one, other):
    """How far two runs' losses lie apart at most, relative to the larger."""
    pairs = [(a["loss"], b["loss"]) for a, b in zip(one.history, other.history, strict=True)]
    return max(abs(a - b) / max(a, b) for a, b in pairs)


# ------------------------------------------------------------------------------------- in parts


@pytest.mark.parametrize("parts", [2, 4, 1000])
def test_without_batchnorm_parts_give_what_the_whole_batch_gives(parts):
    whole, dealt = run(), run(accumulate=parts)
    assert furthest(whole, dealt) < 1e-6
    for one, other in zip(whole.student.parameters(), dealt.student.parameters(), strict=True):
        assert torch.allclose(one, other, atol=1e-6)


def test_with_batchnorm_they_do_not_but_almost():
    whole, dealt = (run(tiny.net(1), tiny.net(7, 4), accumulate=parts) for parts in (1, 5))
    assert 1e-4 < furthest(whole, dealt) < 0.2


def test_the_networks_see_no_more_than_a_part_and_each_sample_once():
    student, seen = plain(1), []
    student.register_forward_hook(lambda module, inputs, output: seen.append(len(output)) if module.training else None)
    run(student, accumulate=4, epochs=1)
    assert seen == [6, 6, 6, 7] * 3


def words(seed, batch=6, length=5, classes=7):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, length, classes, generator=generator)


def test_tokens_that_do_not_count_weigh_nothing_in_the_shares():
    mask = torch.arange(5) < torch.tensor([5, 1, 2, 4, 1, 3]).view(-1, 1)  # [6, 5]
    labels = torch.where(mask, torch.arange(30).view(6, 5) % 7, -100)
    batch = training.Batch({"student": words(1), "teacher": words(2), "names": True}, labels, mask)

    def loss_of(part):
        terms = losses.kd_terms(part.inputs["student"], part.inputs["teacher"], part.labels, mask=part.mask)
        return terms.total.item()

    parts = deal(batch, 4)
    assert sum(float(part.share) * loss_of(part) for part in parts) == pytest.approx(loss_of(batch), rel=1e-6)
    by_samples = sum(len(part.labels) / 6 * loss_of(part) for part in parts)
    assert abs(by_samples - loss_of(batch)) > 0.01, "the mean over samples would be another"
    twice = [piece for part in deal(batch, 2) for piece in deal(part, 2)]
    assert sum(float(piece.share) for piece in twice) == pytest.approx(1)


def test_what_has_no_one_share_is_refused():
    labels = torch.where(torch.arange(30).view(6, 5) % 3 == 0, 1, -100)
    for mask in None, torch.ones(6, 5, dtype=torch.bool):
        with pytest.raises(ValueError, match=r"labels of -100 leave out others than the mask.*mask=\(labels != -100\)"):
            deal(training.Batch(words(1), labels, mask), 2)
    assert len(deal(training.Batch(words(1), labels, labels != -100), 2)) == 2
    with pytest.raises(ValueError, match=r"6 samples, and a tensor \[5\] beside them"):
        deal(training.Batch(words(1), torch.arange(5)), 2)
    with pytest.raises(ValueError, match=r"hold no tensor \[B, \.\.\.\]"):
        deal(training.Batch({"texts": ["a", "b"]}), 2)


# ------------------------------------------------------------------------------------- in bfloat16


def test_both_networks_compute_in_bfloat16_and_nothing_else_does():
    student, teacher, seen = plain(1), plain(7, 32), []
    for name, network in ("student", student), ("teacher", teacher):
        last = network[3]
        last.register_forward_hook(lambda layer, given, out, name=name: seen.append((name, layer.training, out.dtype)))

    def loss(ours, theirs, batch):
        assert ours["logits"].dtype == theirs["logits"].dtype == torch.float32 and not torch.is_autocast_enabled("cpu")
        return losses.kd_loss(ours["logits"], theirs["logits"], batch.labels)

    result = run(student, teacher, loss=loss, precision="bf16", epochs=1)
    asked = {True: torch.bfloat16, False: torch.float32}  # a student in eval mode is being validated
    assert {dtype for name, training, dtype in seen if name == "student" and not training} == {torch.float32}
    assert all(dtype == asked[training] for name, training, dtype in seen if name == "student")
    assert torch.bfloat16 in {dtype for name, _, dtype in seen if name == "teacher"}
    assert all(weight.dtype == torch.float32 for weight in result.student.state_dict().values())


def test_losses_in_bfloat16_are_those_of_float32_but_for_rounding():
    assert 0 < furthest(run(), run(precision="bf16")) < 0.02


def test_a_cache_is_filled_in_float32_whatever_the_student_computes_in():
    data, teacher = tiny.splits(train=75), plain(7, 32)
    caches = [training.ViewCache(teacher, data) for _ in range(2)]
    for cache, precision in zip(caches, ("float32", "bf16"), strict=True):
        run(teacher=teacher, cache=cache, precision=precision)
        assert cache.check(sample=10**6) < 1e-5


# ------------------------------------------------------------------------------------- compiled


def test_a_compiled_student_learns_the_same_and_is_kept_as_it_is(tmp_path, monkeypatch):
    compiled, compile = [], torch.compile
    monkeypatch.setattr(torch, "compile", lambda what: compiled.append(what) or compile(what, backend="eager"))
    student = plain(1)
    result = run(student, compile=True, checkpoint=tmp_path / "c")
    assert compiled[-1] is student is result.student
    assert result.history == run().history and list(state.read(tmp_path / "c")["student"]) == list(student.state_dict())


def test_without_a_compiler_a_sentence_says_so(monkeypatch):
    def broken(function):
        raise RuntimeError("No working C++ compiler found\nand a long story")

    monkeypatch.setattr(torch, "compile", broken)
    with pytest.raises(ValueError, match=r"compile=True: .* \(No working C\+\+ compiler found\)\. Install one \(g\+\+"):
        run(compile=True)


# ------------------------------------------------------------------------------------- what a run remembers


HOW = {"accumulate": (2, "accumulate 1, now 2"), "precision": ("bf16", "precision 'float32', now 'bf16'")}


@pytest.mark.parametrize("name", HOW)
def test_a_run_is_not_gone_on_with_in_another_way(tmp_path, name):
    value, words = HOW[name]
    assert run(checkpoint=tmp_path / "c").settings.items() >= state.LATER.items()
    with pytest.raises(ValueError, match=f"belongs to another run: {words}"):
        run(checkpoint=tmp_path / "c", **{name: value})


def test_a_checkpoint_that_does_not_tell_how_is_gone_on_with(tmp_path, monkeypatch):
    whole, save = run(), state.save

    def first_epoch(path, run, parts):
        for name in state.LATER:
            del run.settings[name]
        save(path, run, parts)
        raise KeyboardInterrupt

    monkeypatch.setattr(state, "save", first_epoch)
    with pytest.raises(training.TrainingInterrupted, match="1 epoch is kept"):
        run(checkpoint=tmp_path / "c")
    monkeypatch.undo()
    assert run(checkpoint=tmp_path / "c").history == whole.history
    with pytest.raises(ValueError, match="precision 'float32', now 'bf16'"):
        run(checkpoint=tmp_path / "c", precision="bf16")


@pytest.mark.parametrize(
    "settings, words",
    [
        ({"accumulate": 0}, "accumulate must be a whole number of at least 1; got 0"),
        ({"precision": "fp16"}, "precision must be one of float32, bf16; got 'fp16'"),
        ({"compile": "yes"}, "compile must be True or False; got str"),
    ],
)
def test_ways_that_are_none_are_refused(settings, words):
    with pytest.raises(ValueError, match=words):
        run(**settings)


def test_a_gpu_without_bfloat16_is_told_so(monkeypatch):
    monkeypatch.setattr(models, "device_of", lambda network: torch.device("cuda"))
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: False)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "an old GPU")
    with pytest.raises(ValueError, match="precision='bf16': an old GPU has no bfloat16"):
        computing.check_how(plain(1), 1, "bf16", False)
