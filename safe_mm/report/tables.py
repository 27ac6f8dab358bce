"""Tables in the shape of the paper's Table I and Table III."""
import math
from statistics import mean
from typing import Callable, Dict, List, Optional, Sequence

from . import paper
from .runs import Line, Runs, distinct, lines_of, over_seeds, where
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
                   published: Optional[str] = None) -> Table:
    """Table I: methods and shots against data sets, and their average.

    Args:
        runs (dict): Of one CLIP.
        columns (dict): Task -> name of its column. The average is missing
            where one of them is.
        published (str, optional): The backbone with the weights that the
            paper has; its figures then stand below. Defaults to None.
    """

    def one(task: str) -> Callable:
        return lambda own: next(
            (first(by) for by in where(own, task=task).values()), None)

    def average(own: Runs) -> Optional[float]:
        values = [one(task)(own) for task in columns]
        return None if None in values else mean(values)

    rows = []
    for line, name in lines_of(runs).items():
        own = where(runs, **line._asdict())
        if not any(run.task in columns for run in own):
            continue
        figures = [over_seeds(where(own, task=task), one(task))
                   for task in columns] + [over_seeds(own, average)]
        rows += with_paper(line, name, figures, [
            paper.accuracy(published, line.method, line.shots, task)
            for task in (*columns, paper.AVERAGE)])
    return Table('Accuracy in percent, mean ± standard deviation over seeds',
                 LABELS, [*columns.values(), paper.AVERAGE], rows)


def variant_table(runs: Runs, variants: Sequence[str],
                  published: Optional[str] = None) -> Table:
    """Table III: methods and shots against test variants, mean of tasks.

    Args:
        runs (dict): Of one CLIP, all with these variants.
        variants (Sequence[str]): The first is the source, the others are out
            of its distribution.
        published (str, optional): As for :func:`accuracy_table`.
    """
    tasks, rows = distinct(runs, 'task'), []

    def mean_of(names: Sequence[str]) -> Callable:
        return lambda own: mean(
            by[name] for by in own.values() for name in names) if len(
                own) == len(tasks) else None

    for line, name in lines_of(runs).items():
        own = where(runs, **line._asdict())
        figures = [over_seeds(own, mean_of([variant]))
                   for variant in variants]
        figures.append(over_seeds(own, mean_of(variants[1:])))
        known = [paper.variant_accuracy(published, line.method, line.shots, v)
                 for v in variants]
        shifts = None if None in known else mean(known[1:])
        rows += with_paper(line, name, figures, [*known, shifts])
    return Table(
        f'Accuracy in percent by test variant, mean of {", ".join(tasks)}, '
        'mean ± standard deviation over seeds', LABELS,
        [*variants, 'mean of shifts'], rows)


def with_paper(line: Line, name: str, figures: List[Optional[Figure]],
               published: List[Optional[float]]) -> List[Row]:
    """A row, and below it the paper's and the difference, if there is one."""
    shots = str(line.shots or '')
    rows = [Row([name, shots], figures)]
    if any(p is not None for p in published):
        rows.append(Row([f'{name}, paper', shots], [
            None if p is None else Figure(p) for p in published]))
        rows.append(Row([f'{name}, difference', shots], [
            Figure(f.mean - p, signed=True) if f and p is not None else None
            for f, p in zip(figures, published)]))
    return rows


def curves(runs: Runs, columns: Dict[str, str],
           shots: Sequence[int]) -> Dict[str, Dict[str, List[float]]]:
    """Fig. 2: panel -> method -> accuracy at each number of shots.

    Zero-shot is the same at all. The average comes first; what is missing is
    NaN, and a panel of nothing else is left out.
    """
    table = accuracy_table(runs, columns)
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
