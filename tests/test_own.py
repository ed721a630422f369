"""Somebody's own folder as splits: which folders are its parts, what is held out, and what is said about it."""

import re

import pytest
import torch
from small_copies import plain, save_image

from kdkit import data
from kdkit.data import image_folder
from kdkit.data.images import ImageSet, Splits
from kdkit.data.layout import part_of


@pytest.fixture
def fill(tmp_path, no_data):
    """Write images of two classes, or of those given, into folders below ``tmp_path / "pets"``."""

    def write(*folders, classes=("cat", "dog"), count=15, size=(32, 32)):
        for shade, folder in enumerate(folders):
            for name in classes:
                for number in range(count):
                    picture = plain(shade, 0, number, size=size)
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
