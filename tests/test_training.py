"""The step and the loop: what is updated, what is left alone, what makes two runs a fair pair, what survives."""

import copy
from dataclasses import replace
from pathlib import Path

import pytest
import tiny
import torch
from torch import nn

import kdkit
from kdkit import losses, models, training
from kdkit.measure import metrics
from kdkit.training import loop, state
from kdkit.training.cache import ViewCache
from kdkit.training.schedule import warm_up_and_decay


@pytest.fixture
def data():
    return tiny.splits()


@pytest.fixture
def teacher():
    return tiny.net(seed=7, width=4)


def run(data, seed=0, **settings):
    settings = {"epochs": 2, "batch_size": 32, "progress": False} | settings
    return kdkit.train(tiny.net(seed=seed), data, seed=seed, **settings)


def step_parts(teacher, seed=0):
    student = tiny.net(seed=seed)
    optimizer = torch.optim.SGD(student.parameters(), lr=0.1)
    inputs = torch.rand(8, 3, 10, 10, generator=torch.Generator().manual_seed(1))
    return student, optimizer, inputs, torch.arange(8) % 3


class Answer:
    def __init__(self, logits):
        self.logits = logits


class WithLogits(nn.Module):
    """A model whose output has ``.logits``, as Hugging Face's have."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, inputs):
        return Answer(self.net(inputs))


# --- kd_step


def test_kd_step_does_what_the_formula_says(teacher):
    student, optimizer, inputs, labels = step_parts(teacher)
    twin = copy.deepcopy(student).train()
    with torch.no_grad():
        teacher_logits = copy.deepcopy(teacher).eval()(inputs)
    logits = twin(inputs)
    t, log_s = (teacher_logits / 3).softmax(1), (logits / 3).log_softmax(1)
    kl = (t * (t.log() - log_s)).sum() / len(inputs)
    hard = -logits.log_softmax(1)[torch.arange(8), labels].mean()
    total = 0.7 * 9 * kl + 0.3 * hard
    total.backward()
    seen = kdkit.kd_step(teacher, student, 3.0, inputs, optimizer, labels, soft_weight=0.7, hard_weight=0.3)
    assert seen == pytest.approx((total.item(), 9 * kl.item(), hard.item()), rel=1e-4)
    assert all(isinstance(value, float) for value in seen)
    for moved, start in zip(student.parameters(), twin.parameters(), strict=True):
        assert torch.allclose(moved, start - 0.1 * start.grad, atol=1e-5)


def test_kd_step_without_labels_uses_the_soft_term_alone(teacher):
    student, optimizer, inputs, _ = step_parts(teacher)
    seen = kdkit.kd_step(teacher, student, 4.0, inputs, optimizer)
    assert seen.total == seen.soft > 0 and seen.hard == 0


def test_kd_step_leaves_modes_and_gradients_as_promised(teacher):
    student, optimizer, inputs, labels = step_parts(teacher)
    teacher.train()
    student.eval()
    kdkit.kd_step(teacher, student, 4.0, inputs, optimizer, labels)
    assert student.training and not any(module.training for module in teacher.modules())
    assert all(weight.grad is None for net in (teacher, student) for weight in net.parameters())


def test_kd_step_takes_logits_of_an_output_that_has_them(teacher):
    student, optimizer, inputs, labels = step_parts(teacher)
    twin, twin_optimizer, *_ = step_parts(teacher)
    plain = kdkit.kd_step(teacher, student, 4.0, inputs, optimizer, labels)
    wrapped = kdkit.kd_step(WithLogits(teacher), WithLogits(twin), 4.0, inputs, twin_optimizer, labels)
    assert plain == wrapped and models.fingerprint(student) == models.fingerprint(twin)


def test_teacher_is_unchanged_to_the_bit_even_when_a_parents_train_reaches_it(teacher):
    student, _, inputs, labels = step_parts(teacher)
    parent = nn.ModuleDict({"teacher": teacher, "student": student})
    optimizer = torch.optim.SGD(student.parameters(), lr=0.1, weight_decay=0.1)
    before, learner = models.fingerprint(teacher), models.fingerprint(student)
    for _ in range(3):
        parent.train()
        kdkit.kd_step(teacher, student, 4.0, inputs, optimizer, labels)
    assert models.fingerprint(teacher) == before and models.fingerprint(student) != learner


def test_teacher_inside_the_student_stays_in_eval(teacher):
    class Both(nn.Module):
        def __init__(self):
            super().__init__()
            self.teacher, self.net = teacher, tiny.net()

        def forward(self, inputs):
            return self.net(inputs)

    student, before = Both(), models.fingerprint(teacher)
    optimizer = torch.optim.SGD(student.net.parameters(), lr=0.1, weight_decay=0.1)
    for _ in range(2):
        kdkit.kd_step(teacher, student, 4.0, step_parts(teacher)[2], optimizer)
    assert models.fingerprint(teacher) == before and not teacher.training


def test_one_network_cannot_be_both_teacher_and_student(teacher):
    optimizer = torch.optim.SGD(teacher.parameters(), lr=0.1)
    with pytest.raises(ValueError, match="same network"):
        kdkit.kd_step(teacher, teacher, 4.0, torch.rand(2, 3, 10, 10), optimizer)


def test_a_refused_step_changes_no_weight(teacher):
    student, optimizer, inputs, _ = step_parts(teacher)
    before = [weight.clone() for weight in student.parameters()]
    with pytest.raises(ValueError, match=r"labels must lie in 0..2"):
        kdkit.kd_step(teacher, student, 4.0, inputs, optimizer, torch.full((8,), 3))
    assert all(torch.equal(weight, kept) for weight, kept in zip(student.parameters(), before, strict=True))


# --- train


def test_a_run_learns_and_tells_how(data):
    result = run(data, epochs=6, lr=0.2)
    assert result.val_accuracy > 0.6 > 1 / 3
    assert [list(entry) for entry in result.history] == [
        ["epoch", "loss", "soft_loss", "hard_loss", "val_accuracy", "val_agreement"]
    ] * 6
    assert result.history[-1]["loss"] < result.history[0]["loss"]
    answer = metrics.predict(result.student, data.val.images)
    assert result.val_accuracy == metrics.accuracy(answer, data.val.labels) == result.history[-1]["val_accuracy"]


def test_the_test_split_is_never_looked_at(data):
    class Untouchable:
        def __getattr__(self, name):
            raise AssertionError(f"train looked at the test split: {name}")

    data = replace(data)
    object.__setattr__(data, "test", Untouchable())
    assert run(data, epochs=1).history


def test_a_trained_teacher_beats_the_untrained_student_it_is_to_teach(data, teacher):
    kdkit.train(teacher, data, epochs=6, batch_size=32, lr=0.2, progress=False)
    right = [metrics.accuracy(metrics.predict(n, data.val.images), data.val.labels) for n in (teacher, tiny.net())]
    assert right[0] > right[1] + 0.2


def test_distillation_moves_the_student_towards_the_teacher(data, teacher):
    kdkit.train(teacher, data, epochs=4, batch_size=32, lr=0.2, progress=False)
    result = run(data, teacher=teacher, epochs=6, lr=0.2, soft_weight=1.0, hard_weight=0.0)
    answer, target = (metrics.predict(net, data.val.images) for net in (result.student, teacher))
    untrained = metrics.predict(tiny.net(), data.val.images)
    assert losses.kl_divergence(answer, target) < 0.5 * losses.kl_divergence(untrained, target)
    assert result.history[-1]["val_agreement"] == metrics.agreement(answer, target)


def test_history_adds_up_to_the_weighted_total(data, teacher):
    for entry in run(data, teacher=teacher, soft_weight=0.3, hard_weight=0.7).history:
        assert entry["loss"] == pytest.approx(0.3 * entry["soft_loss"] + 0.7 * entry["hard_loss"], rel=1e-5)


def test_plain_training_has_no_soft_loss_and_no_agreement(data):
    for entry in run(data).history:
        assert entry["loss"] == entry["hard_loss"] and entry["soft_loss"] == 0 and entry["val_agreement"] is None


def test_paired_runs_see_the_same_images_in_the_same_views_and_order(data, teacher):
    seen = {}

    def watch(arm):
        student = tiny.net(seed=3)
        student.register_forward_pre_hook(lambda module, inputs: seen.setdefault(arm, []).append(inputs[0].clone()))
        return student

    shared = {"epochs": 2, "batch_size": 32, "seed": 3, "progress": False}
    kdkit.train(watch("alone"), data, **shared)
    kdkit.train(watch("distilled"), data, teacher=teacher, **shared)
    assert len(seen["alone"]) == len(seen["distilled"]) > 4
    assert all(torch.equal(a, b) for a, b in zip(seen["alone"], seen["distilled"], strict=True))


def batches(data, size, seed=0):
    return list(training.images.ImageBatches(data, size, seed, torch.device("cpu")).epoch(0))


def test_another_seed_has_another_order_but_the_same_views(data):
    orders = [torch.cat([batch.image for batch in batches(data, 32, seed)]) for seed in (0, 1)]
    assert not torch.equal(*orders) and torch.equal(orders[0].sort().values, orders[1].sort().values)


@pytest.mark.parametrize("count, size", [(100, 32), (7, 512), (90, 40), (96, 32), (96, 10)])
def test_an_epoch_has_equal_batches_and_the_cache_hears_of_what_is_left_over(data, teacher, count, size):
    few = replace(data, train=data.train.subset(torch.arange(count) % len(data.train)))
    dealt = batches(few, size)
    images, sizes = torch.cat([batch.image for batch in dealt]), {len(batch.image) for batch in dealt}
    assert len(sizes) == 1 and max(sizes) <= size and 0 <= count - len(images) < len(dealt)
    assert images.unique().numel() == len(images)
    cache = ViewCache(teacher, few)
    for batch in training.images.ImageBatches(few, size, 0, torch.device("cpu"), cache).epoch(0):
        cache.outputs(batch.image, batch.view, batch.inputs)
    assert cache.filled == count


def test_the_same_seed_gives_the_same_run_to_the_bit(data, teacher):
    first, second = (run(data, teacher=teacher, seed=5) for _ in range(2))
    assert first.history == second.history
    assert models.fingerprint(first.student) == models.fingerprint(second.student)


def test_training_neither_reads_nor_changes_the_global_random_state(data):
    histories = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        before = torch.get_rng_state()
        histories.append(run(data).history)
        assert torch.equal(torch.get_rng_state(), before)
    assert histories[0] == histories[1]


LEFT_OVER = 10  # a size of batch that leaves over 6 of 96 images in each epoch


@pytest.mark.parametrize("size", [32, LEFT_OVER])
def test_cached_equals_online_to_the_bit_for_the_filling_and_the_reading_student(data, teacher, size):
    cache = ViewCache(teacher, data)
    for seed in (0, 1):
        online = run(data, seed, teacher=teacher, batch_size=size)
        cached = run(data, seed, teacher=teacher, cache=cache, batch_size=size)
        assert online.history == cached.history
        assert models.fingerprint(online.student) == models.fingerprint(cached.student)


@pytest.mark.parametrize("size", [32, LEFT_OVER])
def test_the_second_student_with_another_seed_never_needs_the_teacher(data, teacher, size):
    assert (sum(len(batch.image) for batch in batches(data, size)) < len(data.train)) == (size == LEFT_OVER)
    cache = ViewCache(teacher, data)
    run(data, 0, teacher=teacher, cache=cache, batch_size=size)
    asked = cache.teacher_images
    run(data, 1, teacher=teacher, cache=cache, batch_size=size)
    assert asked > 0 and cache.teacher_images == asked


def test_teacher_and_buffers_are_unchanged_after_training(data, teacher):
    before = models.fingerprint(teacher.train())
    run(data, teacher=teacher)
    assert models.fingerprint(teacher) == before and not teacher.training


# --- what decides how a training goes: the rate, the cut, the statistics of the first layer


@pytest.mark.parametrize("warm_up", [0.1, 0.2])
@pytest.mark.parametrize("steps", [1, 2, 3, 5, 7, 100, 118])
def test_the_rate_rises_to_its_peak_falls_to_almost_nothing_and_is_never_above_it(steps, warm_up):
    optimizer, rates = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.4), []
    schedule = warm_up_and_decay(optimizer, steps, warm_up)
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert optimizer.param_groups[0]["lr"] == 0
    peak = rates.index(max(rates))
    assert all(0 < rate <= 0.4 for rate in rates) and max(rates) > 0.3
    assert rates[:peak] == sorted(rates[:peak]) and rates[peak:] == sorted(rates[peak:], reverse=True)
    if steps == 100:
        assert peak in (100 * warm_up - 1, 100 * warm_up) and rates[-1] < 0.01


def test_a_batch_size_of_ones_own_decides_how_many_epochs_are_enough():
    assert training.proposed(44, 8, batch_size=44) == (44, 200)
    for images, epochs, size in (0, 8, None), (44, 0, None), (44, 8, 0):
        with pytest.raises(ValueError, match="must be a whole number"):
            training.proposed(images, epochs, size)


def test_no_step_of_a_training_is_above_the_rate_that_was_asked_for(data, monkeypatch):
    rates, step = [], torch.optim.SGD.step
    monkeypatch.setattr(torch.optim.SGD, "step", lambda self: (rates.append(self.param_groups[0]["lr"]), step(self)))
    run(data, epochs=2, lr=0.2)  # six steps, of which 1.2 would be the warm-up
    assert len(rates) == 6 and max(rates) <= 0.2


@pytest.mark.parametrize("limit", [0.01, None])
def test_gradients_longer_than_the_limit_are_cut_to_it(data, monkeypatch, limit):
    lengths, step = [], torch.optim.SGD.step

    def measured(self):
        gradients = [weight.grad for group in self.param_groups for weight in group["params"]]
        lengths.append(torch.stack([gradient.norm() for gradient in gradients]).norm().item())
        return step(self)

    monkeypatch.setattr(torch.optim.SGD, "step", measured)
    run(data, epochs=1, max_grad_norm=limit)
    assert lengths == pytest.approx([limit] * 3, rel=1e-3) if limit else min(lengths) > 0.01


def by_class(count=600):
    """Images of one colour a class, sorted by class, as a folder is."""
    images, colour = tiny.images(count, seed=5), torch.tensor([20, 120, 220], dtype=torch.uint8)
    labels = images.labels.sort().values
    return replace(images, images=colour[labels].view(-1, 1, 1, 1).expand(count, 3, 10, 10).contiguous(), labels=labels)


@pytest.mark.parametrize("wrap", [lambda net: net, nn.DataParallel, lambda net: torch.compile(net, backend="eager")])
def test_the_first_layer_learns_from_all_classes_however_the_images_are_sorted(data, monkeypatch, wrap):
    monkeypatch.setattr(training.images, "STATISTICS_IMAGES", 150)  # fewer than there are of the first class
    splits, net = replace(data, train=by_class()), tiny.net()
    training.fit_input(wrap(net), splits)
    kept = len(net.whiten.bias) // 2
    rows, mean = net.whiten.weight[:kept].flatten(1).double(), splits.train.images.double().mean() / 255
    subtracted = torch.linalg.lstsq(rows, -net.whiten.bias[:kept, None].double()).solution.mean()
    assert net.whiten.fitted and abs(subtracted - mean) < 0.03 < 0.2 < abs(
        splits.train.images[0].double().mean() / 255 - mean
    )


def test_few_images_get_small_batches_and_more_epochs():
    for images, epochs, wanted in (45_000, 8, (512, 8)), (8000, 8, (256, 8)), (216, 8, (16, 15)), (3, 8, (16, 200)):
        batch_size, epochs = training.proposed(images, epochs)
        assert (batch_size, epochs) == wanted and epochs * -(-images // batch_size) >= training.ENOUGH_STEPS


def test_what_the_user_froze_stays_frozen(data, teacher):
    student = tiny.net()
    frozen = [layer.eval() for layer in student.modules() if isinstance(layer, nn.BatchNorm2d)]
    before = [layer.running_mean.clone() for layer in frozen]
    kdkit.train(student, data, teacher=teacher, epochs=1, batch_size=32, progress=False)
    assert all(torch.equal(layer.running_mean, mean) for layer, mean in zip(frozen, before, strict=True))


class Listed(nn.Module):
    """A teacher of networks in a plain list, where torch does not look."""

    def __init__(self, net):
        super().__init__()
        self.nets = [net]

    def forward(self, images):
        return self.nets[0](images)


TEACHERS = {
    "plain list": Listed,
    "compiled": lambda net: torch.compile(net, backend="eager"),
    "frozen script": lambda net: torch.jit.freeze(torch.jit.trace(net, torch.zeros(2, 3, 10, 10)).eval()),
    "data parallel": nn.DataParallel,
}


@pytest.mark.filterwarnings("ignore:.*torch.jit", "ignore::torch.jit.TracerWarning")
@pytest.mark.parametrize("wrap", TEACHERS)
@pytest.mark.parametrize("kept", [False, True])
def test_a_teacher_teaches_the_same_whatever_it_is_wrapped_in(data, teacher, wrap, kept):
    teacher.eval()
    wrapped = TEACHERS[wrap](teacher)
    plain = run(data, teacher=teacher, epochs=1)
    other = run(data, teacher=wrapped, cache=ViewCache(wrapped, data) if kept else None, epochs=1)
    assert other.history[0]["soft_loss"] == pytest.approx(plain.history[0]["soft_loss"], rel=1e-4)


@pytest.mark.parametrize("kept", [False, True])
def test_a_teacher_in_a_plain_list_is_asked_in_eval_mode_and_does_not_move(data, teacher, kept):
    listed, before = Listed(teacher.train()), models.fingerprint(teacher)
    run(data, teacher=listed, cache=ViewCache(listed, data) if kept else None, epochs=1)
    assert models.fingerprint(teacher) == before and not any(module.training for module in teacher.modules())


def test_a_teacher_that_keeps_what_it_saw_serves_a_second_student_from_the_same_cache(data, teacher):
    class Keeps(Listed):
        def forward(self, images):
            self.seen = super().forward(images)
            return self.seen

    keeps = Keeps(teacher)
    cache = ViewCache(keeps, data)
    for seed in range(2):
        run(data, seed, teacher=keeps, cache=cache, epochs=1)


# --- a training that comes to grief


def rising(monkeypatch, losses):
    """Let the epochs of a training have these losses."""
    told = iter(losses)

    def epoch(run, *arguments):
        with torch.no_grad():
            for weight in run.student.parameters():
                weight.add_(1)
        return {"first_loss": losses[0], "loss": next(told), "soft_loss": 0.0, "hard_loss": 0.0}

    monkeypatch.setattr(loop, "_epoch", epoch)


def test_a_loss_that_explodes_and_is_still_finite_ends_the_training(data, monkeypatch):
    rising(monkeypatch, [16.6, 49.0, 842.0, 2e11])
    with pytest.raises(training.Diverged, match=r"the loss of epoch 3 is 842, after 16.6 at the beginning.*lower lr"):
        run(data, epochs=4)


def test_a_loss_that_comes_back_or_began_near_0_is_no_divergence(data, monkeypatch):
    rising(monkeypatch, [0.001, 9.0, 0.5])
    assert len(run(data, epochs=3).history) == 3


@pytest.mark.parametrize("trouble", ["divergence", "full disk"])
def test_after_any_trouble_the_student_has_its_first_weights_back(data, monkeypatch, tmp_path, trouble):
    rising(monkeypatch, [1.0, 1.0 if trouble == "full disk" else 1e9])
    student, before = tiny.net(), None
    training.fit_input(student, data)
    before = models.fingerprint(student)

    def full(path, state):
        if len(state["history"]) == 2:
            raise OSError("No space left on device")

    monkeypatch.setattr(state, "write", full)
    with pytest.raises((training.Diverged, OSError)):
        kdkit.train(student, data, epochs=3, progress=False, checkpoint=tmp_path / "c")
    assert models.fingerprint(student) == before


# --- checkpoints


def test_a_run_with_dropout_resumes_to_the_bit(data, tmp_path, monkeypatch):
    def student():
        return nn.Sequential(nn.Flatten(), nn.Dropout(0.3), tiny_linear())

    def tiny_linear():
        layer = nn.Linear(300, 3)
        nn.init.normal_(layer.weight, generator=torch.Generator().manual_seed(0))
        nn.init.zeros_(layer.bias)
        return layer

    settings = {"epochs": 4, "batch_size": 32, "lr": 0.01, "progress": False}
    whole = kdkit.train(student(), data, **settings)
    stop_after(monkeypatch, epochs=2)
    with pytest.raises(training.TrainingInterrupted):
        kdkit.train(student(), data, checkpoint=tmp_path / "c", **settings)
    monkeypatch.undo()
    resumed = kdkit.train(student(), data, checkpoint=tmp_path / "c", **settings)
    assert resumed.history == whole.history
    assert models.fingerprint(resumed.student) == models.fingerprint(whole.student)


def stop_after(monkeypatch, epochs):
    """Press Ctrl-C in the middle of the epoch that follows."""
    run_epoch = loop._epoch

    def interrupted(run, *arguments):
        if len(run.history) == epochs:
            raise KeyboardInterrupt
        return run_epoch(run, *arguments)

    monkeypatch.setattr(loop, "_epoch", interrupted)


@pytest.mark.parametrize("epochs", [0, 1, 3])
def test_ctrl_c_says_in_a_sentence_what_was_kept_and_the_run_goes_on_from_there(data, tmp_path, monkeypatch, epochs):
    whole = run(data, epochs=4)
    stop_after(monkeypatch, epochs)
    what = {0: "There was nothing to keep yet", 1: "1 epoch is kept in .*run the same again"}
    kept = what.get(epochs, f"{epochs} epochs are kept in .*run the same again")
    with pytest.raises(training.TrainingInterrupted, match=rf"^Stopped in epoch {epochs + 1} of 4. {kept}") as stopped:
        run(data, epochs=4, checkpoint=tmp_path / "c")
    assert stopped.value._render_traceback_() == [str(stopped.value)], "a notebook shows the sentence alone"
    monkeypatch.undo()
    assert run(data, epochs=4, checkpoint=tmp_path / "c").history == whole.history


def test_after_ctrl_c_the_same_cell_with_the_same_student_goes_on(data, tmp_path, monkeypatch):
    whole, student = run(data, epochs=4), tiny.net()
    again = {"epochs": 4, "batch_size": 32, "progress": False, "checkpoint": tmp_path / "c"}
    stop_after(monkeypatch, 2)
    with pytest.raises(training.TrainingInterrupted):
        kdkit.train(student, data, **again)
    monkeypatch.undo()
    assert kdkit.train(student, data, **again).history == whole.history
    assert models.fingerprint(student) == models.fingerprint(whole.student)


def test_ctrl_c_in_the_last_write_does_not_count_beyond_the_last_epoch(data, tmp_path, monkeypatch):
    def stop(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(state, "write", stop)
    with pytest.raises(training.TrainingInterrupted, match=r"^Stopped in epoch 1 of 1\."):
        run(data, epochs=1, checkpoint=tmp_path / "c")


def test_ctrl_c_without_a_checkpoint_says_so(data, monkeypatch):
    stop_after(monkeypatch, 1)
    with pytest.raises(training.TrainingInterrupted, match=r"Nothing was kept: give a checkpoint=path"):
        run(data)


def test_a_finished_run_is_read_not_repeated(data, tmp_path, monkeypatch):
    first = run(data, checkpoint=tmp_path / "c")
    monkeypatch.setattr(loop, "_epoch", None)
    again = run(data, checkpoint=tmp_path / "c")
    assert again.history == first.history and again.seconds == first.seconds
    assert models.fingerprint(again.student) == models.fingerprint(first.student)


OTHER_RUNS = {
    "seed": ({"seed": 1}, "seed 0, now 1"),
    "epochs": ({"epochs": 3}, "epochs 2, now 3"),
    "lr": ({"lr": 0.01}, "lr 0.05, now 0.01"),
    "batch size": ({"batch_size": 16}, "batch_size 32, now 16"),
    "teacher": ({"teacher": tiny.net(9)}, "teacher None, now '"),
}


@pytest.mark.parametrize("what", OTHER_RUNS)
def test_a_checkpoint_of_another_run_is_refused_with_the_difference(data, tmp_path, what):
    change, message = OTHER_RUNS[what]
    run(data, checkpoint=tmp_path / "c")
    with pytest.raises(ValueError, match=f"c belongs to another run: .*{message}.*delete the file"):
        run(data, checkpoint=tmp_path / "c", **change)


def test_a_student_that_was_trained_already_is_refused_with_a_hint(data, tmp_path):
    student = tiny.net()
    kdkit.train(student, data, epochs=1, batch_size=32, progress=False, checkpoint=tmp_path / "c")
    with pytest.raises(ValueError, match="trained already is another student: build it anew"):
        kdkit.train(student, data, epochs=1, batch_size=32, progress=False, checkpoint=tmp_path / "c")


def test_other_data_is_refused(data, tmp_path):
    run(data, checkpoint=tmp_path / "c")
    with pytest.raises(ValueError, match="belongs to another run: data_fingerprint"):
        run(tiny.reordered(data), checkpoint=tmp_path / "c")


def test_the_same_images_with_other_labels_are_refused(data, tmp_path):
    run(data, checkpoint=tmp_path / "c")
    with pytest.raises(ValueError, match="belongs to another run: labels_fingerprint"):
        run(tiny.relabelled(data), checkpoint=tmp_path / "c")


def test_pixels_changed_in_place_are_noticed(data, tmp_path):
    run(data, checkpoint=tmp_path / "c")
    data.train.images[:5] = 0
    with pytest.raises(ValueError, match="belongs to another run: data_fingerprint"):
        run(data, checkpoint=tmp_path / "c")


@pytest.mark.parametrize("share", [0, 0.1, 0.5, 0.99])
def test_a_truncated_checkpoint_is_refused_by_name(data, tmp_path, share):
    run(data, checkpoint=tmp_path / "c")
    content = (tmp_path / "c").read_bytes()
    (tmp_path / "c").write_bytes(content[: int(share * len(content))])
    with pytest.raises(ValueError, match=r"c is damaged, or no checkpoint at all.*delete the file to start afresh"):
        run(data, checkpoint=tmp_path / "c")


def test_a_foreign_file_is_refused_by_name(data, tmp_path):
    torch.save({"weights": torch.zeros(3)}, tmp_path / "c")
    with pytest.raises(ValueError, match=r"no checkpoint of kdkit\.train"):
        run(data, checkpoint=tmp_path / "c")


def test_a_failing_write_leaves_the_previous_checkpoint(data, tmp_path, monkeypatch):
    path, write, calls = tmp_path / "c", Path.write_bytes, []

    def full_disk(file, content):
        calls.append(file)
        if len(calls) == 2:
            write(file, content[:1000])
            raise OSError("No space left on device")
        write(file, content)

    monkeypatch.setattr(Path, "write_bytes", full_disk)
    with pytest.raises(OSError, match="No space left"):
        run(data, epochs=3, checkpoint=path)
    assert len(state.read(path)["history"]) == 1
    assert list(tmp_path.iterdir()) == [path], "no half-written file is left behind"


# --- what is refused

BAD_ARGUMENTS = {
    "one image set for splits": (lambda d, t: {"data": d.train}, "data must be Splits .*got ImageSet"),
    "nothing to learn from": (lambda d, t: {"data": tiny.splits(train=0)}, r"data\.train holds no image"),
    "nothing to watch": (lambda d, t: {"data": tiny.splits(val=0)}, r"data\.val holds no image"),
    "no epochs": (lambda d, t: {"epochs": 0}, "epochs must be a whole number from 1 to 1000000; got 0"),
    "half an epoch": (lambda d, t: {"epochs": 1.5}, "epochs must be a whole number.*got 1.5"),
    "batches of nothing": (lambda d, t: {"batch_size": 0}, "batch_size must be a whole number"),
    "a seed that is none": (lambda d, t: {"seed": 0.5}, "seed must be a whole number"),
    "negative lr": (lambda d, t: {"lr": -0.1}, "lr must be a finite number above 0"),
    "lr in words": (lambda d, t: {"lr": "0.1"}, "lr must be a finite number above 0.*got '0.1'"),
    "a training that explodes": (lambda d, t: {"lr": 1e30, "batch_size": 16}, "epoch 1.* the training diverged"),
    "a temperature without a teacher": (
        lambda d, t: {"temperature": 2.0},
        "without a teacher temperature=2.0 would do nothing",
    ),
    "weights without a teacher": (
        lambda d, t: {"soft_weight": 0.5},
        "without a teacher soft_weight=0.5 would do nothing",
    ),
    "a cut of nothing": (
        lambda d, t: {"max_grad_norm": -1},
        "max_grad_norm must be a finite number above 0, or None to cut none",
    ),
    "zero temperature": (lambda d, t: {"teacher": t, "temperature": 0}, "temperature must be a finite number above 0"),
    "no weight": (lambda d, t: {"teacher": t, "soft_weight": 0, "hard_weight": 0}, "both 0"),
    "negative weight": (lambda d, t: {"teacher": t, "soft_weight": -1}, "soft_weight must be a finite number"),
    "cache without teacher": (lambda d, t: {"cache": ViewCache(t, d)}, "pass teacher=cache.teacher"),
    "a path for a cache": (lambda d, t: {"teacher": t, "cache": "c"}, r"cache must be a ViewCache.*got str"),
    "cache of another teacher": (
        lambda d, t: {"teacher": t, "cache": ViewCache(tiny.net(9), d)},
        "is the cache of another teacher",
    ),
    "cache of other data": (
        lambda d, t: {"teacher": t, "cache": ViewCache(t, tiny.reordered(d))},
        "is the cache of another data",
    ),
}


@pytest.mark.parametrize("what", BAD_ARGUMENTS)
def test_settings_that_cannot_be_are_refused_at_the_start(data, teacher, what):
    change, message = BAD_ARGUMENTS[what]
    settings = {"data": data, "epochs": 1} | change(data, teacher)
    with pytest.raises(ValueError, match=message):
        kdkit.train(tiny.net(), settings.pop("data"), progress=False, **settings)


def test_the_bar_shows_loss_and_accuracy(data, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")  # in a narrow terminal the bar is cut off, at a place that its speed decides
    run(data, progress=True)
    shown = capsys.readouterr().err
    assert "training" in shown and "loss=" in shown and "val_accuracy=" in shown


def test_a_function_for_progress_is_called_with_the_run_after_each_epoch(data, tmp_path):
    seen = []
    finished = run(data, epochs=3, progress=lambda run: seen.append(len(run.history)), checkpoint=tmp_path / "c")
    assert seen == [1, 2, 3] and len(finished.history) == 3


def test_what_progress_stops_is_kept(data, tmp_path):
    def stop(run):
        raise KeyboardInterrupt

    with pytest.raises(training.TrainingInterrupted, match="1 epoch is kept"):
        run(data, epochs=3, progress=stop, checkpoint=tmp_path / "c")
