"""Sliders on real models. What stands in a .js file moves without the kernel."""

from kdkit.widgets.flipbook import FlipBook
from kdkit.widgets.morph import MorphPanel
from kdkit.widgets.shape import ShapePanel
from kdkit.widgets.temperature import TemperaturePanel

__all__ = ["FlipBook", "MorphPanel", "ShapePanel", "TemperaturePanel"]
