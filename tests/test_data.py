"""Real images: found in each layout, read once, and every wrong input answered with what to do."""

import errno
import gzip
import sys
import tarfile

import pytest
import torch
from PIL import Image
from small_copies import TEST, TRAIN, plain, save_image

from kdkit.data import Views, cifar10, decoding, mnist, sources
from kdkit.data.sources import CIFAR10_CLASSES, find


def sorted_rows(images):
    return sorted(image.numpy().tobytes() for image in images)


# CIFAR-10 on disk


@pytest.fixture
def layout(request, tmp_path, batches, picture_folder):
    """Write CIFAR-10 in the layout that a test asks for; give the folder to look in."""
    place = tmp_path / "place"
    if request.param == "torchvision":
        batches(place / "cifar-10-batches-py")
    elif request.param == "renamed":
        batches(place)
    elif request.param == "archive":
        place.mkdir()
        made = batches(tmp_path / "cifar-10-batches-py")
        with tarfile.open(place / "cifar-10-python.tar.gz", "w:gz", compresslevel=1) as tar:
            tar.add(made, made.name)
    elif request.param == "pictures":
        picture_folder(place)
    else:
        picture_folder(place / "cifar10")
    return place


LAYOUTS = ["torchvision", "renamed", "archive", "pictures", "pictures below cifar10"]


@pytest.mark.parametrize("layout", LAYOUTS, indirect=True)
def test_cifar10_is_the_same_in_every_layout(layout, no_data, pixels):
    splits = cifar10(layout)
    assert splits.name == "cifar10" and str(layout) in splits.source
    assert splits.train.classes == CIFAR10_CLASSES
    assert (len(splits.train), len(splits.val), len(splits.test)) == (90, 10, 10)
    assert splits.val.labels.bincount().tolist() == [1] * 10
    seen = torch.cat([splits.train.images, splits.val.images])
    assert sorted_rows(seen) == sorted_rows(pixels[0])
    by_bytes = {image.numpy().tobytes(): number % 10 for number, image in enumerate(pixels[1])}
    for image, label in zip(splits.test.images, splits.test.labels, strict=True):
        assert by_bytes[image.numpy().tobytes()] == int(label)


@pytest.mark.parametrize("layout", LAYOUTS, indirect=True)
def test_find_says_in_words_what_would_be_read(layout, no_data):
    assert find("cifar10", layout) == cifar10(layout).source
    assert find("mnist", layout) is None


def test_jpeg_copies_are_said_not_to_have_the_original_pixels(tmp_path, no_data, picture_folder):
    splits = cifar10(picture_folder(tmp_path / "copies", "jpg"))
    assert splits.source == f"image folder {tmp_path / 'copies'} (JPEG, so not the original pixels)"
    assert splits.train.images.shape == (90, 3, 32, 32)


def test_original_pixels_come_before_copies(tmp_path, no_data, batches, picture_folder):
    batches(picture_folder(tmp_path / "both", "jpg") / "cifar-10-batches-py")
    assert "original pixels" in cifar10(tmp_path / "both").source.replace("not the original", "")


def test_held_out_images_are_always_the_same(tmp_path, no_data, picture_folder):
    place = picture_folder(tmp_path / "place")
    assert torch.equal(cifar10(place).val.images, cifar10(place).val.images)


def test_environment_comes_before_the_cache_folder(tmp_path, no_data, picture_folder, monkeypatch):
    picture_folder(no_data / "cifar10")
    assert str(no_data) in cifar10().source
    monkeypatch.setenv("KDKIT_DATA", str(picture_folder(tmp_path / "mine")))
    assert str(tmp_path / "mine") in cifar10().source


def test_a_given_root_is_the_only_place(tmp_path, no_data, picture_folder, monkeypatch):
    monkeypatch.setenv("KDKIT_DATA", str(picture_folder(tmp_path / "mine")))
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="empty") as caught:
        cifar10(tmp_path / "empty")
    assert "mine" not in str(caught.value)


def test_a_broken_torchvision_breaks_only_what_needs_it(tmp_path, no_data, batches, picture_folder, monkeypatch):
    place = batches(tmp_path / "place" / "cifar-10-batches-py").parent
    for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torchvision", None)
    assert "original pixels" in find("cifar10", place)
    assert len(cifar10(picture_folder(tmp_path / "pictures")).test) == TEST


