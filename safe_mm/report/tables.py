"""Tables of accuracy, blending, attention, settings and costs."""

from math import nan
from typing import Dict, List, Optional, Sequence

import pandas as pd

from . import paper
from .results import NAMES, SIZES, Result, plain_name
from .table import Table

OVER_SEEDS = 'mean ± standard deviation over seeds'
POOLINGS = dict(attn_pool_o='AttnPool_O', attn_pool_f='AttnPool_F', combined='combined')


def in_order(frame: pd.DataFrame) -> pd.DataFrame:
    """Rows by method, in the order of ``NAMES``, then by name and other labels."""
    ranks = {name: rank for rank, name in enumerate(NAMES.values())}
    labels = sorted(frame.index, key=lambda x: (ranks.get(plain_name(x[0]), len(ranks)), x))
    return frame.loc[labels]


def over_seeds(title: str, wide: pd.DataFrame) -> Table:
    """Mean, deviation and number of seeds, the last level of the index."""
    groups = wide.groupby(level=list(wide.index.names[:-1]))
    return Table(title, *(in_order(part) for part in (groups.mean(), groups.std(), groups.count())))


def accuracy_table(
    data: pd.DataFrame, columns: Dict[str, str], published: Optional[pd.DataFrame] = None
) -> Table:
    """Table I: methods and shots against datasets, and their average.

    Args:
        data (DataFrame): Of one CLIP, see :func:`results.source`.
        columns (dict): Dataset -> name of its column. The average is missing where one of them is.
        published (DataFrame, optional): The paper's figures, which then stand below. Defaults to
            None.
    """
    data = data[data.dataset.isin(list(columns))]
    wide = data.pivot_table('accuracy', ['method', 'shots', 'seed'], 'dataset')
    wide = wide.reindex(columns=list(columns)).rename(columns=columns)
    wide['average'] = wide.mean(axis=1, skipna=False)
    table = over_seeds(f'Accuracy in percent, {OVER_SEEDS}', wide)
    return table if published is None else with_paper(table, published.rename(columns=columns))


def variant_table(
    data: pd.DataFrame, variants: Sequence[str], published: Optional[pd.DataFrame] = None
) -> Table:
    """Table III: methods and shots against test variants, mean of datasets.

    Args:
        data (DataFrame): Of one CLIP, all with these variants.
        variants (Sequence[str]): The first is the source, the others are out of its distribution.
        published (DataFrame, optional): As for :func:`accuracy_table`.
    """
    datasets = data.dataset.unique()
    cells = data.groupby(['method', 'shots', 'seed', 'variant']).accuracy
    wide = cells.mean().where(cells.count() == len(datasets)).unstack()[list(variants)]
    wide[paper.SHIFTS] = wide[list(variants[1:])].mean(axis=1, skipna=False)
    title = f'Accuracy in percent by test variant, mean of {", ".join(datasets)}, {OVER_SEEDS}'
    table = over_seeds(title, wide)
    return table if published is None else with_paper(table, published)


def with_paper(table: Table, published: pd.DataFrame) -> Table:
    """Below each row, the paper's and the difference, where the paper has them."""
    own = table.mean
    if not set(own) <= set(published):
        return table
    known = published[list(own)].reindex([(plain_name(name), shots) for name, shots in own.index])
    known = known.set_axis(own.index).dropna(how='all')
    rows = {'': own, ', paper': known, ', difference': own - known}
    mean = pd.concat(
        [part.rename(lambda name, what=what: name + what, level=0) for what, part in rows.items()]
    )
    order = [
        (name + what, shots)
        for name, shots in own.index
        for what in (rows if (name, shots) in known.index else [''])
    ]
    parts = (part.reindex(order) for part in (mean, table.std, table.number) if part is not None)
    return Table(table.title, *parts)


def gains(frame: pd.DataFrame, scalar: str = 'beta') -> pd.DataFrame:
    """Accuracy above that of a scalar's zero by shots and its values, mean of runs.

    The scalar is 'beta', of SAFE's blend, or 'alpha', of an interpolation of weights. Runs
    without an accuracy at zero are left out.
    """
    own = frame[frame.figure.str.startswith(f'{scalar}=')]
    own = own.assign(value=own.figure.str.split('=').str[1].astype(float))
    wide = own.pivot_table('accuracy', ['shots', 'dataset', 'seed'], 'value')
    wide = wide.dropna(subset=[0.0])
    return wide.sub(wide[0.0], axis=0).groupby(level='shots').mean()


