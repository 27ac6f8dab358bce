"""What blending adds, where attention falls, and which settings won."""
from collections import Counter
from statistics import mean
from typing import Dict, List

from ..sweep.records import DEPLOYED
from .runs import ZERO_SHOT, recipe_of
from .table import Figure, Row, Table, figure_of


def select(records: List[dict], **values) -> List[dict]:
    """Records whose keys have these values."""
    return [r for r in records
            if all(r['key'][name] == v for name, v in values.items())]


def distinct(records: List[dict], name: str) -> list:
    """Values of a key, in order."""
    return sorted({r['key'][name] for r in records})


def blends(records: List[dict]) -> Dict[str, List[dict]]:
    """Records with accuracy by beta, by the name of what was run.

    SAFE-A has SAFE's figures by beta, and is left out where SAFE has its own.
    """
    groups: Dict[tuple, Dict[tuple, dict]] = {}
    for record in filter(betas_of, records):
        key = record['key']
        group = groups.setdefault(
            (key['config'], key['clip'], recipe_of(key)), {})
        group[key['task'], key['shots'], key['seed']] = record
    safe = {clip for config, clip, _ in groups if config.startswith('safe_')}
    names = Counter(name[:2] for name in groups)
    return {
        ' '.join(name if names[name[:2]] > 1 else name[:2]):
        list(group.values())
        for name, group in groups.items()
        if name[1] not in safe or not name[0].startswith('safe-a_')
    }


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


def gains_by_shots(records: List[dict],
                   variant: str) -> Dict[str, Dict[str, float]]:
    """Fig. 5: a curve of :func:`gains` for each number of shots."""
    return {
        f'{k} shots': gains(select(records, shots=k), variant)
        for k in distinct(records, 'shots')
    }


def beta_table(records: List[dict], variant: str) -> Table:
    """The paper's Fig. 5 in figures, mean of tasks and seeds."""
    rows = [Row([shots], [Figure(gain, signed=True)
                          for gain in curve.values()])
            for shots, curve in gains_by_shots(records, variant).items()]
    return Table(f'Accuracy above that of beta 0, test variant {variant}',
                 ['shots'], [f'beta {b}' for b in betas_of(records[0])], rows)


def attention_table(records: List[dict]) -> Table:
    """Share of attention on the part that tells the class, by pooling."""
    shots = distinct(records, 'shots')
    rows = []
    for task in distinct(records, 'task'):
        own = select(records, task=task)
        original = own[0]['attention']['original']  # the same in all
        rows.append(Row([task, f'{original:.1f}'], [
            figure_of(r['attention'][pooling]
                      for r in select(own, shots=k))
            for pooling in ('finetuned', 'blend') for k in shots]))
    return Table(
        'Attention on the part that tells the class, in percent',
        ['task', 'AttnPool_O'],
        [f'{pooling}, {k} shots' for pooling in ('AttnPool_F', 'blend')
         for k in shots], rows)


def setting_name(setting: dict) -> str:
    return ' '.join(f'{name}={value:g}' for name, value in setting.items()
                    if name != 'validation')


def setting_table(records: List[dict]) -> Table:
    """Validation accuracy of each setting of a grid, and how often it won."""
    names = dict.fromkeys(setting_name(s) for r in records for s in r['grid'])
    groups = {k: select(records, shots=k) for k in distinct(records, 'shots')}
    rows = []
    for name in names:
        wins = [str(sum(setting_name(r['setting']) == name for r in own))
                for own in groups.values()]
        tried = [[s['validation'] for r in own for s in r['grid']
                  if setting_name(s) == name] for own in groups.values()]
        rows.append(Row([name, *wins],
                        [Figure(mean(t)) if t else None for t in tried]))
    return Table(
        'Few-shot validation accuracy of each setting, mean of all runs, and '
        'how many runs chose it',
        ['setting', *(f'chosen at {k} shots' for k in groups)],
        [f'{k} shots' for k in groups], rows)
