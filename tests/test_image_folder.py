"""Somebody's own images: read as they should look, and every wrong input answered with what to do."""

import errno
import os
import re
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from small_copies import plain, save_image

from kdkit import data
from kdkit.data import cifar10, decoding, folders, image_folder, text

EXIF = Image.Exif()
EXIF[0x0112], EXIF[0x010E] = 3, "what is to be seen, at length"
EXIF = EXIF.tobytes()


@pytest.fixture
def pets(tmp_path):
    """A folder of somebody's own images: two classes of two images."""
    for name, colour in (("dog", (9, 99, 199)), ("cat", (200, 100, 0))):
        for number in range(2):
            save_image(tmp_path / "pets" / name / f"{number}.png", plain(*colour, size=(48, 64)))
    return tmp_path / "pets"


def cache_file(cache):
    (file,) = (cache / "decoded").iterdir()
    return file


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


def test_of_a_moving_picture_the_first_frame_and_the_others_are_counted(pets, no_data):
    frames = [Image.new("RGB", (32, 32), colour) for colour in ("white", "black")]
    frames[0].save(pets / "cat" / "0.gif", save_all=True, append_images=frames[1:])
    for _ in range(2):  # decoded, then from the cache
        with pytest.warns(UserWarning, match=r"Left out of .*pets: later frames \(1, such as .*cat/0.gif\)"):
            images = image_folder(pets)
        assert (images.images[0] == 255).all()


@pytest.mark.parametrize("kind, metadata", [("jpg", EXIF[:40]), ("png", b"Exif\0\0MM")], ids=["cut off", "nonsense"])
def test_metadata_that_cannot_be_read_are_counted_and_the_picture_is_taken_as_it_lies(
    kind, metadata, pets, no_data, recwarn
):
    save_image(pets / "cat" / f"2.{kind}", plain(9, 9, 9), exif=metadata)
    save_image(pets / "cat" / f"3.{kind}", plain(9, 9, 9), exif=EXIF)
    assert len(image_folder(pets)) == 6
    (said,) = recwarn
    assert re.search(rf"broken metadata \(1, such as .*cat/2.{kind}\)", str(said.message))


def test_transparent_parts_become_white(pets, no_data):
    Image.new("RGBA", (32, 32), (0, 0, 0, 0)).save(pets / "cat" / "0.png")
    assert (image_folder(pets).images[0] == 255).all()


@pytest.mark.parametrize("masks", ["no masks", "masks"])
def test_a_bmp_whose_fourth_bytes_are_all_0_is_not_transparent(masks, pets, no_data):
    size = 124 if masks == "masks" else 40
    header = struct.pack("<IiiHHIIiiII", size, 4, 4, 1, 32, 3 if masks == "masks" else 0, 64, 0, 0, 0, 0)
    if masks == "masks":  # says that the fourth byte is opacity
        header = (header + struct.pack("<IIII", 0xFF0000, 0xFF00, 0xFF, 0xFF000000) + b"BGRs").ljust(size, b"\0")
    head = b"BM" + struct.pack("<IHHI", 14 + size + 64, 0, 0, 14 + size)
    (pets / "cat" / "0.bmp").write_bytes(head + header + bytes([30, 30, 200, 0]) * 16)
    assert image_folder(pets).images[0, :, 16, 16].tolist() == [200, 30, 30]


def test_a_bmp_that_is_transparent_in_part_becomes_white_there(pets, no_data):
    picture = Image.new("RGBA", (32, 32), (0, 0, 0, 0))
    picture.paste((0, 0, 0, 255), (0, 0, 16, 32))
    header = struct.pack("<IiiHHIIiiII", 124, 32, -32, 1, 32, 3, 4096, 0, 0, 0, 0)
    header = (header + struct.pack("<IIII", 0xFF0000, 0xFF00, 0xFF, 0xFF000000) + b"BGRs").ljust(124, b"\0")
    (pets / "cat" / "0.bmp").write_bytes(
        b"BM" + struct.pack("<IHHI", 138 + 4096, 0, 0, 138) + header + picture.tobytes()
    )
    row = image_folder(pets).images[0, 0, 16]
    assert row[4] == 0 and row[28] == 255


def test_subfolders_belong_to_their_class(pets, no_data):
    save_image(pets / "cat" / "older" / "2.png", plain(7, 7, 7))
    assert image_folder(pets).labels.tolist() == [0, 0, 0, 1, 1]


def test_what_computers_and_people_put_beside_images_is_passed_over_in_silence(pets, no_data):
    for name in (".DS_Store", "Thumbs.db", "desktop.ini", "cat/.DS_Store", "cat/Thumbs.db", "notes.txt"):
        (pets / name).write_text("no image")
    for name in ("__MACOSX", "@eaDir", "cat/@eaDir", "cat/__MACOSX"):
        save_image(pets / name / "0.png", plain(8, 8, 8))
    assert image_folder(pets).labels.tolist() == [0, 0, 1, 1]


