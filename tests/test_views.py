"""A view is the crop and mirror image that its number says, and its turn comes on a fixed schedule."""

import numpy as np
import pytest
import torch
from scipy import stats

from kdkit.data import Views

ALL = [Views(flip, shift) for flip in (True, False) for shift in range(5)]
INSIDE = [views for views in ALL if views.shift < 3]


def random_images(count=5, channels=3, height=9, width=11):
    generator = torch.Generator().manual_seed(count)
    return torch.randint(256, (count, channels, height, width), generator=generator).byte()


def by_hand(image, views, number):
    """One view of one image [C, H, W], in numpy, one step after another."""
    mirrored, place = divmod(number, views.side**2)
    down, right = divmod(place, views.side)
    height, width = image.shape[1:]
    rim = ((0, 0), (views.shift, views.shift), (views.shift, views.shift))
    crop = np.pad(image.numpy(), rim, mode="reflect")[:, down : down + height, right : right + width]
    return (crop[:, :, ::-1] if mirrored else crop).astype(np.float32) / np.float32(255)


def rounds(views, images, epochs):
    return torch.stack([views.schedule(images, epoch) for epoch in range(epochs)])


# --------------------------------------------------------------------------------------- pictures


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("views", INSIDE, ids=str)
def test_every_view_is_the_crop_and_mirror_image_that_its_number_says_to_the_bit(views, channels):
    images = random_images(channels=channels)
    index = torch.arange(len(images)).repeat_interleave(views.count)
    view = torch.arange(views.count).repeat(len(images))
    taken = views.take(views.pad(images), index, view)
    assert taken.dtype == torch.float32 and taken.shape == (len(index), *images.shape[1:])
    for place, (image, number) in enumerate(zip(index.tolist(), view.tolist(), strict=True)):
        assert np.array_equal(taken[place].numpy(), by_hand(images[image], views, number)), (image, number)


def test_a_batch_is_taken_in_any_order_with_repeats_and_leaves_the_images_alone():
    views, images = Views(shift=1), random_images()
    padded = views.pad(images)
    before = padded.clone()
    index, view = torch.tensor([4, 0, 0, 2, 4, 4]), torch.tensor([17, 3, 12, 0, 4, 17])
    taken = views.take(padded, index, view)
    expected = [
        by_hand(images[image], views, number) for image, number in zip(index.tolist(), view.tolist(), strict=True)
    ]
    assert np.array_equal(taken.numpy(), np.stack(expected))
    assert torch.equal(padded, before) and taken.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("views", INSIDE, ids=str)
def test_the_view_in_the_middle_leaves_an_image_as_it_is(views):
    images, middle = random_images(), views.side**2 // 2
    taken = views.take(views.pad(images), torch.arange(5), torch.full((5,), middle))
    assert torch.equal(taken, images.float() / 255)


def test_all_views_of_an_image_differ():
    views = Views()
    taken = views.take(views.pad(random_images(1)), torch.zeros(50, dtype=torch.int64), torch.arange(50))
    assert len(torch.unique(taken, dim=0)) == views.count == 50


@pytest.mark.parametrize(
    ("views", "count"),
    [(Views(), 50), (Views(flip=False), 25), (Views(True, 1), 18), (Views(True, 0), 2), (Views(False, 0), 1)],
)
def test_numbers_of_views(views, count):
    assert views.count == count


# --------------------------------------------------------------------------------------- schedule


@pytest.mark.parametrize("views", ALL, ids=str)
def test_the_schedule_is_the_same_whatever_was_drawn_before_and_draws_nothing_itself(views):
    schedules = []
    with torch.random.fork_rng():
        for seed in 1, 2:
            torch.manual_seed(seed)
            before = torch.get_rng_state()
            schedules.append(rounds(Views(views.flip, views.shift), 40, 6))
            assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(*schedules) and schedules[0].dtype == torch.int64
    assert schedules[0].min() >= 0 and schedules[0].max() < views.count


@pytest.mark.parametrize("views", ALL, ids=str)
def test_shifts_go_through_all_places_before_one_comes_again(views):
    places = views.side**2
    shifts = rounds(views, 30, 3 * places) % places
    for image in range(30):
        for start in range(2 * places):
            assert len(set(shifts[start : start + places, image].tolist())) == places


@pytest.mark.parametrize("views", ALL, ids=str)
def test_mirrored_and_plain_alternate_from_epoch_to_epoch(views):
    mirrored = rounds(views, 30, 8) // views.side**2
    assert (mirrored[:-1] + mirrored[1:] == 1).all() if views.flip else (mirrored == 0).all()


@pytest.mark.parametrize("views", ALL, ids=str)
def test_in_as_many_epochs_as_there_are_views_an_image_has_each_of_them_once(views):
    seen = rounds(views, 30, views.count).sort(0).values
    assert (seen == torch.arange(views.count)[:, None]).all()


@pytest.mark.parametrize("epoch", [0, 1, 7, 100])
@pytest.mark.parametrize("views", [Views(), Views(False, 2), Views(True, 1)], ids=str)
def test_an_epoch_spreads_the_images_evenly_over_the_views(views, epoch):
    drawn = torch.bincount(views.schedule(100 * views.count, epoch), minlength=views.count)
    assert stats.chisquare(drawn.numpy()).pvalue > 0.001


def test_neighbouring_images_do_not_move_together():
    first, second = Views().schedule(20_000, 0).view(-1, 2).T
    table = torch.bincount(first // 5 % 5 * 5 + second // 5 % 5, minlength=25).view(5, 5)  # rows of both
    assert stats.chi2_contingency(table.numpy()).pvalue > 0.001


@pytest.mark.parametrize("shift", [-1, 1.5, "2", None, True])
def test_a_shift_that_is_no_whole_number_of_pixels_is_refused(shift):
    with pytest.raises(
        ValueError, match=f"shift must be a whole number of at least 0; got {shift!r}. It is counted in steps"
    ):
        Views(shift=shift)


@pytest.mark.parametrize("flip", ["no", None, 2])
def test_a_flip_that_is_neither_true_nor_false_is_refused(flip):
    with pytest.raises(ValueError, match=f"flip must be True or False; got {flip!r}"):
        Views(flip=flip)


def test_numbers_of_numpy_are_numbers():
    assert repr(Views(np.bool_(True), np.int64(1))) == repr(Views(True, 1))
