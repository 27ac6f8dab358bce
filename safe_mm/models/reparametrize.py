"""Trained modules in front of frozen weights, by ``torch.nn.utils.parametrize``."""

from fnmatch import fnmatchcase
from typing import Any, List, Sequence

import torch
from torch import nn
from torch.nn.utils import parametrize

from ..errors import InputError
from ..registry import MODELS
from .slim import note_frozen

INIT_SEED = 0
PACKED = ('in_proj_weight', 'qkv.weight')  # three weights in one tensor


class Reparametrization(nn.Module):
    """Base of modules that compute a weight from a frozen one.

    Attributes:
        patterns (Sequence[str]): Glob patterns for the names of the weights it is meant for, those
            of open_clip, timm and Hugging Face.
        trainable (Sequence[str]): Names of its parameters.
        interpolated (Sequence[str]): Names of the parameters that WiSE-FT mixes with the start. The
            weight must be linear in them while the other parameters keep their trained values.
    """

    patterns: Sequence[str]
    trainable: Sequence[str]
    interpolated: Sequence[str]


def reparametrize(model: nn.Module, cfg: dict) -> List[str]:
    """Freezes the matrices that a reparametrization is meant for, and puts it in front of them.

    Args:
        model (nn.Module): To be changed.
        cfg (dict): Config of a :class:`Reparametrization`, without ``weight`` and ``blocks``;
            ``patterns`` restricts it to other names.

    Returns:
        list[str]: Names of the parameters to train.

    Raises:
        InputError: No weight that the parts let train has such a name.
    """
    cfg = dict(cfg)
    patterns = cfg.pop('patterns', None) or MODELS.get(cfg['type']).patterns
    chosen = [
        (name, weight)
        for name, weight in model.named_parameters()
        if weight.requires_grad and weight.ndim == 2  # not those of a LayerNorm
        if any(fnmatchcase(name, pattern) for pattern in patterns)
    ]
    if not chosen:
        raise InputError(
            f'{cfg["type"]}: no weight that the parts let train has a name like '
            f'{", ".join(patterns)}. Set model.reparametrize.patterns.'
        )
    trainable = []
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(INIT_SEED)  # the same in every run
        for name, weight in chosen:
            owner, _, key = name.rpartition('.')
            given = dict(weight=weight.detach(), blocks=3 if name.endswith(PACKED) else 1)
            part = MODELS.build(cfg, default_args=given)
            module: Any = model.get_submodule(owner)
            parametrize.register_parametrization(module, key, part)
            module.parametrizations[key].original.requires_grad_(False)
            trainable += [f'{owner}.parametrizations.{key}.0.{own}' for own in part.trainable]
    return trainable


def interpolated(model: nn.Module, trainable: Sequence[str]) -> List[str]:
    """Names of the trained parameters that are mixed with the start to interpolate weights."""

    def is_mixed(name: str) -> bool:
        owner, _, own = name.rpartition('.')
        part = model.get_submodule(owner)
        return not isinstance(part, Reparametrization) or own in part.interpolated

    return [name for name in trainable if is_mixed(name)]


def merge_weights(model: nn.Module) -> nn.Module:
    """Puts the computed weights in the place of the frozen ones, for the same at less cost.

    They are in the model's state dict then.
    """
    owner: Any
    for owner in list(model.modules()):
        for key in list(getattr(owner, 'parametrizations', ())):
            owner.parametrizations[key].eval()  # without dropout
            parametrize.remove_parametrizations(owner, key)
            getattr(owner, key).requires_grad_(True)  # frozen ones are not in a state dict
    note_frozen(model)
    return model
