"""Drawn things: what their pictures promise to those who learn from them."""

from itertools import combinations

import pytest
import torch

from kdkit.data import recipes, things
from kdkit.data.drawing import SIZE, draw_scene

SEEDS = range(12)


@pytest.fixture(scope="module")
def some():
    return things.make(150, seed=3)


def distance(one, other):
    """Mean difference between pictures, in levels of 0..255."""
    return (one.float() - other.float()).abs().mean().item()


def test_ten_classes_in_the_order_that_the_course_names_them():
    assert things.CLASSES == (
        "chair", "armchair", "sofa", "stool", "table", "mushroom", "umbrella", "lamp", "tree", "bottle"
    )  # fmt: skip


def test_make_gives_small_colour_pictures_with_labels():
    data = things.make(7)
    assert data.images.shape == (70, 3, SIZE, SIZE) and data.images.dtype == torch.uint8
    assert data.labels.shape == (70,) and data.labels.dtype == torch.int64
    assert data.name == "things" and data.classes == things.CLASSES


def test_any_first_part_is_nearly_balanced():
    labels = things.make(4).labels
    for end in range(1, len(labels) + 1):
        counts = labels[:end].bincount(minlength=10)
        assert counts.max() - counts.min() <= 1


def test_same_seed_gives_the_same_bytes_and_another_seed_does_not():
    images = things.make(6, seed=5).images
    assert torch.equal(images, things.make(6, seed=5).images)
    assert not (images == things.make(6, seed=6).images).flatten(1).all(1).any()


def test_bytes_do_not_depend_on_the_number_of_threads_or_on_the_global_seed():
    threads = torch.get_num_threads()
    pictures = []
    for count in (1, 3):
        torch.manual_seed(count)
        torch.set_num_threads(count)
        pictures.append(things.make(40).images)
    torch.set_num_threads(threads)
    assert torch.equal(*pictures)


def test_pictures_do_not_depend_on_the_size_of_the_batch_they_are_drawn_in():
    amounts = torch.linspace(0, 1, 9)
    together = things.morph("umbrella", "armchair", amounts)
    alone = torch.cat([things.morph("umbrella", "armchair", [amount]) for amount in amounts.tolist()])
    assert torch.equal(together, alone)


def test_pictures_have_contrast_and_are_not_burnt_out(some):
    pixels = some.images.float().flatten(1)
    assert (pixels.std(1) > 12).all()
    assert ((pixels > 254).float().mean(1) < 0.6).all()


def test_no_picture_is_in_two_splits():
    data = things.splits(30, seed=1)
    images = torch.cat([data.train.images, data.val.images, data.test.images]).flatten(1)
    assert len(torch.unique(images, dim=0)) == len(images)


def test_splits_have_sizes_views_and_a_source():
    data = things.splits(110, seed=8)
    assert (len(data.train), len(data.val), len(data.test)) == (1100, 220, 220)
    assert len(things.splits(1).test) == 200
    assert (data.views.flip, data.views.shift) == (True, 2)
    assert data.source == "drawn by kdkit.data.things, seed 8"


def test_validation_pictures_are_not_the_training_pictures_of_a_neighbouring_seed():
    held_out = {picture.numpy().tobytes() for picture in things.splits(20, seed=0).val.images}
    for seed in range(3):
        assert not held_out & {picture.numpy().tobytes() for picture in things.make(20, seed=seed).images}


def test_colour_says_nothing_about_the_class(some):
    """A classifier by the nearest mean colour is hardly better than chance, which is 10 %."""
    fresh = things.make(150, seed=4)
    colour, fresh_colour = (data.images.float().mean((2, 3)) for data in (some, fresh))
    centres = torch.stack([colour[some.labels == label].mean(0) for label in range(10)])
    guess = torch.cdist(fresh_colour, centres).argmin(1)
    assert (guess == fresh.labels).float().mean() < 0.15


def sketch(data):
    """Where the edges are, whatever the colours: a row for each picture."""
    grey = data.images.float().mean(1)
    return (grey.diff(dim=1).abs()[:, :, :-1] + grey.diff(dim=2).abs()[:, :-1]).clamp(max=40).flatten(1)


@pytest.fixture(scope="module")
def average_sketches(some):
    drawn = sketch(some)
    return torch.stack([drawn[some.labels == label].mean(0) for label in range(10)])


def test_shape_does_say_something_about_the_class(average_sketches):
    """The same classifier on where the edges are is right far more often than chance."""
    fresh = things.make(50, seed=4)
    guess = torch.cdist(sketch(fresh), average_sketches).argmin(1)
    assert (guess == fresh.labels).float().mean() > 0.4


def test_a_chair_looks_more_like_an_armchair_than_like_a_mushroom_or_a_bottle(average_sketches):
    chair = average_sketches[things.CLASSES.index("chair")]
    far = dict(zip(things.CLASSES, (average_sketches - chair).norm(dim=1).tolist(), strict=True))
    assert far["armchair"] < min(far[name] for name in ("mushroom", "umbrella", "lamp", "tree", "bottle"))


def test_part_overlap_is_an_overlap():
    overlap = things.part_overlap()
    assert overlap.shape == (10, 10) and overlap.dtype == torch.float32
    assert torch.equal(overlap, overlap.T) and torch.equal(overlap.diagonal(), torch.ones(10))
    assert overlap.min() >= 0 and (overlap - torch.eye(10)).max() < 1


