"""Reads results of runs into a pandas DataFrame."""

import json
from pathlib import Path
from typing import Any, Dict, Iterable, List, Sequence, Tuple

import pandas as pd

from ..errors import InputError

RESULT, ERROR = 'result.json', 'error.txt'
KEY = ('method', 'clip', 'dataset', 'shots', 'seed', 'method_hash', 'data_hash')
NEEDED = (*KEY, 'test', 'attention', 'trained_parameters', 'seconds', 'made')
# By a config's name, or by its first part. Tables have this order.
NAMES = {
    'zero-shot': 'zero-shot CLIP',
    'linear-probe': 'linear probe',
    'clip-adapter': 'CLIP-Adapter',
    'tip-adapter': 'Tip-Adapter',
    'tip-adapter-f': 'Tip-Adapter-F',
    'gda': 'GDA',
    'fine-tune': 'fine-tuning',
    'safe': 'SAFE',
    'safe_gda': 'SAFE + GDA',
    'safe_linear-probe': 'SAFE + linear probe',
    'safe-a': 'SAFE-A',
    'safe-a-f': 'SAFE-A, trained keys',
}
Result = Dict[str, Any]


def display_name(method: str) -> str:
    """Of the name of a config file."""
    return NAMES.get(method) or NAMES.get(method.split('_')[0], method)


def read_results(paths: Iterable[Path]) -> Tuple[List[Result], List[Path]]:
    """Reads folders of runs and JSON lines files.

    Returns:
        tuple: The results, and ``error.txt`` of each failed run.

    Raises:
        InputError: A path does not exist, has no results or is malformed.
    """
    results, failed = [], []
    for path in paths:
        if path.is_dir():
            files = sorted(path.rglob(RESULT))
            errors = [
                file for file in sorted(path.rglob(ERROR)) if not file.with_name(RESULT).exists()
            ]
            found = [parse(file.read_text('utf-8'), str(file)) for file in files]
            failed += errors
        elif path.is_file():
            errors = []
            found = [
                parse(line, f'{path}, line {number}')
                for number, line in enumerate(path.read_text('utf-8', 'replace').splitlines(), 1)
                if line.strip()
            ]
        else:
            raise InputError(
                f'{path} does not exist. Give the work dir of a sweep, or a .jsonl file of results.'
            )
        if not found and not errors:
            raise InputError(
                f'{path} has no results. Run tools/sweep.py with it as --work-dir first.'
            )
        results += found
    return results, failed


def parse(text: str, place: str) -> Result:
    """A result from JSON; ``place`` is where it comes from."""
    try:
        result = json.loads(text)
    except ValueError as error:
        raise InputError(f'{place} is not JSON ({error}). Delete it, and run again.') from None
    missing = (
        [name for name in NEEDED if name not in result] if isinstance(result, dict) else NEEDED
    )
    if missing:
        raise InputError(
            f'{place} is not a result: it lacks {", ".join(missing)}. Run again with this version.'
        )
    return dict(result, place=place)


