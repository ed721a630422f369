"""Sliders on real models. What stands in a .js file moves without the kernel."""

from kdkit.course.widgets.drawing import DrawingPanel
from kdkit.course.widgets.flipbook import FlipBook
from kdkit.course.widgets.humps import HumpsPanel
from kdkit.course.widgets.morph import MorphPanel
from kdkit.course.widgets.shape import ShapePanel
from kdkit.course.widgets.temperature import TemperaturePanel
from kdkit.course.widgets.top_k import TopKPanel

__all__ = ["DrawingPanel", "FlipBook", "HumpsPanel", "MorphPanel", "ShapePanel", "TemperaturePanel", "TopKPanel"]
