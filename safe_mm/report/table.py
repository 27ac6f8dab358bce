"""A table of figures, as Markdown, CSV or LaTeX."""

import re
from pathlib import Path
from typing import Callable, Mapping, NamedTuple, Optional

import pandas as pd

from ..files import write_text


class Table(NamedTuple):
    """A table.

    Attributes:
        title (str): What its figures are.
        mean (DataFrame): The figures, NaN where missing.
        std (DataFrame, optional): Sample standard deviations over seeds.
        number (DataFrame, optional): Numbers of seeds.
        signed (bool): Whether all figures are differences.
        formats (dict): Column -> how its figures are written, but for CSV.
    """

    title: str
    mean: pd.DataFrame
    std: Optional[pd.DataFrame] = None
    number: Optional[pd.DataFrame] = None
    signed: bool = False
    formats: Mapping[str, Callable[[float], str]] = {}

    def texts(self) -> pd.DataFrame:
        """One decimal; figures of fewer seeds than others in their row say so."""
        table = self.mean.astype(object)
        for i in range(len(table)):
            for j in range(len(table.columns)):
                table.iat[i, j] = self._text(i, j)
        return labelled(table)

    def _text(self, i: int, j: int) -> str:
        value = self.mean.iat[i, j]
        if pd.isna(value):
            return '–'
        if self.mean.columns[j] in self.formats:
            return self.formats[self.mean.columns[j]](value)
        if pd.api.types.is_integer_dtype(self.mean.dtypes.iloc[j]):
            return str(value)
        signed = self.signed or ', difference' in str(self.mean.index[i])
        text = f'{round(value, 1) + 0.0:{"+" if signed else ""}.1f}'  # no -0.0
        if self.std is not None and not pd.isna(self.std.iat[i, j]):
            text += f' ± {self.std.iat[i, j]:.1f}'
        if self.number is not None and self.number.iat[i, j] < self.number.iloc[i].max():
            text += f' ({self.number.iat[i, j]:.0f} of {self.number.iloc[i].max():.0f})'
        return text

    def markdown(self) -> str:
        """With its title; what is missing is a dash."""
        return f'{self.title}\n\n{self.texts().to_markdown(index=False, disable_numparse=True)}'

    def csv(self) -> str:
        """Means, deviations and numbers of seeds in separate columns."""
        table = self.mean
        if self.std is not None and self.number is not None:
            std, number = self.std.add_suffix(' std'), self.number.astype('Int64')
            table = pd.concat([table, std, number.add_suffix(' seeds')], axis=1)
            table = table[
                [f'{name}{what}' for name in self.mean for what in ('', ' std', ' seeds')]
            ]
        return labelled(table).to_csv(index=False, float_format='%.4f', lineterminator='\n')

    def latex(self) -> str:
        """A ``tabular`` that needs the package booktabs."""
        table, labels = self.texts(), self.mean.index.nlevels
        form = 'l' * labels + 'r' * (len(table.columns) - labels)
        text = table.to_latex(index=False, escape=True, column_format=form)
        text = re.sub(r'([-+]?[\d.]+) ± ([\d.]+)', r'$\1 \\pm \2$', text)
        return f'% {self.title}\n' + text.replace('–', '--')

    def write(self, path: Path) -> str:
        """Writes ``path``.csv and ``path``.tex; returns the Markdown."""
        write_text(path.with_name(f'{path.name}.csv'), self.csv())
        write_text(path.with_name(f'{path.name}.tex'), self.latex())
        return self.markdown()


def labelled(table: pd.DataFrame) -> pd.DataFrame:
    """The index as columns; zero-shot has no number of shots."""
    table = table.reset_index()
    if 'shots' in table:
        table['shots'] = [str(k or '') for k in table.shots]
    return table
