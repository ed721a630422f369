"""Images that stay on disk give the batches, the students and the caches that they give from memory."""

import json
import os
from dataclasses import replace

import numpy as np
import pytest
import torch
from small_copies import save_image

import kdkit
from kdkit import data, models
from kdkit.cli import main as cli
from kdkit.data import StreamedImages, Views, decoding, streaming
from kdkit.data.images import hold_out
from kdkit.measure import machine, metrics, profiling
from kdkit.training import TrainingInterrupted, ViewCache
from kdkit.training import images as recipe

CLASSES, EACH = ("bright", "dark", "grey"), 30


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Pictures of several sizes and kinds, whose class is their brightness, with noise."""
    path, draw = tmp_path_factory.mktemp("data") / "pictures", np.random.default_rng(0)
    for shade, name in zip((110, 10, 60), CLASSES, strict=True):
        for number in range(EACH):
            width, height = draw.integers(20, 60, 2)
            picture = (shade + draw.integers(0, 140, (height, width, 3))).astype(np.uint8)
            save_image(path / name / f"{number}.{('png', 'jpg')[number % 2]}", picture)
    return path


@pytest.fixture
def splits(folder, no_data):
    """The same pictures, in memory and streamed."""
    views = Views(flip=True, shift=1)
    return {how: replace(data.load(folder, stream=how == "streamed"), views=views) for how in ("memory", "streamed")}


def net(seed=0):
    return models.student(2, 3, classes=len(CLASSES), seed=seed)


def test_pixels_and_labels_are_those_in_memory(splits):
    for part in "train", "val", "test":
        kept, streamed = (getattr(splits[how], part) for how in ("memory", "streamed"))
        assert isinstance(streamed.images, StreamedImages) and not isinstance(kept.images, StreamedImages)
        assert torch.equal(streamed.images.read(), kept.images) and torch.equal(streamed.labels, kept.labels)


@pytest.mark.parametrize(
    "cut",
    [
        lambda images: images.subset(slice(3, 9)),
        lambda images: images.subset(images.labels == 1),
        lambda images: images.sample(7, seed=3),
        lambda images: images.without("grey"),
        lambda images: hold_out(images, 9)[1],
    ],
)
def test_what_is_cut_out_is_the_same_and_read_only_then(splits, cut, monkeypatch):
    kept = cut(splits["memory"].train)
    monkeypatch.setattr(streaming, "decode", None)  # to call it is an error
    streamed = cut(splits["streamed"].train)
    assert streamed.images.shape == kept.images.shape and len(streamed) == len(kept)
    monkeypatch.undo()
    assert torch.equal(streamed.images.read(), kept.images) and torch.equal(streamed.labels, kept.labels)
    assert torch.equal(streamed.images.flip(3).read(), kept.images.flip(3))


def test_predictions_are_the_same_and_large_images_come_in_smaller_parts(splits):
    kept, streamed = (splits[how].train.images for how in ("memory", "streamed"))
    assert torch.equal(metrics.predict(net(), kept), metrics.predict(net(), streamed))
    assert models.evaluation_batch(kept) == 1000 and models.evaluation_batch(torch.zeros(1, 3, 224, 224)) == 20


def trained(splits, cache, **more):
    teacher = net(seed=7).eval()
    made = {"none": lambda: None, "dense": lambda: ViewCache(teacher, splits)}
    made["top-k"] = lambda: ViewCache(teacher, splits, k=2, temperature=4.0)
    schedule = {"epochs": 3, "batch_size": 20, "progress": False} | more
    run = kdkit.train(net(seed=1), splits, teacher=teacher, cache=made[cache](), **schedule)
    return run.history, models.fingerprint(run.student)


@pytest.mark.parametrize("cache", ["none", "dense", "top-k"])
def test_a_student_is_the_same_to_the_bit_however_many_processes_read(splits, cache):
    expected = trained(splits["memory"], cache)
    for workers in 0, 2:
        splits["streamed"].train.images.workers = workers
        assert trained(splits["streamed"], cache) == expected


def test_dropout_draws_the_same_too(splits):
    """A loader draws a number from torch's generator, unless it has its own."""

    def student(part):
        dropping = torch.nn.Sequential(net(seed=1), torch.nn.Dropout(0.5))
        kdkit.train(dropping, part, epochs=2, batch_size=20, progress=False)
        return models.fingerprint(dropping)

    assert student(splits["memory"]) == student(splits["streamed"])


def test_batches_hold_each_image_once_in_the_view_that_is_due(splits):
    part = splits["streamed"]
    part.train.images.workers = 2
    batches = recipe.ImageBatches(part, 20, 0, torch.device("cpu"))
    seen = list(batches.epoch(1))
    image = torch.cat([batch.image for batch in seen])
    assert len(seen) == len(batches) and len(set(image.tolist())) == len(image)
    view, padded = part.views.schedule(len(part.train), 1), part.views.pad(splits["memory"].train.images)
    for batch in seen:
        assert torch.equal(batch.view, view[batch.image])
        assert torch.equal(batch.inputs, part.views.take(padded, batch.image, batch.view))
        assert torch.equal(batch.labels, part.train.labels[batch.image])