def collect(results: List[Result], path: Path) -> None:
    """Writes results as JSON lines, sorted and each once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    ordered = sorted(results, key=lambda r: ([r[name] for name in KEY], r['made']['date']))
    lines = dict.fromkeys(
        json.dumps({name: value for name, value in r.items() if name != 'place'}) for r in ordered
    )
    path.write_text(''.join(f'{line}\n' for line in lines), 'utf-8')


def prepare(results: List[Result]) -> List[Result]:
    """The latest result of each run, with the 'name' of its method.

    Where a method has several hashes on one CLIP and dataset, its names have the hash.

    Raises:
        InputError: Results of one sample are on different data.
    """
    latest = {}
    for r in sorted(results, key=lambda r: r['made']['date']):
        name = display_name(r['method'])
        key = (name, *(r[part] for part in KEY[1:]))
        latest.pop(key, None)  # the later one also comes later
        latest[key] = dict(r, name=name)
    check_data(latest.values())
    hashes: Dict[tuple, set] = {}
    for r in latest.values():
        hashes.setdefault((r['name'], r['clip'], source_dataset(r)), set()).add(r['method_hash'])
    several = {key[:2] for key, own in hashes.items() if len(own) > 1}
    return [
        dict(r, name=f'{r["name"]} ({r["method_hash"][:8]})')
        if (r['name'], r['clip']) in several
        else r
        for r in latest.values()
    ]


def source_dataset(result: Result) -> str:
    """The dataset that was trained on."""
    return result['dataset'].replace('imagenet_variants', 'imagenet')


def check_data(results: Iterable[Result]) -> None:
    """Raises an InputError where one sample has several data hashes."""
    seen: Dict[tuple, Result] = {}
    for r in results:
        sample = r['clip'], r['dataset'], r['shots'], r['seed']
        first = seen.setdefault(sample, r)
        if first['data_hash'] != r['data_hash']:
            raise InputError(
                f'{first["place"]} and {r["place"]} have different data '
                f'(data_hash) of {r["dataset"]}, {r["shots"]} shots, seed '
                f'{r["seed"]}. Delete one, or report them apart.'
            )


def to_frame(results: Sequence[Result]) -> pd.DataFrame:
    """One row for each result, test variant and figure."""
    return pd.DataFrame(
        [
            dict(
                {name: r[name] for name in (*KEY, 'name')},
                variant=variant,
                figure=figure,
                accuracy=accuracy,
                trained_parameters=r['trained_parameters'],
                train_seconds=r['seconds']['train'],
                test_seconds=r['seconds']['test'],
            )
            for r in results
            for variant, figures in r['test'].items()
            for figure, accuracy in figures.items()
        ]
    )


def blend_of(frame: pd.DataFrame, beta: float) -> str:
    """The figure of SAFE's blend.

    Raises:
        InputError: A method with blends lacks it.
    """
    blend = f'beta={beta:g}'
    figures = frame[frame.figure.str.startswith('beta=')]
    for name, own in figures.groupby('name').figure:
        if blend not in set(own):
            betas = ', '.join(f[5:] for f in own.unique())
            raise InputError(f'--beta {beta:g}: the results of {name} have {betas}.')
    return blend


def accuracies(frame: pd.DataFrame, blend: str) -> pd.DataFrame:
    """One row for each run and test variant.

    SAFE-A's results have SAFE's figures, and all have zero-shot CLIP's. They count where these have
    no results on a CLIP and dataset.
    """
    safe = frame.name.str.match(r'SAFE( \(|$)')
    own = frame[frame.figure.eq('accuracy') | safe & frame.figure.eq(blend)]
    own = own.sort_values('figure', ascending=False, kind='stable')
    own = own.drop_duplicates(['name', *KEY, 'variant']).sort_index()
    unknown = dict(
        trained_parameters=float('nan'), train_seconds=float('nan'), test_seconds=float('nan')
    )

    zero = frame[frame.figure == 'zero-shot'].assign(
        name='zero-shot CLIP', shots=0, seed=0, **unknown
    )
    zero = zero.drop_duplicates(['clip', 'dataset', 'variant'], keep='last')
    safe_a = frame.name.str.match(r'SAFE-A( \(|$)')
    beside = frame[safe_a & (frame.figure == blend)].assign(**unknown)
    beside['name'] = beside.name.str.replace('SAFE-A', 'SAFE', regex=False)
    return pd.concat(
        [own, without(zero, own, 'zero-shot CLIP'), without(beside, own, 'SAFE')], ignore_index=True
    )


def without(rows: pd.DataFrame, own: pd.DataFrame, name: str) -> pd.DataFrame:
    """Rows but where a method has its own on that CLIP and dataset."""
    plain = own.name.str.replace(r' \([0-9a-f]{1,8}\)$', '', regex=True)
    own = own[plain == name]
    known = set(zip(own['clip'], own.dataset))
    return rows[[place not in known for place in zip(rows['clip'], rows.dataset)]]


def source(data: pd.DataFrame) -> pd.DataFrame:
    """Accuracy on the first test variant, of the training distribution.

    A run on ImageNet's variants counts as one on ImageNet where there is none of the same method
    and shots.
    """
    data = data.drop_duplicates(['clip', 'name', 'dataset', 'shots', 'seed', 'method_hash'])
    cell = ['clip', 'name', 'shots']
    plain = set(map(tuple, data[data.dataset == 'imagenet'][cell].values))
    twice = (data.dataset == 'imagenet_variants') & pd.Series(
        [tuple(row) in plain for row in data[cell].values], data.index, bool
    )
    return data[~twice].replace({'dataset': {'imagenet_variants': 'imagenet'}})
