"""Pictures for notebooks: made for a projector, colour-blind safe, each with a text for those who cannot see it.

Functions here return a ``matplotlib`` figure; ``show`` puts it on the page.
"""

from kdkit.course.figures.axes import LOOKS
from kdkit.course.figures.bars import bars
from kdkit.course.figures.curves import LiveCurves, learning_curves, lines
from kdkit.course.figures.images import pictures
from kdkit.course.figures.inside import attention, gram_tables, logit_pulls
from kdkit.course.figures.layers import layer
from kdkit.course.figures.paired import gains, intervals, pairs
from kdkit.course.figures.points import predictors, scatter
from kdkit.course.figures.showing import Table, image_tag, show
from kdkit.course.figures.soft_targets import hard_and_soft, in_words, ranking, side_by_side, soft_target
from kdkit.course.figures.tables import change, matrix, ratios, tree
from kdkit.course.figures.trust import reliability

__all__ = [
    "LOOKS",
    "LiveCurves",
    "Table",
    "attention",
    "bars",
    "change",
    "gains",
    "gram_tables",
    "hard_and_soft",
    "image_tag",
    "in_words",
    "intervals",
    "layer",
    "learning_curves",
    "lines",
    "logit_pulls",
    "matrix",
    "pairs",
    "pictures",
    "predictors",
    "ranking",
    "ratios",
    "reliability",
    "scatter",
    "show",
    "side_by_side",
    "soft_target",
    "tree",
]
