"""What each class of the drawn things is made of: parts, their measures, and the ranges that these come from."""

from collections.abc import Sequence

import torch
from torch import Tensor

# The measures of each class: (lowest, highest), in half pictures; widths and depths to each side, heights whole.
# What would be below 0 is 0: about one chair in three has armrests. The ranges of like classes overlap a little, so
# that some pictures are truly in doubt.
_RANGES = {
    "chair": dict(
        leg_length=(0.42, 0.68), leg_width=(0.035, 0.055), seat_width=(0.3, 0.42), seat_depth=(0.28, 0.36),
        seat_height=(0.06, 0.18), back_height=(0.36, 0.78), back_depth=(0.03, 0.06), back_slots=(-2.5, 2.0),
        arm_height=(-0.3, 0.16), arm_width=(0.03, 0.06), arm_solid=(-1.0, 0.5),
    ),
    "armchair": dict(
        leg_length=(0.1, 0.52), leg_width=(0.035, 0.055), seat_width=(0.34, 0.54), seat_depth=(0.32, 0.42),
        seat_height=(0.1, 0.28), cushion_height=(-0.03, 0.12), back_height=(0.42, 0.74), back_depth=(0.05, 0.12),
        arm_height=(0.08, 0.32), arm_width=(0.04, 0.11), arm_solid=(-0.6, 2.0), cushion_seam=(-2.0, 0.6),
        back_slots=(-3.0, 1.0),
    ),
    "sofa": dict(
        leg_length=(0.04, 0.2), leg_width=(0.035, 0.055), seat_width=(0.52, 0.8), seat_depth=(0.32, 0.42),
        seat_height=(0.14, 0.28), cushion_height=(0.04, 0.12), back_height=(0.34, 0.54), back_depth=(0.07, 0.12),
        arm_height=(0.12, 0.28), arm_width=(0.06, 0.12), arm_solid=(0.3, 2.0), cushion_seam=(-0.4, 2.0),
    ),
    "stool": dict(
        leg_length=(0.55, 1.0), leg_width=(0.035, 0.06), leg_splay=(0.0, 0.14), rung_width=(-0.02, 0.045),
        seat_width=(0.24, 0.42), seat_depth=(0.22, 0.36), seat_height=(0.07, 0.18), back_height=(-0.9, 0.16),
    ),
    "table": dict(
        leg_length=(0.5, 0.78), leg_width=(0.035, 0.065), leg_splay=(-0.1, 0.06), rung_width=(-0.12, 0.04),
        seat_width=(0.42, 0.8), seat_depth=(0.3, 0.48), seat_height=(0.05, 0.12),
    ),
    "mushroom": dict(
        stem_length=(0.35, 0.8), stem_width=(0.07, 0.2), stem_taper=(0.6, 1.0), cap_width=(0.4, 0.75),
        cap_height=(0.35, 0.7), cap_low=(0.0, 0.1), cap_dome=(0.9, 1.1), cap_spots=(-0.6, 1.5),
    ),
    "umbrella": dict(
        stem_length=(0.7, 1.0), stem_width=(0.025, 0.06), cap_width=(0.52, 0.85), cap_height=(0.3, 0.6),
        cap_dome=(0.9, 1.1), cap_scallops=(0.01, 0.16), cap_ribs=(-0.1, 1.5), tip_height=(0.02, 0.16),
        hook_size=(-0.02, 0.15),
    ),
    "lamp": dict(
        base_width=(0.14, 0.4), base_height=(0.04, 0.12), stem_length=(0.4, 0.95), stem_width=(0.025, 0.1),
        cap_width=(0.36, 0.62), cap_height=(0.36, 0.62), cap_top=(0.4, 0.75), cap_dome=(-0.9, 0.8),
        cap_glow=(-0.3, 1.0), tip_height=(-0.1, 0.08),
    ),
    "tree": dict(
        stem_length=(0.5, 0.8), stem_width=(0.05, 0.12), stem_taper=(0.6, 1.0), cap_width=(0.38, 0.6),
        cap_height=(0.55, 1.0), cap_low=(0.0, 0.2), cap_dome=(-0.3, 2.0), cap_leaves=(0.4, 1.5),
        cap_lobes=(-0.3, 0.7),
    ),
    "bottle": dict(
        body_width=(0.2, 0.36), body_height=(0.6, 1.0), shoulder_height=(0.1, 0.36), neck_width=(0.06, 0.11),
        neck_height=(0.2, 0.5), stopper_height=(0.06, 0.14), label_height=(-0.3, 0.5),
    ),
}  # fmt: skip

