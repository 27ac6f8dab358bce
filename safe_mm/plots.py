"""Pictures of results, by matplotlib."""
import math
from pathlib import Path
from typing import Dict, List, Sequence

import numpy as np
from matplotlib.figure import Figure

from .search import Choice


def plot_accuracy(curves: Dict[str, Dict[str, Sequence[float]]],
                  shots: Sequence[int], title: str, path: Path,
                  one_scale: bool = False) -> None:
    """Accuracy against shots, a panel for each task or test variant.

    Args:
        curves (dict): Panel -> name of a curve -> accuracy in percent for
            each of ``shots``.
        shots (Sequence[int]): Training images a class.
        title (str): Of the picture.
        path (Path): The PNG to write.
        one_scale (bool): Whether all panels have the same scale of accuracy.
            Defaults to False.
    """
    rows = math.ceil(len(curves) / 4)
    columns = math.ceil(len(curves) / rows)
    figure = Figure((4.5 * columns, 1 + 3 * rows), layout='constrained')
    panels = figure.subplots(rows, columns, squeeze=False, sharey=one_scale)
    panels = panels.flatten()
    for panel in panels[len(curves):]:
        panel.set_axis_off()
    for panel, (name, lines) in zip(panels, curves.items()):
        for label, values in lines.items():
            style = 'k--' if label.startswith('zero-shot') else 'o-'
            panel.plot(shots, values, style, label=label)
        panel.set_xscale('log', base=2)
        panel.set_xticks(shots, [str(k) for k in shots])
        panel.set(title=name, xlabel='training images a class')
        panel.grid(alpha=0.3)
    panels[0].set_ylabel('accuracy (%)')
    panels[0].legend()
    figure.suptitle(title)
    figure.savefig(path, dpi=120)


def plot_attention(images: List[np.ndarray], masks: List[np.ndarray],
                   maps: Dict[str, List[np.ndarray]], names: List[str],
                   path: Path) -> None:
    """Attention over pictures, a row for each and a column for each pooling.

    Args:
        images (list[ndarray]): RGB, uint8, shape (H, W, 3).
        masks (list[ndarray]): True on the part that tells the class, shape
            (H, W); its outline is drawn.
        maps (dict[str, list[ndarray]]): Column -> attention over each
            picture, shape (h, w), summing to one.
        names (list[str]): Of the rows.
        path (Path): The PNG to write.
    """
    columns = ['picture', *maps]
    figure = Figure((2.2 * len(columns), 2.2 * len(images)),
                    layout='constrained')
    grid = figure.subplots(len(images), len(columns), squeeze=False)
    top = max(m.max() for column in maps.values() for m in column)
    for row, (image, mask) in enumerate(zip(images, masks)):
        height, width = mask.shape
        for panel, column in zip(grid[row], columns):
            panel.imshow(image)
            panel.contour(mask, [0.5], colors='white', linewidths=0.8)
            panel.set(xticks=[], yticks=[])
            if row == 0:
                panel.set_title(column)
            if column in maps:
                shown = panel.imshow(
                    maps[column][row],
                    extent=(-0.5, width - 0.5, height - 0.5, -0.5),
                    cmap='Reds', alpha=0.8 * (maps[column][row] / top)**0.5,
                    vmin=0, vmax=top)
        grid[row][0].set_ylabel(names[row])
    figure.colorbar(shown, ax=grid, label='share of attention in a cell')
    figure.savefig(path, dpi=120)


def plot_gain(curves: Dict[str, Dict[str, Dict[str, float]]],
              path: Path) -> None:
    """What blending adds against beta, a panel for each test variant.

    Args:
        curves (dict): Panel -> name of a curve -> beta -> gain in percent.
        path (Path): The PNG to write.
    """
    figure = Figure((4.5 * len(curves), 4), layout='constrained')
    panels = figure.subplots(1, len(curves), sharey=True, squeeze=False)[0]
    for panel, (name, lines) in zip(panels, curves.items()):
        for label, gain in lines.items():
            panel.plot(range(len(gain)), list(gain.values()), 'o-',
                       label=label)
        panel.set_xticks(range(len(gain)), list(gain))
        panel.axhline(0, color='k', linewidth=0.8)
        panel.set(title=name, xlabel='beta')
        panel.grid(alpha=0.3)
    panels[0].set_ylabel('accuracy above that of beta 0 (%)')
    panels[0].legend()
    figure.savefig(path, dpi=120)


def plot_search(choice: Choice, space: Dict[str, Sequence[float]],
                beta: float, path: Path) -> None:
    """Validation accuracy of every alpha and gamma, a panel for each beta.

    Args:
        choice (Choice): What :func:`safe_mm.search.search` found.
        space (dict): The values that it tried.
        beta (float): The one in use.
        path (Path): The PNG to write.
    """
    betas = space.get('beta', [beta])
    low, high = choice.accuracy.min().item(), choice.accuracy.max().item()
    figure = Figure((1 + 3.2 * len(betas), 4), layout='constrained')
    panels = figure.subplots(1, len(betas), sharey=True, squeeze=False)[0]
    for panel, value, grid in zip(panels, betas, choice.accuracy):
        shown = panel.imshow(grid, vmin=low, vmax=high, origin='lower',
                             aspect='auto', cmap='viridis')
        panel.set_xticks(range(len(space['gamma'])),
                         [f'{gamma:g}' for gamma in space['gamma']])
        panel.set_yticks(range(len(space['alpha'])),
                         [f'{alpha:g}' for alpha in space['alpha']])
        panel.set(title=f'beta {value:g}', xlabel='gamma')
        if value == beta:
            panel.plot(space['gamma'].index(choice.gamma),
                       space['alpha'].index(choice.alpha), 'r*', markersize=14)
    panels[0].set_ylabel('alpha')
    figure.colorbar(shown, ax=panels, label='accuracy (%)')
    figure.suptitle(f'{choice.images} validation images; star: chosen')
    figure.savefig(path, dpi=120)
