"""Dot plot for many methods."""

from pathlib import Path

import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..plots import add_legend, save


def plot_ranking(mean: pd.DataFrame, title: str, path: Path) -> None:
    """Accuracy of each method, a row for each, with the best above.

    Rows are in the order of the first column's mean over all shots; methods that lack some of the
    shots come below. Methods without training have 0 shots and are dashed lines.

    Args:
        mean (DataFrame): Accuracy in percent by method and shots, a column for each panel.
        title (str): Of the plot.
        path (Path): The PNG to write.
    """
    trained = mean[mean.index.get_level_values(1) > 0].dropna(how='all')
    by_shots = trained.iloc[:, 0].unstack()
    names = by_shots.mean(axis=1, skipna=False).sort_values(na_position='first').index
    size = (3 + 2.4 * len(mean.columns), 1.6 + 0.2 * len(names))
    figure = Figure(size, layout='constrained')
    panels = figure.subplots(1, len(mean.columns), sharey=True, squeeze=False)[0]
    for panel, column in zip(panels, mean):
        draw_rows(panel, mean[column].unstack(), names)
        panel.set(title=column, xlabel='accuracy (%)', ylim=(-0.7, len(names) - 0.3))
    panels[0].set_yticks(range(len(names)), names)
    add_legend(figure, panels[0])
    figure.suptitle(title)
    save(figure, path)


def draw_rows(panel: Axes, wide: pd.DataFrame, names: pd.Index) -> None:
    """The points of each method, dark for few shots, and a line that joins them."""
    own = wide.reindex(names).drop(columns=0, errors='ignore')
    panel.hlines(range(len(names)), own.min(axis=1), own.max(axis=1), color='0.8', zorder=1)
    for number, (shots, values) in enumerate(own.items()):
        colour = colormaps['viridis'](number / max(1, len(own.columns) - 1))
        label = f'{shots} shot{"s" * (shots != 1)}'
        panel.scatter(values, range(len(names)), s=16, color=colour, label=label, zorder=2)
    for name, value in wide.get(0, pd.Series(dtype=float)).dropna().items():
        panel.axvline(value, color='k', ls='--', lw=0.8, label=name, zorder=1)
    panel.grid(alpha=0.3, axis='x')
