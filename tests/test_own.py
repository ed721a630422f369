"""Somebody's own folder as splits: which folders are its parts, what is held out, and what is said about it."""

import re

import pytest
import torch
from PIL import Image
from small_copies import plain, save_image

from kdkit import data
from kdkit.data import image_folder, look, own
from kdkit.data.images import ImageSet, Splits
from kdkit.data.layout import part_of


@pytest.fixture
def fill(tmp_path, no_data):
    """Write images of two classes, or of those given, into folders below ``tmp_path / "pets"``."""

    def write(*folders, classes=("cat", "dog"), count=15, size=(32, 32)):
        for shade, folder in enumerate(folders):
            for green, name in enumerate(classes):
                for number in range(count):
                    picture = plain(shade, green, number, size=size)
                    save_image(tmp_path / "pets" / folder / name / f"{number}.png", picture)
        return tmp_path / "pets"

    return write


def shades(images):
    """From which folder, by number, the images are."""
    return set(images.images[:, 0].flatten().tolist())


SPELLINGS = {
    "train": "train Train TRAINING training_set train-set trainset train_data trn Training_Images train_split",
    "val": "val valid validation Validation_Set val_set dev Dev development valset val_images",
    "test": "test Test testing Testing test_set test-data testset tst TEST_IMAGES",
    None: "trains training2 testament value devil contest cat set data images protest",
}


@pytest.mark.parametrize("part", SPELLINGS)
def test_each_usual_spelling_of_a_part_is_known_and_words_that_only_begin_like_it_are_none(part):
    assert {name: part_of(name) for name in SPELLINGS[part].split()} == dict.fromkeys(SPELLINGS[part].split(), part)


@pytest.mark.parametrize("names", [("train", "test"), ("Training", "Testing"), ("training_set", "test_set")])
def test_with_training_and_test_images_a_tenth_is_held_out_to_validate(names, fill):
    splits = data.load(fill(*names))
    assert (len(splits.train), len(splits.val), len(splits.test)) == (27, 3, 30) and splits.name == "pets"
    assert (shades(splits.train), shades(splits.val), shades(splits.test)) == ({0}, {0}, {1})
    assert f"{names[1]}/ for testing, a tenth of {names[0]}/ held out to validate" in splits.source


@pytest.mark.parametrize("names", [("train", "val", "test"), ("Train", "dev", "Testing")])
def test_all_three_parts_are_used_as_they_are(names, fill):
    splits = data.load(fill(*names))
    assert [shades(part) for part in (splits.train, splits.val, splits.test)] == [{0}, {1}, {2}]
    assert (len(splits.train), len(splits.val), len(splits.test)) == (30, 30, 30)
    assert f"{names[1]}/ to validate, {names[2]}/ for testing" in splits.source


@pytest.mark.parametrize("names", [("train", "val"), ("Training", "validation_set")])
def test_without_test_images_those_to_validate_are_the_test_and_it_is_said(names, fill):
    splits = data.load(fill(*names))
    assert [shades(part) for part in (splits.train, splits.val, splits.test)] == [{0}, {0}, {1}]
    assert f"{names[1]}/ for testing, a tenth of {names[0]}/ held out to validate" in splits.source


def test_without_parts_a_fifth_is_held_out_for_testing(fill):
    splits = data.load(fill("."))
    assert (len(splits.train), len(splits.val), len(splits.test)) == (22, 2, 6)
    assert "a fifth held out for testing, a tenth of the rest to validate" in splits.source


def test_a_class_may_be_called_train_where_images_lie_in_it(fill):
    assert data.load(fill(".", classes=("bus", "train", "test"))).train.classes == ("bus", "test", "train")


def test_parts_that_store_accents_in_two_ways_hold_the_same_classes(fill):
    fill("train", classes=("cafe\u0301", "the\u0301"))
    splits = data.load(fill("test", classes=("caf\u00e9", "th\u00e9")))
    assert splits.train.classes == splits.test.classes == ("caf\u00e9", "th\u00e9")


