"""Pictures of the results of a sweep (SAFE, Fig. 2, 5 and 8)."""

from argparse import Namespace
from pathlib import Path
from typing import Any, Dict, List

import pandas as pd
from cycler import cycler
from matplotlib import rc_context, rcParams

from ..errors import InputError
from ..plots import plot_accuracy, plot_gain
from ..registry import ANALYSES
from ..report.results import Result, accuracies, blend_of, plain_name, prepare, source, to_frame
from ..report.tables import gains, panels
from .base import Analysis

BETA = 0.5
# Rows of Fig. 8, and what they start from
TEXTS = (
    'zero-shot CLIP',
    'SAFE, class names',
    'SAFE, one template',
    'SAFE',
    'SAFE, mined templates',
    'SAFE, CuPL',
    'SAFE, tuned head',
)


@ANALYSES.register_module(name='accuracy')
class Accuracy(Analysis):
    """Accuracy against shots of all methods, a panel for each data set."""

    of_records = True

    def run(self, results: List[Result], args: Namespace, folder: Path) -> Dict[str, Any]:
        frame = to_frame(prepare(results))
        return draw(accuracies(frame, blend_of(frame, BETA)), folder / 'accuracy.png')


@ANALYSES.register_module(name='prompts')
class Prompts(Analysis):
    """Accuracy of SAFE by the texts of its classifier."""

    of_records = True

    def run(self, results: List[Result], args: Namespace, folder: Path) -> Dict[str, Any]:
        frame = to_frame(prepare(results))
        data = accuracies(frame, blend_of(frame, BETA))
        own = data[data.method.map(plain_name).isin(TEXTS)]
        if own.method.nunique() < 3:
            raise InputError(
                'prompts needs results of SAFE with several texts, such as those of '
                'configs/safe{,_class-name,_one-template}.py.'
            )
        return draw(own, folder / 'prompts.png')


@ANALYSES.register_module(name='beta')
class Beta(Analysis):
    """What blending adds to the tuned pooling, by beta, shots and test variant."""

    of_records = True

    def run(self, results: List[Result], args: Namespace, folder: Path) -> Dict[str, Any]:
        frame = to_frame(prepare(results))
        frame = frame[frame.method.map(plain_name).eq('SAFE')]
        if not frame.figure.eq('beta=0').any():
            raise InputError('beta needs results of configs/safe.py.')
        own = {name: gains(part) for name, part in panels(frame).items()}
        plot_gain(own, folder / 'beta.png')
        return {
            name: {
                str(shots): {f'{beta:g}': round(gain, 2) for beta, gain in row.dropna().items()}
                for shots, row in table.iterrows()
            }
            for name, table in own.items()
        }


def draw(data: pd.DataFrame, path: Path) -> Dict[str, Any]:
    """Plots the first variant of each data set.

    Returns:
        dict: Data set -> method -> shots -> mean accuracy of the samples in percent.

    Raises:
        InputError: Nothing was trained.
    """
    first = source(data)
    if not (first.shots > 0).any():
        raise InputError('these are results of zero-shot CLIP alone, without shots to draw.')
    cells = first.groupby(['method', 'shots', 'dataset'], sort=False).accuracy
    mean, std = cells.mean().unstack('dataset'), cells.std().unstack('dataset')
    # Ten colours are not enough for all methods
    styles = cycler(linestyle=['-', '--', ':', '-.']) * rcParams['axes.prop_cycle']
    with rc_context({'axes.prop_cycle': styles}):
        plot_accuracy(mean, 'Test accuracy', path, std)
    return {
        name: {
            method: {str(k): round(v, 2) for (_, k), v in own.dropna().items()}
            for method, own in mean[name].groupby(level='method', sort=False)
        }
        for name in mean
    }