def test_the_reading_processes_do_not_keep_what_they_free(splits, tmp_path, monkeypatch):
    """They are forked from one that does; 100 batches of 224x224 then took 1.4 GB, and more with each one."""
    monkeypatch.setattr(machine, "give_back", lambda: (tmp_path / str(os.getpid())).touch())
    part = splits["streamed"]
    part.train.images.workers = 2
    trained(part, "none", epochs=1)
    assert len(list(tmp_path.glob("[0-9]*"))) == 2 and not (tmp_path / str(os.getpid())).exists()


def test_a_stopped_run_goes_on_at_the_end_of_an_epoch_to_the_same_bits(splits, tmp_path):
    part = splits["streamed"]
    expected = trained(part, "none")

    def stop(run):
        raise KeyboardInterrupt

    with pytest.raises(TrainingInterrupted, match="1 epoch is kept"):
        trained(part, "none", checkpoint=tmp_path / "c", progress=stop)
    assert trained(part, "none", checkpoint=tmp_path / "c") == expected


@pytest.mark.parametrize("workers", [0, 2])
def test_a_file_that_is_damaged_meanwhile_is_named_in_one_line(folder, no_data, tmp_path, workers):
    copy = tmp_path / "copy"
    for name in CLASSES:
        for number in range(0, EACH, 2):
            save_image(copy / name / f"{number}.png", np.zeros((32, 32, 3), np.uint8))
    part = data.load(copy, stream=True)
    part.train.images.workers = workers
    for path in copy.rglob("*.png"):
        path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(ValueError, match=r"^\S+\.png cannot be used: .*take it out of the folder\.$"):
        kdkit.train(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3072, 3)), part, epochs=1, progress=False)


def test_another_file_or_another_order_is_other_data(folder, no_data):
    listing = [(str(path), 0) for path in sorted(folder.rglob("*.png"))]
    whole = StreamedImages(folder, listing, 32)
    same = StreamedImages(folder, listing, 32)
    assert whole.fingerprint == same.fingerprint
    os.utime(listing[3][0], ns=(1, 1))
    others = [StreamedImages(folder, listing, 32), StreamedImages(folder, listing[::-1], 32)]
    others += [StreamedImages(folder, listing, 16), whole.flip(3), whole[:5]]
    assert len({whole.fingerprint, *(other.fingerprint for other in others)}) == 6


def test_a_cache_of_streamed_images_is_refused_for_others(splits, tmp_path):
    teacher, part = net(seed=7).eval(), splits["streamed"]
    ViewCache(teacher, part, tmp_path / "c").close()
    ViewCache(teacher, part, tmp_path / "c").close()
    order = torch.arange(len(part.train)).flip(0)
    with pytest.raises(ValueError, match="c is the cache of another data"):
        ViewCache(teacher, replace(part, train=part.train.subset(order)), tmp_path / "c")


# --------------------------------------------------------------------------------------------- when, and what is said


@pytest.mark.parametrize(
    ("asked", "memory", "streams"),
    [(None, 10**12, False), (None, 10**6, True), (None, None, False), (True, 10**12, True), (False, 10**6, False)],
)
def test_images_are_streamed_where_they_would_take_too_much_of_the_memory_or_on_demand(
    folder, no_data, monkeypatch, asked, memory, streams
):
    monkeypatch.setattr(streaming, "memory_bytes", lambda: memory)
    found = data.load(folder, stream=asked)
    assert isinstance(found.train.images, StreamedImages) == streams
    assert ("read from disk as they are wanted" in found.source) == streams
    if streams and asked is None:
        assert "since they would take more than a quarter of the memory: 276 kB decoded, 1.0 MB" in found.source


def test_a_container_may_have_less_memory_than_the_machine(monkeypatch, tmp_path):
    whole = streaming.memory_bytes()
    for content, expected in ("max\n", None), ("1000000\n", 1_000_000):
        (tmp_path / "memory.max").write_text(content)
        monkeypatch.setattr(streaming, "CGROUP", tmp_path / "memory.max")
        assert streaming.memory_bytes() == expected or (expected is None and streaming.memory_bytes() >= whole)


def test_only_sizes_are_looked_at_before_the_training(folder, no_data, monkeypatch):
    monkeypatch.setattr(decoding, "decode_files", None)
    monkeypatch.setattr(decoding.ImageOps, "fit", None)
    found = data.load(folder, stream=True)
    assert "pixels, cut to squares and scaled to 32x32, read from disk" in found.source


def test_the_commands_stream_a_folder_with_a_cache_of_likeliest_classes(folder, no_data, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(profiling, "SHORTEST", 0.0)
    monkeypatch.chdir(tmp_path)
    few = ["--data", str(folder), "--stream", "--epochs", "3", "--batch-size", "20"]
    assert cli.main(["train-teacher", *few, "--width", "4", "--epochs", "8"]) == 0
    students = ["--seeds", "1", "--width", "2", "--depth", "3", "--top-k", "1", "--json", "d.json"]
    cli.main(["distill", *few, *students])
    said = capsys.readouterr().out
    entries = 65 * 50 + 7
    assert f"the teacher's answers: 8 bytes an entry, {entries:,} entries, 30 kB in all, kept in " in said
    assert "read from disk as they are wanted, as asked for" in said
    (cache,) = tmp_path.glob("runs/*-top1-T4.cache")
    assert cache.stat().st_size == 4096 + 8 * entries
    assert json.loads((tmp_path / "d.json").read_text())["train_images"] == 65
