"""A table of figures, as Markdown, CSV or LaTeX."""
import csv
import io
from statistics import mean, stdev
from typing import Iterable, List, NamedTuple, Optional, Sequence

PLUS_MINUS = r' \pm '  # in LaTeX


class Figure(NamedTuple):
    """A figure of a table.

    Attributes:
        mean (float): Of what was measured.
        std (float, optional): Sample standard deviation, of several.
        count (int): Of how many seeds. Defaults to 1.
        signed (bool): Whether it is a difference.
    """
    mean: float
    std: Optional[float] = None
    count: int = 1
    signed: bool = False

    def text(self, plus_minus: str = ' ± ') -> str:
        """One decimal; two, as the paper has, would be noise."""
        text = f'{self.mean:{"+" if self.signed else ""}.1f}'
        return text if self.std is None else (
            f'{text}{plus_minus}{self.std:.1f}')


def figure_of(values: Iterable[float]) -> Optional[Figure]:
    """Mean and standard deviation; None of no values."""
    values = list(values)
    if not values:
        return None
    std = stdev(values) if len(values) > 1 else None
    return Figure(mean(values), std, len(values))


class Row(NamedTuple):
    """Labels, then figures; None is a figure that is missing."""
    labels: Sequence[str]
    figures: List[Optional[Figure]]

    def texts(self, plus_minus: str = ' ± ', none: str = '–',
              around: str = '') -> List[str]:
        """Figures as text; those of fewer seeds than others say so."""
        most = max((f.count for f in self.figures if f), default=0)
        return [
            none if f is None else f'{around}{f.text(plus_minus)}{around}' +
            (f' ({f.count} of {most})' if f.count < most else '')
            for f in self.figures
        ]


class Table(NamedTuple):
    """A table.

    Attributes:
        title (str): What its figures are.
        labels (Sequence[str]): Heads of the labels' columns.
        columns (Sequence[str]): Heads of the figures' columns.
        rows (list[Row]): From top to bottom.
    """
    title: str
    labels: Sequence[str]
    columns: Sequence[str]
    rows: List[Row]

    def markdown(self) -> str:
        """With its title; what is missing is a dash."""
        lines = [[*self.labels, *self.columns],
                 ['---'] * (len(self.labels) + len(self.columns))]
        lines += [[*row.labels, *row.texts()] for row in self.rows]
        return '\n'.join([self.title, ''] +
                         [f'| {" | ".join(line)} |' for line in lines])

    def csv(self) -> str:
        """Means, deviations and numbers of seeds in columns of their own."""
        file = io.StringIO()
        writer = csv.writer(file, lineterminator='\n')
        heads = [f'{name}{what}' for name in self.columns
                 for what in ('', ' std', ' seeds')]
        writer.writerow([*self.labels, *heads])
        for row in self.rows:
            cells = [cell for f in row.figures
                     for cell in ((_number(f.mean), _number(f.std), f.count)
                                  if f else ('', '', 0))]
            writer.writerow([*row.labels, *cells])
        return file.getvalue()

    def latex(self) -> str:
        """A ``tabular`` that needs the package booktabs."""
        lines = [[*self.labels, *self.columns]]
        for row in self.rows:
            lines.append([*row.labels, *row.texts(PLUS_MINUS, '--', '$')])
        body = [' & '.join(map(_escaped, line)) + r' \\' for line in lines]
        form = 'l' * len(self.labels) + 'r' * len(self.columns)
        return '\n'.join([
            f'% {self.title}', rf'\begin{{tabular}}{{{form}}}', r'\toprule',
            body[0], r'\midrule', *body[1:], r'\bottomrule', r'\end{tabular}',
            ''
        ])


def _number(value: Optional[float]) -> str:
    return '' if value is None else f'{value:.4f}'


def _escaped(text: str) -> str:
    for character in '&%_#':
        text = text.replace(character, '\\' + character)
    return text
