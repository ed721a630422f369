"""Image files -> pixels, decoded once and kept: 60,000 small files take seconds, one file none."""

import contextlib
import dataclasses
import hashlib
import json
import os
import threading
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import platformdirs
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from safetensors import SafetensorError
from safetensors.torch import load, save_file
from torch import Tensor
from tqdm.auto import tqdm

from kdkit.data import walk
from kdkit.data.files import explained, replacing
from kdkit.data.walk import LeftOut

DECODING = 3  # raise it when the same files would give other pixels: kept images are then decoded again
FILES_A_TASK = 256  # one task a file would spend more time on handing out work than on decoding
NAMED = 5  # files in a message
Decoder = Callable[[Image.Image], Image.Image]
Listing = list[tuple[str, int]]  # of image files: (path, label)


def exactly(side: int) -> Decoder:
    """A decoder for images that must be ``side`` x ``side`` pixels already: it raises ``ValueError`` for all others."""

    def decode(image):
        if image.size != (side, side):
            raise ValueError(f"it is {image.width}x{image.height} pixels, not {side}x{side}")
        return _rgb(image)

    return decode


def fitted(side: int) -> Decoder:
    """A decoder for images of any size: turned upright, the square in the middle, scaled smoothly."""

    def decode(image):
        return ImageOps.fit(_rgb(_upright(image)), (side, side), method=Image.Resampling.BICUBIC)

    return decode


def _upright(image):
    try:
        return ImageOps.exif_transpose(image)
    except Exception as error:  # broken metadata, or broken pixels, which are noticed when they are read
        warnings.warn(f"metadata that cannot be read: {error}", stacklevel=2)
        return image


def _rgb(image):
    if image.mode == "F" or image.mode.startswith("I"):
        raise ValueError("it has more than 8 bits a pixel and channel; save it as an 8-bit image")
    if not image.has_transparency_data:
        return image.convert("RGB")
    picture = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), picture).convert("RGB")


@dataclass(frozen=True)
class Found:
    """What image files were before they were scaled: the ``smallest``, ``middle`` and ``largest`` by area, (width,
    height) in pixels; and how many were odd, each with the path of the first: ``moving``, ``grey``, ``transparent``,
    ``small`` (enlarged, that is), or with ``broken`` metadata.
    """

    smallest: tuple[int, int]
    middle: tuple[int, int]
    largest: tuple[int, int]
    moving: tuple[int, str] = (0, "")
    grey: tuple[int, str] = (0, "")
    transparent: tuple[int, str] = (0, "")
    small: tuple[int, str] = (0, "")
    broken: tuple[int, str] = (0, "")


ODD = ("moving", "grey", "transparent", "small")  # kinds that are seen when a file is read


def decode_files(listing: Listing, side: int, decoder: Decoder) -> tuple[Tensor, Found]:
    """Decode files in threads (Pillow lets go of Python's lock): uint8 ``[N, 3, side, side]``, and a ``Found``.

    Raises ``ValueError`` that names the files which cannot be read or decoded.
    """
    pixels = np.empty((len(listing), side, side, 3), dtype=np.uint8)
    sizes, odd = np.zeros((len(listing), 2), int), np.zeros((len(ODD), len(listing)), bool)
    reading = threading.local()
    doubted: set[int] = set()
    bad: dict[int, str] = {}

    def decode_some(start):
        for place in range(start, min(start + FILES_A_TASK, len(listing))):
            reading.place = place
            try:
                pixels[place], sizes[place], odd[:, place] = _read(listing[place][0], side, decoder)
            except _Unusable as error:
                bad[place] = str(error)

    with tqdm(total=len(listing), desc="decoding", unit="image") as bar, _doubts_noted(reading, doubted):
        _in_threads(decode_some, len(listing), bar.update)
    if bad:
        raise ValueError(_unusable([(listing[place][0], bad[place]) for place in sorted(bad)]))
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous()  # [N, H, W, C] -> [N, C, H, W]
    return images, _found(listing, sizes, odd, doubted)


def shorter_sides(listing: Listing) -> list[int]:
    """The shorter side of each image in pixels, read from the files' heads. What is no image is passed over."""
    sides = np.zeros(len(listing), int)

    def look(start):
        for place in range(start, min(start + FILES_A_TASK, len(listing))):
            with contextlib.suppress(Exception), Image.open(listing[place][0]) as image:
                sides[place] = min(image.size)

    with warnings.catch_warnings(action="ignore"):
        _in_threads(look, len(listing), lambda count: None)
    return sides[sides > 0].tolist()


