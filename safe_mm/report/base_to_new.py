"""Base-to-new generalisation: accuracy on both halves of the classes."""

from math import nan

import pandas as pd

from .table import Table
from .tables import OVER_SEEDS, in_order

HALVES = ['base', 'new']
OF_AVERAGES = 'harmonic mean of the averages'
OF_DATASETS = 'mean of the harmonic means'


def harmonic_mean(base: pd.Series, new: pd.Series) -> pd.Series:
    """2 B N / (B + N)."""
    return 2 * base * new / (base + new)


def is_of_halves(data: pd.DataFrame) -> pd.Series:
    """Which rows are of a dataset that was tested on both halves of its classes."""
    found = data.groupby('dataset').variant.agg(lambda own: set(own) == set(HALVES))
    return data.dataset.map(found).astype(bool)


def table(data: pd.DataFrame) -> Table:
    """Base, new and two harmonic figures, means over datasets and seeds.

    Published tables have either figure: that of the averages over datasets, or the average of those
    of each dataset. Both are of means over seeds, so that they have no deviation. A seed that lacks
    a dataset is left out.

    Args:
        data (DataFrame): Of one CLIP, see :func:`results.accuracies` and :func:`is_of_halves`.
    """
    datasets, run = data.dataset.unique(), ['method', 'shots', 'seed']
    cells = data.pivot(index=[*run, 'dataset'], columns='variant', values='accuracy')[HALVES]
    cells = cells.dropna().rename_axis(columns=None)
    complete = cells.groupby(level=run).base.transform('size') == len(datasets)
    names = ', '.join(name.replace('_base', '') for name in datasets)
    title = f'Accuracy in percent on base and new classes, mean of {names}, {OVER_SEEDS}'
    cell = ['method', 'shots']
    by_dataset = cells[complete].groupby(level=[*cell, 'dataset']).mean()
    harmonic = harmonic_mean(by_dataset.base, by_dataset.new).groupby(level=cell).mean()
    seeds = cells.where(complete).groupby(level=run).mean().groupby(level=cell)
    mean, std, number = (in_order(part) for part in (seeds.mean(), seeds.std(), seeds.count()))
    mean[OF_AVERAGES], mean[OF_DATASETS] = harmonic_mean(mean.base, mean.new), harmonic
    for name in (OF_AVERAGES, OF_DATASETS):
        std[name], number[name] = nan, number.base
    return Table(title, mean, std, number)
