"""Tables and a picture of a sweep's records:
python tools/report.py work_dirs/sweep/records.jsonl
"""
from argparse import ArgumentParser
from pathlib import Path
from statistics import mean, stdev
from typing import Callable, Dict, Iterable, List, Sequence

from safe_mm.errors import InputError, exit_on_input_error
from safe_mm.plots import plot_gain
from safe_mm.records import DEPLOYED, read_records


def table(title: str, rows: Dict[str, Sequence[str]],
          head: Sequence[str]) -> str:
    """A Markdown table."""
    lines = [f'\n{title}\n', '| |' + ''.join(f' {h} |' for h in head),
             '|---|' + '---|' * len(head)]
    lines += [f'| {name} |' + ''.join(f' {cell} |' for cell in cells)
              for name, cells in rows.items()]
    return '\n'.join(lines)


def select(records: Iterable[dict], **values) -> List[dict]:
    """Records whose keys have these values."""
    return [r for r in records
            if all(r['key'][name] == v for name, v in values.items())]


def distinct(records: List[dict], name: str) -> list:
    """Values of a key, in the order of the records."""
    return list(dict.fromkeys(r['key'][name] for r in records))


def cell(records: list, value: Callable) -> str:
    """Mean and standard deviation over seeds; empty if there are none."""
    values = [value(r) for r in records]
    if len(values) < 2:
        return f'{values[0]:.1f}' if values else ''
    return f'{mean(values):.1f} ± {stdev(values):.1f}'


def accuracy(record: dict, variant: str, beta: str) -> float:
    """Of a record on a test variant; a cache has a beta of its own."""
    found = record['test'][variant]
    return found[DEPLOYED] if DEPLOYED in found else found[beta]


def method_table(records: List[dict], variant: str, beta: str) -> str:
    """Each config and zero-shot against shots, mean of tasks, over seeds."""
    shots, rows = sorted(distinct(records, 'shots')), {}

    def row(own: List[dict], value: Callable[[dict], float]) -> List[str]:
        return [cell(by_seed(select(own, shots=k), value), mean)
                for k in shots]

    for config in distinct(records, 'config'):
        own = select(records, config=config)
        if 'zero-shot' in own[0]['test'][variant]:
            rows['zero-shot'] = row(
                own, lambda r: r['test'][variant]['zero-shot'])
        name = f'{config}, {len(distinct(own, "task"))} tasks'
        rows[name] = row(own, lambda r: accuracy(r, variant, beta))
    return table(
        f'Accuracy on the test variant {variant!r}, mean of tasks, in percent',
        rows, [f'{k} shots' for k in shots])


def by_seed(records: List[dict],
            value: Callable[[dict], float]) -> List[List[float]]:
    """Values of all tasks, a list for each seed."""
    return [[value(r) for r in select(records, seed=seed)]
            for seed in sorted(distinct(records, 'seed'))]


def accuracy_table(records: List[dict], variant: str, beta: str) -> str:
    """Test accuracy of each task against shots, beside zero-shot."""
    shots, rows = sorted(distinct(records, 'shots')), {}
    for task in distinct(records, 'task'):
        own = select(records, task=task)
        zero_shot = own[0]['test'][variant].get('zero-shot')
        rows[task] = [f'{zero_shot:.1f}' if zero_shot else ''] + [
            cell(select(own, shots=k), lambda r: accuracy(r, variant, beta))
            for k in shots
        ]
    return table(
        f'Accuracy on the test variant {variant!r}, beta {beta}, in percent',
        rows, ['zero-shot', *(f'{k} shots' for k in shots)])


def gains(records: List[dict], variant: str) -> Dict[str, float]:
    """Beta -> accuracy above that at beta 0, mean of records."""
    betas = [b for b in records[0]['test'][variant] if b != 'zero-shot']
    return {
        beta: mean(r['test'][variant][beta] - r['test'][variant]['0.0']
                   for r in records)
        for beta in betas
    }


