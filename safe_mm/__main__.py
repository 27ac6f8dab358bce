"""Runs a tool from anywhere: safe-mm train CONFIG ..., or python -m safe_mm."""

import runpy
import sys
from pathlib import Path


def main() -> None:
    folder = Path(__file__).parent / '.mim' / 'tools'
    tools = sorted(path.stem for path in folder.glob('*.py'))
    if len(sys.argv) < 2 or sys.argv[1] not in tools:
        sys.exit(f'usage: safe-mm {{{",".join(tools)}}} ...')
    name = sys.argv.pop(1)
    runpy.run_path(str(folder / f'{name}.py'), run_name='__main__')


if __name__ == '__main__':
    main()
