"""The cache gives what the teacher says, for the right image in the right view, whatever happened to the file."""

import multiprocessing
from pathlib import Path

import pytest
import tiny
import torch

from kdkit import models
from kdkit.data import Views, files
from kdkit.training import cache_files as caches
from kdkit.training import rows
from kdkit.training.cache import ViewCache
from kdkit.training.cache_files import HEADER_BYTES


def batch(data, index, view):
    return data.views.take(data.views.pad(data.train.images), index, view)


def fill(cache, epochs=1, size=16):
    """What a first student does to a cache."""
    data = cache.data
    for epoch in range(epochs):
        view = data.views.schedule(len(data.train), epoch)
        for index in torch.arange(len(data.train)).split(size):
            cache.outputs(index, view[index], batch(data, index, view[index]))


@pytest.fixture
def data():
    return tiny.splits()


@pytest.fixture
def teacher():
    return tiny.net(seed=7).eval()


def test_logits_from_the_cache_are_those_of_the_teacher_to_the_bit(data, teacher):
    cache = ViewCache(teacher, data)
    index, view = torch.arange(16, 48), torch.arange(32) % data.views.count
    inputs = batch(data, index, view)
    with torch.no_grad():
        expected = teacher(inputs)
    first, second = (cache.outputs(index, view, given)["logits"] for given in (inputs, None))
    assert torch.equal(first, expected) and torch.equal(second, expected)


def test_a_shuffled_batch_gets_its_own_logits_back(data, teacher):
    cache = ViewCache(teacher, data)
    fill(cache)
    view = data.views.schedule(len(data.train), 0)
    order = torch.randperm(len(data.train), generator=torch.Generator().manual_seed(5))[:16]
    with torch.no_grad():
        expected = teacher(batch(data, order, view[order]))
    assert torch.allclose(cache.outputs(order, view[order], inputs=None)["logits"], expected, atol=1e-5)


def test_the_second_asking_sends_nothing_through_the_teacher(data, teacher):
    cache = ViewCache(teacher, data)
    fill(cache, epochs=2)
    asked = cache.teacher_images
    fill(cache, epochs=2)
    assert asked == 2 * len(data.train) and cache.teacher_images == asked


def test_one_missing_entry_sends_the_whole_batch_and_leaves_the_others_as_they_were(data, teacher):
    cache = ViewCache(teacher, data)
    index, view = torch.arange(16), torch.zeros(16, dtype=torch.int64)
    cache.outputs(index[:15], view[:15], batch(data, index[:15], view[:15]))
    before = cache._rows.read(index[:15] * data.views.count).clone()
    cache.outputs(index, view, batch(data, index, view))
    assert cache.teacher_images == 15 + 16
    assert torch.equal(cache._rows.read(index[:15] * data.views.count), before)


def test_a_file_is_found_again_by_the_next_process(data, teacher, tmp_path):
    fill(ViewCache(teacher, data, tmp_path / "c"))
    again = ViewCache(teacher, data, tmp_path / "c")
    fill(again)
    assert again.teacher_images == 0 and again.filled == len(data.train)


def test_validation_logits_are_kept_too(data, teacher, tmp_path):
    first = ViewCache(teacher, data, tmp_path / "c").val_logits()
    again = ViewCache(teacher, data, tmp_path / "c")
    assert torch.equal(again.val_logits(), first) and again.teacher_images == 0


def test_a_damaged_entry_is_not_believed_but_computed_again(data, teacher, tmp_path):
    cache = ViewCache(teacher, data, tmp_path / "c")
    fill(cache)
    content = bytearray((tmp_path / "c").read_bytes())
    entries = len(data.train) * data.views.count + len(data.val)  # in front of them stand as many check values
    view = int(data.views.schedule(len(data.train), 0)[3])
    content[HEADER_BYTES + 4 * entries + 4 * len(tiny.CLASSES) * (3 * data.views.count + view) + 2] ^= 1
    (tmp_path / "c").write_bytes(content)
    again = ViewCache(teacher, data, tmp_path / "c")
    fill(again)
    assert again.teacher_images == 16, "one batch holds the damaged entry"
    assert again.check(sample=10**6) <= 1e-5


