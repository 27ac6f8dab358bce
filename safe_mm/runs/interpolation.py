"""Accuracy of weights between the start and the end of training (WiSE-FT, Fig. 1)."""

from typing import Callable, Dict, Sequence

import torch
from mmengine.hooks import Hook

from ..errors import InputError
from ..models import CLIPClassifier
from ..models.reparametrize import interpolated


def check_interpolates(
    model: CLIPClassifier, alphas: Sequence[float], hooks: Sequence[Hook]
) -> None:
    """Raises an InputError if a run has no weights to interpolate, or alphas are wrong.

    Args:
        model (CLIPClassifier): Before training.
        alphas (Sequence[float]): From 0, the start, to 1, the trained model.
        hooks (Sequence[Hook]): Of the run; none may interpolate already.
    """
    if alphas and any(getattr(hook, 'interpolate', None) is not None for hook in hooks):
        raise InputError(
            'interpolations does not support a FitHook with interpolate, which interpolates '
            'already. Use a config without it, such as full-fine-tune.py in place of wise-ft.py.'
        )
    listed = isinstance(alphas, (list, tuple))
    if not listed or not all(isinstance(a, (int, float)) and 0 <= a <= 1 for a in alphas):
        raise InputError(f'interpolations={alphas} should be a list of numbers from 0 to 1.')
    if alphas and (model.head.fits or not model.trainable):
        raise InputError(
            f'interpolations does not support {type(model.head).__name__}, which is fitted or has '
            'nothing to train. Remove interpolations.'
        )


@torch.no_grad()
def interpolation_curve(
    model: CLIPClassifier,
    start: CLIPClassifier,
    alphas: Sequence[float],
    accuracy: Callable[[], float],
) -> Dict[str, float]:
    """Accuracy of alpha * trained + (1 - alpha) * start, for all weights that training changes.

    Args:
        model (CLIPClassifier): The trained model, the same on return.
        start (CLIPClassifier): The model before training.
        alphas (Sequence[float]): 0 is the start, 1 the trained model.
        accuracy (Callable): Of the model.

    Returns:
        dict[str, float]: 'alpha=0.5' and so on.
    """
    own, first = dict(model.named_parameters()), dict(start.named_parameters())
    trained = {name: own[name].clone() for name in interpolated(model, model.trainable)}
    figures = {}
    for alpha in alphas:
        for name, end in trained.items():
            own[name].copy_(torch.lerp(first[name].to(end), end, float(alpha)))
        figures[f'alpha={alpha:g}'] = accuracy()
    for name, end in trained.items():
        own[name].copy_(end)
    return figures
