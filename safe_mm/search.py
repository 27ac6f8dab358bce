"""Choice of alpha, gamma and beta on the few-shot validation set.

All settings are tried on features that were pooled once. Test data has no
part in it.
"""
from itertools import product
from typing import Callable, Dict, List, NamedTuple, Optional, Sequence

import torch
from torch.nn import functional as F

from .errors import InputError
from .models.cache_head import affinity, cache_keys, cache_logits
from .models.head import text_logits
from .pooled import Pooled


class Choice(NamedTuple):
    """What a search found.

    Attributes:
        beta (float, optional): None where it was not searched.
        alpha (float): Weight of the cache.
        gamma (float): Sharpness of phi.
        accuracy (Tensor): Of each setting on validation images, in percent,
            shape (betas, alphas, gammas).
        images (int): How many validation images there were.
        flatness (str): How little they tell the settings apart.
    """
    beta: Optional[float]
    alpha: float
    gamma: float
    accuracy: torch.Tensor
    images: int
    flatness: str


def flatness(accuracy: torch.Tensor, alphas: Sequence[float],
             images: int) -> str:
    """How many settings are as good as the best, in words.

    Without a cache, with an alpha of zero, all gammas are one setting.
    """
    distinct = [accuracy[:, a, :1 if alpha == 0 else None].flatten()
                for a, alpha in enumerate(alphas)]
    distinct = torch.cat(distinct)
    best, one = distinct.max(), 100 / images
    return (f'{(distinct == best).sum().item()} of {len(distinct)} settings '
            f'are best on {images} validation images, '
            f'{(distinct >= best - 1.001 * one).sum().item()} within one '
            'image of it')


def check_space(space: Optional[Dict[str, Sequence[float]]]) -> None:
    """Refuses values that no search can use.

    Raises:
        InputError: A name is unknown or missing, or its values are not a
            list of numbers, none of them negative.
    """
    names = set(space or ())
    if not {'alpha', 'gamma'} <= names <= {'alpha', 'beta', 'gamma'} or any(
            not isinstance(values, (list, tuple)) or not values or not all(
                isinstance(v, (int, float)) and v >= 0 for v in values)
            for values in space.values()):
        raise InputError(
            'the config needs search=dict(alpha=[...], gamma=[...]), and may '
            'have beta=[...] in it, numbers from zero up; it has '
            f'search={space}.')


def search(space: Dict[str, Sequence[float]], keys_of: Callable,
           key_labels: torch.Tensor, validation: Pooled,
           class_weights: torch.Tensor, logit_scale: torch.Tensor,
           beta: float) -> Choice:
    """Tries every setting; the most accurate on validation images wins.

    Of equals, the one with the least cross-entropy there wins.

    Args:
        space (dict): Values of ``alpha`` and ``gamma``, and of ``beta`` if
            it is to be chosen.
        keys_of (Callable): beta -> keys of the cache, shape (M, C).
        key_labels (Tensor): Shape (M, ).
        validation (Pooled): The validation images.
        class_weights (Tensor): W_c, shape (N, C).
        logit_scale (Tensor): CLIP's inverse temperature.
        beta (float): In use where it is not searched.
    """
    betas = space.get('beta', [beta])
    shape = len(betas), len(space['alpha']), len(space['gamma'])
    accuracy, loss = torch.empty(2, *shape).unbind()
    for b, value in enumerate(betas):
        features = validation.merged(value)
        near = affinity(features, keys_of(value))
        text = text_logits(features, class_weights, logit_scale)
        for g, gamma in enumerate(space['gamma']):
            cache = cache_logits(near, key_labels, len(class_weights), gamma)
            for a, alpha in enumerate(space['alpha']):
                logits = text + alpha * cache
                hits = logits.argmax(-1) == validation.labels
                accuracy[b, a, g] = 100 * hits.double().mean()
                loss[b, a, g] = F.cross_entropy(logits, validation.labels)
    loss[accuracy < accuracy.max()] = float('inf')
    best = loss.flatten().argmin().item()
    found = list(product(betas, space['alpha'], space['gamma']))[best]
    images = len(validation.labels)
    return Choice(found[0] if 'beta' in space else None, *found[1:], accuracy,
                  images, flatness(accuracy, space['alpha'], images))


def keys_by_beta(pooled: Pooled, images: torch.Tensor) -> Callable:
    """Beta -> keys of the cache (Eq. 9); ``images`` as in ``cache_keys``."""
    return lambda beta: cache_keys(pooled.merged(beta), images)


def report(choice: Choice, space: Dict[str, Sequence[float]]) -> List[str]:
    """The choice in words, a line each."""
    chosen = dict(alpha=choice.alpha, gamma=choice.gamma)
    if choice.beta is not None:
        chosen['beta'] = choice.beta
    lines = ['Search on validation images: {}, accuracy {:.2f} %'.format(
        ', '.join(f'{name} = {value:g}' for name, value in chosen.items()),
        choice.accuracy.max()), choice.flatness + '.']
    edges = [name for name, value in chosen.items()
             if name != 'beta' and len(space[name]) > 1 and value == max(
                 space[name])]
    if edges:
        lines.append(f'The largest {" and ".join(edges)} won: a wider range '
                     'may be better.')
    return lines
