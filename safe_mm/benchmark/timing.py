"""Times of two ways to compute the same, and their table."""

from functools import partial
from statistics import median
from typing import Callable, Dict, List, Mapping, Tuple

import pandas as pd
from torch.utils.benchmark import timer
from tqdm import tqdm

# Title, figures, and pairs of operations and bytes, from which the floor is computed
Row = Tuple[str, Dict[str, float], List[Tuple[float, float]]]


def compare(sides: Mapping[str, Callable[[], float]], turns: int) -> Dict[str, float]:
    """Side -> median of the figures that it returns, measured in turn with the others.

    With a 'baseline', there is also the 'ratio', the median of the ratios of the turns.
    """
    found = pd.DataFrame(
        [
            {side: measure() for side, measure in sides.items()}
            for _ in tqdm(range(turns), leave=False)
        ]
    )
    figures = found.median().to_dict()
    if 'baseline' in found:
        figures['ratio'] = (found.baseline / found.candidate).median()
    return figures


def seconds(run: Callable[[], object], block: int = 1) -> float:
    """Median time of a block of runs.

    The first of several does not count, since it runs on what the other side left in the caches.
    """
    times = []
    for _ in range(block):
        start = timer()  # waits for the GPU
        run()
        times.append(timer() - start)
    return median(times[1:] or times)


def compare_seconds(
    sides: Mapping[str, Callable[[], object]], turns: int, block: int = 1
) -> Dict[str, float]:
    """:func:`compare` of the :func:`seconds` of each side, after one run to warm up."""
    for run in sides.values():
        run()
    return compare({side: partial(seconds, run, block) for side, run in sides.items()}, turns)


def table(rows: Dict[str, dict]) -> str:
    """A Markdown table; times in milliseconds, rows that end in GB as they are."""
    columns = ['baseline', 'candidate', 'ratio', 'floor']
    frame = pd.DataFrame.from_dict(rows, 'index', columns=columns)
    frame['candidate / floor'] = frame.candidate / frame.floor
    frame.loc[~frame.index.str.endswith('GB'), ['baseline', 'candidate', 'floor']] *= 1e3
    formats = dict.fromkeys(columns, '{:.4g}')
    formats.update({'ratio': '{:.2f}', 'candidate / floor': '{:.1f}'})
    for column, text in formats.items():
        frame[column] = frame[column].map(text.format, na_action='ignore')
    return frame.fillna('').to_markdown(disable_numparse=True)
