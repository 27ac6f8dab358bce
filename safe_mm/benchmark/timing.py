"""Times of two ways to compute the same, the least time on a machine, and their table."""

from functools import partial
from statistics import median
from typing import Callable, Dict, List, Mapping, Tuple

import pandas as pd
import torch
from mmengine.device import get_device
from torch.utils.benchmark import timer
from tqdm import tqdm

DEVICE = get_device()  # where both sides run
Work = List[Tuple[float, float]]  # operations, and bytes of float32, of each piece
Row = Tuple[str, Dict[str, float], Work]  # title, figures, and the work that the floor is for


def compare(sides: Mapping[str, Callable[[], float]], turns: int) -> Dict[str, float]:
    """Side -> median of the figures that it returns, measured in turn with the others.

    With a 'baseline', there is also the 'ratio', the median of the ratios of the turns.
    """
    bar = tqdm(range(turns), leave=False)
    found = pd.DataFrame([{side: measure() for side, measure in sides.items()} for _ in bar])
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


class Machine:
    """The best rates of all measurements: shared machines are slower at times.

    Attributes:
        flops (float): Operations a second in a matrix product.
        bandwidth (float): Bytes a second, read or written, in a copy.
    """

    flops = bandwidth = 0.0

    def measure(self) -> None:
        a, big = torch.randn(1536, 1536, device=DEVICE), torch.randn(2**25, device=DEVICE)
        other = torch.empty_like(big)
        took = compare_seconds(dict(matmul=lambda: a @ a, copy=lambda: other.copy_(big)), 9)
        self.flops = max(self.flops, 2 * 1536**3 / took['matmul'])
        self.bandwidth = max(self.bandwidth, 8 * 2**25 / took['copy'])

    def floor(self, work: Work) -> float:
        """Least seconds to do all of the work, one piece after the other."""
        return sum(max(flops / self.flops, size / self.bandwidth) for flops, size in work)


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
