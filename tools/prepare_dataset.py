"""Downloads a dataset as far as possible and checks that it is complete:
python tools/prepare_dataset.py NAME --data-root FOLDER [--check]
"""

import shutil
import sys
from argparse import ArgumentParser
from importlib import import_module
from pathlib import Path
from typing import List

import torchvision

from safe_mm.datasets.catalog import CATALOG, DatasetInfo, Need
from safe_mm.datasets.check import Counts, Faults, check_data
from safe_mm.errors import InputError, exit_cleanly

SHOWN = 10  # faults of a kind that are named


def main() -> None:
    parser = ArgumentParser(description='Download and check a dataset')
    parser.add_argument('name', choices=CATALOG, help='of the dataset')
    parser.add_argument('--data-root', type=Path, required=True, help='folder of the datasets')
    parser.add_argument('--check', action='store_true', help='check only, download nothing')
    args = parser.parse_args()
    if not args.check:
        fetch(args.name, args.data_root)
    counts, faults = check_data(args.name, args.data_root)
    if any(found != published for found, published in counts.values()) or any(faults.values()):
        print_faults(args.name, counts, faults)
        sys.exit(1)
    numbers = ', '.join(f'{found:,} {what}' for what, (found, _) in counts.items())
    print(f'{args.name}: complete, {numbers}')


def fetch(name: str, root: Path) -> None:
    """Lists what a dataset needs, and downloads what torchvision can.

    Raises:
        InputError: A download failed, or something has to be fetched by hand.
    """
    info = CATALOG[name]
    missing = find_missing(info, root)
    print(f'{name} needs, below {root}:')
    for need in info.needs:
        there = 'present' if (root / need.path).exists() else 'not there, optional'
        state = 'missing' if need in missing else there
        print(f'  {state}  {need.path}\n           from {need.source}')
    downloadable = [need for need in missing if need.made]
    if downloadable:
        download(info, downloadable, root)
        missing = find_missing(info, root)
    if missing:
        raise InputError(
            f'{name} lacks {", ".join(need.path for need in missing)} below {root}. Fetch by hand '
            'what is listed above as missing, and run this again.'
        )


def find_missing(info: DatasetInfo, root: Path) -> List[Need]:
    return [need for need in info.needs if not need.optional and not (root / need.path).exists()]


def download(info: DatasetInfo, needs: List[Need], root: Path) -> None:
    """Downloads with torchvision's class and moves what is needed into place.

    Raises:
        InputError: It failed; the message says what to do by hand.
    """
    home = (root / needs[0].path).parent
    folder = home / '.download'  # on the same disk as the destination
    unfinished = folder / info.unfinished
    try:
        if info.requires:
            import_module(info.requires)  # the class imports it only at its end
        if unfinished.exists():
            shutil.rmtree(unfinished)
        getattr(torchvision.datasets, info.torchvision)(str(folder), download=True)
        for need in needs:
            (folder / need.made).rename(root / need.path)
        shutil.rmtree(folder)
    except Exception as error:  # torchvision raises many types
        names = ', '.join(Path(need.path).name for need in needs)
        raise InputError(
            f"torchvision's {info.torchvision} could not be downloaded ({type(error).__name__}: "
            f'{error}). Correct that and run this again, or unpack {needs[0].source} by hand and '
            f'move its {names} to {home}.'
        ) from None


def print_faults(name: str, counts: Counts, faults: Faults) -> None:
    """Every number, and the first faults of each kind."""
    print(f'{name}: not as published')
    for what, (found, published) in counts.items():
        verdict = '' if found == published else '  WRONG'
        print(f'  {what:10}{found:>10,} of {published:>9,}{verdict}')
    for kind, texts in faults.items():
        print(f'  {kind:10}{len(texts):>10,}')
        for text in texts[:SHOWN]:
            print(f'    {text}')
        if len(texts) > SHOWN:
            print(f'    and {len(texts) - SHOWN:,} more')


if __name__ == '__main__':
    with exit_cleanly():
        main()