def test_check_finds_an_entry_that_is_not_what_the_teacher_says(data, teacher):
    cache = ViewCache(teacher, data)
    fill(cache)
    entry = torch.tensor([5 * data.views.count + int(data.views.schedule(len(data.train), 0)[5])])
    wrong = (cache._rows.read(entry).view(torch.float32) + 0.01).view(torch.int32)
    cache._rows.write(entry, wrong, cache._check_values(entry, wrong))
    with pytest.raises(ValueError, match=r"image 5, view \d+ is not what the teacher says"):
        cache.check(sample=10**6)


def test_check_of_an_empty_cache_says_that_there_is_nothing(data, teacher):
    with pytest.raises(ValueError, match="holds nothing to check yet"):
        ViewCache(teacher, data).check()


def test_check_passes_on_a_good_cache(data, teacher):
    cache = ViewCache(teacher, data)
    fill(cache)
    assert cache.check(sample=20) <= 1e-5


def _other_teacher(data, teacher):
    return tiny.net(seed=8), data


def _other_images(data, teacher):
    return teacher, tiny.reordered(data)


def _other_views(data, teacher):
    return teacher, tiny.splits(views=Views(flip=False, shift=1))


@pytest.mark.parametrize(
    ("other", "word"), [(_other_teacher, "teacher"), (_other_images, "data"), (_other_views, "views")]
)
def test_a_file_of_another_teacher_or_other_data_is_refused_by_name(data, teacher, tmp_path, other, word):
    ViewCache(teacher, data, tmp_path / "c")
    with pytest.raises(ValueError, match=f"c is the cache of another {word}.*path of its own"):
        ViewCache(*other(data, teacher), tmp_path / "c")


def scaled(scale):
    """Networks that differ in something that no hash sees: what a hook makes of the answer."""
    teacher = tiny.net(seed=7)
    teacher.register_forward_hook(lambda module, inputs, answer: scale * answer)
    return teacher


def test_a_teacher_with_the_same_weights_that_answers_otherwise_is_refused(data, tmp_path):
    fill(ViewCache(scaled(1.0), data, tmp_path / "c"))
    assert ViewCache(scaled(1.0), data, tmp_path / "c").filled == len(data.train)
    with pytest.raises(ValueError, match="is not what the teacher says"):
        ViewCache(scaled(5.0), data, tmp_path / "c")


def test_a_run_does_not_take_the_cache_of_such_a_teacher_either(data):
    cache = ViewCache(scaled(1.0), data)
    fill(cache)
    cache.check_belongs(scaled(1.0), data)
    with pytest.raises(ValueError, match="is not what the teacher says"):
        cache.check_belongs(scaled(5.0), data)


BROKEN = {
    "empty": lambda content: b"",
    "foreign": lambda content: b"hello" * 2000,
    "truncated": lambda content: content[:-7],
    "longer": lambda content: content + b"x",
    "header cut": lambda content: content[:30],
    "header garbled": lambda content: content[:30] + b"\xff" * 40 + content[70:],
}


@pytest.mark.parametrize("how", BROKEN)
def test_a_file_that_is_no_whole_cache_is_refused_by_name(data, teacher, tmp_path, how):
    ViewCache(teacher, data, tmp_path / "c")
    (tmp_path / "c").write_bytes(BROKEN[how]((tmp_path / "c").read_bytes()))
    with pytest.raises(ValueError, match=r"c (is|is no).*(damaged|truncated).*[Dd]elete"):
        ViewCache(teacher, data, tmp_path / "c")


def test_a_teacher_with_another_number_of_classes_is_refused(data):
    teacher = models.student(2, 3, classes=5)
    with pytest.raises(ValueError, match=r"logits of shape \[1, 5\]; expected \[1, 3\]"):
        fill(ViewCache(teacher, data))


def test_the_teacher_is_asked_in_eval_mode_and_keeps_every_bit(data):
    teacher = tiny.net(seed=7).train()
    before = models.fingerprint(teacher)
    fill(ViewCache(teacher, data))
    assert not teacher.training and models.fingerprint(teacher) == before


def _fill_in_another_process(path):
    torch.set_num_threads(1)
    fill(ViewCache(tiny.net(seed=7).eval(), tiny.splits(), path), epochs=3)


def test_two_processes_on_one_file_do_no_harm(data, teacher, tmp_path):
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_fill_in_another_process, args=(tmp_path / "c",)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0]
    cache = ViewCache(teacher, data, tmp_path / "c")
    fill(cache, epochs=3)
    assert cache.teacher_images == 0 and cache.check(sample=10**6) <= 1e-5


