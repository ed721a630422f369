"""Images and labels as tensors: held out, drawn, or without one class; seeds; the real data sets."""

import numpy as np
import pytest
import torch

from kdkit.data import things
from kdkit.data.download import CIFAR10_CLASSES
from kdkit.data.images import ImageSet, hold_out


def test_as_many_are_held_out_as_asked_for_even_of_uneven_classes():
    labels = torch.arange(3).repeat_interleave(torch.tensor([5, 14, 14]))
    everything = ImageSet(torch.zeros(33, 1, 2, 2, dtype=torch.uint8), labels, tuple("abc"))
    rest, held = hold_out(everything, 10)
    assert held.labels.bincount().tolist() == [2, 4, 4] and len(rest) == 23  # 1.5, 4.2 and 4.2 are the exact shares


# A sample


def test_a_sample_holds_all_classes_though_the_images_are_sorted_by_class():
    labels = torch.arange(3).repeat_interleave(200)
    everything = ImageSet(labels.byte().view(-1, 1, 1, 1), labels, tuple("abc"))
    drawn = everything.sample(90)
    assert len(drawn) == 90 and (drawn.labels.bincount(minlength=3) > 20).all()
    assert torch.equal(drawn.images.flatten().long(), drawn.labels)  # each with its own label


def test_a_sample_holds_no_image_twice_and_its_seed_decides():
    labels = torch.arange(50)
    everything = ImageSet(labels.byte().view(-1, 1, 1, 1), labels, tuple(map(str, range(50))))
    assert everything.sample(1000).labels.sort().values.tolist() == list(range(50))
    assert torch.equal(everything.sample(9, seed=4).labels, everything.sample(np.int64(9), seed=np.int64(4)).labels)
    assert not torch.equal(everything.sample(50, seed=4).labels, everything.sample(50, seed=5).labels)


@pytest.mark.parametrize("count", [0, -1, True, 2.0, None, "9"])
def test_a_sample_of_what_is_no_number_of_images(count):
    with pytest.raises(ValueError, match=f"count must be a whole number of at least 1; got {count!r}"):
        things.make(1).sample(count)


SEEDS = [0.0, True, None, "0"]


@pytest.mark.parametrize("seed", SEEDS)
def test_a_seed_that_is_none_is_named(seed):
    draw = things.make(1).sample
    for ask in (lambda: draw(1, seed=seed), lambda: things.make(1, seed), lambda: things.splits(1, seed)):
        with pytest.raises(ValueError, match=f"seed must be a whole number; got {seed!r}"):
            ask()
    with pytest.raises(ValueError, match=f"seed must .*; got {seed!r}"):
        things.morph("chair", "sofa", [0.5], seed)


@pytest.mark.parametrize("seed", [0, -1, 2**64 - 1, 10**30, np.int64(7), np.uint64(2**64 - 1)])
def test_any_whole_number_will_do_for_a_seed_numpys_as_well(seed):
    assert torch.equal(things.make(1, seed).images, things.make(np.int8(1), int(seed)).images)


# A class left out


def test_without_a_class_nothing_else_changes_and_the_test_split_keeps_it():
    splits = things.splits(per_class=5)
    left = splits.without("mushroom")
    label = splits.train.number("mushroom")
    for part in "train", "val":
        whole, rest = getattr(splits, part), getattr(left, part)
        assert rest.classes == whole.classes and label not in rest.labels.tolist()
        assert torch.equal(rest.images, whole.images[whole.labels != label])
        assert torch.equal(rest.labels, whole.labels[whole.labels != label])
    assert left.test is splits.test and left.views == splits.views


def test_an_unknown_class_is_refused_with_the_names_that_there_are():
    with pytest.raises(ValueError, match="no class 'couch'; choose one of chair, armchair"):
        things.make(1).without("couch")


# The real thing


def rows(images):
    return {image.tobytes() for image in images.images.numpy()}


def test_the_real_cifar10(real_cifar10):
    splits = real_cifar10
    assert splits.name == "cifar10" and splits.train.classes == CIFAR10_CLASSES
    assert (len(splits.train), len(splits.val), len(splits.test)) == (45_000, 5_000, 10_000)
    assert splits.val.labels.bincount().tolist() == [500] * 10
    assert splits.test.labels.bincount().tolist() == [1_000] * 10
    assert rows(splits.train).isdisjoint(rows(splits.val))


def test_the_real_mnist(real_mnist):
    splits = real_mnist
    assert splits.name == "mnist" and splits.train.images.shape == (55_000, 1, 28, 28)
    assert (len(splits.val), len(splits.test)) == (5_000, 10_000)
    assert rows(splits.train).isdisjoint(rows(splits.val))
    assert splits.test.labels[:5].tolist() == [7, 2, 1, 0, 4]  # as on the first page of every MNIST tutorial