def test_a_partial_copy_is_named_in_a_warning(tmp_path, no_data, picture_folder, monkeypatch):
    monkeypatch.setattr(sources, "COUNTS", {"cifar10": (50_000, 10_000)})
    with pytest.warns(UserWarning, match="100 training and 10 test images, not 50,000 and 10,000: an incomplete"):
        cifar10(picture_folder(tmp_path / "part"))


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "P", "1"])
def test_every_kind_of_picture_becomes_rgb(mode, tmp_path, no_data, picture_folder):
    place = picture_folder(tmp_path / "place")
    Image.new("RGB", (32, 32), "white").convert(mode).save(place / "test" / "cat" / "003.png")
    test = cifar10(place).test
    assert (test.images[3] == 255).all() and test.classes[test.labels[3]] == "cat"


# MNIST on disk


@pytest.mark.parametrize("below", ["MNIST/raw", "raw", "mnist", "."])
@pytest.mark.parametrize("zipped", [False, True])
def test_mnist_is_the_same_in_every_layout(below, zipped, tmp_path, no_data, digit_files, digits):
    splits = mnist(digit_files(tmp_path / "place" / below, zipped) and tmp_path / "place")
    assert splits.name == "mnist" and splits.train.classes == tuple("0123456789")
    assert splits.views == Views(flip=False, shift=2)
    assert splits.train.images.shape == (90, 1, 28, 28) and len(splits.val) == 10
    assert splits.test.images.numpy().tobytes() == digits["t10k-images-idx3-ubyte"][16:]
    assert splits.test.labels.tolist() == list(range(10))
    assert find("mnist", tmp_path / "place") == splits.source


def test_mnist_with_a_full_stop_in_its_names(tmp_path, no_data, digit_files):
    place = digit_files(tmp_path / "place", rename=lambda name: name.replace("-idx", ".idx"))
    assert len(mnist(place).train) == 90


def test_torchvision_reads_mnist_the_same(tmp_path, no_data, digit_files):
    from torchvision.datasets import MNIST

    digit_files(tmp_path / "MNIST" / "raw")
    theirs = MNIST(tmp_path, train=False)
    ours = mnist(tmp_path).test
    assert torch.equal(theirs.data, ours.images.squeeze(1)) and torch.equal(theirs.targets, ours.labels)


# Decoded once


@pytest.fixture
def decodings(monkeypatch):
    """How many images each call of the decoder was given."""
    counts, decode = [], decoding.decode_files

    def counted(listing, *rest):
        counts.append(len(listing))
        return decode(listing, *rest)

    monkeypatch.setattr(decoding, "decode_files", counted)
    return counts


def cache_file(cache):
    (file,) = (cache / "decoded").iterdir()
    return file


def test_images_are_decoded_once(tmp_path, no_data, picture_folder, decodings):
    place = picture_folder(tmp_path / "place")
    first, second = cifar10(place), cifar10(place)
    assert decodings == [TRAIN + TEST]
    assert torch.equal(first.train.images, second.train.images)
    assert torch.equal(first.test.labels, second.test.labels)


def test_a_changed_file_is_decoded_again(tmp_path, no_data, picture_folder, decodings):
    place = picture_folder(tmp_path / "place")
    cifar10(place)
    file = place / "test" / "cat" / "003.png"
    size = file.stat().st_size
    save_image(file, plain(1, 2, 3), compress_level=0)
    assert file.stat().st_size == size  # only its time tells
    assert cifar10(place).test.images[3, :, 0, 0].tolist() == [1, 2, 3]
    assert decodings == [TRAIN + TEST] * 2


def flip_a_bit(content):
    return content[:-1] + bytes([content[-1] ^ 1])


@pytest.mark.parametrize(
    "damage",
    [flip_a_bit, lambda content: content[:1000], lambda content: b"", lambda content: b"not a cache" * 99],
    ids=["a flipped bit", "cut off", "empty", "something else"],
)
def test_a_damaged_cache_file_is_named_and_written_anew(damage, tmp_path, no_data, picture_folder, decodings):
    place = picture_folder(tmp_path / "place")
    before = cifar10(place)
    file = cache_file(no_data)
    file.write_bytes(damage(file.read_bytes()))
    with pytest.warns(UserWarning, match=rf"{file.name} is damaged .*: decoding the images again"):
        after = cifar10(place)
    assert torch.equal(before.train.images, after.train.images)
    assert torch.equal(cifar10(place).train.images, before.train.images) and len(decodings) == 2


