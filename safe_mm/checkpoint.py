"""Checkpoints and other files of plain tensors and values, read without running code."""

import logging
import pickle
from pathlib import Path
from typing import Any, Callable, Optional

import numpy as np
import torch
from mmengine.logging import print_log
from mmengine.runner.checkpoint import CheckpointLoader

from .errors import InputError, first_line


def torch_load(path: Path) -> Any:
    """The safe loader of torch: tensors and plain values only, on the CPU."""
    return torch.load(path, map_location='cpu', weights_only=True)


def safe_load(path: Path, load: Callable[[Path], Any] = torch_load) -> Any:
    """Reads a file by ``load``, which runs no code of it, with one clear error if it cannot be.

    Raises:
        InputError: There is no such file, it is damaged, or contains more than tensors and plain
            values; then no code of it has been run.
    """
    if not Path(path).is_file():
        raise InputError(f'{path} does not exist; it should be a local file.')
    try:
        return load(path)
    except InputError:
        raise
    except pickle.UnpicklingError:  # its message advises to load the file unsafely
        raise InputError(
            f'refusing to load {path}: it contains pickled objects, which could run code, '
            'or is damaged; no code was run. Ask its author for .safetensors or a plain state dict.'
        ) from None
    except Exception as error:  # damaged bytes make loaders raise anything
        raise InputError(
            f'{path} cannot be read; it may be truncated or of another '
            f'format. Fetch or save it again. ({first_line(error)})'
        ) from None


@CheckpointLoader.register_scheme(prefixes='', force=True)
def load_from_local(filename: str, map_location: Any = 'cpu') -> Any:
    """Mmengine's loader of local files, for ``get_model`` and inferencers, without pickles.

    Before torch 2.6, mmengine's own runs the code of a file.

    Raises:
        InputError: See :func:`safe_load`.
    """
    return safe_load(
        Path(filename).expanduser(),
        lambda path: torch.load(path, map_location=map_location, weights_only=True),
    )


def read_checkpoint(path: str) -> dict:
    """Reads a checkpoint of :class:`safe_mm.engine.SlimCheckpointHook` by torch's safe loader.

    Raises:
        InputError: See :func:`safe_load`, or the file is not a checkpoint.
    """
    checkpoint = safe_load(Path(path))
    if not isinstance(checkpoint, dict) or 'state_dict' not in checkpoint:
        raise InputError(f'{path} is not a checkpoint of a training run: it has no state_dict.')
    return checkpoint


def find_checkpoint(folder: str, pattern: str) -> Optional[str]:
    """The newest readable checkpoint in a folder, or None if no file matches a glob pattern.

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


def checkpoint_file(path: str) -> str:
    """A checkpoint, or the best weights of a work dir, verified to be safe to load.

    Raises:
        InputError: See :func:`read_checkpoint`, or a work dir has no best weights, or several.
    """
    if not Path(path).is_dir():
        read_checkpoint(path)
        return path
    names = [file.name for file in Path(path).glob('best_*.pth')]
    if len({n.split('_')[1] for n in names if n.startswith('best_seed')}) > 1:
        raise InputError(
            f'{path} has the best weights of several seeds. Use one of its files best_seed*.pth.'
        )
    best = find_checkpoint(path, 'best_fitted_*.pth') or find_checkpoint(path, 'best_*.pth')
    if best is None:
        raise InputError(
            f'{path} has no best_*.pth: its training did not finish, or wrote elsewhere. Use the '
            'path of a checkpoint.'
        )
    return best


def plain(value: Any) -> Any:
    """``value`` with tensors and built-in types only; the rest is left out.

    torch's safe loader reads the result. Numpy scalars and arrays become numbers and lists.
    """
    if isinstance(value, dict):
        plain_items = ((k, plain(v)) for k, v in value.items())
        return {k: v for k, v in plain_items if v is not _DROPPED}
    if isinstance(value, (list, tuple)):
        return type(value)(v for v in map(plain, value) if v is not _DROPPED)
    if isinstance(value, (np.generic, np.ndarray)):
        return value.tolist()
    if value is None or isinstance(value, (torch.Tensor, str, int, float, bool)):
        return value
    return _DROPPED


_DROPPED = object()
