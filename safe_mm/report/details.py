"""What blending adds, where attention falls, and which settings won."""
from statistics import mean
from typing import Dict, List

from ..sweep.records import DEPLOYED
from .runs import ZERO_SHOT
from .table import Figure, Row, Table, figure_of


def select(records: List[dict], **values) -> List[dict]:
    """Records whose keys have these values."""
    return [r for r in records
            if all(r['key'][name] == v for name, v in values.items())]


def distinct(records: List[dict], name: str) -> list:
    """Values of a key, in order."""
    return sorted({r['key'][name] for r in records})


def blends(records: List[dict]) -> List[dict]:
    """Records with accuracy by beta, one for each pooling layer.

    SAFE and SAFE-A have the same.
    """
    found = {}
    for record in records:
        if betas_of(record):
            key = record['key']
            name = [key[part] for part in ('clip', 'task', 'shots', 'seed')]
            found[tuple(name)] = record
    return list(found.values())


def betas_of(record: dict) -> List[str]:
    """Values of beta that were tested."""
    return [part for part in next(iter(record['test'].values()))
            if part not in (DEPLOYED, ZERO_SHOT)]


def gains(records: List[dict], variant: str) -> Dict[str, float]:
    """Beta -> accuracy above that at beta 0, mean of records."""
    return {
        beta: mean(r['test'][variant][beta] - r['test'][variant]['0.0']
                   for r in records)
        for beta in betas_of(records[0])
    }


def beta_table(records: List[dict], variant: str) -> Table:
    """The paper's Fig. 5 in figures, mean of tasks and seeds."""
    rows = [
        Row([str(k)], [
            Figure(gain, signed=True)
            for gain in gains(select(records, shots=k), variant).values()
        ]) for k in distinct(records, 'shots')
    ]
    return Table(f'Accuracy above that of beta 0, test variant {variant}',
                 ['shots'], [f'beta {b}' for b in betas_of(records[0])], rows)


def attention_table(records: List[dict]) -> Table:
    """Share of attention on the part that tells the class, by pooling."""
    shots = distinct(records, 'shots')
    rows = []
    for task in distinct(records, 'task'):
        own = select(records, task=task)
        rows.append(Row([task], [Figure(own[0]['attention']['original'])] + [
            figure_of(r['attention'][pooling]
                      for r in select(own, shots=k))
            for pooling in ('finetuned', 'blend') for k in shots]))
    return Table(
        'Attention on the part that tells the class, in percent', ['task'],
        ['AttnPool_O', *(f'{pooling}, {k} shots' for pooling in
                         ('AttnPool_F', 'blend') for k in shots)], rows)


def setting_name(setting: dict) -> str:
    return ' '.join(f'{name}={value:g}' for name, value in setting.items()
                    if name != 'validation')


def setting_table(records: List[dict]) -> Table:
    """Validation accuracy of each setting of a grid, and how often it won."""
    names = [setting_name(s) for s in records[0]['grid']]
    rows = []
    for number, name in enumerate(names):
        figures: list = []
        for k in distinct(records, 'shots'):
            own = select(records, shots=k)
            won = [setting_name(r['setting']) == name for r in own]
            figures += [
                Figure(mean(r['grid'][number]['validation'] for r in own)),
                Figure(sum(won))
            ]
        rows.append(Row([name], figures))
    heads = [f'{k} shots{what}' for k in distinct(records, 'shots')
             for what in ('', ', won')]
    return Table('Few-shot validation accuracy of each setting, mean of all '
                 'runs, and how many runs chose it', ['setting'], heads, rows)
