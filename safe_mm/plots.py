"""Plots of results and of attention, with matplotlib."""

import math
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Dict, List, Optional

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.font_manager import fontManager
from matplotlib.text import Text

from .files import new_file

if TYPE_CHECKING:
    import pandas as pd

    from .search import Choice

# Fonts of Linux, Windows and macOS
OTHER_SCRIPTS = (
    'Noto Sans CJK SC',
    'Noto Sans CJK JP',
    'WenQuanYi Zen Hei',
    'Droid Sans Fallback',
    'Microsoft YaHei',
    'Malgun Gothic',
    'Nirmala UI',
    'Hiragino Sans GB',
    'Apple SD Gothic Neo',
    'Arial Unicode MS',
    'Noto Sans Devanagari',
)


def plot_accuracy(
    mean: 'pd.DataFrame',
    title: str,
    path: Path,
    std: Optional['pd.DataFrame'] = None,
    one_scale: bool = False,
) -> None:
    """Accuracy against shots, a panel for each dataset or test variant.

    Args:
        mean (DataFrame): Accuracy in percent by method and shots (training images a class), a
            column for each panel. Methods without training have 0 shots and are dashed.
        title (str): Of the plot.
        path (Path): The PNG to write.
        std (DataFrame, optional): As ``mean``, the lengths of error bars.
        one_scale (bool): Whether all panels have the same scale of accuracy.
    """
    count = len(mean.columns)
    # The fewest empty places
    columns = count if count <= 5 else min((4, 3, 5), key=lambda n: -count % n)
    rows = math.ceil(count / columns)
    figure = Figure((max(6, 3.4 * columns), 1.2 + 2.8 * rows), layout='constrained')
    panels = figure.subplots(rows, columns, squeeze=False, sharey=one_scale)
    shots = sorted({k for _, k in mean.index} - {0})
    for panel in panels.flat[count:]:
        panel.set_axis_off()
    for panel, name in zip(panels.flat, mean):
        for method in mean.index.unique(0):
            values = mean.loc[method, name]
            if list(values.index) == [0]:
                panel.axhline(values[0], color='k', ls='--', label=method)
                continue
            errors = None if std is None else std.loc[method, name].reindex(shots)
            style = dict(marker='o', markersize=4, capsize=2, label=method)
            panel.errorbar(shots, values.reindex(shots), errors, **style)
        panel.set_xscale('log', base=2)
        panel.set_xticks(shots, [str(k) for k in shots])
        panel.set_xlim(shots[0] / 1.3, shots[-1] * 1.3)
        panel.set(title=name, xlabel='training images a class')
        panel.grid(alpha=0.3)
    for row in panels:
        row[0].set_ylabel('accuracy (%)')
    add_legend(figure, panels[0][0])
    figure.suptitle(title)
    save(figure, path)


def save(figure: Figure, path: Path) -> None:
    """Writes a PNG; characters that matplotlib's font lacks are of one that the system has."""
    installed = fontManager.get_font_names()
    fonts = ['DejaVu Sans', *(name for name in OTHER_SCRIPTS if name in installed)]
    for text in figure.findobj(Text):
        text.set_fontfamily(fonts)
    with new_file(path) as draft:
        figure.savefig(draft, dpi=120, format='png')


def add_legend(figure: Figure, panel: Axes) -> None:
    """One legend, below all panels."""
    handles, labels = panel.get_legend_handles_labels()
    columns = max(1, int(figure.get_figwidth() / 2))
    figure.legend(handles, labels, loc='outside lower center', ncols=columns)


