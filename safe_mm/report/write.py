"""Writes the tables and plots of a report."""

from pathlib import Path
from typing import List, Optional

import pandas as pd

from ..files import make_folder, write_text
from ..plots import plot_accuracy, plot_gain
from . import base_to_new, paper, tables
from .cost_plot import plot_costs
from .ranking_plot import plot_ranking
from .results import Result, accuracies, blend_of, plain_name, prepare, source, to_frame
from .table import Table

CURVES = 10  # methods; of more, each is a row of a ranking
# A figure's scalar -> title
GAINS = {'beta': 'Blending', 'alpha': 'Interpolation of weights'}


def write_report(results: List[Result], beta: float, folder: Path) -> str:
    """Writes report.md, each table as .csv and .tex, and plots; returns the text of report.md.

    Args:
        results (list[Result]): See :func:`results.read_results`.
        beta (float): Of SAFE's figures.
        folder (Path): Made if necessary.

    Raises:
        InputError: Results of one sample are on different data, or lack this beta; or the folder
            cannot be created.
    """
    results = prepare(results)
    frame = to_frame(results)
    data = accuracies(frame, blend_of(frame, beta))
    make_folder(folder, '--out')
    parts = []
    for clip in sorted(frame['clip'].unique()):
        parts.append(f'## {clip}')
        of_clip = data[data['clip'] == clip]
        halves = base_to_new.is_of_halves(of_clip)
        if not halves.all():
            parts += write_accuracy(of_clip[~halves], clip, folder)
        if halves.any():
            path = folder / file_name('base_to_new', clip)
            parts.append(base_to_new.table(of_clip[halves]).write(path))
        for scalar, title in GAINS.items():
            parts += write_gains(frame[frame['clip'] == clip], clip, folder, scalar, title)
        own = [r for r in results if r['clip'] == clip]
        seen, grids = [r for r in own if r['attention']], [r for r in own if r.get('grid')]
        if seen:
            path = folder / file_name('attention', clip)
            parts += ['### Attention', tables.attention_table(seen).write(path)]
        if grids:
            path = folder / file_name('settings', clip)
            parts += ['### Settings', tables.setting_table(grids).write(path)]
    costs = tables.cost_table(source(data))
    parts += ['## Costs', costs.write(folder / 'costs')]
    plot_costs(costs.mean, folder / 'cost.png')
    text = '\n\n'.join(parts) + '\n'
    write_text(folder / 'report.md', text)
    return text


def file_name(*parts: str) -> str:
    """Joined parts, without spaces and other special characters."""
    name = '_'.join(parts).replace(' + ', '_').replace(', ', '_')
    return ''.join('_' if c in ' :/()' else c for c in name).strip('_')


def write_accuracy(data: pd.DataFrame, clip: str, folder: Path) -> List[str]:
    """Tables I and III and Fig. 2 of one CLIP."""
    parts, first, published = [], source(data), paper.read_table('I', clip)
    known = set(first.dataset)
    # The average is that of the paper's eleven for a CLIP it has, else of those there are
    eleven = {k: v for k, v in paper.DATASETS.items() if len(published) or k in known}
    others = {name: name for name in sorted(known - set(paper.DATASETS))}
    for columns, suffix in ((eleven, ()), (others, ('other',))):
        if not known & set(columns):
            continue
        path = folder / file_name('accuracy', clip, *suffix)
        beside = tables.accuracy_table(first, columns, published)
        parts += [beside.write(path), *notes(beside)]
        table = tables.accuracy_table(first, columns)
        if any(shots for _, shots in table.mean.index):  # anything was trained
            mean = table.mean[['average', *columns.values()]].dropna(axis=1, how='all')
            draw(mean, clip, path.with_name(f'{path.name}.png'), table.std)
    variants = data.groupby('dataset').variant.agg(lambda own: tuple(own.unique()))
    for names in variants[variants.str.len() > 1].unique():
        own = data[data.dataset.isin(variants.index[variants == names])]
        table = tables.variant_table(own, names, paper.read_table('III', clip))
        kind = 'transfer' if names[0] in set(own.dataset) else 'variants'
        path = folder / file_name(kind, clip, names[0])
        parts += [table.write(path), *notes(table)]
        own_methods = tables.variant_table(own, names).mean
        if is_ranking(own_methods):
            plot_ranking(own_methods, clip, path.with_name(f'{path.name}.png'))
    return parts


def is_ranking(mean: pd.DataFrame) -> bool:
    """Whether a table has more methods than curves can show."""
    return mean.index.get_level_values('method').nunique() > CURVES


def draw(mean: pd.DataFrame, title: str, path: Path, std: Optional[pd.DataFrame]) -> None:
    """Curves, or of many methods a ranking."""
    if is_ranking(mean):
        plot_ranking(mean, title, path)
    else:
        plot_accuracy(mean, title, path, std)


def notes(table: Table) -> List[str]:
    """What the paper's rows are of, where a table has them."""
    beside = {name.split(', paper')[0] for name, _ in table.mean.index if name.endswith(', paper')}
    of_zero_shot = [
        name.startswith('zero-shot CLIP') and name.endswith(', difference')
        for name, _ in table.mean.index
    ]
    on_imagenet = table.mean[of_zero_shot].iloc[:, 0]  # the first column
    prompts = [paper.PROMPTS] if on_imagenet.notna().any() else []
    return prompts + ([paper.ROWS] if beside & paper.RENAMED else [])


def write_gains(frame: pd.DataFrame, clip: str, folder: Path, scalar: str, title: str) -> List[str]:
    """What blending or interpolation adds; SAFE-A's blends are SAFE's."""
    parts = []
    blends = frame[frame.figure.str.startswith(f'{scalar}=')]
    names = blends[blends.figure == f'{scalar}=0'].method.unique()
    has_safe = 'SAFE' in map(plain_name, names)
    for name in names:
        if has_safe and plain_name(name) == 'SAFE-A':
            continue
        own = blends[blends.method == name]
        panels = tables.panels(own)
        parts.append(f'### {title}, {name}')
        for panel, part in panels.items():
            path = folder / file_name(scalar, name, clip, panel)
            parts.append(tables.gain_table(part, scalar).write(path))
        gains = {panel: tables.gains(part, scalar) for panel, part in panels.items()}
        plot_gain(gains, folder / f'{file_name(scalar, name, clip)}.png', scalar)
    return parts
