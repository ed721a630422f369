"""What leaves the kit: trained networks as files that run without it (``networks``), and the ``report`` to show around.

A report draws with matplotlib, and is imported where one is wanted: ``from kdkit.export import report``.
"""

from kdkit.export.networks import ENDINGS, about, check_installed, write
from kdkit.export.running import Exported, measured

__all__ = ["ENDINGS", "Exported", "about", "check_installed", "measured", "write"]