def _in_threads(work, count, done):
    """``work(start)`` for every ``FILES_A_TASK`` of ``count`` files; ``done(n)`` after each n."""
    starts = range(0, count, FILES_A_TASK)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        try:
            for start, _ in zip(starts, pool.map(work, starts), strict=True):
                done(min(FILES_A_TASK, count - start))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)  # else the error would wait for all other images
            raise


class _Unusable(Exception):
    """Why a file is of no use."""


def _unusable(bad):
    """The files that cannot be used, each with the reason, in a sentence."""
    if len(bad) == 1:
        ((file, reason),) = bad
        return f"{walk.show(file)} cannot be used: {reason}. Repair it or take it out of the folder."
    named = "; ".join(f"{walk.show(file)} ({reason})" for file, reason in bad[:NAMED])
    more = f"; and {len(bad) - NAMED:,} more" if len(bad) > NAMED else ""
    return f"{len(bad):,} files cannot be used: {named}{more}. Repair them or take them out of the folder."


def decode(paths: Sequence[str], side: int, decoder: Decoder, threads: int) -> Tensor:
    """A few files, some at once: uint8 ``[N, 3, side, side]``. What is odd in them was, or will be, told elsewhere.

    Raises ``ValueError`` that names the file which cannot be read or decoded.
    """
    pixels = np.empty((len(paths), side, side, 3), dtype=np.uint8)

    def decode_one(place):
        try:
            pixels[place] = _read(paths[place], side, decoder)[0]
        except _Unusable as error:
            raise ValueError(_unusable([(paths[place], str(error))])) from error

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if threads == 1 or len(paths) < 2:
            for place in range(len(paths)):
                decode_one(place)
        else:
            with ThreadPoolExecutor(threads) as pool:
                list(pool.map(decode_one, range(len(paths)), chunksize=16))
    return torch.from_numpy(pixels).permute(0, 3, 1, 2)  # [N, H, W, C] -> [N, C, H, W], channels last in memory


def opened(listing: Listing, side: int) -> Found:
    """A ``Found`` of image files whose pixels are not read. Raises ``ValueError`` as ``decode_files``."""
    sizes, odd, bad = np.zeros((len(listing), 2), int), np.zeros((len(ODD), len(listing)), bool), []
    with warnings.catch_warnings(action="ignore"):
        for place, (path, _) in enumerate(listing):
            try:
                _, sizes[place], odd[:, place] = _read(path, side, None)
            except _Unusable as error:
                bad.append((path, str(error)))
    if bad:
        raise ValueError(_unusable(bad))
    return _found(listing, sizes, odd, set())


@contextlib.contextmanager
def _doubts_noted(reading, doubted):
    """Pillow's warnings, of metadata that it cannot read, add the place of the file to ``doubted``."""

    def note(*warning, **options):
        if hasattr(reading, "place"):  # this thread reads a file
            doubted.add(reading.place)
        else:
            usual(*warning, **options)

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # a large picture is no broken one
        usual, warnings.showwarning = warnings.showwarning, note
        yield


