"""Tables in the shape of the paper's Table I and Table III."""
import math
from statistics import mean
from typing import Callable, Dict, List, Optional, Sequence

from . import paper
from .runs import METHODS, Runs, distinct, methods_and_shots, over_seeds, where
from .table import Figure, Row, Table

LABELS = ('method', 'shots')


def columns_of(runs: Runs) -> List[Dict[str, str]]:
    """Tasks of one table each: the paper's data sets, then others."""
    tasks = [task for task in distinct(runs, 'task')
             if task != 'imagenet_variants']
    others = {task: task for task in tasks if task not in paper.DATA_SETS}
    some = any(task in paper.DATA_SETS for task in tasks)
    return [columns for columns in (paper.DATA_SETS if some else {}, others)
            if columns]


def first(by_variant: Dict[str, float]) -> float:
    """Accuracy in the training images' distribution."""
    return next(iter(by_variant.values()))


def accuracy_table(runs: Runs, columns: Dict[str, str],
                   backbone: str) -> Table:
    """Table I: methods and shots against data sets, and their average.

    Args:
        runs (dict): Of one CLIP.
        columns (dict): Task -> name of its column. The average is missing
            where one of them is.
        backbone (str): Of that CLIP, for the paper's figures.
    """

    def one(task: str) -> Callable:
        return lambda own: next(
            (first(by) for by in where(own, task=task).values()), None)

    def average(own: Runs) -> Optional[float]:
        values = [one(task)(own) for task in columns]
        return None if None in values else mean(values)

    rows = []
    for method, shots in methods_and_shots(runs):
        own = where(runs, method=method, shots=shots)
        if not any(run.task in columns for run in own):
            continue
        figures = [over_seeds(where(own, task=task), one(task))
                   for task in columns] + [over_seeds(own, average)]
        published = [paper.accuracy(backbone, method, shots, task)
                     for task in (*columns, paper.AVERAGE)]
        rows += with_paper(labels(method, shots), figures, published)
    return Table('Accuracy in percent, mean ± standard deviation over seeds',
                 LABELS, [*columns.values(), paper.AVERAGE], rows)


def variant_table(runs: Runs, variants: Sequence[str],
                  backbone: str) -> Table:
    """Table III: methods and shots against test variants, mean of tasks.

    Args:
        runs (dict): Of one CLIP, all with these variants.
        variants (Sequence[str]): The first is the source, the others are out
            of its distribution.
        backbone (str): Of that CLIP, for the paper's figures.
    """
    tasks, rows = distinct(runs, 'task'), []

    def mean_of(names: Sequence[str]) -> Callable:
        return lambda own: mean(
            by[name] for by in own.values() for name in names) if len(
                own) == len(tasks) else None

    for method, shots in methods_and_shots(runs):
        own = where(runs, method=method, shots=shots)
        figures = [over_seeds(own, mean_of([name])) for name in variants]
        figures.append(over_seeds(own, mean_of(variants[1:])))
        published = [paper.variant_accuracy(backbone, method, shots, name)
                     for name in variants] + [None]
        rows += with_paper(labels(method, shots), figures, published)
    return Table(
        f'Accuracy in percent by test variant, mean of {", ".join(tasks)}, '
        'mean ± standard deviation over seeds', LABELS,
        [*variants, 'mean of shifts'], rows)


def labels(method: str, shots: int) -> List[str]:
    return [METHODS.get(method, method), str(shots or '')]


def with_paper(names: List[str], figures: List[Optional[Figure]],
               published: List[Optional[float]]) -> List[Row]:
    """A row, and below it the paper's and the difference, if there is one."""
    rows = [Row(names, figures)]
    if any(p is not None for p in published):
        rows.append(Row(['paper', names[1]], [
            None if p is None else Figure(p) for p in published]))
        rows.append(Row(['difference', names[1]], [
            Figure(f.mean - p, signed=True) if f and p is not None else None
            for f, p in zip(figures, published)]))
    return rows


def curves(runs: Runs, columns: Dict[str, str],
           shots: Sequence[int]) -> Dict[str, Dict[str, List[float]]]:
    """Fig. 2: panel -> method -> accuracy at each number of shots.

    Zero-shot is the same at all. The average comes first; what is missing is
    NaN, and a panel of nothing else is left out.
    """
    table = accuracy_table(runs, columns, '')
    found = {tuple(row.labels): row.figures for row in table.rows}
    methods = dict.fromkeys(row.labels[0] for row in table.rows)
    panels: Dict[str, dict] = {}
    for number in (-1, *range(len(columns))):
        lines = {}
        for name in methods:
            figures = [found.get((name, str(k))) or found.get((name, ''))
                       for k in shots]
            lines[name] = [f[number].mean if f and f[number] else math.nan
                           for f in figures]
        if not all(math.isnan(v) for line in lines.values() for v in line):
            panels[table.columns[number]] = lines
    return panels
