"""Choice of hyper-parameters on the few-shot validation set.

All settings are tried on features that were pooled once, by the model's own logits. Test data plays
no part in it.
"""

from copy import deepcopy
from itertools import product
from math import inf
from typing import Dict, List, NamedTuple, Optional, Sequence, Set, Tuple, Type

import torch
from torch.nn import functional as F

from .errors import InputError
from .models import CLIPClassifier
from .models.part import Part
from .pooled import Pooled

Space = Dict[str, Sequence[float]]


class Choice(NamedTuple):
    """What a search found.

    Attributes:
        chosen (dict): Name -> value.
        tried (dict): Name -> values, in the order of the axes of ``accuracy``.
        accuracy (Tensor): Of each setting on validation images, in percent.
        images (int): How many validation images there were.
        ties (str): How little they distinguish the settings.
    """

    chosen: Dict[str, float]
    tried: Space
    accuracy: torch.Tensor
    images: int
    ties: str


def search_space(model: CLIPClassifier, space: Optional[Space]) -> Space:
    """The values to try of the hyper-parameters that the model has.

    Raises:
        InputError: A name is unknown to all models of the package, a head with a fit has a
            hyper-parameter without values, or the values are not a list of non-negative numbers.
    """
    space, known = dict(space or {}), known_names(Part)
    for name, values in space.items():
        if name not in known:
            raise InputError(f'search.{name} is not known; there are {", ".join(sorted(known))}.')
        listed = isinstance(values, (list, tuple)) and len(values) > 0
        if not listed or not all(isinstance(v, (int, float)) and v >= 0 for v in values):
            raise InputError(f'search.{name}={values!r} must be a list of non-negative numbers.')
    # A trained head belongs to the features it was trained on
    parts = [model.head] if model.head.fits == 'before' else [model.neck, model.head]
    own = [name for part in parts for name in part.hyperparameters]
    lacks = [name for name in model.head.hyperparameters if name not in space]
    if model.head.fits and lacks:
        raise InputError(
            f'the config has no values of {", ".join(lacks)} to search. Set '
            f'search=dict({"=[...], ".join(lacks)}=[...]).'
        )
    return {name: space[name] for name in own if name in space}


def known_names(part: Type[Part]) -> Set[str]:
    """Hyper-parameters of a class of parts and of all its subclasses."""
    return set(part.hyperparameters).union(*map(known_names, part.__subclasses__()))


@torch.no_grad()
def search(
    model: CLIPClassifier, space: Space, validation: Pooled, training: Optional[Pooled] = None
) -> Choice:
    """Tries every setting; the most accurate on validation images wins.

    Ties are broken by the least cross-entropy there, then by the order of the values. The model has
    the choice when this returns. With ``training`` features, the head is fitted to them, again
    for each value that changes the fit.
    """
    refit = (*model.neck.hyperparameters, *model.head.refit_for)
    outer = {n: v for n, v in space.items() if n in refit}
    inner = {n: v for n, v in space.items() if n not in outer}
    results: List[Tuple[float, float]] = []
    best, fitted = (-inf, -inf), {}
    for values in product(*outer.values()):
        set_hyperparameters(model, dict(zip(outer, values)))
        if training is not None:
            fit(model, training)
        prepared = model.head.prepare(model.neck.combine(validation.branches))
        for own in product(*inner.values()):
            set_hyperparameters(model, dict(zip(inner, own)))
            logits = model.head.logits(*prepared)
            hits = logits.argmax(-1) == validation.labels
            loss = F.cross_entropy(logits, validation.labels)
            results.append((100 * hits.double().mean().item(), -loss.item()))
        if max(results) > best:
            best, fitted = max(results), deepcopy(model.head.state_dict())
    tried = {**outer, **inner}
    settings = list(product(*tried.values()))
    chosen = dict(zip(tried, settings[results.index(best)]))
    model.head.load_state_dict(fitted)
    for name, value in chosen.items():
        model.hyperparameters[name].choose(name, value)
    accuracy, images = torch.tensor([r[0] for r in results]), len(validation.labels)
    shape = [len(values) for values in tried.values()]
    ties = tie_summary(accuracy, images)
    return Choice(chosen, tried, accuracy.reshape(shape), images, ties)


def set_hyperparameters(model: CLIPClassifier, values: dict) -> None:
    """Sets some hyper-parameters of a model, for a trial."""
    for name, value in values.items():
        getattr(model.hyperparameters[name], name).fill_(value)


@torch.no_grad()
def fit(model: CLIPClassifier, training: Pooled) -> None:
    """Fits the head to the features of the training images."""
    model.head.fit(model.neck.combine(training.branches), training.labels, training.images)


def tie_summary(accuracy: torch.Tensor, images: int) -> str:
    """A sentence on how many settings are as good as the best."""
    best, one = accuracy.max(), 100 / images
    return (
        f'{(accuracy == best).sum().item()} of {len(accuracy)} settings are best on {images} '
        f'validation images, {(accuracy >= best - 1.001 * one).sum().item()} within one image of it'
    )


def summary(choice: Choice) -> List[str]:
    """Lines that describe the choice."""
    lines = [
        'Search on validation images: {}, accuracy {:.2f} %'.format(
            ', '.join(f'{name} = {value:g}' for name, value in choice.chosen.items()),
            choice.accuracy.max(),
        ),
        choice.ties + '.',
    ]
    for name, value in choice.chosen.items():
        tried = choice.tried[name]
        if value and len(tried) > 1 and value in (min(tried), max(tried)):
            end = 'smallest' if value == min(tried) else 'largest'
            lines.append(f'The {end} {name} was chosen: a wider range may be better.')
    return lines
