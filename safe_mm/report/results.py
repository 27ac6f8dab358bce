"""Reads results of runs into a pandas DataFrame."""

import json
import re
from math import nan
from pathlib import Path
from typing import Any, Dict, Iterable, List, Sequence, Tuple

import pandas as pd

from ..errors import InputError
from ..files import write_text
from ..runs import ERROR, RESULT

KEY = ['method', 'clip', 'dataset', 'shots', 'seed', 'method_hash', 'data_hash']
NEEDED = [*KEY, 'test']
# Older results lack some of these, and of COSTS
UNKNOWN: Dict[str, Any] = dict(attention={}, seconds={}, made=dict(date=''))
SIZES = ['trained_parameters', 'fitted_parameters', 'stored_bytes']
COSTS = [*SIZES, 'train_seconds', 'image_seconds']
# By a config's name, or by its first part. Tables have this order.
NAMES = {
    'zero-shot': 'zero-shot CLIP',
    'linear-probe': 'linear probe',
    'linear-probe_trunk': 'linear probe, trunk',
    'clip-adapter': 'CLIP-Adapter',
    'tip-adapter': 'Tip-Adapter',
    'tip-adapter-f': 'Tip-Adapter-F',
    'gda': 'GDA',
    'calip': 'CALIP',
    'calip-fs': 'CALIP-FS',
    'fine-tune': 'fine-tuning',
    'lp-plus-plus': 'LP++',
    'zs-lp': 'ZS-LP',
    'clap': 'CLAP',
    'task-res': 'TaskRes',
    'prolip': 'ProLIP',
    'cross-modal-linear': 'cross-modal, linear',
    'cross-modal-adapter': 'cross-modal, adapter',
    'cross-modal-partial': 'cross-modal, partial',
    'coop': 'CoOp',
    'coop-m4': 'CoOp, M = 4',
    'coop-csc': 'CoOp, class-specific',
    'cocoop': 'CoCoOp',
    'prograd': 'ProGrad',
    'clip-lora': 'CLIP-LoRA',
    'clip-svd': 'CLIP-SVD',
    'clip-cite': 'CLIP-CITE',
    'full-fine-tune': 'full fine-tuning',
    'wise-ft': 'WiSE-FT',
    'wise-head': 'WiSE head',
    'safe': 'SAFE',
    'safe_gda': 'SAFE + GDA',
    'safe_linear-probe': 'SAFE + linear probe',
    'safe_lp-plus-plus': 'SAFE + LP++',
    'safe_prolip': 'SAFE + ProLIP',
    'safe_coop': 'SAFE + CoOp',
    'safe_tuned-head': 'SAFE, tuned head',
    'safe_class-name': 'SAFE, class names',
    'safe_one-template': 'SAFE, one template',
    'safe_template-mining': 'SAFE, mined templates',
    'safe_cupl': 'SAFE, CuPL',
    'safe-a': 'SAFE-A',
    'safe-a-f': 'SAFE-A, trained keys',
}
# Method -> the method whose results contain it, and the figure; None is SAFE's blend
WITHIN = {'SAFE': ('SAFE-A', None), 'WiSE-FT': ('full fine-tuning', 'alpha=0.5')}
# Names of test variants
VARIANTS = dict(
    seen='seen grounds', grounds='new grounds', rendering='negative rendering', test='test images'
)
Result = Dict[str, Any]


def display_name(method: str) -> str:
    """The name of a method, from the name of its config file."""
    return NAMES.get(method) or NAMES.get(method.split('_')[0], method)


def plain_name(name: str) -> str:
    """A display name without the hash that :func:`prepare` may append."""
    return re.sub(r' \(\S{1,8}\)$', '', name)


def read_results(paths: Iterable[Path]) -> Tuple[List[Result], List[Path]]:
    """Reads results from folders and JSON lines files, and finds ``error.txt`` of failed runs.

    Raises:
        InputError: A path does not exist, has no results or is malformed.
    """
    results, failed = [], []
    for path in paths:
        if not path.exists():
            raise InputError(
                f'{path} does not exist. Give the work dir of a sweep, or a .jsonl file of results.'
            )
        if path.is_dir():
            texts = {str(file): file.read_text('utf-8') for file in sorted(path.rglob(RESULT))}
        else:
            lines = path.read_text('utf-8', 'replace').splitlines()
            texts = {f'{path}, line {n}': text for n, text in enumerate(lines, 1) if text.strip()}
        errors = [e for e in sorted(path.rglob(ERROR)) if not e.with_name(RESULT).exists()]
        if not texts and not errors:
            raise InputError(
                f'{path} has no results. Run tools/sweep.py with it as --work-dir first.'
            )
        results += [parse(text, place) for place, text in texts.items()]
        failed += errors
    return results, failed


def parse(text: str, place: str) -> Result:
    """A result from JSON; ``place`` is where it comes from."""
    try:
        result = json.loads(text)
    except ValueError as error:
        raise InputError(
            f'{place} is not JSON ({error}). Remove that file or line, and run again.'
        ) from None
    known = result if isinstance(result, dict) else {}
    missing = [name for name in NEEDED if name not in known]
    if missing:
        raise InputError(
            f'{place} is not a result: it lacks {", ".join(missing)}. Run again with this version.'
        )
    return {**UNKNOWN, **result, 'place': place}