def test_a_chair_shares_its_parts_with_an_armchair_and_none_with_a_mushroom():
    of_chair = dict(zip(things.CLASSES, things.part_overlap()[0].tolist(), strict=True))
    assert sorted(of_chair, key=of_chair.get, reverse=True)[:2] == ["chair", "armchair"]
    assert of_chair["armchair"] > 0.5 and of_chair["mushroom"] == 0


def test_parts_of_some_things():
    assert set(things.parts("mushroom")) == {"stem", "cap"}
    assert set(things.parts("table")) == {"legs", "rungs", "seat"}
    assert set(things.parts("armchair")) - set(things.parts("stool")) == {"arms", "cushion"}
    assert things.parts("armchair")["arms"] > 4 * things.parts("chair")["arms"] > 0


@pytest.mark.parametrize("name", things.CLASSES)
def test_ends_of_a_morph_are_things_of_the_class(name):
    """Whatever it is morphed with, drawn like the class's own things, to the byte."""
    generator = torch.Generator().manual_seed(2)
    own = recipes.measures_of(name, torch.rand(1, len(recipes.MEASURES), generator=generator))
    own = things._render(own, draw_scene(1, generator))[0]
    for other in things.CLASSES:
        assert torch.equal(things.morph(name, other, [0.0, 0.5, 1.0], seed=2)[0], own)
        assert torch.equal(things.morph(other, name, [0.0, 0.5, 1.0], seed=2)[2], own)


def test_every_pair_morphs_from_one_picture_to_another_without_a_jump():
    """No step of a hundred changes a picture by more than 5 of 255 levels on average."""
    for start, end in combinations(things.CLASSES, 2):
        film = things.morph(start, end, torch.linspace(0, 1, 101), seed=1)
        steps = (film[1:].float() - film[:-1].float()).abs().mean((1, 2, 3))
        assert distance(film[0], film[-1]) > 5, (start, end)
        assert steps.max() < 5, (start, end)


def test_a_small_amount_changes_the_picture_a_little():
    for start, end in (("chair", "armchair"), ("stool", "chair"), ("mushroom", "umbrella")):
        film = [things.morph(start, end, [0, 0.01, 1], seed) for seed in SEEDS]
        small, large = (sum(distance(pictures[0], pictures[k]) for pictures in film) for k in (1, 2))
        assert 0 < small < 0.1 * large


def test_a_morph_moves_away_from_its_start_and_towards_its_end():
    film = torch.stack([things.morph("chair", "armchair", [0, 0.25, 0.5, 0.75, 1], seed) for seed in SEEDS])
    from_start = [distance(film[:, 0], film[:, k]) for k in range(5)]
    to_end = [distance(film[:, 4], film[:, k]) for k in range(5)]
    assert from_start == sorted(from_start) and to_end == sorted(to_end, reverse=True)


def test_a_morph_is_the_same_each_time_and_takes_lists_and_tensors():
    film = things.morph("lamp", "tree", [0, 0.5, 1], seed=4)
    assert torch.equal(film, things.morph("lamp", "tree", torch.tensor([0, 0.5, 1]), seed=4))
    assert not torch.equal(film, things.morph("lamp", "tree", [0, 0.5, 1], seed=5))


def test_a_morph_of_one_measure_leaves_the_others():
    """Longer legs alone; and all measures, named, are the same as none named."""
    short, long = things.morph("chair", "sofa", [1.0], 3, ["leg_length"]), things.morph("chair", "sofa", [0.0], 3)
    both = things.morph("chair", "sofa", [1.0], 3)
    assert distance(short, long) > 0 and distance(short, both) > 0
    assert torch.equal(things.morph("chair", "sofa", [1.0], 3, recipes.MEASURES), both)
    assert torch.equal(things.morph("chair", "sofa", [1.0], 3, ["cap_width"]), long)  # neither has a cap
    with pytest.raises(ValueError, match="no measure called 'legs'; choose of leg_length, "):
        things.morph("chair", "sofa", [1.0], measures=["legs"])


@pytest.mark.parametrize("count", [0, -3, 2.5, True, None])
@pytest.mark.parametrize("draw", [things.make, things.splits])
def test_refuses_a_number_of_images_that_cannot_be_drawn(draw, count):
    with pytest.raises(ValueError, match=rf"per_class must be a whole number from 1.*got {count}.*Try"):
        draw(count)


@pytest.mark.parametrize("names", [("desk", "chair"), ("chair", "desk")])
def test_names_the_things_there_are_when_asked_for_another(names):
    with pytest.raises(ValueError, match=r"no thing called 'desk'.*chair, armchair, .*bottle"):
        things.morph(*names, [0.5])
    with pytest.raises(ValueError, match="no thing called 'desk'"):
        things.parts("desk")


@pytest.mark.parametrize("amounts", [[-0.1], [0.5, 1.5], [float("nan")]])
def test_refuses_amounts_outside_0_to_1(amounts):
    with pytest.raises(ValueError, match=r"amounts must lie in \[0, 1\].*got \[.*Try torch.linspace"):
        things.morph("chair", "stool", amounts)


@pytest.mark.parametrize("amounts", [0.5, [[0.5]]])
def test_refuses_amounts_that_are_no_list(amounts):
    with pytest.raises(ValueError, match=r"amounts must be a list or a 1-D tensor; got shape .*write \[0.5\]"):
        things.morph("chair", "stool", amounts)
