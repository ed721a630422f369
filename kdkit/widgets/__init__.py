"""Sliders on real models."""

from kdkit.widgets.temperature import TemperaturePanel

__all__ = ["TemperaturePanel"]
