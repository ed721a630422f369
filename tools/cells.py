"""What the cells of a notebook are: their text and tags, and which of them are its short path."""

import copy
import re

HEADING = re.compile(r"(#+) +(◆?)")
MARKED = re.compile(r"[(*]*◆")


def text(value):
    """The format allows a string or a list of lines; here it is always a string."""
    return value if isinstance(value, str) else "".join(value)


def code_cells(notebook):
    """(number, cell) of all code cells that hold something; numbers as nbval gives them, from 0."""
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    return [(number, cell) for number, cell in enumerate(cells) if text(cell["source"]).strip()]


def has_tag(cell, tag):
    return tag in cell["metadata"].get("tags", [])


def is_checked(cell):
    """Whether the cell is an exercise that a check answers, and not a guess."""
    return has_tag(cell, "exercise") and bool(re.search(r"^check\.(?!guess)", text(cell["source"]), re.MULTILINE))


def divided(notebook):
    """(cell, what the short path has of it) of all cells: the cell itself, one with less text, or None.

    To the depth belongs what stands under a heading marked ◆, up to the next unmarked one of the same or a higher
    level; a cell tagged ``extra``; and a paragraph that begins with ◆. All else is the short path.
    """
    depth = 0  # the level of the marked heading that rules here; 0: none does
    for cell in notebook["cells"]:
        if cell["cell_type"] != "markdown":
            yield cell, None if depth or has_tag(cell, "extra") else cell
            continue
        paragraphs, kept = re.split(r"\n\s*\n", text(cell["source"])), []
        for paragraph in paragraphs:
            heading = HEADING.match(paragraph)
            if heading and not 0 < depth < len(heading[1]):
                depth = len(heading[1]) if heading[2] else 0
            if not depth and not MARKED.match(paragraph) and not has_tag(cell, "extra"):
                kept.append(paragraph)
        less = copy.copy(cell)
        less["source"] = "\n\n".join(kept)
        yield cell, cell if kept == paragraphs else less if kept else None


def has_depth(notebook):
    return any(kept is not cell for cell, kept in divided(notebook))


def short_path(notebook):
    """The notebook without its depth, and without the seconds that this takes; what stays the same is shared."""
    short = copy.copy(notebook)
    short["cells"] = [kept for _, kept in divided(notebook) if kept is not None]
    short["metadata"] = copy.deepcopy(notebook["metadata"])
    short["metadata"].get("kdkit", {}).get("seconds", {}).pop("depth", None)
    return short
