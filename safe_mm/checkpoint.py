"""Checkpoints of plain tensors and values, read without running code."""
import hashlib
import logging
from pathlib import Path
from typing import Any, Dict, List, Optional

import numpy as np
import torch
from mmengine.logging import print_log
from torch import nn

from .errors import InputError
from .safe_load import safe_load


def read_checkpoint(path: str) -> dict:
    """Reads a checkpoint of a training run by torch's safe loader.

    Args:
        path (str): File saved by :class:`safe_mm.engine.SlimCheckpointHook`.

    Raises:
        InputError: No such file, damaged, or holding more than tensors and
            plain values; then nothing of it has been executed.
    """
    checkpoint = safe_load(Path(path))
    if not isinstance(checkpoint, dict) or 'state_dict' not in checkpoint:
        raise InputError(f'{path} is not a checkpoint of a training run: it '
                         'has no state_dict.')
    return checkpoint


def find_checkpoint(folder: str, pattern: str) -> Optional[str]:
    """The newest readable checkpoint in a folder, or None if there is none.

    Args:
        folder (str): A work dir.
        pattern (str): Glob pattern, such as ``iter_*.pth``.

    Raises:
        InputError: There are such files, and none can be read.
    """
    files = sorted(
        Path(folder).glob(pattern),
        key=lambda file: file.stat().st_mtime,
        reverse=True)
    errors = []
    for file in files:
        try:
            read_checkpoint(str(file))
            return str(file)
        except InputError as error:
            errors.append(error)
            print_log(
                f'Passed over: {error}', 'current', level=logging.WARNING)
    if errors:
        raise errors[0]
    return None


def frozen_keys(model: nn.Module) -> List[str]:
    """Keys of the state dict that training leaves as they are.

    These are the frozen parameters, and the buffers of modules that have
    parameters, all of them frozen (statistics of a frozen BatchNorm).
    """
    keys = []
    for name, module in model.named_modules():
        prefix = name + '.' if name else ''
        own = dict(module.named_parameters(recurse=False))
        keys += [prefix + n for n, p in own.items() if not p.requires_grad]
        if own and not any(p.requires_grad for p in own.values()):
            keys += [
                prefix + n for n, _ in module.named_buffers(recurse=False)
            ]
    saved = model.state_dict().keys()
    return [key for key in keys if key in saved]


def digest(state: Dict[str, torch.Tensor], keys: List[str]) -> str:
    """SHA-256 of the named tensors, by name and content."""
    sha = hashlib.sha256()
    for key in sorted(keys):
        sha.update(key.encode())
        tensor = state[key].detach().cpu().contiguous()
        sha.update(tensor.reshape(-1).view(torch.uint8).numpy())
    return sha.hexdigest()


def plain(value: Any) -> Any:
    """``value`` with tensors and built-in types only; the rest is left out.

    torch's safe loader reads the result. Numpy scalars and arrays become
    numbers and lists.
    """
    if isinstance(value, dict):
        items = {k: plain(v) for k, v in value.items()}
        return {k: v for k, v in items.items() if v is not _DROPPED}
    if isinstance(value, (list, tuple)):
        items = (plain(v) for v in value)
        return type(value)(v for v in items if v is not _DROPPED)
    if isinstance(value, (np.generic, np.ndarray)):
        return value.tolist()
    if value is None or isinstance(value,
                                   (torch.Tensor, str, int, float, bool)):
        return value
    return _DROPPED


_DROPPED = object()
