"""Folders of image files -> ``ImageSet``, decoded once and kept: 60,000 small files take seconds, one file none."""

import hashlib
import os
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import platformdirs
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from tqdm.auto import tqdm

from kdkit.data.images import ImageSet
from kdkit.files import replacing

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".gif")
SPLIT_NAMES = {"train", "test", "val", "valid", "validation"}
DECODING = 1  # raise it when the same files would give other pixels: kept images are then decoded again
FILES_A_TASK = 256  # one task a file would spend more time on handing out work than on decoding


def image_folder(path, size=32):
    """Your own images, sorted into one folder a class: ``path/<class>/*``.

    The class names are the folders' names, sorted. Files: png, jpg, jpeg, bmp, webp, gif (first frame); other files,
    and hidden ones, are left out. Images in subfolders of a class folder belong to that class. Each image is turned
    as its camera says (EXIF), cut to the square in its middle and scaled to ``size`` x ``size`` pixels, smoothly;
    grey and palette images become RGB, transparent parts white.

    Returns an ``ImageSet`` with uint8 images ``[N, 3, size, size]``. What was decoded is kept in the user's cache
    folder, so that the second call is quick; it is decoded again when a file's name, size or time changes.

    Raises ``FileNotFoundError`` if there is no such folder, ``ValueError`` if it holds no images in at least two
    class folders, if a file cannot be read, or if ``size`` is no positive whole number.
    """
    if not isinstance(size, int) or isinstance(size, bool) or size < 1:
        raise ValueError(f"size must be a positive whole number of pixels, such as 32; got {size!r}.")
    path = Path(path).expanduser()
    classes = _own_classes(path)
    listing = image_files(path, classes)
    _refuse_empty_classes(path, classes, listing)
    name = path.resolve().name
    return ImageSet(*decoded_once(name, path, listing, size, fitted(size)), classes, name=name)


def class_folders(path):
    """Names of the folders in ``path``, sorted; hidden ones left out."""
    return sorted(entry.name for entry in os.scandir(path) if entry.is_dir() and not entry.name.startswith("."))


def image_files(path, classes):
    """The images below each of ``path``'s class folders, sorted: a list of (path, label)."""
    return [
        (file, label) for label, name in enumerate(classes) for file in sorted(_images_below(os.path.join(path, name)))
    ]


def _images_below(folder):
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            if name.lower().endswith(SUFFIXES) and not name.startswith("."):
                yield os.path.join(parent, name)


def _own_classes(path):
    if not path.is_dir():
        what = "is a file, not a folder" if path.exists() else "does not exist"
        raise FileNotFoundError(f"{path} {what}. Give the folder that holds one folder of images a class.")
    classes = class_folders(path)
    if "train" in classes and SPLIT_NAMES.issuperset(classes):
        raise ValueError(
            f"{path} holds {' and '.join(f'{name}/' for name in classes)}, which are splits and not classes. "
            f"Read each by itself, beginning with image_folder({str(path / 'train')!r})."
        )
    if len(classes) < 2:
        found = f"only one, {classes[0]!r}" if classes else "none"
        raise ValueError(
            f"{path} must hold a folder of images for each of at least two classes, as in {path / 'cat'} and "
            f"{path / 'dog'}; it holds {found}."
        )
    return classes


def _refuse_empty_classes(path, classes, listing):
    used = {label for _, label in listing}
    empty = [name for label, name in enumerate(classes) if label not in used]
    if empty:
        raise ValueError(
            f"No images ({', '.join(suffix[1:] for suffix in SUFFIXES)}) in these class folders of {path}: "
            f"{', '.join(empty)}. Put images there, or take the folders away."
        )


# Decoding


def exactly(side):
    """A decoder for images that must be ``side`` x ``side`` pixels already: it never changes their size."""

    def decode(image):
        if image.size != (side, side):
            raise ValueError(f"it is {image.width}x{image.height} pixels, not {side}x{side}")
        return _rgb(image)

    return decode