def test_a_kill_while_the_cache_is_written_leaves_no_file(tmp_path, no_data, picture_folder, monkeypatch):
    place = picture_folder(tmp_path / "place")

    def killed(tensors, path, metadata):
        path.write_bytes(b"half of it")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(decoding, "save_file", killed)
        cifar10(place)
    assert list((no_data / "decoded").iterdir()) == []
    assert len(cifar10(place).train) == 90


def test_without_a_cache_folder_one_warning_and_the_images(tmp_path, no_data, picture_folder):
    no_data.write_text("a file where the folder should be")
    with pytest.warns(UserWarning, match=r"cannot be kept in .*they will be decoded again next time") as caught:
        splits = cifar10(picture_folder(tmp_path / "place"))
    assert len(caught) == 1 and len(splits.train) == 90


def test_a_full_disk_is_said_in_one_warning_and_leaves_nothing_half(tmp_path, no_data, picture_folder, monkeypatch):
    def full(tensors, path, metadata):
        path.write_bytes(b"half of it")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(decoding, "save_file", full)
    with pytest.warns(UserWarning, match=r"cannot be kept in .*no space left on device.*decoded again") as caught:
        cifar10(picture_folder(tmp_path / "place"))
    assert len(caught) == 1 and list((no_data / "decoded").iterdir()) == []


def test_a_cache_folder_that_may_not_be_read_is_said_once(tmp_path, no_data, picture_folder, monkeypatch):
    def refuse(*given):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(decoding, "replacing", refuse)
    monkeypatch.setattr(type(no_data), "exists", refuse)
    with pytest.warns(UserWarning, match=r"cannot be kept in .*Permission denied") as caught:
        cifar10(picture_folder(tmp_path / "place"))
    assert len(caught) == 1


# Bad input: each gets an answer that says what to do


def test_nothing_found_names_every_place_and_the_ways_on(tmp_path, no_data, monkeypatch):
    monkeypatch.setenv("KDKIT_DATA", str(tmp_path / "gone"))
    no_data.mkdir()
    for reader, size in ((cifar10, "170 MB"), (mnist, "12 MB")):
        with pytest.raises(FileNotFoundError) as caught:
            reader()
        for words in (
            rf"{tmp_path / 'gone'} ($KDKIT_DATA): no such folder",
            f"{no_data} (kdkit's cache folder): nothing of it",
            f"({size}, once): {reader.__name__}(download=True), or --download",
            "Without any download: kdkit.data.things",
        ):
            assert words in str(caught.value)


def test_folders_of_other_classes_are_no_cifar10(tmp_path, no_data):
    for part in ("train", "test"):
        for name in ("cat", "dog"):
            save_image(tmp_path / "data" / part / name / "0.png", plain(0, 0, 0))
    with pytest.raises(FileNotFoundError, match="but not CIFAR-10's ten classes: cat, dog"):
        cifar10(tmp_path / "data")
    assert find("cifar10", tmp_path / "data") is None


def test_a_missing_class_in_test_is_no_cifar10(tmp_path, no_data, picture_folder):
    place = picture_folder(tmp_path / "place")
    (place / "test" / "cat").rename(place / "test" / "tiger")
    with pytest.raises(FileNotFoundError, match=r"not CIFAR-10's ten classes: .*tiger"):
        cifar10(place)


def test_a_picture_of_another_size_is_no_cifar10(tmp_path, no_data, picture_folder):
    place = picture_folder(tmp_path / "place")
    save_image(place / "train" / "dog" / "005.png", plain(0, 0, 0, size=(28, 30)))
    with pytest.raises(ValueError, match=r"dog.005.png cannot be used: it is 30x28 pixels, not 32x32"):
        cifar10(place)


def test_a_damaged_batch_is_named_by_its_folder(tmp_path, no_data, batches):
    folder = batches(tmp_path / "cifar-10-batches-py")
    (folder / "data_batch_3").write_bytes(b"")
    with pytest.raises(ValueError, match=r"cifar-10-batches-py is incomplete or damaged.*Delete the folder"):
        cifar10(tmp_path)


