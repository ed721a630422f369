"""A reader's progress: kept beside the notebook, whole or not at all, and of readers only."""

import json

import pytest

from kdkit.course import check, codes, numbered
from kdkit.course.check import record
from tools.notebooks import ROOT, text


@pytest.fixture
def reader(tmp_path, monkeypatch):
    """Somebody who works in a notebook that lies in ``tmp_path``."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(record, "in_notebook", lambda: True)
    return tmp_path / record.FILE


def right(logits, temperature):
    return (logits / temperature).softmax(1)


def wrong(logits, temperature):
    return logits.softmax(1)


def test_what_was_tried_and_solved_is_kept_and_stays_solved(reader):
    check.soft_targets(wrong)
    assert check.progress().mark("soft_targets") == record.TRIED
    check.soft_targets(right)
    check.soft_targets(wrong)
    met = ["the temperature makes no difference"]
    assert json.loads(reader.read_text()) == {"soft_targets": {"attempts": 3, "solved": True, "mistakes": met}}
    assert "00 Start here      1 of 1  ✓ soft_targets" in repr(check.progress())
    assert "<td>1 of 1</td>" in check.progress()._repr_html_()


def test_the_last_line_is_a_code_of_all_that_was_tried_and_there_is_none_before(reader):
    assert repr(check.progress()).endswith("start afresh.") and "KP-" not in check.progress()._repr_html_()
    check.soft_targets(wrong)
    check.soft_targets(wrong)
    last = repr(check.progress("entropy")).splitlines()[-1]
    assert last.startswith(f"{record.CODE} KP-") and "no name" in record.CODE
    assert f"<p>{last}</p>" in check.progress()._repr_html_()
    kind, fields = codes.decode(last.split(": ")[1])
    said = numbered.read(fields)
    assert kind == "progress" and said == ({"soft_targets": 2}, set(), {"the temperature makes no difference"})
    check.soft_targets(right)
    done = numbered.read(codes.decode(repr(check.progress()).split(": ")[-1])[1])
    assert done == ({"soft_targets": 3}, {"soft_targets"}, said.mistakes)


def test_a_file_of_an_older_version_is_read(reader):
    reader.write_text('{"soft_targets": {"attempts": 2, "solved": false}}')
    check.soft_targets(right)
    assert json.loads(reader.read_text()) == {"soft_targets": {"attempts": 3, "solved": True, "mistakes": []}}


def test_progress_of_some_exercises_shows_these_and_no_other(reader):
    check.soft_targets(right)
    rows = list(check.progress("entropy", "soft_targets").rows())
    assert rows == [("00 Start here", 1, 1, [("✓", "soft_targets")]), ("01 Dark knowledge", 0, 1, [("○", "entropy")])]
    with pytest.raises(ValueError, match="no exercise is called 'soft_target'; they are: soft_targets, "):
        check.progress("soft_target")


def test_a_stub_the_kits_own_solution_and_code_outside_a_notebook_leave_no_file(reader, monkeypatch):
    def right_solution(logits, temperature):
        return right(logits, temperature)

    check.soft_targets(lambda logits, temperature: ...)
    assert check.soft_targets(right_solution).passed
    monkeypatch.setattr(record, "in_notebook", lambda: False)
    check.soft_targets(right)
    assert not reader.exists() and check.progress().mark("soft_targets") == record.OPEN


def test_deleting_the_file_starts_afresh(reader):
    check.soft_targets(right)
    reader.unlink()
    assert check.progress().mark("soft_targets") == record.OPEN


@pytest.mark.parametrize("content", ["", "{", "[1]", '{"soft_targets": 1}', '{"soft_targets": {"attempts": "x"}}'])
def test_a_damaged_file_is_named_and_set_aside(reader, content, capsys):
    reader.write_text(content)
    assert check.soft_targets(right).passed and check.progress().mark("soft_targets") == record.SOLVED
    assert f"{record.FILE} is damaged. It is now {record.FILE}.damaged" in capsys.readouterr().out
    assert reader.with_name(f"{record.FILE}.damaged").read_text() == content


def test_a_folder_that_cannot_be_written_to_does_not_withhold_the_verdict(reader, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(record.files, "replacing", refuse)
    verdict = check.soft_targets(right)
    assert verdict.passed and "Progress was not kept in kdkit-progress.json: Permission denied" in verdict.message


def test_a_folder_of_that_name_and_a_mark_at_the_beginning_do_no_harm(reader, capsys):
    reader.write_text('{"soft_targets": {"attempts": 1, "solved": true}}', encoding="utf-8-sig")
    assert check.progress().mark("soft_targets") == record.SOLVED
    reader.unlink()
    reader.mkdir()
    assert check.progress().mark("soft_targets") == record.OPEN and "cannot be read" in capsys.readouterr().out
    assert check.soft_targets(right).passed


def test_pytest_is_no_notebook():
    assert not record.in_notebook()


def test_progress_lists_the_exercises_of_the_notebooks_in_their_order():
    found = []
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        for cell in json.loads(path.read_text())["cells"]:
            if "exercise" in cell["metadata"].get("tags", []):
                last = text(cell["source"]).splitlines()[-1]
                found += [last.split("(")[0].split(".")[-1]] if last.startswith("check.") else []
    written = {path.name.split("_")[0] for path in (ROOT / "notebooks").glob("*.ipynb")}
    listed = [name for title, names in record.NOTEBOOKS.items() if title.split()[0] in written for name in names]
    assert [name for name in found if name != "guess"] == listed