def beta_table(records: List[dict], variant: str) -> str:
    """What blending adds, as the paper's Fig. 5, mean of tasks and seeds."""
    rows = {}
    for k in sorted(distinct(records, 'shots')):
        found = gains(select(records, shots=k), variant)
        rows[f'{k} shots'] = [f'{gain:+.1f}' for gain in found.values()]
    return table(
        f'Accuracy above that of beta 0, variant {variant!r}, mean of tasks',
        rows, [f'beta {beta}' for beta in found])


def attention_table(records: List[dict]) -> str:
    """Share of attention on the part that tells the class."""
    shots, rows = sorted(distinct(records, 'shots')), {}
    for task in distinct(records, 'task'):
        own = select(records, task=task)
        rows[task] = [f'{own[0]["attention"]["original"]:.1f}'] + [
            ' / '.join(f'{mean(r["attention"][p] for r in found):.1f}'
                       for p in ('finetuned', 'blend'))
            if found else '' for found in (select(own, shots=k)
                                           for k in shots)
        ]
    return table(
        'Attention on the part that tells the class, in percent: AttnPool_O, '
        'then AttnPool_F / blend', rows,
        ['AttnPool_O', *(f'{k} shots' for k in shots)])


def setting_name(setting: dict) -> str:
    return ' '.join(f'{name}={value:g}' for name, value in setting.items()
                    if name != 'validation')


def setting_table(records: List[dict]) -> str:
    """Validation accuracy of each setting, by which to choose one for all."""
    names = [setting_name(s) for s in records[0]['grid']]
    rows, overall = {}, []
    for k in sorted(distinct(records, 'shots')):
        found = select(records, shots=k)
        means = [mean(r['grid'][i]['validation'] for r in found)
                 for i in range(len(names))]
        chosen = [setting_name(r['setting']) for r in found]
        rows[f'{k} shots'] = [
            f'{m:.1f} ({chosen.count(name)})' for m, name in zip(means, names)
        ]
        overall.append(means)
    rows['mean of shots'] = [f'{mean(m):.1f}' for m in zip(*overall)]
    return table(
        'Few-shot validation accuracy, mean of all records (in brackets: '
        'how many runs chose the setting by their own validation)', rows,
        names)


def main() -> None:
    parser = ArgumentParser(description='Make tables of records')
    parser.add_argument('records', type=Path, nargs='+',
                        help='files of sweeps')
    parser.add_argument('--beta', type=float, default=0.5)
    args = parser.parse_args()
    records = []
    for path in args.records:
        found = read_records(path)
        if not found:
            raise InputError(f'{path} has no records.')
        records += found
    by_beta = [r for r in records
               if DEPLOYED not in next(iter(r['test'].values()))]
    betas = next(iter(by_beta[0]['test'].values())) if by_beta else []
    if by_beta and str(args.beta) not in betas:
        raise InputError(f'--beta {args.beta}: the records have '
                         f'{", ".join(betas)}.')
    for clip in distinct(records, 'clip'):
        own = select(records, clip=clip)
        if len(distinct(own, 'config')) > 1:
            print(f'\n## Methods, {clip}')
            for variant in own[0]['test']:
                print(method_table(own, variant, str(args.beta)))
    for config, clip in dict.fromkeys(
            (r['key']['config'], r['key']['clip']) for r in records):
        own = select(records, config=config, clip=clip)
        print(f'\n## {config}, {clip}')
        for variant in own[0]['test']:
            print(accuracy_table(own, variant, str(args.beta)))
        if DEPLOYED not in next(iter(own[0]['test'].values())):
            for variant in own[0]['test']:
                print(beta_table(own, variant))
        if own[0]['attention']:
            print(attention_table(own))
    if all(r['grid'] for r in records):
        print('\n## Settings\n' + setting_table(records))
    if by_beta:
        plot_beta(by_beta, args.records[0].with_name('beta.png'))


def plot_beta(records: List[dict], path: Path) -> None:
    """Draws what blending adds, mean of all records."""
    curves = {
        variant: {f'{k} shots': gains(select(records, shots=k), variant)
                  for k in sorted(distinct(records, 'shots'))}
        for variant in records[0]['test']
    }
    plot_gain(curves, path)
    print(f'\nPicture: {path}')


if __name__ == '__main__':
    with exit_on_input_error():
        main()
