"""Fixtures that several test files share: real data where it is there, and small copies of its layouts."""

import gzip
import hashlib
import os
import pickle

import numpy as np
import pytest
import torch
from PIL import Image
from small_copies import TEST, TRAIN

from kdkit import data
from kdkit.data import decoding, sources, text
from kdkit.data.sources import CIFAR10_CLASSES, MNIST_FILES


@pytest.fixture(scope="session")
def real_cifar10():
    return _real(data.cifar10, "CIFAR-10")


@pytest.fixture(scope="session")
def real_mnist():
    return _real(data.mnist, "MNIST")


def _real(reader, title):
    try:
        return reader()
    except FileNotFoundError as error:
        if os.environ.get("KDKIT_REQUIRE_DATA") == "1":
            pytest.fail(f"KDKIT_REQUIRE_DATA=1, but {error}")
        pytest.skip(f"real {title} not found: set KDKIT_DATA")


@pytest.fixture(scope="session")
def docstrings():
    """Those of the standard library: pairs (module, text). To read them takes seconds."""
    return list(text.docstrings())


@pytest.fixture(scope="session")
def python_texts(docstrings):
    """What ``text.python()`` gives."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text, "docstrings", lambda: docstrings)
        return text.python()


@pytest.fixture
def no_data(monkeypatch, tmp_path):
    """A user who has no data yet: their cache folder, empty. Small copies count as whole."""
    cache = tmp_path / "user-cache"
    monkeypatch.delenv("KDKIT_DATA", raising=False)
    monkeypatch.setattr(decoding, "cache_folder", lambda: cache)
    monkeypatch.setattr(sources, "COUNTS", {"cifar10": (TRAIN, TEST), "mnist": (TRAIN, TEST)})
    monkeypatch.setattr(
        sources, "MNIST_LABELS", [hashlib.md5(_label_file(count)).hexdigest() for count in (TRAIN, TEST)]
    )
    return cache


@pytest.fixture
def pixels():
    """Pixels of a small CIFAR-10, uint8 [N, 3, 32, 32], image ``i`` of class ``i % 10``: training and test."""
    generator = torch.Generator().manual_seed(1)
    return tuple(torch.randint(256, (count, 3, 32, 32), generator=generator).byte() for count in (TRAIN, TEST))


@pytest.fixture
def batches(pixels, monkeypatch):
    """Write ``pixels`` as torchvision's folder; torchvision takes the files' checksums for CIFAR-10's."""

    def write(folder):
        folder.mkdir(parents=True)
        train, test = ({"data": part.reshape(-1, 3072).numpy(), "labels": _labels(part)} for part in pixels)
        names = [f"data_batch_{number}" for number in range(1, 6)]
        parts = [{key: values[start : start + 20] for key, values in train.items()} for start in range(0, TRAIN, 20)]
        md5 = {name: _pickle(folder / name, part) for name, part in zip(names, parts, strict=True)}
        test_md5 = _pickle(folder / "test_batch", test)
        meta_md5 = _pickle(folder / "batches.meta", {"label_names": list(CIFAR10_CLASSES)})
        meta = {"filename": "batches.meta", "key": "label_names", "md5": meta_md5}
        target = "torchvision.datasets.CIFAR10"
        monkeypatch.setattr(f"{target}.train_list", [list(item) for item in md5.items()])
        monkeypatch.setattr(f"{target}.test_list", [["test_batch", test_md5]])
        monkeypatch.setattr(f"{target}.meta", meta)
        return folder

    return write


@pytest.fixture
def picture_folder(pixels):
    """Write ``pixels`` as image files: ``train|test/<class>/NNN.<kind>``."""

    def write(folder, kind="png"):
        for part, images in zip(("train", "test"), pixels, strict=True):
            classes = [folder / part / name for name in CIFAR10_CLASSES]
            for place in classes:
                place.mkdir(parents=True)
            for number, image in enumerate(images):
                picture = Image.fromarray(image.permute(1, 2, 0).numpy())
                picture.save(classes[number % 10] / f"{number:03}.{kind}", compress_level=0)
        return folder

    return write


@pytest.fixture
def digits():
    """A small MNIST, the bytes of its four files by name."""
    generator = torch.Generator().manual_seed(2)
    made = {}
    for name, count in zip(MNIST_FILES, (TRAIN, TRAIN, TEST, TEST), strict=True):
        values = torch.randint(256, (count, 28, 28), generator=generator)
        made[f"{name}-ubyte"] = _idx_file(values) if "images" in name else _label_file(count)
    return made


@pytest.fixture
def digit_files(digits):
    """Write ``digits`` into a folder; gzipped if asked for."""

    def write(folder, zipped=False, rename=lambda name: name):
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in digits.items():
            file = folder / (rename(name) + (".gz" if zipped else ""))
            file.write_bytes(gzip.compress(content) if zipped else content)
        return folder

    return write


def _label_file(count):
    return _idx_file(torch.arange(count) % 10)


def _idx_file(values):
    head = bytes([0, 0, 8, values.ndim]) + np.array(values.shape, ">i4").tobytes()
    return head + values.byte().numpy().tobytes()


def _labels(images):
    return [number % 10 for number in range(len(images))]


def _pickle(file, content):
    file.write_bytes(pickle.dumps(content))
    return hashlib.md5(file.read_bytes()).hexdigest()
