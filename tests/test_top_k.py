"""A cache that keeps the k likeliest classes: what is in it, what the loss makes of it, what it refuses."""

import pytest
import tiny
import torch
import torch.nn.functional as F
from test_cache import batch, fill

import kdkit
from kdkit import losses, models
from kdkit.data import files
from kdkit.training import Distillation, Diverged, ViewCache, cache_files
from kdkit.training.cache_files import HEADER_BYTES
from kdkit.training.entries import Truncated, target
from kdkit.training.step import Batch

T = 4.0
CLASSES = len(tiny.CLASSES)


@pytest.fixture
def data():
    return tiny.splits()


@pytest.fixture
def teacher():
    return tiny.net(seed=7, width=4).eval()


def student_of(data, teacher, cache, **more):
    settings = {"epochs": 3, "batch_size": 20, "temperature": T, "progress": False} | more  # 20: images are left over
    return kdkit.train(tiny.net(seed=1), data, teacher=teacher, cache=cache, **settings)


def test_with_k_of_all_classes_everything_is_as_in_the_dense_cache_to_the_bit(data, teacher, tmp_path):
    runs = {}
    for name, more in ("dense", {}), ("all", {"k": CLASSES, "temperature": T}):
        with ViewCache(teacher, data, tmp_path / name, **more) as cache:
            runs[name] = student_of(data, teacher, cache)
    assert runs["dense"].history == runs["all"].history
    assert models.fingerprint(runs["dense"].student) == models.fingerprint(runs["all"].student)
    assert files.sha256(tmp_path / "dense") == files.sha256(tmp_path / "all")


@pytest.mark.parametrize("k", [1, 2])
def test_the_entries_are_the_teachers_likeliest_classes_in_half_precision(data, teacher, k):
    cache = ViewCache(teacher, data, k=k, temperature=T)
    index, view = torch.arange(16, 48), torch.arange(32) % data.views.count
    inputs = batch(data, index, view)
    with torch.no_grad():
        expected = losses.top_k(teacher(inputs), k, T)
    for given in inputs, None:  # asked, and kept
        found = target(cache.outputs(index, view, given), T)
        assert torch.equal(found.indices, expected.indices)
        assert torch.equal(found.log_probabilities, expected.log_probabilities.half().float())
    assert cache.check() == 0


