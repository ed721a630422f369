"""Corrupted copies: three of each image, the first untouched, the others changed a little and as they say."""

import pytest
import tiny
import torch

from kdkit.data import corruptions, things


@pytest.fixture(scope="module")
def pictures():
    return things.make(6, seed=5).images


def generator():
    return torch.Generator().manual_seed(0)


def test_each_image_comes_three_times_with_its_label():
    data = tiny.splits(train=20)
    more = corruptions.with_corrupted_copies(data)
    assert len(more.train) == 60 and torch.equal(more.train.images[:20], data.train.images)
    assert torch.equal(more.train.labels, data.train.labels.repeat(3))
    assert more.val is data.val and more.test is data.test and more.views == data.views
    assert corruptions.with_corrupted_copies(data).train.fingerprint == more.train.fingerprint


def test_compressed_images_look_alike_and_the_lower_the_quality_the_less(pictures):
    def distance(qualities):
        return (
            (corruptions.recompressed(pictures, generator(), qualities).float() - pictures.float()).abs().mean().item()
        )

    assert 0 < distance((95, 95)) < distance((50, 50)) < distance((10, 10)) < 30


def detail(images):
    return (images[..., 1:].float() - images[..., :-1].float()).abs().mean().item()


def test_blurred_images_lose_detail_and_sharpened_ones_gain_it(pictures):
    shape, quiet = (len(pictures), 1, 1, 1), torch.zeros(len(pictures), 1, 1, 1)
    blurred, same, sharp = (
        corruptions._out_of_focus(pictures, torch.full(shape, amount), quiet, generator())
        for amount in (1.0, 0.0, -1.0)
    )
    assert detail(blurred) < 0.9 * detail(pictures) and detail(sharp) > 1.1 * detail(pictures)
    assert torch.equal(same, pictures)


def test_noise_is_as_strong_as_was_drawn():
    grey = torch.full((2, 3, 32, 32), 128, dtype=torch.uint8)
    noise = torch.tensor([2.0, 8.0]).view(2, 1, 1, 1)
    seen = corruptions._out_of_focus(grey, torch.zeros(2, 1, 1, 1), noise, generator()).float().std(dim=(1, 2, 3))
    assert seen.tolist() == pytest.approx([2.0, 8.0], rel=0.1)


def test_grey_images_are_not_compressed_as_if_they_had_colours():
    with pytest.raises(ValueError, match=r"only colour images, \[N, 3, H, W\].*got \[4, 1, 28, 28\]"):
        corruptions.recompressed(torch.zeros(4, 1, 28, 28, dtype=torch.uint8), generator())
