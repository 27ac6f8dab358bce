"""Tables and plots of results: python tools/report.py work_dirs/sweep"""

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING, List

from safe_mm.errors import InputError, exit_on_input_error

if TYPE_CHECKING:
    import pandas as pd

    from safe_mm.report.table import Table


def parse_args() -> Namespace:
    parser = ArgumentParser(description='Make tables and plots of results')
    parser.add_argument(
        'paths',
        type=Path,
        nargs='+',
        metavar='PATH',
        help='folder with result.json files, or a .jsonl file with a result a line',
    )
    parser.add_argument(
        '--beta', type=float, default=0.5, help="of SAFE's figures. Defaults to 0.5"
    )
    parser.add_argument(
        '--out',
        type=Path,
        metavar='DIR',
        help='folder for tables and plots. Defaults to report, beside the first PATH',
    )
    parser.add_argument(
        '--collect', type=Path, metavar='FILE.jsonl', help='write all results to this file'
    )
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    from safe_mm.report import results as res

    found, failed = res.read_results(args.paths)
    for path in failed:
        lines = path.read_text('utf-8').strip().splitlines() or ['']
        print(f'failed: {path.parent}: {lines[-1]}')
    if not found:
        raise InputError(
            f'{args.paths[0]}: all runs failed. Correct the '
            'errors above, and run tools/sweep.py again.'
        )
    if args.collect:
        res.collect(found, args.collect)
    found = res.prepare(found)
    frame = res.to_frame(found)
    data = res.accuracies(frame, res.blend_of(frame, args.beta))
    folder = args.out or args.paths[0].resolve().parent / 'report'
    folder.mkdir(parents=True, exist_ok=True)
    parts = []
    for clip in dict.fromkeys(frame['clip']):
        parts.append(f'## {clip}')
        parts += report_accuracy(data[data['clip'] == clip], clip, folder)
        parts += report_blends(frame[frame['clip'] == clip], clip, folder)
        parts += report_choices([r for r in found if r['clip'] == clip], clip, folder)
    parts += report_costs(data, folder)
    text = '\n\n'.join(parts) + '\n'
    (folder / 'report.md').write_text(text, encoding='utf-8')
    print(text)
    print(f'Tables (.md, .csv, .tex) and plots: {folder}')


def file_name(*parts: str) -> str:
    """A name of a file without spaces and the like."""
    name = '_'.join(parts).replace(' + ', '_').replace(', ', '_')
    return ''.join('_' if c in ' :/()' else c for c in name).strip('_')


def report_accuracy(data: 'pd.DataFrame', clip: str, folder: Path) -> List[str]:
    """Tables I and III and Fig. 2 of one CLIP."""
    from safe_mm.report import paper, tables
    from safe_mm.report.results import source

    parts, first = [], source(data)
    present = set(first.dataset)
    others = {name: name for name in sorted(present - set(paper.DATASETS))}
    if present & set(paper.DATASETS):
        published = paper.read_table('I', clip)
        table = tables.accuracy_table(first, paper.DATASETS, published)
        parts.append(table.write(folder / file_name('accuracy', clip)))
        parts += prompts_note(table)
        plot(first, paper.DATASETS, clip, folder)
    if others:
        table = tables.accuracy_table(first, others)
        parts.append(table.write(folder / file_name('accuracy', clip, 'other')))
        plot(first, others, clip, folder, 'other')
    variants = data.groupby('dataset').variant.agg(lambda own: tuple(own.unique()))
    for names in dict.fromkeys(variants[variants.str.len() > 1]):
        own = data[data.dataset.isin(variants.index[variants == names])]
        table = tables.variant_table(own, names, paper.read_table('III', clip))
        parts.append(table.write(folder / file_name('variants', clip, names[0])))
        parts += prompts_note(table)
    return parts


def prompts_note(table: 'Table') -> List[str]:
    """What the paper's zero-shot row is of, where a table has the difference on ImageNet."""
    from safe_mm.report.paper import PROMPTS

    of_zero_shot = [
        name.startswith('zero-shot CLIP') and name.endswith(', difference')
        for name, _ in table.mean.index
    ]
    on_imagenet = table.mean[of_zero_shot].iloc[:, 0]  # the first column
    return [PROMPTS] if on_imagenet.notna().any() else []


def plot(first: 'pd.DataFrame', columns: dict, clip: str, folder: Path, *more: str) -> None:
    """Accuracy against shots, where anything was trained."""
    from safe_mm.plots import plot_accuracy
    from safe_mm.report.tables import accuracy_table

    table = accuracy_table(first, columns)
    shots = sorted({k for _, k in table.mean.index} - {0})
    if not shots:
        return
    curves, errors = {}, {}
    for name in ['average', *columns.values()]:
        if table.mean[name].notna().any():
            curves[name], errors[name] = (
                {
                    method: [
                        part[name].get((method, k), part[name].get((method, 0), float('nan')))
                        for k in shots
                    ]
                    for method in table.mean.index.unique(0)
                }
                for part in (table.mean, table.std)
            )
    plot_accuracy(
        curves, shots, clip, folder / f'{file_name("accuracy", clip, *more)}.png', errors=errors
    )


def report_blends(frame: 'pd.DataFrame', clip: str, folder: Path) -> List[str]:
    """What blending adds; SAFE-A's blends are SAFE's."""
    from safe_mm.plots import plot_gain
    from safe_mm.report import tables

    parts = []
    blends = frame[frame.figure.str.startswith('beta=')]
    names = list(blends[blends.figure == 'beta=0'].name.unique())
    safe = any(name.split(' (')[0] == 'SAFE' for name in names)
    for name in names:
        if safe and name.split(' (')[0] == 'SAFE-A':
            continue
        own, panels = blends[blends.name == name], {}
        parts.append(f'### Blending, {name}')
        for variant in own.variant.unique():
            part = own[own.variant == variant]
            parts.append(
                tables.blend_table(part, variant).write(
                    folder / file_name('beta', name, clip, variant)
                )
            )
            panels[variant] = {
                f'{k} shot{"s" * (k > 1)}': row.dropna().to_dict()
                for k, row in tables.gains(part, variant).iterrows()
            }
        plot_gain(panels, folder / f'{file_name("beta", name, clip)}.png')
    return parts


def report_choices(found: List[dict], clip: str, folder: Path) -> List[str]:
    """Attention, and the grid's settings."""
    from safe_mm.report import tables

    parts = []
    seen = [r for r in found if r['attention']]
    if seen:
        parts += [
            '### Attention',
            tables.attention_table(seen).write(folder / file_name('attention', clip)),
        ]
    grids = [r for r in found if r.get('grid')]
    if grids:
        parts += [
            '### Settings',
            tables.setting_table(grids).write(folder / file_name('settings', clip)),
        ]
    return parts


def report_costs(data: 'pd.DataFrame', folder: Path) -> List[str]:
    """Of all CLIPs."""
    from safe_mm.report import tables
    from safe_mm.report.results import source

    return ['## Costs', tables.cost_table(source(data)).write(folder / 'costs')]


if __name__ == '__main__':
    with exit_on_input_error():
        main()
