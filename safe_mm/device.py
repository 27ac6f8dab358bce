"""Where a model computes outside of a Runner."""

from typing import Any

import torch

from .errors import InputError


def find_device(name: Any = None) -> torch.device:
    """The device of a name; without one, the GPU if there is one.

    Raises:
        InputError: torch knows no such device, or cannot compute on it here.
    """
    name = name or ('cuda' if torch.cuda.is_available() else 'cpu')
    try:
        torch.zeros(1, device=name).tolist()
    except (AssertionError, RuntimeError):  # whose message may have hundreds of words
        raise InputError(
            f'torch {torch.__version__} cannot compute on the device {name} here. Choose cpu, or '
            'cuda where there is a GPU with its driver.'
        ) from None
    return torch.device(name)
