"""Downloads a data set as far as possible, and checks that all is there:
python tools/prepare_dataset.py NAME --data-root FOLDER [--check]
"""

import shutil
import sys
from argparse import ArgumentParser
from importlib import import_module
from pathlib import Path
from typing import List

import torchvision

from safe_mm.datasets.catalog import CATALOG, DataSet, Need
from safe_mm.datasets.check import Report, check_data
from safe_mm.errors import InputError, exit_on_input_error


def main() -> None:
    parser = ArgumentParser(description='Download and check a data set')
    parser.add_argument('name', choices=CATALOG, help='of the data set')
    parser.add_argument('--data-root', type=Path, required=True, help='folder of the datasets')
    parser.add_argument('--check', action='store_true', help='check only, download nothing')
    args = parser.parse_args()
    if not args.check:
        fetch(args.name, args.data_root)
    report = check_data(args.name, args.data_root)
    print(summary(args.name, report))
    if not report.all_right():
        sys.exit(1)


def fetch(name: str, root: Path) -> None:
    """Says what a data set needs, and downloads what torchvision can.

    Raises:
        InputError: A download failed, or something is left to do by hand.
    """
    data = CATALOG[name]
    missing = lacking(data, root)
    print(f'{name} needs, below {root}:')
    for need in data.needs:
        there = 'present' if (root / need.path).exists() else 'not there, optional'
        state = 'missing' if need in missing else there
        print(f'  {state}  {need.path}\n           from {need.source}')
    if any(need.made for need in missing):
        download(data, [need for need in missing if need.made], root)
        missing = lacking(data, root)
    if missing:
        raise InputError(
            f'{name} lacks {", ".join(need.path for need in missing)} below '
            f'{root}. Fetch by hand what is listed above as missing, and run '
            'this again.'
        )


def lacking(data: DataSet, root: Path) -> List[Need]:
    return [need for need in data.needs if not need.optional and not (root / need.path).exists()]


def download(data: DataSet, needs: List[Need], root: Path) -> None:
    """Downloads by torchvision's class and moves what is needed into place.

    Raises:
        InputError: It failed; says what to do by hand.
    """
    home = (root / needs[0].path).parent
    folder = home / '.download'  # on one disk with where the files go
    unfinished = folder / data.unfinished
    try:
        if data.requires:
            import_module(data.requires)  # the class does so at its end only
        if unfinished.exists():
            shutil.rmtree(unfinished)
        getattr(torchvision.datasets, data.torchvision)(str(folder), download=True)
        for need in needs:
            (folder / need.made).rename(root / need.path)
        shutil.rmtree(folder)
    except Exception as error:  # torchvision has no one type for all
        names = ', '.join(Path(need.path).name for need in needs)
        raise InputError(
            f"torchvision's {data.torchvision} could not be downloaded "
            f'({type(error).__name__}: {error}). Mend that and run this '
            f'again, or unpack {needs[0].source} by hand and move its {names} '
            f'to {home}.'
        ) from None


def summary(name: str, report: Report) -> str:
    """One line if all is right, else every number and the first faults."""
    if report.all_right():
        counts = ', '.join(f'{here:,} {what}' for what, (here, _) in report.counts.items())
        return f'{name}: all right, {counts}'
    lines = [f'{name}: not as published']
    for what, (here, published) in report.counts.items():
        verdict = '' if here == published else '  WRONG'
        lines.append(f'  {what:10}{here:>10,} of {published:>9,}{verdict}')
    for kind, faults in report.faults.items():
        lines.append(f'  {kind:10}{faults.count:>10,}')
        lines += [f'    {text}' for text in faults.first]
        if faults.count > len(faults.first):
            lines.append(f'    and {faults.count - len(faults.first):,} more')
    return '\n'.join(lines)


if __name__ == '__main__':
    with exit_on_input_error():
        main()
