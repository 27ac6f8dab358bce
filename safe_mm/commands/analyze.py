"""tools/analyze.py: a picture and its numbers."""

import json
from argparse import Namespace
from pathlib import Path
from typing import Any

from ..errors import InputError, near_matches
from ..files import make_folder, write_text
from ..registry import ANALYSES
from ..report.results import read_results

SHOWN = 1500  # characters of a value on the console
# Options that not all analyses know, and their defaults
OWN = dict(point=None, layers=None, masks=None, class_name=None, limit=None)


def run(args: Namespace) -> None:
    """Runs an analysis by the options of tools/analyze.py."""
    import safe_mm.analyses  # noqa: F401, which registers them

    kind = ANALYSES.get(args.analysis)
    if kind is None:
        known = ', '.join(sorted(ANALYSES.module_dict))
        near = near_matches(args.analysis, ANALYSES.module_dict)
        raise InputError(
            f'there is no analysis {args.analysis!r}. Near matches: {near}. All of them: {known}.'
        )
    analysis = kind()
    for option, default in OWN.items():
        if getattr(args, option) != default and option not in analysis.options:
            name = option.replace('_name', '')
            raise InputError(f'--{name} has no effect on {args.analysis}.')
    folder = make_folder(args.out or Path('work_dirs', 'analyses', args.analysis), '--out')
    if analysis.of_records:
        places = [args.config, args.checkpoint, *args.photos]
        subject: Any = read_results([Path(place) for place in places if place])[0]
    else:
        from ..analyses.subject import Subject

        subject = Subject(args)
    args.limit = args.limit or analysis.images
    numbers = analysis.run(subject, args, folder)
    write_text(folder / f'{args.analysis}.json', json.dumps(numbers, indent=1) + '\n')
    short = {key: value for key, value in numbers.items() if len(json.dumps(value)) < SHOWN}
    print(json.dumps(short, indent=1))
    print(f'Pictures and {args.analysis}.json: {folder}')
