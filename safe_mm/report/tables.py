"""Tables of accuracy, blending, attention, settings and costs."""

from typing import Dict, List, Optional, Sequence, Tuple

import pandas as pd

from . import paper
from .results import NAMES, Result
from .table import Table

PLAIN = r' \([0-9a-f]{1,8}\)$'  # the hash in a name
CAPTION = 'Accuracy in percent, mean ± standard deviation over seeds'
POOLINGS = dict(attn_pool_o='AttnPool_O', attn_pool_f='AttnPool_F', combined='combined')


def in_order(frame: pd.DataFrame) -> pd.DataFrame:
    """Rows by method, in the order of ``NAMES``, then by other labels."""
    names = list(NAMES.values())

    def rank(name: str) -> Tuple[int, str]:
        plain = pd.Series([name]).str.replace(PLAIN, '', regex=True)[0]
        return (names.index(plain) if plain in names else len(names)), name

    labels = sorted(frame.index, key=lambda label: (rank(label[0]), label[1:]))
    return frame.loc[labels]


def over_seeds(title: str, wide: pd.DataFrame) -> Table:
    """Mean, deviation and number of seeds, the last level of the index."""
    labels = list(wide.index.names[:-1])
    groups = wide.groupby(level=labels)
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
    wide = wide_table(data[data.dataset.isin(list(columns))], 'dataset')
    wide = wide.reindex(columns=list(columns))
    wide['average'] = wide.mean(axis=1, skipna=False)
    table = with_paper(over_seeds(CAPTION, wide), published)
    return table._replace(
        **{part: getattr(table, part).rename(columns=columns) for part in ('mean', 'std', 'count')}
    )


def wide_table(data: pd.DataFrame, columns: str) -> pd.DataFrame:
    """Accuracy by method, shots and seed against something else."""
    wide = data.pivot_table('accuracy', ['name', 'shots', 'seed'], columns)
    return wide.rename_axis(['method', 'shots', 'seed'])


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
    wide = data.pivot_table('accuracy', ['name', 'shots', 'seed'], ['variant', 'dataset'])
    wide = pd.DataFrame(
        {
            variant: wide[variant].reindex(columns=datasets).mean(axis=1, skipna=False)
            for variant in variants
        }
    )
    wide[paper.SHIFTS] = wide[list(variants[1:])].mean(axis=1, skipna=False)
    wide = wide.rename_axis(['method', 'shots', 'seed'])
    return with_paper(
        over_seeds(
            f'Accuracy in percent by test variant, mean of {", ".join(datasets)}, '
            'mean ± standard deviation over seeds',
            wide,
        ),
        published,
    )


def with_paper(table: Table, published: Optional[pd.DataFrame]) -> Table:
    """Below a row, the paper's and the difference, if there is one."""
    if published is None or not set(table.mean) <= set(published):
        return table
    own = table.mean
    plain = own.index.set_levels(
        own.index.levels[0].str.replace(PLAIN, '', regex=True), level=0, verify_integrity=False
    )
    known = published[list(own)].reindex(list(plain)).set_axis(own.index)
    known = known.dropna(how='all')
    parts = {'': own, ', paper': known, ', difference': own - known}
    mean = pd.concat(
        [part.rename(lambda name, what=what: name + what, level=0) for what, part in parts.items()]
    )
    order = [
        (name + what, shots)
        for name, shots in own.index
        for what in (parts if (name, shots) in known.index else [''])
    ]
    return table._replace(
        mean=mean.loc[order], std=table.std.reindex(order), count=table.count.reindex(order)
    )


def gains(frame: pd.DataFrame, variant: str) -> pd.DataFrame:
    """Accuracy above that of beta 0 by shots and beta, mean of runs."""
    own = frame[(frame.variant == variant) & frame.figure.str.startswith('beta=')]
    wide = own.assign(beta=own.figure.str[5:].astype(float)).pivot_table(
        'accuracy', ['shots', 'dataset', 'seed'], 'beta'
    )
    return wide.sub(wide[0.0], axis=0).groupby(level='shots').mean()


def blend_table(frame: pd.DataFrame, variant: str) -> Table:
    """The paper's Fig. 5 in figures."""
    table = gains(frame, variant)
    table.columns = [f'beta {beta:g}' for beta in table]
    return Table(
        f'Accuracy above that of beta 0, test variant {variant}, '
        f'mean of {", ".join(frame.dataset.unique())}',
        table,
        signed=True,
    )


def attention_table(results: List[Result]) -> Table:
    """Attention on the part that tells the class, by pooling."""
    labels = ['name', 'dataset', 'shots', 'seed']
    wide = pd.DataFrame(
        [
            {
                **{label: r[label] for label in labels},
                **{title: r['attention'][name] for name, title in POOLINGS.items()},
            }
            for r in results
        ]
    )
    wide = wide.set_index(labels).rename_axis(['method', *labels[1:]])
    return over_seeds(
        'Attention on the part that tells the class, in '
        'percent, mean ± standard deviation over seeds',
        wide,
    )


def setting_name(setting: dict) -> str:
    return ' '.join(f'{name}={value:g}' for name, value in setting.items() if name != 'validation')


def setting_table(results: List[Result]) -> Table:
    """Validation accuracy of each setting of a grid, and how often it won."""
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
            for entry in r['grid']
        ]
    )
    groups = tried.groupby(['method', 'setting', 'shots'], sort=False)
    validation = groups.validation.mean().unstack().sort_index(axis=1)
    chosen = groups.chosen.sum().unstack().sort_index(axis=1)
    table = pd.concat(
        [
            validation.add_prefix('validation, shots ').rename_axis(columns=None),
            chosen.fillna(0).astype(int).add_prefix('chosen, shots '),
        ],
        axis=1,
    )
    return Table('Mean validation accuracy of each setting, and how many runs chose it', table)


def cost_table(data: pd.DataFrame) -> Table:
    """Average rank, trained parameters and seconds by method and shots.

    Args:
        data (DataFrame): See :func:`results.source`. Zero-shot CLIP has a rank at all shots.
    """
    data = data.assign(method=data.name)
    place, zero = ['clip', 'dataset', 'at'], data.shots == 0
    at = data[~zero][['clip', 'dataset', 'shots']].drop_duplicates()
    cells = pd.concat(
        [
            data[~zero].assign(at=data.shots),
            data[zero].merge(at.rename(columns={'shots': 'at'}), 'left'),
        ]
    )
    cells = cells.groupby([*place, 'method', 'shots'], dropna=False).mean(numeric_only=True)
    cells['average rank'] = cells.groupby(level=place, dropna=False).accuracy.rank(ascending=False)
    groups = cells.groupby(level=['method', 'shots'])
    table = groups.mean()[['average rank', 'trained_parameters', 'train_seconds', 'test_seconds']]
    table['trained_parameters'] = table.trained_parameters.round().astype('Int64')
    table.insert(1, 'cells', groups.size())
    table.columns = [name.replace('_', ' ') for name in table]
    return Table(
        'Average rank over cells (CLIP, dataset and shots), and mean costs of a run',
        in_order(table),
    )
