"""Tables and pictures of sweeps:
python tools/report.py work_dirs/sweep/records.jsonl
"""
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import List

from safe_mm.errors import InputError, exit_on_input_error
from safe_mm.plots import plot_accuracy, plot_gain
from safe_mm.report import details, paper
from safe_mm.report.runs import Runs, all_runs, distinct, where
from safe_mm.report.table import Table
from safe_mm.report.tables import (
    accuracy_table,
    columns_of,
    curves,
    variant_table,
)
from safe_mm.sweep.records import read_records


def parse_args() -> Namespace:
    parser = ArgumentParser(description='Make tables of records')
    parser.add_argument('records', type=Path, nargs='+',
                        help='files of sweeps')
    parser.add_argument('--beta', type=float, default=0.5,
                        help='of SAFE. Defaults to 0.5')
    parser.add_argument('--out', type=Path,
                        help='folder for tables and pictures. Defaults to '
                        'report, beside the records')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    records = read_all(args.records)
    check_beta(records, args.beta)
    folder = args.out or args.records[0].parent / 'report'
    folder.mkdir(parents=True, exist_ok=True)
    runs, parts = all_runs(records, str(args.beta)), []
    for clip in distinct(runs, 'clip'):
        parts.append(f'## {clip}')
        parts += report_clip(where(runs, clip=clip), clip, folder)
    for name, own in details.blends(records).items():
        parts += report_details(name, own, folder)
    text = '\n\n'.join(parts) + '\n'
    (folder / 'report.md').write_text(text, encoding='utf-8')
    print(text)
    print(f'Tables (.md, .csv, .tex) and pictures: {folder}')


def read_all(paths: List[Path]) -> List[dict]:
    """Records of all files; failures are counted aloud.

    Raises:
        InputError: A file has no records.
    """
    records = []
    for path in paths:
        found = read_records(path, warn=True)
        if not found:
            raise InputError(f'{path} has no records.')
        records += found
    done = [record for record in records if 'error' not in record]
    missing = {str(r['key']) for r in records} - {str(r['key']) for r in done}
    for key in sorted(missing):
        print(f'failed, and not run since: {key}')
    if not done:
        raise InputError(f'{", ".join(map(str, paths))}: all tasks failed.')
    return done


def check_beta(records: List[dict], beta: float) -> None:
    """Raises an InputError where a blend was not tested with ``beta``."""
    for record in records:
        betas = details.betas_of(record)
        if betas and str(beta) not in betas:
            raise InputError(f'--beta {beta}: the records have '
                             f'{", ".join(betas)}.')


def report_clip(runs: Runs, clip: str, folder: Path) -> List[str]:
    """Tables I and III and Fig. 2 of one CLIP."""
    published, parts = paper.backbone_of(clip), []
    name = clip.replace(' ', '_')
    for number, columns in enumerate(columns_of(runs)):
        title = f'accuracy_{name}' + ('_other' if number else '')
        table = accuracy_table(runs, columns, published)
        parts.append(write(table, folder / title))
        shots = sorted({run.shots for run in runs if run.shots})
        if shots:
            plot_accuracy(curves(runs, columns, shots), shots, clip,
                          folder / f'{title}.png')
    for variants in dict.fromkeys(tuple(by) for by in runs.values()):
        if len(variants) > 1:
            own = {r: by for r, by in runs.items() if tuple(by) == variants}
            table = variant_table(own, variants, published)
            parts.append(write(table,
                               folder / f'variants_{name}_{variants[0]}'))
    return parts


def report_details(name: str, records: List[dict],
                   folder: Path) -> List[str]:
    """Blending (Fig. 5), attention, and the grid's settings."""
    parts, file = [], name.replace(' ', '_')
    for variants in dict.fromkeys(tuple(r['test']) for r in records):
        own = [r for r in records if tuple(r['test']) == variants]
        tasks = ', '.join(details.distinct(own, 'task'))
        parts.append(f'## Blending, {name}, mean of {tasks}')
        parts += [write(details.beta_table(own, variant),
                        folder / f'beta_{file}_{variant}')
                  for variant in variants]
        plot_gain(
            {variant: details.gains_by_shots(own, variant)
             for variant in variants},
            folder / f'beta_{file}_{variants[0]}.png')
    seen = [r for r in records if r['attention']]
    if seen:
        parts += [f'## Attention, {name}', write(
            details.attention_table(seen), folder / f'attention_{file}')]
    grids = [r for r in records if r['grid']]
    if grids:
        parts += [f'## Settings, {name}', write(
            details.setting_table(grids), folder / f'settings_{file}')]
    return parts


def write(table: Table, path: Path) -> str:
    """Writes a table as CSV and LaTeX; returns it as Markdown."""
    path.with_name(f'{path.name}.csv').write_text(table.csv(), 'utf-8')
    path.with_name(f'{path.name}.tex').write_text(table.latex(), 'utf-8')
    return table.markdown()


if __name__ == '__main__':
    with exit_on_input_error():
        main()