def plot_attention(
    images: List[np.ndarray],
    masks: List[np.ndarray],
    maps: Dict[str, List[np.ndarray]],
    truth: List[str],
    predictions: Dict[str, List[str]],
    path: Path,
) -> None:
    """Attention over pictures, a row for each and a column for each pooling.

    Cells are red by what they have above an even share of attention.

    Args:
        images (list[ndarray]): RGB, uint8, shape (H, W, 3).
        masks (list[ndarray]): True on the part that defines the class, shape (H, W), to be
            outlined; an empty list if there are none.
        maps (dict[str, list[ndarray]]): Column -> attention over each picture, shape (h, w).
        truth (list[str]): Class of each picture.
        predictions (dict[str, list[str]]): Column -> predicted class of each picture, which is red
            where it is wrong.
        path (Path): The PNG to write.
    """
    columns = ['picture', *maps]
    figure = Figure((2.2 * len(columns), 2.1 * len(images)), layout='constrained')
    grid = figure.subplots(len(images), len(columns), squeeze=False)
    every = [m for column in maps.values() for m in column]
    top, even = max(m.max() for m in every), 1 / every[0].size
    red = LinearSegmentedColormap.from_list('', [(1, 0, 0, 0), (1, 0, 0, 0.85)])
    for row, image in enumerate(images):
        height, width = image.shape[:2]
        for panel, column in zip(grid[row], columns):
            panel.imshow(image)
            if masks:
                panel.contour(masks[row], [0.5], colors='white', linewidths=0.8)
            panel.set(xticks=[], yticks=[])
            if row == 0:
                panel.set_title(column)
            if column in maps:
                extent = (-0.5, width - 0.5, height - 0.5, -0.5)
                style = dict(extent=extent, cmap=red, vmin=even, vmax=top)
                shown = panel.imshow(maps[column][row], **style)
                predicted = predictions[column][row]
                color = 'black' if predicted == truth[row] else 'red'
                panel.set_xlabel(predicted, color=color)
        grid[row][0].set_xlabel(f'truth: {truth[row]}')
    figure.colorbar(shown, ax=grid, label=f'share of attention in a cell, from an even {even:.3f}')
    save(figure, path)


def plot_gain(gains: Dict[str, 'pd.DataFrame'], path: Path, scalar: str = 'beta') -> None:
    """What a scalar adds: panel -> gain in percent by shots and its values."""
    columns = min(4, len(gains))
    rows = math.ceil(len(gains) / columns)
    figure = Figure((max(6, 4 * columns), 1 + 3 * rows), layout='constrained')
    grid = figure.subplots(rows, columns, sharey=True, squeeze=False)
    for panel in grid.flat[len(gains) :]:
        panel.set_axis_off()
    for panel, (name, table) in zip(grid.flat, gains.items()):
        for shots, gain in table.iterrows():
            label = f'{shots} shot{"s" * (shots > 1)}'
            panel.plot(gain.dropna(), 'o-', markersize=4, label=label)
        panel.axhline(0, color='k', linewidth=0.8)
        panel.set(title=name, xlabel=scalar)
        panel.grid(alpha=0.3)
    for row in grid:
        row[0].set_ylabel(f'accuracy above that of {scalar} 0 (%)')
    add_legend(figure, grid[0][0])
    save(figure, path)


def plot_search(choice: 'Choice', path: Path) -> None:
    """Validation accuracy of every setting that a search tried.

    The last two hyper-parameters are the axes of a panel; there is a panel for each value of the
    others.
    """
    names = list(choice.tried)
    *outer, rows, columns = ['', ''][len(names) :] + names
    tried = {'': [0], **choice.tried}
    chosen = {'': 0, **choice.chosen}
    panels = list(product(*(tried[name] for name in outer)))
    grids = choice.accuracy.numpy().reshape(len(panels), len(tried[rows]), len(tried[columns]))
    low, high = choice.accuracy.min().item(), choice.accuracy.max().item()
    figure = Figure((1 + 3.2 * len(panels), 4), layout='constrained')
    axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for panel, values, grid in zip(axes, panels, grids):
        shown = panel.imshow(grid, vmin=low, vmax=high, origin='lower', aspect='auto')
        panel.set_xticks(range(len(tried[columns])), [f'{value:g}' for value in tried[columns]])
        panel.set_yticks(range(len(tried[rows])), [f'{value:g}' for value in tried[rows]])
        title = ', '.join(f'{name} {value:g}' for name, value in zip(outer, values))
        panel.set(xlabel=columns, title=title)
        ties_y, ties_x = np.nonzero(grid == high)
        panel.plot(ties_x, ties_y, 'w.', markersize=5)
        if list(values) == [chosen[name] for name in outer]:
            x, y = (tried[name].index(chosen[name]) for name in (columns, rows))
            panel.plot(x, y, 'r*', markersize=14)
    axes[0].set_ylabel(rows)
    figure.colorbar(shown, ax=axes, label='accuracy (%)')
    figure.suptitle(f'{choice.images} validation images; star: chosen; dots: as good')
    save(figure, path)
