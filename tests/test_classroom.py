"""``python -m kdkit class``: tables of a class from its codes; who is in it stays unknown."""

import pytest

from kdkit.cli import main as cli
from kdkit.cli import workshop
from kdkit.course import codes, numbered

TEMPERATURE, MEAN = "the temperature makes no difference", "one number is wanted"


def tried(attempts, solved, *mistakes):
    return {"attempts": attempts, "solved": solved, "mistakes": list(mistakes)}


CLASS = [
    {"soft_targets": tried(1, True), "entropy": tried(3, False, MEAN)},
    {"soft_targets": tried(2, True, TEMPERATURE)},
    {"soft_targets": tried(4, False, TEMPERATURE, MEAN), "entropy": tried(9, False, TEMPERATURE)},
]
TABLES = """\
3 participants, known by their lines. Attempts: the mean of those who tried; 7 stands for more, too.

exercise      solved   tried  attempts  stuck after 3 attempts or more
soft_targets       2       3       2.3  3
entropy            0       2       5.0  1, 3

met by  mistake, as its check begins to name it
     2  one number is wanted
     2  the temperature makes no difference

line  solved   tried  stuck at
   1       1       2  entropy
   2       1       1
   3       0       2  soft_targets, entropy
"""


@pytest.fixture
def tables(tmp_path, capsys):
    """(exit status, tables, complaints) of a file with these lines."""

    def made(*lines):
        (tmp_path / "codes.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
        status = cli.main(["class", str(tmp_path / "codes.txt")])
        return status, *capsys.readouterr()

    return made


def test_a_class_of_three_by_hand(tables):
    assert tables(*map(numbered.written, CLASS)) == (0, TABLES, "")


def test_lines_that_are_no_codes_are_named_and_the_others_are_counted(tables):
    first, second, third = map(numbered.written, CLASS)
    mistyped = second[:-1] + ("0" if second[-1] != "0" else "1")
    status, said, complaints = tables(first, "", mistyped, third, "Ada: see you on Monday")
    assert status == 1 and said.startswith("2 participants, known by their lines.")
    assert [line.split()[0] for line in said.splitlines()[-2:]] == ["1", "4"]
    why = "was mistyped, or a part of it is missing: its last two symbols do not fit."
    assert complaints.splitlines() == [
        f"left out in line 3: '{mistyped}' {why}",
        "left out in line 5: a code begins with KW- or KP-; got 'Ada: see you on Monday'.",
    ]


def test_several_codes_on_a_line_are_one_participants(tables):
    """Colab keeps no file from one notebook to the next."""
    line = ", ".join([*map(numbered.written, CLASS[:2]), ""])
    status, said, _ = tables(line.lower())
    assert status == 0 and said.startswith("1 participant.") and said.endswith("   1       1       2  entropy\n")
    assert "soft_targets       1       1       2.0\n" in said


def test_machines_that_are_not_ready_are_listed_with_what_needs_attention(tables):
    machine = {"system": 2, "python": 12, "cores": 4, "milliseconds": 140, "gigabytes": 8}
    bits = codes.packed(name in ("packages", "slider") for name in workshop.NAMES)
    good, bad = codes.encode("workshop", machine), codes.encode("workshop", machine | {"failed": bits})
    status, said, _ = tables(good, bad, good)
    about = "Windows, Python 3.12, cores 4, memory 8 GB, a training step 140 ms, CIFAR-10 not there"
    assert status == 0 and said == (
        f"2 of 3 machines are ready for a workshop.\n\nline  needs attention\n   2  packages and slider ({about})\n"
    )
    status, said, _ = tables(numbered.written(CLASS[1]), good)
    assert status == 0 and said.endswith("   1       1       1\n\n1 of 1 machines are ready for a workshop.\n")


@pytest.mark.parametrize("lines", [[], ["", "  "]])
def test_a_file_without_a_line_is_refused(tables, lines):
    status, said, complaint = tables(*lines)
    assert (status, said) == (1, "") and "a line with a code for each participant was expected" in complaint


def test_what_is_no_text_is_told_line_by_line(tmp_path, capsys):
    (tmp_path / "codes.txt").write_bytes(b"\xff\xfe\x00PNG")
    assert cli.main(["class", str(tmp_path / "codes.txt")]) == 1
    assert "left out in line 1: a code begins with KW- or KP-; got " in capsys.readouterr().err
