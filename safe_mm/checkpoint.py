"""Checkpoints of plain tensors and values, read without running code."""

import logging
from pathlib import Path
from typing import Any, Optional

import numpy as np
import torch
from mmengine.logging import print_log

from .errors import InputError
from .tensor_files import safe_load


def read_checkpoint(path: str) -> dict:
    """Reads a checkpoint of a training run by torch's safe loader.

    Args:
        path (str): File saved by :class:`safe_mm.engine.SlimCheckpointHook`.

    Raises:
        InputError: No such file, damaged, or holding more than tensors and plain values; then
            nothing of it has been executed.
    """
    checkpoint = safe_load(Path(path))
    if not isinstance(checkpoint, dict) or 'state_dict' not in checkpoint:
        raise InputError(f'{path} is not a checkpoint of a training run: it has no state_dict.')
    return checkpoint


def find_checkpoint(folder: str, pattern: str) -> Optional[str]:
    """The newest readable checkpoint in a folder, or None if there is none.

    Args:
        folder (str): A work dir.
        pattern (str): Glob pattern, such as ``iter_*.pth``.

    Raises:
        InputError: There are such files, and none can be read.
    """
    files = sorted(Path(folder).glob(pattern), key=lambda file: file.stat().st_mtime, reverse=True)
    errors = []
    for file in files:
        try:
            read_checkpoint(str(file))
            return str(file)
        except InputError as error:
            errors.append(error)
            print_log(f'Ignored: {error}', 'current', level=logging.WARNING)
    if errors:
        raise errors[0]
    return None


def plain(value: Any) -> Any:
    """``value`` with tensors and built-in types only; the rest is left out.

    torch's safe loader reads the result. Numpy scalars and arrays become numbers and lists.
    """
    if isinstance(value, dict):
        items = {k: plain(v) for k, v in value.items()}
        return {k: v for k, v in items.items() if v is not _DROPPED}
    if isinstance(value, (list, tuple)):
        items = (plain(v) for v in value)
        return type(value)(v for v in items if v is not _DROPPED)
    if isinstance(value, (np.generic, np.ndarray)):
        return value.tolist()
    if value is None or isinstance(value, (torch.Tensor, str, int, float, bool)):
        return value
    return _DROPPED


_DROPPED = object()