def test_the_source_says_which_sizes_were_scaled(fill, no_data):
    fill("train", size=(32, 32))
    path = fill("test", size=(300, 400))
    for _ in range(2):  # decoded, then from the cache
        assert "(images of 32x32 to 400x300 pixels, cut to squares and scaled to 32x32; " in data.load(path).source
    assert len(list((no_data / "decoded").iterdir())) == 2


def test_the_source_says_nothing_of_scaling_where_there_was_none(fill):
    assert "(images of 32x32 pixels; " in data.load(fill(".")).source


def test_what_is_left_out_of_all_parts_is_said_in_one_sentence(fill, recwarn):
    path = fill("train", "val", "test")
    for part in "train", "test":
        (path / part / "cat" / "a.tif").write_text("")
    save_image(path / "unlabelled" / "0.png", plain(9, 9, 9))
    data.load(path)
    (said,) = recwarn
    assert str(said.message).startswith(
        f"Left out of {path}: .tif (2, such as {path}/train/cat/a.tif), folders beside "
    )
    assert "parts of the split (1, such as " in str(said.message)


def deeper(fill):
    return fill("one/train", "one/test").parent


def kaggles(fill):
    return fill("training_set/training_set", "test_set/test_set")


REFUSED = {
    "one part alone": (lambda fill: fill("Train"), r"holds Train/: that looks like parts.* or give .*pets/Train alone"),
    "one part and a class": (lambda fill: fill("Train", "odd"), r"holds Train/ and odd/: that looks like parts of a"),
    "no training images": (lambda fill: fill("val", "test"), r"holds test/ and val/: .*learn from \(train/\)"),
    "two of a kind": (
        lambda fill: fill("train", "Training", "test"),
        r"Training/ and train/, two folders for one part",
    ),
    "one level too high": (lambda fill: fill("one/train", "one/test", "two"), r"too high: one/ holds test/ and train/"),
    "far too high": (deeper, r"of at least two classes, .*it holds only one, 'pets'"),
    "data sets side by side": (
        lambda fill: fill("one", "two"),
        r"looks one level too high.*same folders, cat, dog\. Wh",
    ),
    "each part one level deeper": (
        kaggles,
        r"holds training_set/: that looks .*give .*training_set/training_set alone",
    ),
    "other classes": (
        lambda fill: (fill("train"), fill("test", classes=("cat", "cow")))[0],
        r"different classes: only .*train has dog; only .*test has cow\. Give all the same",
    ),
    "too few": (
        lambda fill: fill(".", count=3),
        r"5 images to train and 1 to test, 0 to validate: at least 20, 1 and 1",
    ),
}


@pytest.mark.parametrize("make, message", REFUSED.values(), ids=REFUSED)
def test_what_looks_like_a_split_and_is_none_is_asked_about(make, message, fill):
    with pytest.raises(ValueError, match=message):
        data.load(make(fill))


def test_the_parts_of_a_split_are_no_classes_of_one_folder(fill):
    with pytest.raises(
        ValueError, match=r"Testing/, which are splits .*data.load\(.*image_folder\('.*pets/Training'\)"
    ):
        image_folder(fill("Training", "Testing"))


def test_subfolders_of_other_names_are_no_sign_of_a_level_too_high(fill):
    for name in "cat", "dog":
        for number in range(20):
            for folder in f"of {name}", "more":
                save_image(fill() / name / folder / "a" / f"{number}.png", plain(number, 0, 0))
    assert data.load(fill()).train.classes == ("cat", "dog")


def test_a_tilde_is_ones_home(fill, monkeypatch):
    monkeypatch.setenv("HOME", str(fill(".").parent))
    assert data.load("~/pets").name == "pets"


# The size: asked or proposed


SIZES = {
    (20, 20): (32, "half of the images have at least 20 on their shorter side"),
    (32, 90): (32, "at least 32 on"),
    (70, 64): (64, "at least 64 on"),
    (99, 120): (96, "at least 99 on"),
    (300, 200): (128, "at least 200 on"),
}


@pytest.mark.parametrize("size", SIZES)
def test_a_size_is_proposed_by_how_large_the_images_are_and_the_reason_said(size, fill):
    side, reason = SIZES[size]
    splits = data.load(fill("train", "test", count=12, size=size))
    assert splits.train.images.shape[1:] == splits.test.images.shape[1:] == (3, side, side)
    assert (
        splits.notes[0].startswith(f"Scaled to {side}x{side} pixels, a proposal out of 32, ")
        and reason in splits.notes[0]
    )
    assert "--size N" in splits.notes[0] and splits.notes[0] in data.describe(splits)


