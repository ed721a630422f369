"""Somebody's own images: read as they should look, and every wrong input answered with what to do."""

import numpy as np
import pytest
import torch
from PIL import Image
from small_copies import plain, save_image

from kdkit.data import image_folder


@pytest.fixture
def pets(tmp_path):
    """A folder of somebody's own images: two classes of two images."""
    for name, colour in (("dog", (9, 99, 199)), ("cat", (200, 100, 0))):
        for number in range(2):
            save_image(tmp_path / "pets" / name / f"{number}.png", plain(*colour, size=(48, 64)))
    return tmp_path / "pets"


def test_own_images_are_sorted_by_class(pets, no_data):
    images = image_folder(pets)
    assert images.classes == ("cat", "dog") and images.labels.tolist() == [0, 0, 1, 1]
    assert images.images.shape == (4, 3, 32, 32) and images.images.dtype == torch.uint8
    assert images.images[0, :, 5, 5].tolist() == [200, 100, 0] and images.name == "pets"


def test_the_middle_square_is_kept(pets, no_data):
    picture = plain(255, 0, 0, size=(40, 120))
    picture[:, 40:80] = (0, 255, 0)
    save_image(pets / "cat" / "0.png", picture)
    red, green, _ = image_folder(pets, 8).images[0]
    assert (red < 40).all() and (green > 215).all()  # smoothing mixes a little into the rim


def test_scaling_is_smooth(pets, no_data):
    board = np.indices((256, 256)).sum(0) % 2 * 255  # every second pixel white: grey from afar
    save_image(pets / "cat" / "0.png", board.astype(np.uint8))
    image = image_folder(pets, 16).images[0, :, 2:-2, 2:-2].int()
    assert (image - 127).abs().max() <= 2


def test_a_picture_is_turned_as_its_camera_says(pets, no_data):
    picture = plain(0, 0, 255)
    picture[:16] = 255  # the upper half is white
    turn = Image.Exif()
    turn[0x0112] = 3  # held upside down
    save_image(pets / "cat" / "0.png", picture, exif=turn)
    image = image_folder(pets).images[0]
    assert image[:, 2, 2].tolist() == [0, 0, 255] and image[:, 30, 2].tolist() == [255, 255, 255]


@pytest.mark.parametrize("kind", ["png", "jpg", "jpeg", "bmp", "webp", "PNG", "JPG"])
def test_kinds_of_files(kind, pets, no_data):
    save_image(pets / "dog" / f"another.{kind}", plain(90, 90, 90))
    assert len(image_folder(pets)) == 5


def test_of_a_moving_picture_the_first_frame(pets, no_data):
    frames = [Image.new("RGB", (32, 32), colour) for colour in ("white", "black")]
    frames[0].save(pets / "cat" / "0.gif", save_all=True, append_images=frames[1:])
    assert (image_folder(pets).images[0] == 255).all()


def test_transparent_parts_become_white(pets, no_data):
    Image.new("RGBA", (32, 32), (0, 0, 0, 0)).save(pets / "cat" / "0.png")
    assert (image_folder(pets).images[0] == 255).all()


def test_hidden_and_other_files_are_left_out_and_subfolders_belong_to_their_class(pets, no_data):
    (pets / ".git").mkdir()
    (pets / "notes.txt").write_text("not a class")
    (pets / "cat" / ".0.png").write_text("hidden")
    (pets / "cat" / "Thumbs.db").write_text("not an image")
    save_image(pets / "cat" / "older" / "2.png", plain(7, 7, 7))
    save_image(pets / "cat" / ".thumbnails" / "3.png", plain(8, 8, 8))
    assert image_folder(pets).labels.tolist() == [0, 0, 0, 1, 1]


def test_another_size_is_decoded_again(pets, no_data):
    assert image_folder(pets, 8).images.shape[-1] == 8
    assert image_folder(pets, 16).images.shape[-1] == 16


# Bad input: each gets an answer that says what to do

OWN_IMAGES = {
    "no such folder": (lambda pets: (pets / "birds",), FileNotFoundError, "birds does not exist. Give the folder"),
    "a file": (lambda pets: (pets / "cat" / "0.png",), FileNotFoundError, "0.png is a file, not a folder"),
    "size 0": (lambda pets: (pets, 0), ValueError, "size must be a positive whole number of pixels.*got 0"),
    "size -3": (lambda pets: (pets, -3), ValueError, "size must be .*got -3"),
    "size 32.0": (lambda pets: (pets, 32.0), ValueError, "size must be .*got 32.0"),
    "size True": (lambda pets: (pets, True), ValueError, "size must be .*got True"),
    "size '32'": (lambda pets: (pets, "32"), ValueError, "size must be .*got '32'"),
    "no class folders": (lambda pets: (pets / "cat",), ValueError, "at least two classes, as in .*it holds none"),
    "one class": (lambda pets: (pets.parent,), ValueError, "at least two classes.*it holds only one, 'pets'"),
}


@pytest.mark.parametrize("arguments, error, message", OWN_IMAGES.values(), ids=OWN_IMAGES)
def test_wrong_arguments_for_own_images(arguments, error, message, pets, no_data):
    with pytest.raises(error, match=message):
        image_folder(*arguments(pets))


def spoil_text(pets):
    (pets / "cat" / "0.png").write_text("a text file with the wrong name")


def spoil_cut_off(pets):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    file = save_image(pets / "cat" / "0.jpg", noise)
    file.write_bytes(file.read_bytes()[:2000])


def spoil_empty(pets):
    (pets / "cat" / "0.png").write_bytes(b"")


def spoil_deep(pets):
    save_image(pets / "cat" / "0.png", np.full((32, 32), 40_000, dtype=np.uint16))


def spoil_no_images(pets):
    (pets / "mouse").mkdir()
    (pets / "mouse" / "picture.heic").write_bytes(b"a kind that is not read")


def spoil_splits(pets):
    (pets / "cat").rename(pets / "train")
    (pets / "dog").rename(pets / "test")


SPOILED = {
    "no image": (spoil_text, r"0.png cannot be used: it is no image. Repair it or take it out"),
    "cut off": (spoil_cut_off, r"0.jpg cannot be used: .*truncated.*Repair it or take it out"),
    "empty": (spoil_empty, r"0.png cannot be used: .*Repair it or take it out"),
    "16 bits": (spoil_deep, r"0.png cannot be used: it has more than 8 bits .*save it as an 8-bit image"),
    "class without images": (spoil_no_images, r"No images \(png, jpg, .*: mouse. Put images there, or"),
    "train and test": (spoil_splits, r"test/ and train/, which are splits.*image_folder\('.*train'\)"),
}


@pytest.mark.parametrize("spoil, message", SPOILED.values(), ids=SPOILED)
def test_a_bad_file_among_own_images_is_named(spoil, message, pets, no_data):
    spoil(pets)
    with pytest.raises(ValueError, match=message):
        image_folder(pets)