def fitted(side):
    """A decoder for images of any size: turned upright, the square in the middle, scaled smoothly."""

    def decode(image):
        upright = _rgb(ImageOps.exif_transpose(image))
        return ImageOps.fit(upright, (side, side), method=Image.Resampling.BICUBIC)

    return decode


def _rgb(image):
    if image.mode == "F" or image.mode.startswith("I"):
        raise ValueError("it has more than 8 bits a pixel and channel; save it as an 8-bit image")
    if not image.has_transparency_data:
        return image.convert("RGB")
    picture = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), picture).convert("RGB")


def decode_files(listing, side, decoder):
    """Decode files in threads (Pillow lets go of Python's lock): uint8 ``[N, 3, side, side]``."""
    pixels = np.empty((len(listing), side, side, 3), dtype=np.uint8)

    def decode_some(start):
        for place in range(start, min(start + FILES_A_TASK, len(listing))):
            pixels[place] = _read(listing[place][0], decoder)

    starts = range(0, len(listing), FILES_A_TASK)
    with ThreadPoolExecutor(os.cpu_count()) as pool, tqdm(total=len(listing), desc="decoding", unit="image") as bar:
        try:
            for start, _ in zip(starts, pool.map(decode_some, starts), strict=True):
                bar.update(min(FILES_A_TASK, len(listing) - start))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)  # else the error would wait for all other images
            raise
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous()


def _read(file, decoder):
    try:
        with Image.open(file) as image:
            return decoder(image)
    except Exception as error:  # Pillow's readers raise a dozen kinds
        reason = "it is no image" if isinstance(error, UnidentifiedImageError) else error
        raise ValueError(f"{file} cannot be used: {reason}. Repair it or take it out of the folder.") from error


# What was decoded, kept


def cache_folder():
    """The user's cache folder for kdkit: ~/.cache/kdkit on Linux."""
    return platformdirs.user_cache_path("kdkit")


def decoded_once(name, folder, listing, side, decoder):
    """Images uint8 ``[N, 3, side, side]`` and labels int64 ``[N]`` of a listing, from the cache if they are there.

    The cache file belongs to the folder's place, ``side``, and each file's name, size and time. A damaged cache
    file is named in a warning and written anew; where none can be written, a warning says so.
    """
    key = _key(folder, listing, side)
    file = cache_folder() / "decoded" / f"{name}-{key[:16]}.safetensors"
    kept = _load(file)
    if kept is not None:
        return kept
    images, labels = decode_files(listing, side, decoder), torch.tensor([label for _, label in listing])
    _keep(file, images, labels)
    return images, labels


def _key(folder, listing, side):
    digest = hashlib.sha256(f"{DECODING} {Path(folder).resolve()} {side}".encode())
    for file, label in listing:
        status = os.stat(file)
        line = f"{os.path.relpath(file, folder)} {label} {status.st_size} {status.st_mtime_ns}\n"
        digest.update(os.fsencode(line))
    return digest.hexdigest()


def _load(file):
    """Images and labels of a cache file; None if there is none, or a damaged one."""
    if not file.exists():
        return None
    try:
        with safe_open(file, "pt") as kept:
            images, labels = kept.get_tensor("images"), kept.get_tensor("labels")
            if _checksum(images, labels) == kept.metadata()["sha256"]:
                return images, labels
        reason = "its checksum is wrong"
    except (OSError, SafetensorError, KeyError, TypeError) as error:
        reason = str(error)
    warnings.warn(f"{file} is damaged ({reason}): decoding the images again.", stacklevel=2)
    return None


def _keep(file, images, labels):
    try:
        with replacing(file) as part:
            save_file({"images": images, "labels": labels}, part, {"sha256": _checksum(images, labels)})
    except (OSError, SafetensorError) as error:
        warnings.warn(
            f"The decoded images cannot be kept in {file.parent} ({error}): they will be decoded again next time.",
            stacklevel=2,
        )


def _checksum(images, labels):
    digest = hashlib.sha256(images.contiguous().numpy().data)
    digest.update(labels.numpy().data)
    return digest.hexdigest()