def test_what_half_of_the_images_have_is_proposed_not_what_one_of_them_has(fill):
    fill("train", count=14, size=(70, 70))
    assert data.load(fill("test", count=13, size=(500, 500))).train.images.shape[-1] == 64


def test_of_many_images_smaller_copies_are_proposed(fill, monkeypatch):
    monkeypatch.setattr(own, "MOST_PIXELS", 60 * 96**2)
    splits = data.load(fill("train", "test", size=(200, 200)))
    assert splits.train.images.shape[-1] == 96 and "but 60 of 128x128 would take long" in splits.notes[0]


@pytest.mark.parametrize("size", [9, 48, 224])
def test_a_size_that_is_asked_for_is_taken(size, fill):
    splits = data.load(fill(".", size=(70, 70)), size=size)
    assert splits.train.images.shape[-1] == size and f"scaled to {size}x{size}; " in splits.source
    assert not any("proposal" in note for note in splits.notes)


@pytest.mark.parametrize("name", ["things", "cifar10", "mnist"])
def test_a_size_is_for_folders_alone(name):
    with pytest.raises(ValueError, match=f"size is for a folder of your own images; those of {name} are as large"):
        data.load(name, size=64)


def test_a_folder_at_two_sizes_holds_the_same_images_in_the_same_views(fill):
    path = fill(".", count=30, size=(128, 128))
    for number, file in enumerate(sorted((path / "cat").iterdir())):
        picture = plain(255, 0, 0, size=(128, 128))
        picture[:, : 4 * number] = 0
        picture[: 3 * number] = (0, 0, 255)
        save_image(file, picture)
    small, large = data.load(path, size=32), data.load(path, size=128)
    assert torch.equal(small.train.labels, large.train.labels) and torch.equal(small.test.labels, large.test.labels)
    index = torch.arange(20)
    for epoch in range(3):
        view = small.views.schedule(len(small.train), epoch)[:20]
        assert torch.equal(view, large.views.schedule(len(large.train), epoch)[:20])
        seen, larger = (
            each.views.take(each.views.pad(each.train.images), index, view)[..., 4:-4, 4:-4] for each in (small, large)
        )
        pooled = torch.nn.functional.avg_pool2d(larger[..., 12:-12, 12:-12], 4)
        assert (pooled - seen).abs().mean() < 0.02 and larger.shape[-1] == 120


# What is odd about the files is said, with what to do


def notes(path, **options):
    return data.load(path, **options).notes


def test_nothing_is_said_of_a_folder_in_which_nothing_is_odd(fill):
    assert notes(fill("train", "test"), size=32) == ()


def test_the_same_picture_in_two_parts_is_named(fill):
    path = fill("train", "test")
    save_image(path / "test" / "cat" / "copy.bmp", plain(0, 0, 3))
    (said,) = notes(path, size=32)
    assert said == (
        "1 image stands in two parts of the split (such as train/cat/3.png and test/cat/copy.bmp): a network that has "
        "learnt an image by heart is not tested by it. Take them out of one part, or results will look too good."
    )


def test_the_same_picture_in_two_classes_or_twice_in_one_is_named(fill):
    path = fill(".")
    save_image(path / "dog" / "odd.png", plain(77, 0, 0))
    save_image(path / "cat" / "odd.png", plain(77, 0, 0))
    save_image(path / "cat" / "twice.png", plain(78, 0, 0))
    save_image(path / "cat" / "twice too.png", plain(78, 0, 0))
    torn, within = notes(path, size=32)
    assert torn == (
        "1 image stands under two classes (such as cat/odd.png and dog/odd.png): one of the labels is wrong. Take it "
        "out."
    )
    assert within == (
        "1 image stands in a class more than once (such as cat/twice too.png and cat/twice.png). What is held out may "
        "then be known already. Keep one of each."
    )


