"""Files that are whole or not there; one program at a time; and what stands in the way, said in a sentence."""

import contextlib
import errno
import hashlib
import os
import re
import shutil
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

_FULL = "Free some space, or choose a place on another disk, then do the same again."
_FORBIDDEN = "Choose a place where you may write, or change its permissions."
_BLOCKED = "Choose another path, or move away what stands there."
WAY_OUT = {
    **dict.fromkeys((errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC), errno.EFBIG), _FULL),
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), _FORBIDDEN),
    **dict.fromkeys((errno.ENOTDIR, errno.EISDIR, errno.EEXIST), _BLOCKED),
    errno.ENAMETOOLONG: "Choose a shorter one.",
    **dict.fromkeys(
        (errno.EIO, getattr(errno, "ESTALE", errno.EIO)), "The disk or the network fails: choose another place."
    ),
}


def expanded(path: str | Path) -> Path:
    """``path``, as people give it, as a ``Path``; ``~`` is their home. Raises ``ValueError`` for what is no path."""
    if not isinstance(path, str | Path) or path == "" or "\0" in str(path):
        raise ValueError(f"a path must be text, such as 'pictures/pets', or a Path; got {path!r}.")
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise ValueError(f"{path} begins with the home of a user whom this machine does not know.") from None


@contextlib.contextmanager
def explained(path: str | Path, done: str, needed: int | None = None) -> Iterator[None]:
    """Within, trouble with the disk gets a sentence: what could not be ``done`` to ``path``, why, and the way out.

    ``needed``: bytes, if they are known; they are told where the disk is full, beside what is free. The error keeps its
    class, one of ``OSError``, and its ``errno``. Other errors pass as they are.
    """
    try:
        yield
    except OSError as error:
        if error.strerror is None or error.errno not in WAY_OUT:  # it is a sentence already, or nothing known
            raise
        space = [f"{in_words(needed)} are needed"] if needed is not None and WAY_OUT[error.errno] is _FULL else []
        if error.errno == errno.ENOSPC:
            space.append(f"{in_words(free(path))} are free")
        why = error.strerror.lower() + (f" ({', '.join(space)})" if space else "")
        said = type(error)(f"{path} could not be {done}: {why}. {WAY_OUT[error.errno]}")
        said.errno = error.errno
        raise said from error


def told(error: Exception) -> str:
    """What ``error`` says, in a sentence, even where the system tells a number and a name and no more."""
    if not isinstance(error, OSError) or error.filename is None or error.strerror is None:
        return str(error)
    name = str(error.filename)
    name = name if len(name) <= 100 else f"{name[:100]}..."
    return f"{name} cannot be used: {error.strerror.lower()}. {WAY_OUT.get(error.errno, 'Choose another path.')}"


def free(path: str | Path) -> int:
    """Bytes that are free on the disk where ``path`` is, or would be."""
    path = Path(path).absolute()
    return shutil.disk_usage(next(place for place in (path, *path.parents) if place.is_dir())).free


def in_words(count: int) -> str:
    """Bytes for people to read.

    >>> in_words(5_385_105_496), in_words(1_320_000), in_words(90_400)
    ('5.4 GB', '1.3 MB', '90 kB')
    """
    if count >= 1e9:
        return f"{count / 1e9:,.1f} GB"
    return f"{count / 1e6:,.1f} MB" if count >= 1e6 else f"{count / 1e3:.0f} kB"


@contextlib.contextmanager
def replacing(path: str | Path, needed: int | None = None) -> Iterator[Path]:
    """Give a temporary path beside ``path``; rename it onto ``path`` when the block ends without an error.

    A reader, or a program killed at any moment, sees the old file or the new one, never half of either. Trouble with
    the disk is ``explained``; ``needed``: how many bytes will be written, if that is known.
    """
    with explained(path, "written", needed):
        place = _real(path)
        temporary = _beside(place, "part")
        place.parent.mkdir(parents=True, exist_ok=True)
        try:
            temporary.touch()  # by touch, not mkstemp: the file gets the permissions that the user's files have
            yield temporary
            _flush_to_disk(temporary)
            os.replace(temporary, place)
        except BaseException:
            with contextlib.suppress(OSError):  # what went wrong before is what is to be told
                temporary.unlink(missing_ok=True)
            raise


