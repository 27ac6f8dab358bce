"""Times of two ways to do the same, and what the machine could do at best."""

import time
from statistics import median
from typing import Callable, Dict, List

import torch
from tqdm import tqdm


def seconds(sides: Dict[str, Callable], repeats: int, block: int = 1) -> Dict[str, float]:
    """Median time of each side, run in turn; of two, the median ratio too.

    Args:
        sides (dict[str, Callable]): What to run.
        repeats (int): Turns of each side.
        block (int): Runs of a side before the other's turn; if several, the first, on what the
            other left in the caches, does not count. Defaults to 1.
    """
    times: Dict[str, List[float]] = {side: [] for side in sides}
    for repeat in tqdm(range(repeats + 1), leave=False):
        for side, run in sides.items():
            turn = [_time(run) for _ in range(block)]
            if repeat:  # the first is to warm up
                times[side].append(median(turn[1:] or turn))
    figures = {side: median(values) for side, values in times.items()}
    if len(sides) == 2:
        naive, ours = times.values()
        figures['ratio'] = median(a / b for a, b in zip(naive, ours))
    return figures


def _time(run: Callable) -> float:
    start = time.perf_counter()
    run()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start


class Machine:
    """What this machine can do at best, of all times that it was measured.

    Attributes:
        flops (float): Operations a second in a matrix product.
        bandwidth (float): Bytes a second, read or written, in a copy.
    """

    def __init__(self) -> None:
        self.flops = self.bandwidth = 0.0

    def measure(self) -> None:
        """Measures again; machines that others share are faster at times."""
        a, big = torch.randn(1536, 1536), torch.randn(2**25)
        other = torch.empty_like(big)
        took = seconds(dict(matmul=lambda: a @ a, copy=lambda: other.copy_(big)), 9)
        self.flops = max(self.flops, 2 * 1536**3 / took['matmul'])
        self.bandwidth = max(self.bandwidth, 8 * 2**25 / took['copy'])

    def floor(self, flops: float, size: float) -> float:
        """Seconds for so many operations and bytes."""
        return max(flops / self.flops, size / self.bandwidth)


def table(rows: Dict[str, dict]) -> str:
    """A Markdown table; times in milliseconds but where it says GB."""
    lines = ['| | naive | ours | ratio | floor | ours / floor |', '|---|---|---|---|---|---|']
    for name, row in rows.items():
        unit = 1 if name.endswith('GB') else 1e3
        cells = [f'{unit * row[k]:.4g}' if k in row else '' for k in ('naive', 'ours')]
        cells.append(f'{row["ratio"]:.2f}' if 'ratio' in row else '')
        cells += (
            [f'{unit * row["floor"]:.4g}', f'{row["ours"] / row["floor"]:.1f}']
            if 'floor' in row
            else ['', '']
        )
        lines.append(f'| {name} | ' + ' | '.join(cells) + ' |')
    return '\n'.join(lines)
