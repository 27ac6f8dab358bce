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
    """
    beta: Optional[float]
    alpha: float
    gamma: float
    accuracy: torch.Tensor
    images: int

    def flatness(self) -> str:
        """How little the validation images tell the settings apart."""
        best, one = self.accuracy.max(), 100 / self.images
        within = (self.accuracy >= best - 1.001 * one).sum().item()
        return (f'{(self.accuracy == best).sum().item()} of '
                f'{self.accuracy.numel()} settings are best on '
                f'{self.images} validation images, {within} within one image '
                'of it')


def check_space(space: Dict[str, Sequence[float]]) -> None:
    """Refuses values that no search can use.

    Raises:
        InputError: A name is unknown or missing, or a list is empty.
    """
    unknown = set(space) - {'alpha', 'beta', 'gamma'}
    if unknown or not {'alpha', 'gamma'} <= set(space) or not all(
            len(values) for values in space.values()):
        raise InputError(
            'search needs alpha=[...] and gamma=[...], and may have '
            f'beta=[...]; it has {dict(space)}.')
    if min(space['alpha']) < 0 or min(space['gamma']) <= 0:
        raise InputError('search: no alpha should be negative and each gamma '
                         f'above zero; it has {dict(space)}.')


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
    return Choice(found[0] if 'beta' in space else None, *found[1:], accuracy,
                  len(validation.labels))


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
        choice.accuracy.max()), choice.flatness() + '.']
    edges = [name for name, value in chosen.items()
             if name != 'beta' and len(space[name]) > 1 and value == max(
                 space[name])]
    if edges:
        lines.append(f'The largest {" and ".join(edges)} won: a wider range '
                     'may be better.')
    return lines
