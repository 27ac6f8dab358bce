"""A table of figures, as Markdown, CSV or LaTeX."""

import re
from pathlib import Path
from typing import NamedTuple, Optional

import pandas as pd


class Table(NamedTuple):
    """A table.

    Attributes:
        title (str): What its figures are.
        mean (DataFrame): The figures, NaN where missing.
        std (DataFrame, optional): Sample standard deviations over seeds.
        count (DataFrame, optional): Numbers of seeds.
        signed (bool): Whether all figures are differences.
    """

    title: str
    mean: pd.DataFrame
    std: Optional[pd.DataFrame] = None
    count: Optional[pd.DataFrame] = None
    signed: bool = False

    def texts(self) -> pd.DataFrame:
        """One decimal; figures of fewer seeds than others of a row say so."""
        table = self.mean.astype(object)
        for i, label in enumerate(self.mean.index):
            signed = self.signed or ', difference' in str(label)
            for j in range(len(self.mean.columns)):
                table.iat[i, j] = self._text(i, j, signed)
        return labelled(table)

    def _text(self, i: int, j: int, signed: bool) -> str:
        value = self.mean.iat[i, j]
        if pd.isna(value):
            return '–'
        if pd.api.types.is_integer_dtype(self.mean.dtypes.iloc[j]):
            return str(value)
        value = round(value, 1) + 0.0  # no -0.0
        text = f'{value:{"+" if signed else ""}.1f}'
        if self.std is not None and not pd.isna(self.std.iat[i, j]):
            text += f' ± {self.std.iat[i, j]:.1f}'
        if self.count is not None:
            most = self.count.iloc[i].max()
            if self.count.iat[i, j] < most:
                text += f' ({self.count.iat[i, j]:.0f} of {most:.0f})'
        return text

    def markdown(self) -> str:
        """With its title; what is missing is a dash."""
        table = self.texts().to_markdown(index=False, disable_numparse=True)
        return f'{self.title}\n\n{table}'

    def csv(self) -> str:
        """Means, deviations and numbers of seeds in columns of their own."""
        table = self.mean
        if self.count is not None:
            parts = {'': self.mean, ' std': self.std, ' seeds': self.count.astype('Int64')}
            table = pd.concat(
                [
                    part[[name]].add_suffix(what)
                    for name in self.mean
                    for what, part in parts.items()
                ],
                axis=1,
            )
        return labelled(table).to_csv(index=False, float_format='%.4f', lineterminator='\n')

    def latex(self) -> str:
        """A ``tabular`` that needs the package booktabs."""
        table = self.texts()
        labels = self.mean.index.nlevels
        form = 'l' * labels + 'r' * (len(table.columns) - labels)
        text = table.to_latex(index=False, escape=True, column_format=form)
        text = re.sub(r'([-+]?[\d.]+) ± ([\d.]+)', r'$\1 \\pm \2$', text)
        return f'% {self.title}\n' + text.replace('–', '--')

    def write(self, path: Path) -> str:
        """Writes ``path``.csv and ``path``.tex; returns the Markdown."""
        path.with_name(f'{path.name}.csv').write_text(self.csv(), 'utf-8')
        path.with_name(f'{path.name}.tex').write_text(self.latex(), 'utf-8')
        return self.markdown()


def labelled(table: pd.DataFrame) -> pd.DataFrame:
    """The index as columns; zero-shot has no number of shots."""
    table = table.reset_index()
    if 'shots' in table:
        table['shots'] = [str(k or '') for k in table.shots]
    return table