def test_argmax_cache_says_what_the_teacher_answers_and_only_where_it_was_asked(data, teacher):
    cache = ViewCache(teacher, data)
    fill(cache, epochs=2)
    cache.val_logits()
    answers = cache.argmax()
    assert answers.filled == cache.filled < len(data.train) * data.views.count
    index = torch.arange(32)
    view = data.views.schedule(len(data.train), 1)[index]
    soft = cache.outputs(index, view, inputs=None)["logits"]
    hard = answers.outputs(index, view, inputs=None)["logits"]
    assert torch.equal(hard.softmax(1), torch.nn.functional.one_hot(soft.argmax(1), 3).float())
    assert answers.check() == 0 and answers.teacher_images == 0
    answers.check_belongs(answers.teacher, data)


def test_argmax_cache_leaves_out_a_damaged_entry(data, teacher):
    cache = ViewCache(teacher, data)
    fill(cache)
    checks = cache._rows.checks()
    entry = checks.nonzero()[0]
    cache._rows.write(entry, cache._rows.read(entry) + 1, checks[entry])
    assert cache.argmax().filled == cache.filled - 1


# ------------------------------------------------------------------------------- opened, closed, listed, removed


def test_opening_reads_check_values_and_few_entries_and_no_more(data, teacher, tmp_path, monkeypatch):
    with ViewCache(teacher, data, tmp_path / "c") as cache:
        fill(cache)
    seen, read = [], rows.InFile._read
    monkeypatch.setattr(rows.InFile, "_read", lambda *call: seen.append((call[1], len(call[2]))) or read(*call))
    with ViewCache(teacher, data, tmp_path / "c") as cache:
        entries = len(data.train) * data.views.count + len(data.val)
        asked = {begin: sum(count for place, count in seen if place == begin) for begin, _ in seen}
        assert asked[HEADER_BYTES + 4 * entries] <= 2 * 8 and asked[HEADER_BYTES] <= entries + 2 * 8
        assert repr(cache) == f"ViewCache({tmp_path / 'c'}: 96 of 1,760 entries, 32 kB)"


@pytest.mark.parametrize("path", ["c", None])
def test_a_closed_cache_says_so_and_its_file_goes_on(data, teacher, tmp_path, path):
    path = path and tmp_path / path
    with ViewCache(teacher, data, path) as cache:
        fill(cache)
    cache.close()  # twice does no harm
    uses = (
        lambda: cache.filled,
        cache.val_logits,
        cache.argmax,
        cache.check,
        lambda: cache.check_belongs(teacher, data),
    )
    for use in uses:
        with pytest.raises(ValueError, match=r"ViewCache\(.*: closed\): open it again with ViewCache"):
            use()
    if path:
        assert ViewCache(teacher, data, path).filled == len(data.train)


def test_caches_in_a_folder_are_listed_with_what_they_are_of_and_removed(data, teacher, tmp_path):
    (tmp_path / "sub").mkdir()
    ViewCache(teacher, data, tmp_path / "sub" / "new.cache").close()
    (tmp_path / "old.cache").write_bytes(b"kdkit view cache 1\n" + bytes(50))
    for name, content in ("text", b"hello"), ("empty", b""):
        (tmp_path / name).write_bytes(content)
    new, old = caches.kept(tmp_path)
    assert (new.path, old.path) == (tmp_path / "sub" / "new.cache", tmp_path / "old.cache")
    assert new.of == f"tiny, teacher {models.fingerprint(teacher)}, flip=True, shift=1" and "older version" in old.of
    assert caches.remove(new.path) == new.bytes > 30_000 and caches.kept(tmp_path) == [old]
    for other in "text", "empty", "none":
        with pytest.raises(ValueError, match=f"{other} is no cache of teacher logits: nothing was deleted"):
            caches.remove(tmp_path / other)
    assert (tmp_path / "text").exists()


def test_a_cache_makes_the_folder_that_it_lies_in_before_the_lock(data, teacher, tmp_path, monkeypatch):
    acquire = files.FileLock.acquire  # older filelocks make none

    def in_a_folder(lock, *arguments, **keywords):
        assert Path(lock.lock_file).parent.is_dir()
        return acquire(lock, *arguments, **keywords)

    monkeypatch.setattr(files.FileLock, "acquire", in_a_folder)
    ViewCache(teacher, data, tmp_path / "new" / "folders" / "c").close()
    assert (tmp_path / "new" / "folders" / "c").exists()
