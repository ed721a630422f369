"""English text that is on every machine with Python, or your own: documents by name, split so that nothing leaks.

Python's documentation is read where it is installed, and copied nowhere: the help topics, and the docstrings of the
standard library, from its source (nothing of it is imported). It differs a little from one version to another.
"""

import ast
import hashlib
import re
import sysconfig
import unicodedata
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from kdkit.data import walk
from kdkit.data.files import expanded

ELSEWHERE = {"site-packages", "dist-packages", "test", "tests", "idlelib", "lib2to3"}  # others' code, and tests
VAL, TEST = 0.1, 0.1


class Texts(NamedTuple):
    """Documents to learn from (``train``), to choose by (``val``) and to report (``test``): dicts of name to text."""

    train: dict[str, str]
    val: dict[str, str]
    test: dict[str, str]


def python() -> dict[str, str]:
    """Python's documentation: a dict of name to text, one for each help topic and for each module's docstrings.

    A module is what stands at the top of the library, such as ``email`` with all that is in it, and ``io`` with
    ``_pyio``: what belongs together is one document, so that ``split`` does not part it.
    """
    from pydoc_data.topics import topics

    documents = {f"topic {name}": text for name, text in sorted(topics.items())}
    for module, text in docstrings():
        name = f"module {module}"
        documents[name] = f"{documents[name]}\n\n{text}" if name in documents else text
    return documents


def docstrings() -> Iterator[tuple[str, str]]:
    """The docstrings of the standard library: pairs (module, text), each text once, in the order of the files."""
    root, seen = Path(sysconfig.get_path("stdlib")), set()
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root).parts
        if ELSEWHERE & set(parts):
            continue
        for text in _docstrings(path):
            if text not in seen:
                seen.add(text)
                yield parts[0].removesuffix(".py").removeprefix("_py").strip("_"), text


def _docstrings(path: Path) -> Iterator[str]:
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError, OSError):  # some files are made to be wrong
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node)
            if text:
                yield text


def folder(path: str | Path) -> dict[str, str]:
    """Your own documents: a dict of name to text of all ``.txt`` files below ``path``, in UTF-8.

    Warns once of all that was left out, counted by kind: hidden and other files, links that lead nowhere or to folders.
    Raises ``FileNotFoundError`` where there is none, and ``ValueError`` that names a file which is not UTF-8, or which
    the system does not let us read.
    """
    path, left = expanded(path), walk.LeftOut()
    documents: dict[str, str] = {}
    if path.is_file():
        raise FileNotFoundError(f"{path} is a file, not a folder. Give the folder that holds it.")
    for file in sorted(walk.files(path, (".txt",), left)) if path.exists() else ():
        name = unicodedata.normalize("NFC", walk.show(Path(file).relative_to(path).as_posix()))
        if name in documents:
            raise ValueError(f"{path} holds two files {name!r} whose names differ only in how accents are stored.")
        documents[name] = read(file)
    if not documents:
        instead = f" (What was left out: {left}.)" if left.counts else ""
        raise FileNotFoundError(f"{path} holds no .txt file, nor does a folder below it.{instead}")
    left.say(path, [".txt"])
    return documents


def read(file: str) -> str:
    """The text in ``file``. ``ValueError`` that names it where it is not UTF-8, or may not be read."""
    try:
        return Path(file).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{walk.show(file)} is not UTF-8 ({error.reason} at byte {error.start}): save it as UTF-8."
        ) from None
    except OSError as error:
        raise walk.unreadable(file, error) from error


RUN = 13  # words: as many in a row are hardly the same by chance; fewer often are


def overlap(documents: dict[str, str], *, others: dict[str, str]) -> float:
    """Share of the words of ``documents`` that stand in ``others``, too, as part of the same ``RUN`` words in a row.

    Both are dicts of name to text. Case and punctuation do not count. For scripts with spaces between words.
    """
    known = _shared(documents, others)
    marks = [mark for text in documents.values() for mark in _repeated(_words(text), known)]
    return sum(marks) / max(1, len(marks))


def unseen(documents: dict[str, str], *, others: dict[str, str]) -> dict[str, str]:
    """``documents`` without each paragraph that holds one of the words that ``overlap`` counts: a dict.

    Whoever learnt from ``others`` could know them by heart. A paragraph ends at an empty line. A document of which
    nothing is left is left out.
    """
    while (left := _cut(documents, _shared(documents, others))) != documents:
        documents = left  # what stood apart may stand together now
    return documents


def _cut(documents, known):
    """``documents`` without the paragraphs in which a run stands that is ``known``, whole or in part: a dict."""
    left = {}
    for name, text in documents.items():
        repeated = _repeated(_words(text), known)
        if any(repeated):
            marks = iter(repeated)  # one for each word, paragraph after paragraph
            paragraphs = re.split(r"\s*\n\s*\n", text)
            text = "\n\n".join(part for part in paragraphs if not any([next(marks) for _ in _words(part)]))
        if text.strip():
            left[name] = text
    return left


def _words(text):
    return re.findall(r"\w+", text.lower())


def _runs(words):
    return (tuple(words[start : start + RUN]) for start in range(len(words) - RUN + 1))


def _shared(documents, others):
    """The runs of words that stand in both: a set."""
    wanted = {run for text in documents.values() for run in _runs(_words(text))}
    return {run for text in others.values() for run in _runs(_words(text)) if run in wanted}


def _repeated(words, known):
    """Which of ``words`` belong to a run that is ``known``: a list of bools."""
    found = [False] * len(words)
    for start, run in enumerate(_runs(words)):
        if run in known:
            found[start : start + RUN] = [True] * RUN
    return found


def split(documents: Mapping[str, str]) -> Texts:
    """``Texts``: about a tenth of the documents for ``val``, a tenth for ``test``, the rest for ``train``.

    Which part a document falls to depends on a hash of its name alone, whatever else comes or goes. But documents
    repeat each other: ``val`` goes without what stands in ``train``, and ``test`` without what stands in either
    (``unseen``). Raises ``ValueError`` where a part would be empty.
    """
    parts = Texts({}, {}, {})
    for name, text in documents.items():
        share = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") / 2**64
        where = parts.test if share < TEST else parts.val if share < TEST + VAL else parts.train
        where[name] = text
    empty = [name for name, part in parts._asdict().items() if not part]
    if empty:
        raise ValueError(
            f"{len(documents)} documents are too few: none fell to {' and '.join(empty)}. Cut large ones into several."
        )
    val, test = unseen(parts.val, others=parts.train), unseen(parts.test, others=parts.train | parts.val)
    for name, left in ("val", val), ("test", test):
        if not left:
            raise ValueError(
                f"nothing is left for {name}: its documents are empty, or each paragraph has {RUN} words in a row that "
                "stand in other documents, too. (Without empty lines a document is one paragraph.)"
            )
    return Texts(parts.train, val, test)