CLASSES = tuple(_RANGES)

# What a class does not mention has size 0 but keeps its shape, so that it grows in place when things are morphed.
_ABSENT = dict.fromkeys((measure for ranges in _RANGES.values() for measure in ranges), (0.0, 0.0)) | dict(
    leg_width=(0.035, 0.055), back_depth=(0.03, 0.06), arm_width=(0.03, 0.05), stem_taper=(1.0, 1.0),
    cap_dome=(1.0, 1.0),
)  # fmt: skip
MEASURES = tuple(_ABSENT)

# The parts, and the two measures whose product stands for the area of each. A part of area 0 is not there.
PARTS = {
    "legs": ("leg_length", "leg_width"), "rungs": ("rung_width", "seat_width"), "seat": ("seat_width", "seat_depth"),
    "cushion": ("cushion_height", "seat_width"), "back": ("back_height", "seat_width"),
    "arms": ("arm_height", "seat_depth"), "base": ("base_height", "base_width"), "stem": ("stem_length", "stem_width"),
    "hook": ("hook_size", "stem_width"), "cap": ("cap_height", "cap_width"), "tip": ("tip_height", "stem_width"),
    "body": ("body_height", "body_width"), "shoulder": ("shoulder_height", "body_width"),
    "neck": ("neck_height", "neck_width"), "stopper": ("stopper_height", "neck_width"),
    "label": ("label_height", "body_width"),
}  # fmt: skip


def measures_of(name: str, quantiles: Tensor) -> Tensor:
    """The measures of things of class ``name`` at ``quantiles`` ``[B, M]`` of their ranges: ``[B, M]``.

    Raises ``ValueError`` for an unknown name.
    """
    if name not in CLASSES:
        raise ValueError(f"there is no thing called {name!r}; choose one of {', '.join(CLASSES)}.")
    low, high = torch.tensor([(_ABSENT | _RANGES[name])[measure] for measure in MEASURES]).unbind(1)
    return (low + (high - low) * quantiles).clamp(min=0)


def changing(measures: Sequence[str] | None) -> Tensor:
    """1 for each measure that changes, 0 for the others: ``[M]``. None: all. ``ValueError`` for an unknown name."""
    named = MEASURES if measures is None else measures
    unknown = [name for name in named if name not in MEASURES]
    if unknown:
        raise ValueError(f"there is no measure called {unknown[0]!r}; choose of {', '.join(MEASURES)}.")
    return torch.tensor([float(name in named) for name in MEASURES])


def parts(name: str) -> dict[str, float]:
    """The parts of the average thing of class ``name`` and their areas above 0. ``ValueError`` for an unknown name."""
    evenly = torch.linspace(0, 1, 101)[:, None].expand(-1, len(MEASURES))
    mean = dict(zip(MEASURES, measures_of(name, evenly).mean(0).tolist(), strict=True))
    areas = {part: mean[one] * mean[other] for part, (one, other) in PARTS.items()}
    return {part: area for part, area in areas.items() if area > 0}


def part_overlap() -> Tensor:
    """How much two classes have in common: float ``[10, 10]``, from 0 (no part) to 1 (the same parts as large).

    The Jaccard index of their parts weighted by area: sum of the smaller areas / sum of the larger ones.
    """
    areas = torch.tensor([[parts(name).get(part, 0.0) for part in PARTS] for name in CLASSES])
    one, other = areas[:, None], areas[None, :]
    return torch.minimum(one, other).sum(2) / torch.maximum(one, other).sum(2)
