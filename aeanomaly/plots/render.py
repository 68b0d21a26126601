"""Drawing a figure once, for whoever shows or keeps it."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray


def drawn(figure: Figure) -> NDArray[Any]:
    """The (H, W, 3) uint8 pixels of a figure at 120 dots per inch. Drawing is what takes the time: use them twice."""
    canvas = FigureCanvasAgg(figure)
    figure.set_dpi(120)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3]