def link_to_pipe(pets):
    os.mkfifo(pets.parent / "pipe")
    (pets / "cat" / "a.png").symlink_to(pets.parent / "pipe")


LEFT_OUT = {
    "hidden file": (lambda pets: (pets / "cat" / "._0.png").write_text(""), r"hidden \(1, such as .*/cat/\._0.png\)"),
    "hidden folder": (lambda pets: save_image(pets / "cat/.old/3.png", plain(8, 8, 8)), r"hidden \(1, .*/cat/\.old\)"),
    "hidden class": (lambda pets: (pets / ".git").mkdir(), r"hidden \(1, .*/\.git\)"),
    "other kind": (lambda pets: (pets / "cat" / "a.TIF").write_text(""), r"\.tif \(1, such as .*a.TIF\)"),
    "no ending": (lambda pets: (pets / "cat" / "a").write_text(""), r"files without an ending \(1, "),
    "outside": (lambda pets: save_image(pets / "1.png", plain(1, 1, 1)), r"images outside the class folders \(1, "),
    "dead link": (lambda pets: (pets / "cat/a.png").symlink_to("gone.png"), r"links that lead nowhere \(1, "),
    "dead class": (lambda pets: (pets / "cow").symlink_to("gone"), r"links that lead nowhere \(1, "),
    "ring": (lambda pets: (pets / "cat/a.png").symlink_to("a.png"), r"links that lead nowhere \(1, "),
    "link to folder": (lambda pets: (pets / "cat/more").symlink_to(pets / "dog"), r"links to folders \(1, "),
    "link back": (lambda pets: (pets / "all").symlink_to(pets.parent), r"links that lead back \(1, .*/all\)"),
    "link to a pipe": (link_to_pipe, r"devices and pipes \(1, "),
    "pipe": (lambda pets: os.mkfifo(pets / "cat" / "a.png"), r"devices and pipes \(1, "),
}


@pytest.mark.parametrize("add, said", LEFT_OUT.values(), ids=LEFT_OUT)
def test_what_is_left_out_is_said_in_one_sentence(add, said, pets, no_data, recwarn):
    add(pets)
    assert image_folder(pets).labels.tolist() == [0, 0, 1, 1]
    (warning,) = recwarn
    assert re.match(rf"Left out of .*pets: {said}.* What is read: \.png, ", str(warning.message))


def test_all_that_is_left_out_is_counted_by_kind(pets, no_data):
    for name in ("a.heic", "b.heic", "c.txt", ".d.png"):
        (pets / "dog" / name).write_text("")
    with pytest.warns(UserWarning, match=r"hidden \(1, .*\), \.heic \(2, such as .*a\.heic\), \.txt \(1, ") as caught:
        image_folder(pets)
    assert len(caught) == 1


def test_links_to_images_and_to_class_folders_are_followed(pets, tmp_path, no_data):
    (pets / "dog").rename(tmp_path / "elsewhere")
    (pets / "dog").symlink_to(tmp_path / "elsewhere")
    (pets / "cat" / "9.png").symlink_to(tmp_path / "elsewhere" / "0.png")
    assert image_folder(pets).labels.tolist() == [0, 0, 0, 1, 1]


def test_a_class_that_is_a_link_to_another_class_is_refused(pets, no_data):
    (pets / "hound").symlink_to("dog")
    with pytest.raises(ValueError, match="holds one folder under two names, 'dog' and 'hound'"):
        image_folder(pets)


@pytest.fixture
def forbidden(monkeypatch):
    """Forbid a file or folder to be read, to root as well."""

    def forbid(path):
        for module, name in (os, "scandir"), (Image, "open"), (Path, "read_text"):
            monkeypatch.setattr(module, name, refusing(path, getattr(module, name)))

    def refusing(path, usual):
        def ask(asked, *rest, **options):
            if str(asked) == str(path):
                raise PermissionError(errno.EACCES, "Permission denied", str(path))
            return usual(asked, *rest, **options)

        return ask

    return forbid


@pytest.mark.parametrize("name", [".", "cat", "cat/older", "cat/0.png"])
def test_what_may_not_be_read_is_named_and_refused(name, pets, no_data, forbidden):
    save_image(pets / "cat" / "older" / "2.png", plain(7, 7, 7))
    forbidden(pets / name)
    with pytest.raises(
        ValueError, match=rf"{pets / name} cannot be read \(Permission denied\)\. Give yourself permission"
    ):
        image_folder(pets)


@pytest.mark.parametrize("name", ["deeper", "deeper/2.txt"])
def test_texts_that_may_not_be_read_are_refused_as_images_are(name, tmp_path, forbidden):
    (tmp_path / "deeper").mkdir()
    (tmp_path / "1.txt").write_text("One")
    (tmp_path / "deeper" / "2.txt").write_text("Two")
    forbidden(tmp_path / name)
    with pytest.raises(ValueError, match=rf"{name} cannot be read \(Permission denied\)\. Give yourself permission"):
        text.folder(tmp_path)


# Names


