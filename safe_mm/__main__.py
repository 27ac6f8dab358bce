"""Runs a tool from anywhere: safe-mm train CONFIG ..., or python -m safe_mm."""

import runpy
import sys
from argparse import ArgumentParser
from pathlib import Path


def main() -> None:
    folder = Path(__file__).parent / '.mim' / 'tools'
    tools = sorted(path.stem for path in folder.glob('*.py'))
    parser = ArgumentParser('safe-mm', description='Run a tool; its own options follow its name')
    parser.add_argument('tool', choices=tools)
    name = parser.parse_args(sys.argv[1:2]).tool
    del sys.argv[1]
    runpy.run_path(str(folder / f'{name}.py'), run_name='__main__')


if __name__ == '__main__':
    main()
