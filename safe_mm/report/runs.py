"""From records to the accuracy of each method's runs."""
from typing import Callable, Dict, Iterable, NamedTuple, Optional

from ..sweep.records import DEPLOYED
from .table import Figure, figure_of

ZERO_SHOT = 'zero-shot'
# By the first part of a config's name
METHODS = {
    'zero-shot': 'zero-shot CLIP',
    'tip-adapter': 'Tip-Adapter',
    'tip-adapter-f': 'Tip-Adapter-F',
    'safe': 'SAFE',
    'safe-a': 'SAFE-A'
}


class Run(NamedTuple):
    """What was trained on what; zero-shot has 0 shots and seed 0.

    'recipe' tells runs of a method apart that were set otherwise.
    """
    clip: str
    method: str
    recipe: str
    task: str
    shots: int
    seed: int


# Accuracy in percent of each run, by test variant, the first of which is of
# the training images' distribution
Runs = Dict[Run, Dict[str, float]]


def all_runs(records: Iterable[dict], beta: str) -> Runs:
    """Accuracy of each run; of several records of one, the last counts.

    A record of SAFE-A has SAFE's figures too, with the same pooling layer,
    and all blends have zero-shot CLIP's; where these have records of their
    own, those count. A run on ImageNet's variants is one on ImageNet, too.

    Args:
        records (Iterable[dict]): Of :class:`safe_mm.sweep.sweep.Sweep`.
        beta (str): Of SAFE's blend.
    """
    own: Runs = {}
    beside: Runs = {}
    for record in records:
        key, test = record['key'], record['test']
        method = key['config'].split('_')[0]
        run = Run(key['clip'], method, recipe_of(key), key['task'],
                  key['shots'], key['seed'])
        if method == ZERO_SHOT:
            run = run._replace(recipe='')  # CLIP is all that matters
        deployed, blend = part_of(test, DEPLOYED), part_of(test, beta)
        own[run] = deployed or blend
        if deployed and blend:
            beside[run._replace(method='safe')] = blend
        if part_of(test, ZERO_SHOT):
            zero = run._replace(method=ZERO_SHOT, recipe='', shots=0, seed=0)
            beside[zero] = part_of(test, ZERO_SHOT)
    known = {run._replace(recipe='') for run in own}
    runs = {**own, **{run: by for run, by in beside.items()
                      if run._replace(recipe='') not in known}}
    source = {
        run._replace(task='imagenet'): {'test': found['imagenet']}
        for run, found in runs.items() if run.task == 'imagenet_variants'
    }
    return {**source, **runs}


def recipe_of(key: dict) -> str:
    """Of older records, which have no hash, the options."""
    older = f'grid={key.get("grid")} {key.get("options")}'
    return key.get('recipe', older)


def part_of(test: Dict[str, dict], part: str) -> Dict[str, float]:
    """A beta's accuracy, or the deployed one, by test variant."""
    return {
        variant: by[part] for variant, by in test.items() if part in by
    }


def where(runs: Runs, **values) -> Runs:
    """Runs with these attributes."""
    return {
        run: by for run, by in runs.items()
        if all(getattr(run, name) == v for name, v in values.items())
    }


def distinct(runs: Iterable[Run], name: str) -> list:
    """Values of an attribute, in the order of the runs."""
    return list(dict.fromkeys(getattr(run, name) for run in runs))


class Line(NamedTuple):
    """A line of a table: a method by a recipe, at a number of shots."""
    method: str
    recipe: str
    shots: int


def lines_of(runs: Runs) -> Dict[Line, str]:
    """Lines of a table with their method's name, in the order of ``METHODS``.

    Where a method has several recipes, the name has the recipe.
    """
    order = list(METHODS) + distinct(runs, 'method')
    lines = {Line(run.method, run.recipe, run.shots) for run in runs}
    names = {}
    for line in sorted(lines, key=lambda line: (order.index(line.method),
                                                *line[1:])):
        name = METHODS.get(line.method, line.method)
        several = len({other.recipe for other in lines
                       if other.method == line.method}) > 1
        names[line] = f'{name} ({line.recipe})' if several else name
    return names


def over_seeds(runs: Runs, value: Callable[[Runs], Optional[float]]
               ) -> Optional[Figure]:
    """Mean and deviation over seeds of a figure of each seed's runs.

    Args:
        runs (dict): Of all seeds.
        value (Callable): Runs of one seed -> a figure, None if it is missing.
    """
    found = [value(where(runs, seed=seed)) for seed in distinct(runs, 'seed')]
    return figure_of(v for v in found if v is not None)