def test_a_class_has_one_name_however_its_accents_are_stored(pets, no_data):
    (pets / "cat").rename(pets / "cafe\u0301")
    assert image_folder(pets).classes == ("caf\u00e9", "dog")
    (pets / "caf\u00e9").mkdir()
    with pytest.raises(ValueError, match=r"two folders for one class, 'cafe\\u0301' and 'caf\\xe9': .*Put their files"):
        image_folder(pets)


@pytest.mark.parametrize("name", [b"caf\xe9", b"c\nat", b"c\x1bat", "c\u2028at".encode()])
def test_a_name_that_no_card_could_hold_is_refused_when_it_is_read(name, pets, no_data):
    os.rename(pets / "cat", os.path.join(os.fsencode(pets), name))
    with pytest.raises(
        ValueError, match=r"holds a folder '.*': control characters, or bytes that are no UTF-8.*Rename it"
    ):
        image_folder(pets)


@pytest.mark.parametrize("name", ["\u30ab" * 76, "a" * 255, os.fsdecode(b"pets\xff"), "pe\nts"])
def test_a_folder_whose_name_makes_no_file_name_is_given_one_that_does(name, pets, no_data, recwarn):
    images = image_folder(pets.rename(pets.parent / name))
    assert re.fullmatch(r"[^\x00-\x1f\ud800-\udfff]+-[0-9a-f]{8}", images.name) and len(images.name.encode()) <= 100
    assert not len(recwarn) and cache_file(no_data).name.startswith(images.name)


def test_images_in_a_file_with_a_name_of_any_bytes_are_read(pets, no_data):
    os.rename(pets / "cat" / "0.png", os.path.join(os.fsencode(pets), b"cat", b"\xff\n.png"))
    assert image_folder(pets).labels.tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize("read", [image_folder, data.load, text.folder, cifar10])
def test_a_tilde_is_ones_home_and_nobodys_home_is_named(read, monkeypatch, tmp_path, no_data):
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=f"{tmp_path if read is not data.load else '~'}/none"):
        read("~/none")
    with pytest.raises(ValueError, match="~nobody-here/pets begins with the home of a user whom"):
        read("~nobody-here/pets")
    for nothing in "", 3:
        with pytest.raises(ValueError, match=f"a path must be text.* or a Path; got {nothing!r}"):
            read(nothing)


# What changes or fails while it is read


@pytest.mark.parametrize(
    "change", [lambda file: file.write_bytes(file.read_bytes() + b"!"), lambda file: file.unlink()]
)
def test_a_folder_that_changes_while_it_is_read_is_not_kept(change, pets, no_data, monkeypatch):
    decode = decoding.decode_files

    def meanwhile(listing, *rest):
        result = decode(listing, *rest)
        change(pets / "cat" / "0.png")
        return result

    with (
        monkeypatch.context() as patch,
        pytest.raises(ValueError, match=r"was changed while it was read|cannot be read"),
    ):
        patch.setattr(decoding, "decode_files", meanwhile)
        image_folder(pets)
    assert not (no_data / "decoded").exists()


def test_a_file_that_goes_before_it_is_decoded_is_named(pets, no_data, monkeypatch):
    listed = folders.class_files
    monkeypatch.setattr(folders, "class_files", lambda *given: [*listed(*given), (str(pets / "cat" / "gone.png"), 0)])
    with pytest.raises(ValueError, match=r"gone.png cannot be read \(No such file or directory\)\. Repair it"):
        image_folder(pets)


def test_another_size_is_decoded_again(pets, no_data):
    assert image_folder(pets, 8).images.shape[-1] == 8
    assert image_folder(pets, 16).images.shape[-1] == 16


# Bad input: each gets an answer that says what to do

OWN_IMAGES = {
    "no such folder": (lambda pets: (pets / "birds",), FileNotFoundError, "birds does not exist. Give the folder"),
    "a file": (lambda pets: (pets / "cat" / "0.png",), FileNotFoundError, "0.png is a file, not a folder"),
    "size 0": (
        lambda pets: (pets, 0),
        ValueError,
        "size must be a whole number from 1 to 1024; got 0. It is",
    ),
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
    "no image": (spoil_text, r"0.png cannot be used: it is no image, or a damaged one. Repair it or take it out"),
    "cut off": (spoil_cut_off, r"0.jpg cannot be used: .*truncated.*Repair it or take it out"),
    "empty": (spoil_empty, r"0.png cannot be used: .*Repair it or take it out"),
    "16 bits": (spoil_deep, r"0.png cannot be used: it has more than 8 bits .*save it as an 8-bit image"),
    "class without images": (
        spoil_no_images,
        r"No images \(png, jpg, .*: mouse. Put images there, .*What was left out: .heic \(1",
    ),
    "train and test": (spoil_splits, r"train/ and test/, which are splits.*data.load\(.*image_folder\('.*train'\)"),
}


@pytest.mark.parametrize("spoil, message", SPOILED.values(), ids=SPOILED)
def test_a_bad_file_among_own_images_is_named(spoil, message, pets, no_data):
    spoil(pets)
    with pytest.raises(ValueError, match=message):
        image_folder(pets)
