"""English text that is on every machine with Python, or your own: documents by name, split by their names.

Python's documentation is read where it is installed, and copied nowhere: the help topics, and the docstrings of the
standard library, from its source (nothing of it is imported). It differs a little from one version to another.
"""

import ast
import hashlib
import sysconfig
from pathlib import Path
from typing import NamedTuple

ELSEWHERE = {"site-packages", "dist-packages", "test", "tests", "idlelib", "lib2to3"}  # others' code, and tests
VAL, TEST = 0.1, 0.1


class Texts(NamedTuple):
    """Documents to learn from (``train``), to choose by (``val``) and to report (``test``): dicts of name to text."""

    train: dict
    val: dict
    test: dict


def python():
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


def docstrings():
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


def _docstrings(path):
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError, OSError):  # some files are made to be wrong
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node)
            if text:
                yield text


def folder(path):
    """Your own documents: a dict of name to text of all ``.txt`` files below ``path``, in UTF-8.

    Raises ``FileNotFoundError`` where there is none, and ``ValueError`` that names a file which is not UTF-8.
    """
    documents = {}
    for file in sorted(Path(path).rglob("*.txt")):
        try:
            documents[file.relative_to(path).as_posix()] = file.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise ValueError(f"{file} is not UTF-8 ({error.reason} at byte {error.start}): save it as UTF-8.") from None
    if not documents:
        raise FileNotFoundError(f"{path} holds no .txt file, nor does a folder below it.")
    return documents


RUN = 13  # words: as many in a row are hardly the same by chance


def overlap(documents, others):
    """Share of the words of ``documents`` that stand in ``others``, too, as part of the same ``RUN`` words in a row.

    Both are dicts of name to text. What was learnt from ``others`` may be known by heart there. (Python's help topics
    repeat each other here and there: a split by names does not part them all.)
    """
    known = {run for text in others.values() for run in _runs(text.split())}
    shared = total = 0
    for text in documents.values():
        words, found = text.split(), set()
        for start, run in enumerate(_runs(words)):
            if run in known:
                found.update(range(start, start + RUN))
        shared, total = shared + len(found), total + len(words)
    return shared / total


def _runs(words):
    return (tuple(words[start : start + RUN]) for start in range(len(words) - RUN + 1))


def split(documents):
    """``Texts``: about a tenth of the documents for ``val``, a tenth for ``test``, the rest for ``train``.

    Where a document goes depends on a hash of its name alone: it stays there whatever else comes or goes. Raises
    ``ValueError`` where a part would be empty.
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
    return parts
