"""Reading files of tensors without running anything that they carry."""

import pickle
from pathlib import Path
from typing import Any, Callable

import torch

from .errors import InputError


def torch_load(path: Path) -> Any:
    """The safe loader of torch: tensors and plain values only, on the CPU."""
    return torch.load(path, map_location='cpu', weights_only=True)


def safe_load(path: Path, load: Callable[[Path], Any] = torch_load) -> Any:
    """Reads a file by a safe loader, with one clear error if it cannot be.

    Args:
        path (Path): The file.
        load (Callable): Reads the file and runs nothing of it. Defaults to torch's safe loader.

    Raises:
        InputError: There is no such file, it is damaged, or it holds more than tensors and plain
            values.
    """
    if not Path(path).is_file():
        raise InputError(f'{path} does not exist; it should be a local file.')
    try:
        return load(path)
    except InputError:
        raise
    except pickle.UnpicklingError as error:
        raise InputError(
            f'{path} is refused: it holds more than tensors and plain values,'
            ' which could run code when loaded, or is damaged; nothing of it '
            'was run. Ask its author for .safetensors or a plain state dict. '
            f'({_first_line(error)})'
        ) from None
    except Exception as error:  # damaged bytes make loaders raise anything
        raise InputError(
            f'{path} cannot be read; it may be truncated or of another '
            f'format. Fetch or save it again. ({_first_line(error)})'
        ) from None


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
