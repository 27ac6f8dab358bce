"""Picture of accuracy against training time."""

import math
from pathlib import Path
from typing import Any, List

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import LogLocator

from ..plots import save

FONT = 7.5  # points
DISTANCES = (4, 10, 18, 28, 40, 54, 70, 90)  # of a label from its point, in points
ANGLES = np.radians([0, 180, 35, -35, 145, -145, 90, -90, 60, -60, 120, -120])


def plot_costs(table: pd.DataFrame, path: Path) -> None:
    """Accuracy against seconds to train, a panel for each number of shots and a point a method.

    Methods that lack cells of others in their panel say so. Zero-shot CLIP is a dashed line where
    all panels have as many cells.

    Args:
        table (DataFrame): The figures of :func:`safe_mm.report.tables.cost_table`; nothing is
            written if no time is known.
        path (Path): The PNG to write.
    """
    trained = table.index.get_level_values('shots') > 0
    known = table[trained].dropna(subset=['seconds to train', 'accuracy'])
    panels = {shots: own.droplevel('shots') for shots, own in known.groupby(level='shots')}
    if not panels:
        return
    columns = min(2, len(panels))
    rows = math.ceil(len(panels) / columns)
    figure = Figure((7 * columns, 0.5 + 4.8 * rows), dpi=120, layout='constrained')
    axes = figure.subplots(rows, columns, squeeze=False, sharex=True).flat
    zero = table.accuracy[~trained].droplevel('shots')
    if len({own.cells.max() for own in panels.values()}) > 1:
        zero = zero[:0]
    for (shots, own), panel in zip(panels.items(), axes):
        draw_panel(panel, own, zero)
        panel.set_title(f'{shots} training image{"s" * (shots > 1)} a class')
    for panel in axes:  # without data
        panel.set_axis_off()
    figure.supxlabel('seconds to train')
    figure.supylabel('mean test accuracy (%)')
    if len(zero):
        figure.legend(*figure.axes[0].get_legend_handles_labels(), loc='outside upper right')
    figure.draw_without_rendering()
    figure.set_layout_engine('none')  # places of points are final from here on
    for panel, own in zip(figure.axes, panels.values()):
        label_points(panel, own['seconds to train'], own.accuracy, names_of(own))
    save(figure, path)


def draw_panel(panel: Axes, own: pd.DataFrame, zero: pd.Series) -> None:
    """The points of the methods, and zero-shot CLIP, if there is one."""
    panel.set_xscale('log')
    panel.xaxis.set(major_locator=LogLocator(subs=(1, 2, 5)), major_formatter='{x:g}')
    panel.minorticks_off()
    panel.margins(0.12)
    panel.scatter(own['seconds to train'], own.accuracy, s=18, zorder=3)
    panel.grid(alpha=0.3)
    panel.tick_params(labelbottom=True)
    for name, value in zero.items():
        panel.axhline(value, color='k', ls='--', lw=0.8, label=name)


def names_of(own: pd.DataFrame) -> List[str]:
    """Methods, with the number of their cells where others have more."""
    most = own.cells.max()
    return [
        name if cells == most else f'{name} ({cells} of {most} cells)'
        for name, cells in own.cells.items()
    ]


def label_points(panel: Axes, x: pd.Series, y: pd.Series, names: List[str]) -> None:
    """Writes each name as near to its point as there is room, with a line to it if that is far."""
    scale = panel.figure.dpi / 72
    points = panel.transData.transform(np.column_stack([x, y]))
    bounds = np.array(panel.bbox.extents)
    boxes = [np.concatenate([point - 3 * scale, point + 3 * scale]) for point in points]
    boxes += [np.array(line.get_window_extent().padded(1).extents) for line in panel.lines]
    for xy, point, name in zip(zip(x, y), points, names):
        label = panel.annotate(
            name,
            xy,
            (0, 0),
            textcoords='offset points',
            ha='center',
            va='center',
            size=FONT,
            arrowprops=dict(arrowstyle='-', lw=0.5, color='0.5', shrinkA=0, shrinkB=0),
        )
        size = np.array(Text.get_window_extent(label).size)
        boxes.append(find_room(point, size, np.array(boxes), bounds, scale))
        low, high = boxes[-1][:2], boxes[-1][2:]
        label.set_position(((low + high) / 2 - point) / scale)
        arrow: Any = label.arrow_patch
        arrow.set_visible(np.hypot(*(np.clip(point, low, high) - point)) > 8 * scale)


def find_room(
    point: np.ndarray, size: np.ndarray, taken: np.ndarray, bounds: np.ndarray, scale: float
) -> np.ndarray:
    """The nearest free place of a box beside a point; else the least covered one.

    Boxes are x0, y0, x1, y1 in pixels, shape (4, ) or, of those ``taken``, (K, 4).
    """
    directions = np.column_stack([np.cos(ANGLES), np.sin(ANGLES)])
    away = np.concatenate([directions * (d * scale + size / 2) for d in DISTANCES])
    low, high = point + away - size / 2, point + away + size / 2
    shared = np.minimum(high[:, None], taken[:, 2:]) - np.maximum(low[:, None], taken[:, :2])
    covered = shared.clip(0).prod(-1).sum(-1)
    outside = (low < bounds[:2]).any(-1) | (high > bounds[2:]).any(-1)
    best = np.argmin(covered + 1e9 * outside)
    return np.concatenate([low[best], high[best]])
