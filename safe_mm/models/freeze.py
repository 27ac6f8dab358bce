"""Train a few named parameters of any model, and freeze the rest."""

import difflib
from fnmatch import fnmatchcase
from typing import Dict, List, Sequence

from torch import nn

from ..errors import InputError
from .slim import note_frozen


def freeze_except(model: nn.Module, patterns: Sequence[str]) -> List[str]:
    """Freezes all parameters whose names match none of the patterns.

    A parameter that the model itself has frozen stays so. Patterns are globs.

    Returns:
        list[str]: Names of the parameters that are left to train.

    Raises:
        InputError: A pattern matches no parameter, or none that the model itself lets train.
    """
    parameters = dict(model.named_parameters())
    for pattern in patterns:
        matches = [n for n in parameters if fnmatchcase(n, pattern)]
        if not matches:
            modules = [
                f'{name}.*'
                for name, module in model.named_modules()
                if name and next(module.parameters(), None) is not None
            ]
            names = [*parameters, *modules]
            near = difflib.get_close_matches(pattern, names, n=5, cutoff=0.4) or names[:5]
            raise InputError(
                f'the pattern {pattern!r} matches no parameter. Near matches: {", ".join(near)}.'
            )
        if not any(parameters[name].requires_grad for name in matches):
            raise InputError(
                f'the pattern {pattern!r} matches only parameters that the '
                f'model itself has frozen, such as {matches[0]}.'
            )
    for name, parameter in parameters.items():
        if not any(fnmatchcase(name, pattern) for pattern in patterns):
            parameter.requires_grad_(False)
    note_frozen(model)
    return [n for n, p in parameters.items() if p.requires_grad]


def frozen_modules(model: nn.Module, patterns: Sequence[str]) -> List[nn.Module]:
    """The outermost modules without anything to train.

    A module below a pattern counts as trained even without parameters, so that a tuned part keeps
    its dropout.
    """

    def trains(name: str, module: nn.Module) -> bool:
        prefix = name + '.' if name else ''
        return any(p.requires_grad for p in module.parameters()) or any(
            fnmatchcase(prefix + child, pattern)
            for child, _ in module.named_modules()
            for pattern in patterns
        )

    frozen: Dict[str, nn.Module] = {}
    for name, module in model.named_modules():  # outer ones come first
        inside = any(not outer or name.startswith(f'{outer}.') for outer in frozen)
        if not inside and not trains(name, module):
            frozen[name] = module
    return list(frozen.values())