def collect(results: List[Result], path: Path) -> None:
    """Writes results as JSON lines, sorted and without duplicates."""
    path.parent.mkdir(parents=True, exist_ok=True)
    ordered = sorted(results, key=lambda r: ([r[name] for name in KEY], r['made']['date']))
    lines = dict.fromkeys(
        json.dumps({name: value for name, value in r.items() if name != 'place'}) for r in ordered
    )
    write_text(path, ''.join(f'{line}\n' for line in lines))


def prepare(results: List[Result]) -> List[Result]:
    """The latest result of each run, with the 'name' of its method.

    Where a method has several hashes on one CLIP and dataset, its names have the hash.

    Raises:
        InputError: Results of one sample are on different data.
    """
    results = sorted(results, key=lambda r: r['made']['date'])
    runs = pd.DataFrame([{key: r[key] for key in (*KEY, 'place')} for r in results])
    runs['name'] = runs.method.map(display_name)
    runs = runs.drop_duplicates(['name', *KEY[1:]], keep='last')
    check_data(runs)
    trained_on = runs.dataset.replace('imagenet_variants', 'imagenet')
    hashes = runs.groupby(['name', 'clip', trained_on]).method_hash.transform('nunique')
    several = hashes.groupby([runs.name, runs['clip']]).transform('max') > 1
    names = runs.name.mask(several, runs.name + ' (' + runs.method_hash.str[:8] + ')')
    return [dict(results[i], name=name) for i, name in names.items()]


def check_data(runs: pd.DataFrame) -> None:
    """Raises an InputError where one sample has several data hashes."""
    for (_, dataset, shots, seed), own in runs.groupby(['clip', 'dataset', 'shots', 'seed']):
        if own.data_hash.nunique() > 1:
            first, second = own.drop_duplicates('data_hash').place[:2]
            raise InputError(
                f'{first} and {second} have different data (data_hash) of {dataset}, {shots} '
                f'shots, seed {seed}. Delete one, or report them separately.'
            )


def to_frame(results: Sequence[Result]) -> pd.DataFrame:
    """One row for each result, test variant and figure; 'method' is the display name."""
    return pd.DataFrame(
        [
            dict(
                {name: r[name] for name in KEY},
                method=r['name'],
                variant=VARIANTS.get(variant, variant),
                figure=figure,
                accuracy=accuracy,
                **costs_of(r),
            )
            for r in results
            for variant, figures in r['test'].items()
            for figure, accuracy in figures.items()
        ]
    )


def costs_of(result: Result) -> Dict[str, float]:
    """What a run costs, nan where it is unknown."""
    seconds = result['seconds']
    return dict(
        {name: result.get(name, nan) for name in SIZES},
        train_seconds=seconds.get('train', nan),
        image_seconds=seconds.get('test_image', nan),
    )


def blend_of(frame: pd.DataFrame, beta: float) -> str:
    """The figure of SAFE's blend.

    Raises:
        InputError: A method with blends lacks it.
    """
    blend = f'beta={beta:g}'
    figures = frame[frame.figure.str.startswith('beta=')]
    for method, own in figures.groupby('method').figure:
        if blend not in set(own):
            betas = ', '.join(own.str[5:].unique())
            raise InputError(f'--beta {beta:g}: the results of {method} have {betas}.')
    return blend


def accuracies(frame: pd.DataFrame, blend: str) -> pd.DataFrame:
    """One row for each run and test variant.

    All results contain zero-shot CLIP's figures, and some those of another method (``WITHIN``).
    They are used where that method has no results of its own on a CLIP and dataset.
    """
    plain = frame.method.map(plain_name)
    # A blend comes before the accuracy at the config's beta
    own = frame[frame.figure.eq('accuracy') | plain.eq('SAFE') & frame.figure.eq(blend)]
    own = own.sort_values('figure', ascending=False, kind='stable')
    own = own.drop_duplicates([*KEY, 'variant']).sort_index()

    zero = frame[frame.figure == 'zero-shot'].assign(method='zero-shot CLIP', shots=0, seed=0)
    zero = zero.drop_duplicates(['clip', 'dataset', 'variant'], keep='last')
    found = [zero]
    for name, (within, figure) in WITHIN.items():
        part = frame[plain.eq(within) & frame.figure.eq(figure or blend)]
        part = part.assign(method=part.method.str.replace(within, name, regex=False))
        found.append(part)
    others = pd.concat(found)
    others[COSTS] = nan
    others = others[~places(others).isin(places(own))]
    return pd.concat([own, others], ignore_index=True)


def places(rows: pd.DataFrame) -> pd.MultiIndex:
    """The method, CLIP and dataset of each row."""
    return pd.MultiIndex.from_arrays([rows.method.map(plain_name), rows['clip'], rows.dataset])


def source(data: pd.DataFrame) -> pd.DataFrame:
    """Accuracy on the first test variant, of the training distribution.

    A run on ImageNet's variants counts as one on ImageNet where there is none of the same method
    and shots.
    """
    data = data.drop_duplicates(KEY[:-1])
    cells = pd.MultiIndex.from_frame(data[['clip', 'method', 'shots']])
    twice = (data.dataset == 'imagenet_variants') & cells.isin(cells[data.dataset == 'imagenet'])
    return data[~twice].replace({'dataset': {'imagenet_variants': 'imagenet'}})
