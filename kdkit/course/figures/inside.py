"""What is inside a network: where it looks, which images it finds alike, and how a loss pulls its logits."""

from collections.abc import Mapping, Sequence

import torch
from matplotlib.figure import Figure
from torch import Tensor

from kdkit.course.figures.axes import BLACK, SKY, SMALL, VERMILION, WIDTH, describe, new_axes
from kdkit.course.figures.images import draw_image
from kdkit.course.figures.inputs import check_dict, check_images, check_names, finite

PARTS = ({"color": SKY, "hatch": ""}, {"color": VERMILION, "hatch": "//"})  # a colour and a pattern


def attention(images: Tensor, maps: Mapping[str, Tensor], captions: Sequence[str], *, title: str = "") -> Figure:
    """Images, uint8 ``[N, C, H, W]``, and below them the same, dark where a map is small: a row for each of ``maps``.

    ``maps``: a dict of name to ``[N, h, w]``, at least 0; each is divided by its own largest value. ``captions``: N
    texts. Raises ``ValueError`` for images or maps of another shape.
    """
    check_images("images", images, 4)
    check_dict("maps", maps)
    check_names("captions", captions, len(images))
    rows = {"": None, **maps}
    fig, axes = new_axes(len(rows), len(images), (min(WIDTH, 1.25 * len(images) + 1.6), 1.2 * len(rows) + 0.3))
    said = []
    for line, (name, drawn) in zip(axes, rows.items(), strict=True):
        if drawn is not None and (drawn.ndim != 3 or len(drawn) != len(images)):
            raise ValueError(f"maps[{name!r}] must be [{len(images)}, h, w]; got {list(drawn.shape)}.")
        for number, axis in enumerate(line):
            axis.set(xticks=[], yticks=[])
            axis.spines[:].set_visible(False)
            draw_image(axis, images[number])
            if drawn is not None:
                _darken(axis, drawn[number] / drawn[number].max().clamp(min=1e-12), images.shape[-2:])
        if drawn is None:
            for axis, caption in zip(line, captions, strict=True):
                axis.set_title(caption, fontsize=SMALL)
        else:
            line[0].set_ylabel(name, rotation=0, ha="right", va="center", fontsize=SMALL + 1)
            said.append(f"{name} ({drawn.shape[1]} x {drawn.shape[2]} places)")
    return describe(fig, title, f"{', '.join(captions)}, dark where a map is small; the maps: {'; '.join(said)}.")


def _darken(axis, share, size):
    """Lay black over an image of ``size`` (H, W): nothing where ``share`` ``[h, w]`` is 1, nearly all where it is 0."""
    height, width = size
    veil = torch.zeros(*share.shape, 4)
    veil[..., 3] = 0.9 * (1 - share)
    axis.imshow(veil.numpy(), extent=(-0.5, width - 0.5, height - 0.5, -0.5), interpolation="nearest")


def gram_tables(tables: Mapping[str, Tensor], labels: Sequence[str], *, title: str = "") -> Figure:
    """Tables of likeness ``[B, B]`` side by side on one scale, a dict of name to table; light is alike.

    ``labels``: the class of each of the B images, in groups; a line parts the classes, and each group is named once.
    Raises ``ValueError`` for tables of another size.
    """
    check_dict("tables", tables)
    check_names("labels", labels)
    if any(table.shape != (len(labels), len(labels)) for table in tables.values()):
        shapes = [list(table.shape) for table in tables.values()]
        raise ValueError(f"each table must be [{len(labels)}, {len(labels)}], for as many labels; got {shapes}.")
    fig, axes = new_axes(1, len(tables), (WIDTH, WIDTH / len(tables) + 0.5))
    starts = [place for place, label in enumerate(labels) if place == 0 or labels[place - 1] != label]
    ends = [*starts[1:], len(labels)]
    middles = [(start + end - 1) / 2 for start, end in zip(starts, ends, strict=True)]
    highest = max(table.max().item() for table in tables.values())
    for number, (axis, (name, table)) in enumerate(zip(axes[0], tables.items(), strict=True)):
        axis.imshow(table.numpy(), cmap="cividis", vmin=0, vmax=highest)
        for start in starts[1:]:
            axis.axhline(start - 0.5, color="white", linewidth=0.8)
            axis.axvline(start - 0.5, color="white", linewidth=0.8)
        axis.set_title(name)
        axis.set_xticks([])
        axis.set_yticks(middles, [labels[start] for start in starts] if number == 0 else [""] * len(starts))
        axis.tick_params(length=0)
        axis.spines[:].set_visible(False)
    told = "; ".join(f"{name}: {_within(table, labels)}" for name, table in tables.items())
    return describe(fig, title, f"Tables of {len(labels)} images by {len(labels)}, light where two are alike. {told}.")


def _within(table, labels):
    """In words: how alike two images of one class are, and two of different classes."""
    same = torch.tensor([[one == other for other in labels] for one in labels])
    own = same & ~torch.eye(len(labels), dtype=torch.bool)
    return f"{table[own].mean():.2f} within a class, {table[~same].mean():.2f} between classes"


def logit_pulls(parts: Mapping[str, Tensor], classes: Sequence[str], *, label: int, title: str = "") -> Figure:
    """How two parts of a loss pull at logits, in bars that are stacked: to the right up, to the left down.

    ``parts``: a dict of two names to numbers ``[C]``; ``label``: the number of the true class, whose name is bold.
    """
    check_dict("parts", parts)
    values = {name: finite(f"parts[{name!r}]", part, len(classes)) for name, part in parts.items()}
    fig, axes = new_axes(1, 1, (8, 0.32 * len(classes) + 1.7))
    axis, up, down = axes[0, 0], [0.0] * len(classes), [0.0] * len(classes)
    for (name, part), look in zip(values.items(), PARTS, strict=True):
        left = [up[k] if value > 0 else down[k] for k, value in enumerate(part)]
        axis.barh(range(len(classes)), part, left=left, edgecolor=BLACK, linewidth=0.8, label=name, **look)
        up = [end + max(value, 0) for end, value in zip(up, part, strict=True)]
        down = [end + min(value, 0) for end, value in zip(down, part, strict=True)]
    axis.axvline(0, color=BLACK, linewidth=1)
    axis.set_yticks(range(len(classes)), classes)
    axis.get_yticklabels()[label].set_fontweight("bold")
    axis.set(ylim=(len(classes) - 0.4, -0.6), xlabel="pull at the student's logit (right: up, left: down)")
    axis.legend(frameon=False, ncols=2, loc="lower left", bbox_to_anchor=(0, 1), fontsize=12)
    told = "; ".join(
        f"{name} " + ", ".join(f"{word} {value:+.2f}" for word, value in zip(classes, part, strict=True))
        for name, part in values.items()
    )
    return describe(fig, title, f"Bars, to the right up and to the left down. {told}.")
