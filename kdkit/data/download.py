"""Fetch a data set from the first source that works, checked, and whole or not at all."""

import contextlib
import math
import os
import shutil
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from PIL import Image
from tqdm.auto import tqdm

from kdkit.data import files, folders, layout, walk

CIFAR10_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
TIMEOUT = (5, 20)  # seconds: to connect, and between two pieces; a dead network is known after these
TRIAL_SECONDS = 15  # how long a source may be slow before the next is tried
TEMPORARY = ".kdkit-download-"


@dataclass(frozen=True)
class Source:
    """Where a data set can be fetched.

    ``url``, its address, in front of the names in ``files``; ``files``, pairs (name, MD5 or None if none was
    published); ``folder``, what is there afterwards; ``counts``, how many images its ``train/`` and ``test/`` must
    hold, where no MD5 vouches for them; ``patience``, the seconds it may take where another source is left to try.
    """

    url: str
    files: tuple[tuple[str, str | None], ...]
    folder: str
    counts: tuple[int, int] | None = None
    patience: float = 600

    @property
    def archive(self) -> bool:
        """Whether the source is one archive that must be unpacked."""
        return self.files[0][0].endswith((".tar.gz", ".tgz"))


CIFAR10 = (
    Source(
        "https://www.cs.toronto.edu/~kriz/",
        (("cifar-10-python.tar.gz", "c58f30108f718f92721af3b95e74349a"),),
        "cifar-10-batches-py",
    ),
    # fast.ai publishes no checksum of its copy, so what it holds is counted and measured after unpacking.
    Source("https://s3.amazonaws.com/fast-ai-imageclas/", (("cifar10.tgz", None),), "cifar10", (50_000, 10_000)),
)
_MNIST_FILES = (
    ("train-images-idx3-ubyte.gz", "f68b3c2dcbeaaa9fbdd348bbdeb94873"),
    ("train-labels-idx1-ubyte.gz", "d53e105ee54ea40749a09fcbcd1e9432"),
    ("t10k-images-idx3-ubyte.gz", "9fb629c4189551a2d022fa330f9573f3"),
    ("t10k-labels-idx1-ubyte.gz", "ec29112dd5afa0611ce80d1b7f02629c"),
)
MNIST = (
    Source("https://ossci-datasets.s3.amazonaws.com/mnist/", _MNIST_FILES, "MNIST/raw"),
    Source("https://storage.googleapis.com/cvdf-datasets/mnist/", _MNIST_FILES, "MNIST/raw"),
)


class TooSlow(Exception):
    """A source that would take an hour where another may take a minute."""


def fetch(sources: Iterable[Source], into: Path, is_there: Callable[[], object]) -> None:
    """Fetch from the first source that works; what it brought is then in ``into / source.folder``.

    Another process may be doing the same: then this one waits, and fetches nothing if ``is_there()`` afterwards.

    A slow source is put at the end of the queue and there may take its time. Raises ``ConnectionError`` with each
    source and its reason when none works, ``PermissionError`` where ``into`` cannot be written.
    """
    queue, reasons = list(sources), []
    with _scratch(into) as scratch:
        if is_there():
            return
        while queue:
            source = queue.pop(0)
            try:
                with tempfile.TemporaryDirectory(dir=scratch) as attempt:
                    return _fetch_one(source, into, Path(attempt))
            except TooSlow as slow:
                queue.append(replace(source, patience=math.inf))
                reason = f"{slow}; it comes last"
            except Exception as error:  # whatever is wrong with one source, the next may be well
                reason = _in_words(error)
            reasons.append(f"{source.url}{source.files[0][0]}: {reason}")
            print(f"{reasons[-1]}. Trying the next source." if queue else reasons[-1])
    raise ConnectionError("\n".join(f"  - {reason}" for reason in reasons))


def unpack(archive: Path, folder: str, into: Path) -> Path:
    """Unpack ``folder`` of a tar archive to ``into / folder``: the whole or nothing. Returns that path.

    Raises ``ValueError`` if it is no archive, is damaged, has entries that point outside, or holds no such folder;
    ``PermissionError`` where ``into`` cannot be written.
    """
    with _scratch(into) as scratch:
        if not (into / folder).exists():
            os.replace(_extract(archive, folder, scratch), into / folder)
    return into / folder


@contextlib.contextmanager
def _scratch(into):
    """A folder inside ``into`` to work in, for one process at a time; what a killed one left behind goes first."""
    waiting = f"Another program is fetching or unpacking data in {into}: waiting for it."
    with contextlib.ExitStack() as held:
        try:
            held.enter_context(files.alone(into / "kdkit", waiting=waiting))
        except OSError as error:
            raise PermissionError(f"{into} cannot be written to ({error}). Give a folder of yours as root.") from error
        for left in into.glob(f"{TEMPORARY}*"):
            shutil.rmtree(left, ignore_errors=True)
        with tempfile.TemporaryDirectory(prefix=TEMPORARY, dir=into) as scratch:
            yield Path(scratch)