def panels(frame: pd.DataFrame) -> Dict[str, pd.DataFrame]:
    """What gains are shown of: test variants or, where there is but one, datasets."""
    by_dataset = frame.dataset.nunique() > 1 == frame.variant.nunique()
    return dict(list(frame.groupby('dataset' if by_dataset else 'variant', sort=False)))


def gain_table(frame: pd.DataFrame, scalar: str = 'beta') -> Table:
    """The figures of :func:`gains`; for beta, of the paper's Fig. 5."""
    variant, datasets = (', '.join(frame[name].unique()) for name in ('variant', 'dataset'))
    title = f'Accuracy above that of {scalar} 0 on {variant}, mean of {datasets}'
    table = gains(frame, scalar).rename(columns=f'{scalar} {{:g}}'.format)
    table = table.rename_axis(columns=None)
    return Table(title, table, signed=True)


def attention_table(results: List[Result]) -> Table:
    """Attention on the part that defines the class, by pooling."""
    rows = [
        dict(
            r,
            method=r['name'],
            **{title: r['attention'].get(name, nan) for name, title in POOLINGS.items()},
        )
        for r in results
    ]
    wide = pd.DataFrame(rows).set_index(['method', 'dataset', 'shots', 'seed'])
    title = f'Attention on the part that defines the class, in percent, {OVER_SEEDS}'
    return over_seeds(title, wide[list(POOLINGS.values())])


def setting_name(setting: dict) -> str:
    parts = [f'{name}={value:g}' for name, value in setting.items() if name != 'validation']
    return ' '.join(parts) or 'start'


def setting_table(results: List[Result]) -> Table:
    """Validation accuracy of each setting of a grid, and how many runs chose it.

    Runs that kept the model before training are counted as 'start'.
    """
    tried = pd.DataFrame(
        [
            dict(
                method=r['name'],
                shots=r['shots'],
                setting=setting_name(entry),
                validation=entry['validation'],
                chosen=setting_name(entry) == setting_name(r['setting']),
            )
            for r in results
            for entry in [*r['grid'], *([] if r['setting'] else [dict(validation=nan)])]
        ]
    )
    groups = tried.groupby(['method', 'setting', 'shots'], sort=False)
    validation = groups.validation.mean().unstack().sort_index(axis=1)
    chosen = groups.chosen.sum().unstack(fill_value=0).sort_index(axis=1)
    table = pd.concat(
        [validation.add_prefix('validation, shots '), chosen.add_prefix('chosen, shots ')], axis=1
    )
    return Table('Mean validation accuracy of each setting, and how many runs chose it', table)


COST_COLUMNS = {
    'average rank': 'average rank',
    'cells': 'cells',
    'accuracy': 'accuracy',
    'trained_parameters': 'trained parameters',
    'fitted_parameters': 'fitted parameters',
    'train_seconds': 'seconds to train',
    'image_ms': 'ms an image',
    'stored_bytes': 'stored bytes',
}


def cost_table(data: pd.DataFrame) -> Table:
    """Average rank, accuracy, sizes and times by method and shots.

    Args:
        data (DataFrame): See :func:`results.source`. Zero-shot CLIP has a rank at all shots.
    """
    trained, zero = data[data.shots > 0], data[data.shots == 0]
    at = trained[['clip', 'dataset', 'shots']].drop_duplicates().rename(columns={'shots': 'at'})
    cells = pd.concat([trained.assign(at=trained.shots), zero.merge(at, 'left')])
    place = ['clip', 'dataset', 'at']
    cells = cells.groupby([*place, 'method', 'shots'], dropna=False).mean(numeric_only=True)
    cells['average rank'] = cells.groupby(level=place, dropna=False).accuracy.rank(ascending=False)
    groups = cells.groupby(level=['method', 'shots'])
    table = groups.mean().assign(cells=groups.size())
    table['image_ms'] = 1000 * table.image_seconds
    table[SIZES] = table[SIZES].round().astype('Int64')
    table = table[list(COST_COLUMNS)].rename(columns=COST_COLUMNS)
    formats = {'ms an image': '{:.2f}'.format, 'stored bytes': size_text}
    title = 'Average rank over cells (CLIP, dataset and shots), and mean accuracy and costs'
    return Table(title, in_order(table), formats=formats)


def size_text(size: float) -> str:
    """Bytes by powers of 1000, such as 33.4 kB."""
    for unit in ('B', 'kB', 'MB'):
        if size < 999.5:
            return f'{size:.3g} {unit}'
        size /= 1000
    return f'{size:.3g} GB'