ODD = {
    "grey": (lambda path: Image.new("L", (32, 32), 200).save(path), "1 image is grey, the others in colour"),
    "transparent": (lambda path: Image.new("RGBA", (32, 32)).save(path), "1 image may be transparent in part"),
    "small": (lambda path: Image.new("RGB", (40, 20), "red").save(path), "1 image has fewer than 32 pixels on a side"),
    "huge": (lambda path: Image.new("RGB", (60, 50), "red").save(path), r"Some images are huge \(up to 60x50\)"),
}


@pytest.mark.parametrize("kind", ODD)
def test_odd_files_are_counted_and_one_is_named(kind, fill, monkeypatch):
    monkeypatch.setattr(look, "HUGE", 49)
    path = fill("train", "test", size=(32, 32))
    ODD[kind][0](path / "train" / "cat" / "odd.png")
    for _ in range(2):  # decoded, then from the cache
        (said,) = notes(path, size=32)
        assert re.match(ODD[kind][1], said) and (kind == "huge" or "pets/train/cat/odd.png)" in said)


def test_all_files_that_cannot_be_used_are_named_at_once(fill):
    path = fill(".")
    for number in range(7):
        (path / "cat" / f"{number}.png").write_text("no image")
    with pytest.raises(
        ValueError, match=r"^7 files cannot be used: .*cat/0.png \(it is no image.*; and 2 more\. Repair"
    ):
        data.load(path)


def test_a_class_with_many_more_images_than_another_is_named():
    said = data.describe(Splits(some(500, 100), some(100, 100), some(150, 150)))
    assert said[-1].startswith("Imbalanced: 500 images of a to train, 100 of b. Who always says a is right on 83% of")
    assert "each class's own share" in said[-1]
    assert not any("Imbalanced" in line for line in data.describe(Splits(*[some(499, 100)] * 3)))


def test_images_are_counted_by_class_and_part():
    found = data.counts(Splits(some(3, 2), some(1, 0), some(0, 4)))
    assert found == {"a": {"train": 3, "val": 1, "test": 0}, "b": {"train": 2, "val": 0, "test": 4}}


# What is said before anything is trained


def some(*counts):
    labels = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    return ImageSet(
        torch.zeros(len(labels), 1, 2, 2, dtype=torch.uint8), labels, tuple("abc"[: len(counts)]), "letters"
    )


def test_classes_and_counts_are_said():
    said = data.describe(Splits(some(400, 500), some(100, 100), some(150, 150), source="a drawer"))
    assert said == [
        "letters: 2 classes: a, b",
        "from a drawer",
        "images to train: 900 (400 to 500 a class), to validate: 200 (100 a class), to test: 300 (150 a class)",
    ]


def test_what_is_too_little_is_said_with_what_to_do():
    said = data.describe(Splits(some(19, 20, 0), some(1, 1, 1), some(9, 9, 7)))[2:]
    assert said == [
        "Too few images left to learn a class from: a (19), c (0). Give at least 20 of each beside those held out, "
        "better hundreds, or leave the class out.",
        "Too few images to validate: with 3 an accuracy can be off by 58 points by chance. Give more: 100 make it 10.",
        "Too few images to test: with 25 an accuracy can be off by 20 points by chance. Give more: 100 make it 10.",
    ]


def test_that_many_points_is_what_chance_makes_of_so_few_images():
    right = torch.rand(20_000, 25, generator=torch.Generator().manual_seed(0)) < 0.5
    off = (right.double().mean(1) - 0.5).abs()
    assert 0.93 < (off <= 0.20).double().mean() < 0.97


def test_enough_of_all_is_not_called_too_little():
    said = data.describe(data.things.splits(50))
    assert not any(re.search("Too few", line) for line in said) and "10 classes: chair, armchair, " in said[0]


@pytest.mark.parametrize("inner", ["{}", "{}/{}"])
@pytest.mark.parametrize("names", [("seg_train", "seg_test"), ("x_train", "x_test", "train_1")])
def test_names_in_which_a_part_of_a_split_hides_are_asked_about_not_trained_on(names, inner, fill):
    with pytest.raises(ValueError, match=r"looks like parts of a split|one level too high|are these parts of a split"):
        data.load(str(fill(*(inner.format(*[name] * inner.count("{}")) for name in names))))