@pytest.mark.parametrize(("classes", "k", "size"), [(256, 5, 15), (257, 5, 20), (60_000, 3, 12), (70_000, 3, 18)])
def test_indices_take_one_two_or_four_bytes_and_none_is_lost(classes, k, size):
    layout, logits = Truncated(classes, k, 1.0), torch.zeros(2, classes)
    wanted = torch.tensor([[classes - 1, 0, classes // 2], [classes - 2, 1, classes // 3]])
    logits.scatter_(1, wanted, torch.tensor([[9.0, 8.0, 7.0]] * 2))
    bits = layout.packed({"logits": logits})
    assert cache_files.size(7, classes, k).an_entry == 4 * layout.width + 4, "with its check value"
    assert bits.shape == (2, -(-size // 4)) and layout.width == bits.shape[1]
    assert torch.equal(layout.outputs(bits)["indices"][:, :3], wanted)
    assert layout.difference(bits, {"logits": logits}).max() == 0


def by_hand(student_logits, teacher_logits, k):
    """KL of the k likeliest classes and of all the others as one more, in float64."""
    t, s = ((logits.double() / T).softmax(1) for logits in (teacher_logits, student_logits))
    order = t.argsort(1, descending=True)[:, :k]
    t, s = (torch.cat([p.gather(1, order), 1 - p.gather(1, order).sum(1, keepdim=True)], 1) for p in (t, s))
    return (t * (t / s).log()).sum(1).mean()


@pytest.mark.parametrize("k", [1, 2])
def test_the_loss_is_that_of_k_classes_and_a_tail_with_the_rest_of_the_mass(data, teacher, k):
    cache, index = ViewCache(teacher, data, k=k, temperature=T), torch.arange(32)
    view = torch.zeros_like(index)
    inputs, labels = batch(data, index, view), data.train.labels[index]
    student = {"logits": torch.randn(32, CLASSES, generator=torch.Generator().manual_seed(0)).mul(3).requires_grad_()}
    taught = cache.outputs(index, view, inputs)
    terms = Distillation(T)(student, taught, Batch(inputs, labels))
    with torch.no_grad():
        answers = teacher(inputs)
    expected = T**2 * by_hand(student["logits"].detach(), answers, k)
    assert terms.soft.item() == pytest.approx(expected.item(), rel=3e-3)
    assert terms.hard.item() == F.cross_entropy(student["logits"], labels).item()
    if k == CLASSES - 1:  # the tail is the last class: nothing is lost but digits
        slopes = [
            torch.autograd.grad(losses.kd_loss(student["logits"], answers, temperature=T), student["logits"])[0],
            torch.autograd.grad(terms.soft, student["logits"])[0],
        ]
        assert torch.allclose(*slopes, atol=2e-4)


def test_the_value_by_hand():
    """The teacher says 1/2, 1/4, 1/4, the student 1/3 each: 1/2 ln(3/2) + 1/2 ln(3/4)."""
    kept = losses.TopK(torch.tensor([[0.5]]).log(), torch.tensor([[2]]))
    terms = losses.kd_terms(torch.zeros(1, 3), kept, temperature=1.0)
    assert terms.soft.item() == pytest.approx(0.5 * (torch.tensor(1.5).log() + torch.tensor(0.75).log()).item())


@pytest.mark.parametrize("k", [1, 2])
def test_the_second_student_sends_nothing_through_the_teacher(data, teacher, tmp_path, k):
    with ViewCache(teacher, data, tmp_path / "c", k=k, temperature=T) as cache:
        first = student_of(data, teacher, cache)
    with ViewCache(teacher, data, tmp_path / "c", k=k, temperature=T) as cache:
        again = student_of(data, teacher, cache)
        student_of(
            data, teacher, cache, seed=5
        )  # in another order: those left over of each epoch were asked about, too
        assert cache.teacher_images == 0 and cache.check(10**6) <= 1e-5
    assert first.history == again.history and first.history[-1]["val_agreement"] is not None


def test_validation_answers_name_the_teachers_classes(data, teacher):
    dense, cut = ViewCache(teacher, data), ViewCache(teacher, data, k=2, temperature=T)
    assert torch.equal(cut.val_logits().argmax(1), dense.val_logits().argmax(1))
    shares = (cut.val_logits() / T).softmax(1)
    assert torch.allclose(shares, (dense.val_logits() / T).softmax(1), atol=2e-3), "of three classes two say all"


def test_a_dense_cache_is_cut_down_without_asking_the_teacher(data, teacher, tmp_path):
    dense = ViewCache(teacher, data)
    asked = ViewCache(teacher, data, tmp_path / "asked", k=1, temperature=T)
    for cache in dense, asked:
        fill(cache, epochs=2)
    cut = dense.truncated(1, T, tmp_path / "cut")
    assert cut.teacher_images == 0 and 0 < cut.filled == dense.filled < len(data.train) * data.views.count
    assert files.sha256(tmp_path / "cut") == files.sha256(tmp_path / "asked")
    with pytest.raises(ValueError, match="does not keep all logits"):
        cut.truncated(1, T)


def test_the_size_that_is_said_before_is_that_of_the_file(data, teacher, tmp_path):
    count = len(data.train) * data.views.count + len(data.val)
    for k in (None, 1, 2, CLASSES):
        more = {} if k is None else {"k": k, "temperature": T}
        ViewCache(teacher, data, tmp_path / str(k), **more).close()
        assert (tmp_path / str(k)).stat().st_size == cache_files.size(count, CLASSES, k).in_all


# ---------------------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"k": 2}, "k=2 needs a temperature"),
        ({"temperature": T}, "temperature=4.0 means nothing without k"),
        ({"k": 0, "temperature": T}, "k must be a whole number from 1 to 3; got 0"),
        ({"k": 4, "temperature": T}, "k must be a whole number from 1 to 3; got 4"),
        ({"k": 2, "temperature": -1.0}, "temperature must be a finite number above 0"),
    ],
)
def test_settings_that_cannot_be_are_refused(data, teacher, more, words):
    with pytest.raises(ValueError, match=words):
        ViewCache(teacher, data, **more)


def test_a_teacher_with_features_is_refused(data, teacher):
    with pytest.raises(ValueError, match="k=1 keeps logits alone, and the teacher also answers with last"):
        ViewCache(models.Features(teacher, last="stages.1"), data, k=1, temperature=T)


def test_a_loss_at_another_temperature_is_refused(data, teacher):
    cache = ViewCache(teacher, data, k=1, temperature=T)
    with pytest.raises(ValueError, match="likeliest classes at temperature 4, and the loss is at 2"):
        student_of(data, teacher, cache, temperature=2.0)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({}, "another outputs and another dtype"),
        ({"k": 2, "temperature": T}, "another outputs"),
        ({"k": 1, "temperature": 2.0}, "another temperature"),
    ],
)
def test_a_file_of_another_kind_is_refused_by_name(data, teacher, tmp_path, more, words):
    ViewCache(teacher, data, tmp_path / "c", k=1, temperature=T).close()
    with pytest.raises(ValueError, match=f"c is the cache of {words}"):
        ViewCache(teacher, data, tmp_path / "c", **more)


def test_a_file_of_images_in_another_order_is_refused(data, teacher, tmp_path):
    ViewCache(teacher, data, tmp_path / "c", k=1, temperature=T).close()
    with pytest.raises(ValueError, match="c is the cache of another data"):
        ViewCache(teacher, tiny.reordered(data), tmp_path / "c", k=1, temperature=T)


def test_a_damaged_entry_is_not_believed_but_computed_again(data, teacher, tmp_path):
    with ViewCache(teacher, data, tmp_path / "c", k=2, temperature=T) as cache:
        fill(cache)
    whole, content = files.sha256(tmp_path / "c"), bytearray((tmp_path / "c").read_bytes())
    entries, width = len(data.train) * data.views.count + len(data.val), 8
    view = int(data.views.schedule(len(data.train), 0)[3])
    content[HEADER_BYTES + 4 * entries + width * (3 * data.views.count + view) + 4] ^= 1  # its first index
    (tmp_path / "c").write_bytes(content)
    with ViewCache(teacher, data, tmp_path / "c", k=2, temperature=T) as cache:
        fill(cache)
        assert cache.teacher_images == 16, "one batch holds the damaged entry"
    assert files.sha256(tmp_path / "c") == whole


@pytest.mark.parametrize("what", ["value", "index", "order"])
def test_check_finds_an_entry_that_is_not_what_the_teacher_says(data, teacher, what):
    cache = ViewCache(teacher, data, k=2, temperature=T)
    fill(cache)
    entry = torch.tensor([5 * data.views.count + int(data.views.schedule(len(data.train), 0)[5])])
    content = cache._rows.read(entry).clone().view(torch.uint8)  # two halves, two indices, two zeros
    if what == "value":
        content[0, :2] = (content[0, :2].view(torch.float16) + 0.05).view(torch.uint8)
    elif what == "index":
        content[0, 4] = 2 - content[0, 4:6].sum() + 1  # the one that was not kept
    else:
        content[0, 4:6] = content[0, 4:6].flip(0)
    wrong = content.view(torch.int32)
    cache._rows.write(entry, wrong, cache._check_values(entry, wrong))
    with pytest.raises(ValueError, match=r"image 5, view \d+ is not what the teacher says"):
        cache.check(sample=10**6)


def test_a_student_that_diverges_is_said_to_diverge(data, teacher):
    cache = ViewCache(teacher, data, k=1, temperature=T)
    with pytest.raises(Diverged):
        student_of(data, teacher, cache, lr=1e12, max_grad_norm=None, epochs=6)
