"""Tensors of a TorchScript archive, without its code.

torch's own loader runs methods of the archive; here its pickle is read with
nothing but tensors and empty shells for the archive's classes.
"""
import pickle
import zipfile
from pathlib import Path
from typing import Any, Dict, Iterator, Tuple

import torch

DTYPES = {
    'HalfStorage': torch.float16,
    'BFloat16Storage': torch.bfloat16,
    'FloatStorage': torch.float32,
    'DoubleStorage': torch.float64,
    'LongStorage': torch.int64,
    'IntStorage': torch.int32,
    'BoolStorage': torch.bool,
}


class Shell:
    """Stands for a module of the archive: attributes, no behaviour."""

    def __setstate__(self, state: Any) -> None:
        if isinstance(state, dict):
            self.__dict__.update(state)


def rebuild_tensor(storage: torch.Tensor, offset: int, size: Tuple[int],
                   stride: Tuple[int], *_) -> torch.Tensor:
    return storage.as_strided(size, stride, offset)


class ArchiveUnpickler(pickle.Unpickler):
    """Reads ``data.pkl`` of an archive; any other class is refused."""

    def __init__(self, archive: zipfile.ZipFile, folder: str) -> None:
        super().__init__(archive.open(f'{folder}/data.pkl'))
        self.archive = archive
        self.folder = folder

    def find_class(self, module: str, name: str) -> Any:
        if module == '__torch__' or module.startswith('__torch__.'):
            return Shell
        if module == 'torch' and name in DTYPES:
            return DTYPES[name]
        if (module, name) == ('torch._utils', '_rebuild_tensor_v2'):
            return rebuild_tensor
        if (module, name) == ('collections', 'OrderedDict'):
            return dict
        if module == 'torch.jit._pickle':  # typed lists and the like
            return lambda value, *_: value
        raise pickle.UnpicklingError(f'It asks for {module}.{name}.')

    def persistent_load(self, pid: tuple) -> torch.Tensor:
        _, dtype, key, _, length = pid
        content = self.archive.read(f'{self.folder}/data/{key}')
        return torch.frombuffer(bytearray(content), dtype=dtype)[:length]


def is_torchscript(path: Path) -> bool:
    """Whether the file is a TorchScript archive, as OpenAI published."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(n.endswith('/constants.pkl') for n in archive.namelist())


def load_torchscript(path: Path) -> Dict[str, torch.Tensor]:
    """Tensors among the attributes of the archive's modules, by full name."""

    def tensors(module: Shell,
                prefix: str) -> Iterator[Tuple[str, torch.Tensor]]:
        for name, value in vars(module).items():
            if isinstance(value, torch.Tensor):
                yield prefix + name, value
            elif isinstance(value, Shell):
                yield from tensors(value, f'{prefix}{name}.')

    with zipfile.ZipFile(path) as archive:
        folder = archive.namelist()[0].split('/')[0]
        return dict(tensors(ArchiveUnpickler(archive, folder).load(), ''))
