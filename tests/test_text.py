"""Text to learn from: read where it lies, each text once, and split so that nothing leaks."""

import pytest

from kdkit.data import text


@pytest.fixture(scope="module")
def pairs():
    return list(text.docstrings())


@pytest.fixture(scope="module")
def documents(pairs):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text, "docstrings", lambda: pairs)
        return text.python()


def test_there_is_enough_english_on_this_machine(documents):
    assert sum(map(len, documents.values())) > 1_000_000
    assert "module io" in documents and not any("_pyio" in name for name in documents)
    assert "JSON" in documents["module json"] and "lambda" in documents["topic lambda"].lower()
    assert not any("site-packages" in name or "torch" in name for name in documents)


def test_each_docstring_comes_once(pairs):
    found = [words for _, words in pairs]
    assert len(found) == len(set(found)) > 4_000


def test_a_broken_file_has_no_docstrings_and_stops_nothing(tmp_path):
    path = tmp_path / "broken.py"
    path.write_text('"""Said."""\ndef f(:\n')
    assert list(text._docstrings(path)) == []
    path.write_text('"""Said."""\ndef f():\n    "Also."\n')
    assert list(text._docstrings(path)) == ["Said.", "Also."]


def test_no_document_is_in_two_parts_and_none_is_lost(documents):
    parts = text.split(documents)
    assert {**parts.train, **parts.val, **parts.test} == documents
    assert sum(map(len, parts)) == len(documents)
    for part in (parts.val, parts.test):
        assert 0.03 * len(documents) < len(part) < 0.2 * len(documents)


def test_where_a_document_goes_depends_on_its_name_alone(documents):
    parts = text.split(documents)
    others = {name: "another text" for name in documents if name != "module json"}
    again = text.split({**others, "one more": "text"})
    for before, after in zip(parts, again, strict=True):
        assert set(before) - {"module json"} == set(after) - {"one more"}


def test_ones_own_files(tmp_path):
    (tmp_path / "deeper").mkdir()
    (tmp_path / "one.txt").write_text("Ein Stück", encoding="utf-8")
    (tmp_path / "deeper" / "two.txt").write_text("Two", encoding="utf-8")
    assert text.folder(tmp_path) == {"deeper/two.txt": "Two", "one.txt": "Ein Stück"}
    with pytest.raises(ValueError, match="2 documents are too few: none fell to"):
        text.split(text.folder(tmp_path))
    (tmp_path / "one.txt").write_bytes(b"Ein St\xfcck")
    with pytest.raises(ValueError, match=r"one\.txt is not UTF-8 .* at byte 6\): save it as UTF-8"):
        text.folder(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"holds no \.txt file"):
        text.folder(tmp_path / "nothing")


def test_what_stands_elsewhere_too_is_counted_by_runs_of_words():
    words = [f"word{number}" for number in range(40)]
    document = {"here": " ".join(words)}
    assert text.overlap(document, {"there": "quite other words"}) == 0
    assert text.overlap(document, document) == 1
    assert text.overlap(document, {"there": " ".join(["and", *words[10:30], "so"])}) == 20 / 40
    assert text.overlap(document, {"there": " ".join(words[: text.RUN - 1])}) == 0


def test_what_nobody_learnt_from_is_nearly_new(documents):
    """Not quite: help topics repeat each other. Notebook 06 says how much."""
    parts = text.split(documents)
    assert 0 < text.overlap(parts.test, parts.train) < 0.1 and text.overlap(parts.val, parts.train) < 0.15