def _found(listing, sizes, odd, doubted):
    if not listing:
        return Found((0, 0), (0, 0), (0, 0))

    def of(places):
        return (len(places), walk.show(listing[min(places)][0])) if places else (0, "")

    by_area = sizes.prod(1).argsort(kind="stable")
    smallest, middle, largest = (tuple(sizes[by_area[place]].tolist()) for place in (0, (len(listing) - 1) // 2, -1))
    return Found(smallest, middle, largest, *(of(row.nonzero()[0].tolist()) for row in odd), of(doubted))


def _read(file, side, decoder):
    """Pixels (None without a ``decoder``), size, and of each kind in ``ODD`` whether the image is one."""
    try:
        with Image.open(file) as image:
            pixels = None if decoder is None else decoder(_without_empty_alpha(image))
            grey = image.mode in ("1", "L", "LA")
            return pixels, image.size, (_moves(image), grey, image.has_transparency_data, min(image.size) < side)
    except PermissionError as error:
        raise walk.unreadable(file, error) from error
    except Exception as error:  # Pillow's readers raise a dozen kinds
        unknown = isinstance(error, UnidentifiedImageError)
        raise _Unusable("it is no image, or a damaged one" if unknown else str(error).rstrip(".")) from error


def _without_empty_alpha(image):
    """Many programs leave the fourth byte of each pixel of a BMP at 0 and mean nothing by it."""
    empty = image.format == "BMP" and image.mode == "RGBA" and image.getchannel("A").getextrema() == (0, 0)
    return image.convert("RGB") if empty else image


def _moves(image):
    """Whether a picture has more frames than the one that is read; an MPO is a still with extras, as phones make it."""
    return image.format != "MPO" and getattr(image, "is_animated", False)


# What was decoded, kept


def cache_folder() -> Path:
    """The user's cache folder for kdkit: ~/.cache/kdkit on Linux."""
    return platformdirs.user_cache_path("kdkit")


def decoded() -> list[Path]:
    """The files in which decoded images are kept, by name."""
    return sorted((cache_folder() / "decoded").glob("*.safetensors"))


def remove_decoded(path: Path) -> None:
    """Delete one of the files that ``decoded`` lists; the images are decoded again when they are needed.

    Raises ``OSError`` where that is not possible.
    """
    with explained(path, "deleted"):
        path.unlink()


def decoded_once(
    name: str, folder: Path, listing: Listing, side: int, decoder: Decoder, left: LeftOut
) -> tuple[Tensor, Tensor, Found]:
    """Images uint8 ``[N, 3, side, side]``, labels int64 ``[N]`` and a ``Found`` of a listing, from the cache if there.

    The cache file belongs to the folder's place, ``side``, and each file's name, size and time. A damaged cache
    file is named in a warning and written anew; where none can be written, a warning says so. ``left`` counts the
    frames and metadata that were not read. Raises ``ValueError`` where the folder changes while it is read, and as
    ``decode_files`` does.
    """
    key = _key(folder, listing, side)
    file = cache_folder() / "decoded" / f"{name}-{key[:16]}.safetensors"
    kept = _load(file)
    if kept is None:
        images, found = decode_files(listing, side, decoder)
        if _key(folder, listing, side) != key:
            raise ValueError(
                f"{walk.show(folder)} was changed while it was read. Wait until it is whole, then try again."
            )
        kept = images, torch.tensor([label for _, label in listing]), found
        _keep(file, *kept)
    for kind, (count, first) in ("later frames", kept[2].moving), ("broken metadata", kept[2].broken):
        left.add(kind, first, count)
    return kept


def _key(folder, listing, side):
    digest = hashlib.sha256(os.fsencode(f"{DECODING} {Path(folder).resolve()} {side}"))
    for file, label in listing:
        size, time = status_of(file)
        line = f"{os.path.relpath(file, folder)} {label} {size} {time}\n"
        digest.update(os.fsencode(line))
    return digest.hexdigest()


def status_of(file: str) -> tuple[int, int]:
    """Size and time of a file, by which a change is noticed. ``ValueError`` where it cannot be asked for them."""
    try:
        status = os.stat(file)
    except OSError as error:
        raise walk.unreadable(file, error) from error
    return status.st_size, status.st_mtime_ns


def _load(file):
    """Images, labels and ``Found`` of a cache file; None if there is none, or a damaged one."""
    try:
        if not file.exists():
            return None
        content = file.read_bytes()  # not mapped: a file that is cut short meanwhile would end the program
        kept, header = load(content), json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        images, labels, about = kept["images"], kept["labels"], header["__metadata__"]
        if _checksum(images, labels, about["found"]) == about["sha256"]:
            return images, labels, Found(*map(tuple, json.loads(about["found"])))
        reason = "its checksum is wrong"
    except PermissionError:  # nor can it be written: that will be said
        return None
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        reason = str(error)
    warnings.warn(f"{file} is damaged ({reason}): decoding the images again.", stacklevel=2)
    return None


def _keep(file, images, labels, found):
    about = json.dumps(dataclasses.astuple(found))
    try:
        with replacing(file) as part:
            metadata = {"found": about, "sha256": _checksum(images, labels, about)}
            save_file({"images": images, "labels": labels}, part, metadata)
    except (OSError, SafetensorError) as error:
        warnings.warn(
            f"The decoded images cannot be kept in {file.parent} ({error}): they will be decoded again next time.",
            stacklevel=2,
        )


def _checksum(images, labels, about):
    digest = hashlib.sha256(images.contiguous().numpy().data)
    digest.update(labels.numpy().data)
    digest.update(about.encode())
    return digest.hexdigest()