@contextlib.contextmanager
def replacing_folder(path: str | Path) -> Iterator[Path]:
    """The same for a folder: give a temporary one beside ``path``, which takes its place when the block ends.

    What the old folder held and the new one does not is kept: it may be somebody's. Between two renames nothing stands
    at ``path``; half of a folder never does. Of a program killed between them the old folder comes back, here or in
    ``alone``.
    """
    with explained(path, "written"):
        place = _real(path)
        temporary, old = _beside(place, "part"), _beside(place, "old")
        place.parent.mkdir(parents=True, exist_ok=True)
        _bring_back(place)
        try:
            temporary.mkdir()
            yield temporary
            for file in filter(Path.is_file, temporary.rglob("*")):
                _flush_to_disk(file)
            if place.exists():
                _copy_others(place, temporary)
                os.replace(place, old)
            os.replace(temporary, place)
            with contextlib.suppress(OSError):  # there was no old one; what else is left, ``alone`` sweeps away
                os.replace(old, temporary)  # first, for half of an old folder must never come back
                shutil.rmtree(temporary)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            if old.exists() and not place.exists():
                os.replace(old, place)
            raise


def _real(path: str | Path) -> Path:
    """``path`` without links, so that what a link points to is written, and the link stays."""
    return Path(os.path.realpath(path))


def _beside(path, ending):
    return path.with_name(f".{path.name}.{uuid.uuid4().hex}.{ending}")


def _bring_back(path):
    """Give a folder its name again that a killed ``replacing_folder`` moved aside; where another stands at ``path`` by
    now, what was moved aside is left for ``alone`` to remove.
    """
    name = re.compile(rf"\.{re.escape(path.name)}\.[0-9a-f]{{32}}\.old")
    for old in [each for each in path.parent.iterdir() if name.fullmatch(each.name)]:
        os.replace(old, old.with_suffix(".part") if path.exists() else path)


def _copy_others(old, new):
    """Copy into the folder ``new`` what stands in ``old`` alone."""
    for entry in old.iterdir():
        if not (new / entry.name).exists():
            (shutil.copytree if entry.is_dir() else shutil.copy2)(entry, new / entry.name)


def _flush_to_disk(name):
    """Without this a power cut could leave the new name on an empty file."""
    with open(name, "rb+") as file:
        os.fsync(file.fileno())


@contextlib.contextmanager
def alone(path: str | Path, busy: str | None = None, waiting: str | None = None) -> Iterator[None]:
    """Within, be the only program that works on ``path``; what killed ones left half-written beside it goes first.

    A lock stands beside it meanwhile. The system frees it if this program dies, however that happens. If another holds
    it, this one prints the sentence ``waiting`` and waits, or raises ``ValueError`` with the sentence ``busy``.
    ``OSError`` where nothing can be locked.
    """
    place = _real(path)
    lock = FileLock(place.with_name(f".{place.name}.lock"))
    _acquire(lock, place, busy, waiting)
    try:
        _bring_back(place)
        for left in place.parent.iterdir():
            if left.name.startswith(f".{place.name}.") and left.suffix == ".part":
                is_folder = left.is_dir() and not left.is_symlink()
                shutil.rmtree(left) if is_folder else left.unlink(missing_ok=True)
        yield
    finally:
        if busy is not None:  # where others wait for this very file it stays
            with contextlib.suppress(OSError):  # Windows deletes no open file; there, filelock does so itself
                os.unlink(lock.lock_file)  # before the release: afterwards it may be another's
        lock.release()


def _acquire(lock, path, busy, waiting):
    with explained(path, "written"):
        path.parent.mkdir(parents=True, exist_ok=True)  # older filelocks do not
        try:
            with contextlib.suppress(Timeout):
                return lock.acquire(timeout=0)
            if busy is not None:
                raise ValueError(busy)
            if waiting:
                print(waiting)
            lock.acquire()
        except (OSError, NotImplementedError) as error:
            if isinstance(error, OSError) and error.errno in WAY_OUT:
                raise
            raise OSError(
                f"{path} could not be locked ({error}), as some network disks do not allow. Choose a place on a disk "
                "of this machine."
            ) from error


def processes() -> int:
    """How many processes work together, as torchrun starts them: 1 in one that is alone."""
    told, torch = os.environ.get("WORLD_SIZE", ""), sys.modules.get("torch")
    if torch is not None and torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_world_size()
    return max(int(told), 1) if told.isdecimal() else 1


def refuse_several_processes(what: str) -> None:
    """``ValueError`` in one of several ``processes``, where each would do all of ``what`` and write the same files."""
    if processes() > 1:
        raise ValueError(
            f"this is one of {processes()} processes (torchrun, or WORLD_SIZE in the environment), and {what} is done "
            "in one: each would do all of it, and write the same files. Start it once, with plain python. Several "
            "train as one in kdkit.train, and in the commands train-teacher and distill."
        )


def sha256(path: str | Path) -> str:
    """SHA-256 of a file, as hexadecimal text. Raises ``OSError`` where it cannot be read."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
