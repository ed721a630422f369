"""Text to learn from: read where it lies, each text once, and split so that nothing leaks."""

import os
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdkit.data import text


def test_there_is_enough_english_on_this_machine(python_texts):
    assert sum(map(len, python_texts.values())) > 1_000_000
    assert "module io" in python_texts and not any("_pyio" in name for name in python_texts)
    assert "JSON" in python_texts["module json"] and "lambda" in python_texts["topic lambda"].lower()
    assert not any("site-packages" in name or "torch" in name for name in python_texts)


def test_each_docstring_comes_once(docstrings):
    found = [words for _, words in docstrings]
    assert len(found) == len(set(found)) > 4_000


def test_a_broken_file_has_no_docstrings_and_stops_nothing(tmp_path):
    path = tmp_path / "broken.py"
    path.write_text('"""Said."""\ndef f(:\n')
    assert list(text._docstrings(path)) == []
    path.write_text('"""Said."""\ndef f():\n    "Also."\n')
    assert list(text._docstrings(path)) == ["Said.", "Also."]


def test_each_document_is_in_one_part_or_was_all_known_before(python_texts):
    parts = text.split(python_texts)
    assert len({*parts.train, *parts.val, *parts.test}) == sum(map(len, parts))
    others = {name: words for name, words in python_texts.items() if name not in parts.train}
    assert {**parts.train, **others} == python_texts
    for name in set(others) - {*parts.val, *parts.test}:
        assert text.unseen({name: others[name]}, others={**python_texts, name: ""}) == {}
    for part in (parts.val, parts.test):
        assert 0.03 * len(python_texts) < len(part) < 0.2 * len(python_texts)


def test_nothing_that_was_learnt_from_or_chosen_by_stands_in_the_test_texts(python_texts):
    parts = text.split(python_texts)
    by_name = {name: words for name, words in python_texts.items() if name not in parts.train}
    assert text.overlap(by_name, others=parts.train) > 0.01  # help topics repeat each other
    assert text.overlap(parts.val, others=parts.train) == 0
    assert text.overlap(parts.test, others=parts.train | parts.val) == 0
    assert sum(map(len, parts.test.values())) > 80_000  # there is enough left to judge by


def test_test_texts_go_without_what_is_learnt_from_and_what_is_chosen_by():
    one, other = (" ".join(f"{name}{number}" for number in range(20)) for name in ("one", "other"))
    names = text.split({f"document {number}": f"new{number}" for number in range(50)})
    documents = {name: f"{name}\n\n{one}" for part in names for name in part}
    documents |= {name: f"{name}\n\n{one}\n\n{other}" for part in names[1:] for name in part}
    parts = text.split(documents)
    assert all(words == documents[name] for name, words in parts.train.items())
    assert all(words == f"{name}\n\n{other}" for name, words in parts.val.items())
    assert all(words == name for name, words in parts.test.items())
    for nothing in "", one:
        with pytest.raises(ValueError, match=r"nothing is left for test: .* empty, or each paragraph has 13 words"):
            text.split({**documents, **dict.fromkeys(names.test, nothing)})


def test_where_a_document_goes_depends_on_its_name_alone():
    documents = {f"document {number}": f"word{number}" for number in range(50)}
    parts = text.split(documents)
    others = {name: "another text" for name in documents if name != "document 7"}
    again = text.split({**others, "one more": "text"})
    for before, after in zip(parts, again, strict=True):
        assert set(before) - {"document 7"} == set(after) - {"one more"}


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


def test_hidden_texts_are_left_out_as_hidden_images_are_and_said(tmp_path, recwarn):
    (tmp_path / "one.txt").write_text("One")
    (tmp_path / ".ipynb_checkpoints").mkdir()
    (tmp_path / ".ipynb_checkpoints" / "one-checkpoint.txt").write_text("One")
    (tmp_path / "._one.txt").write_bytes(b"\0\x05\x16\x07 Mac OS X \xb0")
    (tmp_path / "__MACOSX").mkdir()
    (tmp_path / "__MACOSX" / "one.txt").write_bytes(b"\xb0")
    (tmp_path / "two.pdf").write_bytes(b"")
    (tmp_path / "three.txt").symlink_to("gone")
    os.mkfifo(tmp_path / "four.txt")  # reading it would wait for ever
    assert text.folder(tmp_path) == {"one.txt": "One"}
    (said,) = recwarn
    for words in r"hidden \(2, ", r"\.pdf \(1, ", r"links that lead nowhere \(1, ", r"devices and pipes \(1, ":
        assert re.search(words, str(said.message))


