"""Tensors of a TorchScript archive, without its code.

torch's own loader runs methods of the archive. Here, its pickle is read with tensors and empty
stand-ins for the archive's classes alone.
"""

import pickle
import zipfile
from pathlib import Path
from typing import Any, Dict, Tuple

import torch

DTYPES = {
    'HalfStorage': torch.float16,
    'BFloat16Storage': torch.bfloat16,
    'FloatStorage': torch.float32,
    'DoubleStorage': torch.float64,
    'LongStorage': torch.int64,
    'IntStorage': torch.int32,
    'ShortStorage': torch.int16,
    'CharStorage': torch.int8,
    'ByteStorage': torch.uint8,
    'BoolStorage': torch.bool,
}
MAX_MODULES = 10000  # shared modules may have any number of names


class Shell:
    """Stands for a module of the archive: attributes, no behaviour."""

    def __setstate__(self, state: Any) -> None:
        if isinstance(state, dict):
            self.__dict__.update(state)


def rebuild_tensor(
    storage: torch.Tensor, offset: int, size: Tuple[int], stride: Tuple[int], *_
) -> torch.Tensor:
    return storage.as_strided(size, stride, offset)


class ArchiveUnpickler(pickle.Unpickler):
    """Reads ``data.pkl`` of an archive; any other class is refused."""

    def __init__(self, archive: zipfile.ZipFile, folder: str) -> None:
        super().__init__(archive.open(f'{folder}/data.pkl'))
        self.archive = archive
        self.folder = folder

    def find_class(self, module: str, name: str) -> Any:
        if module == '__torch__' or module.startswith('__torch__.'):
            return type('Module', (Shell,), {})
        if module == 'torch' and name in DTYPES:
            return DTYPES[name]
        # What is handed out can be written to: each time a new one
        if (module, name) == ('torch._utils', '_rebuild_tensor_v2'):
            return lambda *args: rebuild_tensor(*args)
        if (module, name) == ('collections', 'OrderedDict'):
            return dict
        if module == 'torch.jit._pickle':  # typed lists and the like
            return lambda value, *_: value
        if (module, name) == ('torch', 'device'):
            return lambda *_: None
        raise pickle.UnpicklingError(f'It asks for {module}.{name}.')

    def persistent_load(self, pid: tuple) -> torch.Tensor:
        _, dtype, key, _, length = pid
        content = self.archive.read(f'{self.folder}/data/{key}')
        if not content:
            return torch.empty(0, dtype=dtype)
        return torch.frombuffer(bytearray(content), dtype=dtype)[:length]


def is_torchscript(path: Path) -> bool:
    """Whether the file is a TorchScript archive, as OpenAI published."""
    if not zipfile.is_zipfile(path):
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith('/constants.pkl') for name in archive.namelist())
    except zipfile.BadZipFile:  # the reader of the file reports it
        return False


def load_torchscript(path: Path) -> Dict[str, torch.Tensor]:
    """Tensors among the attributes of the archive's modules, by full name.

    They are parameters, buffers and constants.
    """
    with zipfile.ZipFile(path) as archive:
        folder = archive.namelist()[0].split('/')[0]
        modules = [('', ArchiveUnpickler(archive, folder).load())]
    tensors = {}
    for prefix, module in modules:  # the list grows while it is walked
        for name, value in vars(module).items():
            if isinstance(value, torch.Tensor):
                tensors[prefix + name] = value
            elif isinstance(value, Shell):
                modules.append((f'{prefix}{name}.', value))
        if len(modules) > MAX_MODULES:
            raise pickle.UnpicklingError('It has too many modules.')
    return tensors