def _fetch_one(source, into, scratch):
    target = into / source.folder
    if source.archive and target.exists():
        raise FileExistsError(f"{target} exists already, but is no whole copy: move it away")
    for name, md5 in source.files:
        _retrieve(source, name, md5, scratch)
    if not source.archive:
        return _put_into(target, scratch, [name for name, _ in source.files])
    made = _extract(scratch / source.files[0][0], source.folder, scratch)
    if source.counts:
        _check_pictures(made, source.counts)
    os.replace(made, target)


def _retrieve(source, name, md5, folder):
    import pooch  # here, since it loads an HTTP library that nothing else needs

    pooch.get_logger().setLevel("WARNING")  # its notes are about hashes and folders of no concern to a learner
    with _Progress(name, source.patience) as bar:
        downloader = pooch.HTTPDownloader(progressbar=bar, chunk_size=2**16, timeout=TIMEOUT)
        pooch.retrieve(source.url + name, md5 and f"md5:{md5}", name, folder, downloader=downloader)
    os.chmod(folder / name, 0o644)  # pooch leaves it readable by its owner alone


class _Progress(tqdm):
    """A progress bar that raises ``TooSlow``; pooch calls ``update`` after each piece."""

    def __init__(self, name, patience):
        super().__init__(desc=name, unit="B", unit_scale=True)
        self.patience, self.begun, self.bytes = patience, time.monotonic(), 0

    def __bool__(self):
        return True  # pooch asks whether there is a bar, while tqdm would say whether its total is above 0

    def update(self, n=1):
        self.bytes += n
        seconds = time.monotonic() - self.begun
        left = ((self.total or 0) - self.bytes) * seconds / self.bytes  # seconds, at the speed so far
        if seconds > TRIAL_SECONDS and left > self.patience:
            raise TooSlow(f"too slow, {math.ceil(left / 60)} minutes more")
        return super().update(n)


def _extract(archive, folder, scratch):
    place = scratch / "unpacked"
    try:
        with tarfile.open(archive) as tar:
            tar.extractall(place, filter="data")  # refuses paths and links that leave the folder
    except (tarfile.TarError, EOFError, OSError, ValueError) as error:
        raise ValueError(f"{Path(archive).name} cannot be unpacked ({error}): damaged or incomplete?") from error
    if not (place / folder).is_dir():
        found = ", ".join(sorted(os.listdir(place))) if place.exists() else ""
        raise ValueError(f"{Path(archive).name} should hold {folder}/; it holds {found or 'nothing'}")
    return place / folder


def _check_pictures(folder, counts):
    """Raise ``ValueError`` unless ``train/`` and ``test/`` hold that many images of the ten classes, of 32x32."""
    for part, expected in zip(("train", "test"), counts, strict=True):
        classes = layout.folders(folder / part) if (folder / part).is_dir() else []
        if classes != sorted(CIFAR10_CLASSES):
            raise ValueError(f"its {part}/ should hold CIFAR-10's ten classes; it holds {', '.join(classes) or 'none'}")
        listing = folders.class_files([folder / part / name for name in classes], walk.LeftOut())
        if len(listing) != expected:
            raise ValueError(f"its {part}/ should hold {expected:,} images; it holds {len(listing):,}")
        for file, _ in listing:
            with Image.open(file) as image:
                if image.size != (32, 32):
                    raise ValueError(f"{part}/{Path(file).name} is {image.width}x{image.height} pixels, not 32x32")


def _put_into(target, scratch, names):
    """Only all files together are a data set, so one that is missing after a kill is seen as missing."""
    target.mkdir(parents=True, exist_ok=True)
    for name in names:
        os.replace(scratch / name, target / name)


def _in_words(error):
    """A network error in a few words; the libraries' own run over five lines."""
    import requests

    if isinstance(error, requests.HTTPError):
        return f"the server answers {error.response.status_code} {error.response.reason}"
    if isinstance(error, requests.Timeout) or "timed out" in str(error):
        return "no answer in time"
    if isinstance(error, requests.exceptions.ChunkedEncodingError) or "Connection aborted" in str(error):
        return "the connection broke off"
    if isinstance(error, requests.ConnectionError):
        return "cannot be reached"
    if isinstance(error, ValueError) and "does not match the known hash" in str(error):
        return "what came is not the expected file (wrong MD5 checksum)"
    return str(error) or type(error).__name__