def test_a_folder_without_texts_says_what_else_it_holds(tmp_path):
    (tmp_path / "two.pdf").write_bytes(b"")
    with pytest.raises(
        FileNotFoundError, match=r"holds no \.txt file.*What was left out: \.pdf \(1, such as .*two.pdf"
    ):
        text.folder(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"two.pdf is a file, not a folder"):
        text.folder(tmp_path / "two.pdf")


def test_a_document_has_one_name_however_it_is_stored_so_that_it_goes_to_one_part(tmp_path):
    (tmp_path / "cafe\u0301.txt").write_text("Coffee")
    (tmp_path / "UPPER.TXT").write_bytes("\ufeffwith a mark of its order of bytes".encode())
    (tmp_path / os.fsdecode(b"caf\xe9.txt")).write_text("Latin-1")
    documents = text.folder(tmp_path)
    assert documents == {
        "caf\u00e9.txt": "Coffee",
        "UPPER.TXT": "with a mark of its order of bytes",
        "caf\\xe9.txt": "Latin-1",
    }
    assert "".join(documents).encode()  # which text.split needs
    (tmp_path / "caf\u00e9.txt").write_text("Tea")
    with pytest.raises(ValueError, match=r"two files .* whose names differ only in how accents are stored"):
        text.folder(tmp_path)


WORDS = [f"word{number}" for number in range(40)]


def test_what_stands_elsewhere_too_is_counted_by_runs_of_words():
    document = {"here": " ".join(WORDS)}
    assert text.overlap(document, others={"there": "quite other words"}) == 0 == text.overlap({}, others=document)
    assert text.overlap(document, others=document) == 1
    assert text.overlap(document, others={"there": " ".join(["and", *WORDS[10:30], "so"])}) == 20 / 40
    assert text.overlap(document, others={"there": ", ".join(WORDS[10:30]).upper()}) == 20 / 40
    assert text.overlap(document, others={"there": " ".join(WORDS[: text.RUN - 1])}) == 0


def test_paragraphs_that_stand_elsewhere_too_are_cut_out_whole():
    new, known = "One that is\n  new.", f"It says {' '.join(WORDS[:13])} in the end."
    others = {"there": " ".join(WORDS)}
    assert text.unseen({"here": f"{new}\n\n{known}\n\n{new}"}, others=others) == {"here": f"{new}\n\n{new}"}
    assert text.unseen({"here": f"{new}\r\n \t\r\n{known}"}, others=others) == {"here": new}
    assert text.unseen({"here": f"{known}\n\n", "one more": new}, others=others) == {"one more": new}
    across = {"here": f"{' '.join(WORDS[:7])}\n\n{' '.join(WORDS[7:13])}\n\n{new}"}  # the run is in no paragraph alone
    assert text.unseen(across, others=others) == {"here": new}


def test_what_cutting_brings_together_is_cut_as_well():
    known = " ".join(f"known{number}" for number in range(13))
    halves = " ".join(WORDS[:10]), " ".join(WORDS[10:20])
    documents = {"here": f"{halves[0]}\n\n{known}\n\n{halves[1]}\n\nAnd so on."}
    assert text.unseen(documents, others={"there": known, "and there": " ".join(WORDS)}) == {"here": "And so on."}


few_words = st.lists(st.sampled_from(["a ", "b ", "a, ", "B\n\n", "\n\n"]), max_size=60).map("".join)


@given(st.lists(few_words, max_size=4), st.lists(few_words, max_size=2))
def test_what_is_left_stands_nowhere_else_and_what_stood_nowhere_else_is_left(documents, others):
    documents, others = dict(enumerate(documents)), dict(enumerate(others))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text, "RUN", 3)
        left = text.unseen(documents, others=others)
        assert text.overlap(left, others=others) == 0
        for number, words in documents.items():
            paragraphs = iter(part.strip() for part in words.split("\n\n"))
            assert number not in left or all(part.strip() in paragraphs for part in left[number].split("\n\n"))
            if words.strip() and text.overlap({number: words}, others=others) == 0:
                assert left[number] == words