@pytest.mark.parametrize("layout", ["archive"], indirect=True)
def test_an_archive_cut_off_leaves_nothing_unpacked(layout, no_data):
    archive = layout / "cifar-10-python.tar.gz"
    archive.write_bytes(archive.read_bytes()[:5000])
    with pytest.raises(ValueError, match=r"cifar-10-python.tar.gz cannot be unpacked .*damaged or incomplete\?"):
        cifar10(layout)
    assert [file.name for file in no_data.iterdir() if file.name != ".kdkit.lock"] == []


@pytest.mark.parametrize("layout", ["archive"], indirect=True)
def test_an_archive_that_cannot_be_unpacked_for_want_of_a_folder(layout, no_data):
    no_data.write_text("a file where the folder should be")
    with pytest.raises(PermissionError, match=r"cannot be written to .*Or unpack .* yourself, where it is: tar xzf"):
        cifar10(layout)


def test_too_few_images_to_hold_some_out(tmp_path, no_data, picture_folder):
    place = picture_folder(tmp_path / "place")
    for file in list((place / "train" / "frog").iterdir())[:5]:
        file.unlink()
    with pytest.raises(ValueError, match=r"holds 5 training images of a class .*too few to hold out"):
        cifar10(place)


@pytest.mark.parametrize("reader", [cifar10, mnist])
def test_a_root_that_is_a_file(reader, tmp_path, no_data):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="file is a file; give the folder that holds it"):
        reader(tmp_path / "file")


def test_mnist_with_a_file_missing(tmp_path, no_data, digit_files):
    digit_files(tmp_path / "MNIST" / "raw")
    (tmp_path / "MNIST" / "raw" / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(FileNotFoundError, match="raw lacks t10k-labels-idx1-ubyte\n"):
        mnist(tmp_path)


def test_other_digits_in_files_of_the_same_names_are_not_taken_for_mnist(tmp_path, no_data, digit_files, monkeypatch):
    place = digit_files(tmp_path / "FashionMNIST" / "raw").parent
    assert len(mnist(place).test) == TEST
    file = place / "raw" / "train-labels-idx1-ubyte"
    file.write_bytes(file.read_bytes()[:8] + file.read_bytes()[:7:-1])
    assert find("mnist", place) is None
    with pytest.raises(
        FileNotFoundError, match="of MNIST's names with other labels: another data set, such as Fashion"
    ):
        mnist(place)
    digit_files(no_data)
    monkeypatch.setenv("KDKIT_DATA", str(place))
    assert str(no_data) in mnist().source  # the next place is looked in


def test_more_images_than_cifar10_has_are_another_data_set(tmp_path, no_data, picture_folder):
    place = picture_folder(tmp_path / "CINIC-10")
    save_image(place / "test" / "cat" / "one_more.png", plain(0, 0, 0))
    assert find("cifar10", place) is None
    with pytest.raises(FileNotFoundError, match="test/ holds 11 images where CIFAR-10 has 10: another data set of its"):
        cifar10(place)


def test_what_is_left_out_of_cifar10_is_said(tmp_path, no_data, picture_folder):
    place = picture_folder(tmp_path / "place")
    (place / "test" / "cat" / "003.txt").write_text("")
    with pytest.warns(UserWarning, match=r"Left out of .*place: \.txt \(1, such as .*cat/003.txt\)"):
        cifar10(place)


BAD_DIGITS = {
    "cut off": lambda content: content[:-1],
    "too long": lambda content: content + b"!",
    "only a few bytes": lambda content: content[:6],
    "another magic number": lambda content: b"\0\0\r" + content[3:],
}


@pytest.mark.parametrize("damage", BAD_DIGITS.values(), ids=BAD_DIGITS)
@pytest.mark.parametrize("name", ["train-images-idx3-ubyte", "t10k-labels-idx1-ubyte"])
def test_a_damaged_file_of_mnist_is_named(damage, name, tmp_path, no_data, digit_files):
    file = digit_files(tmp_path) / name
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(ValueError, match=f"{name} is damaged or incomplete .*Delete it, then get it again"):
        mnist(tmp_path)


@pytest.mark.parametrize("content", [gzip.compress(b"zeros" * 99)[:-9], b"no gzip", b""], ids=["cut", "other", "empty"])
def test_a_damaged_gzip_file_of_mnist_is_named(content, tmp_path, no_data, digit_files):
    (digit_files(tmp_path, zipped=True) / "train-images-idx3-ubyte.gz").write_bytes(content)
    with pytest.raises(ValueError, match=r"train-images-idx3-ubyte.gz is damaged or incomplete"):
        mnist(tmp_path)
