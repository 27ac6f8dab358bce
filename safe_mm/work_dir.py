"""The folder of a run, which one process uses at a time."""

import fcntl
import json
import os
import shutil
import socket
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, Dict, Iterator, List

from mmengine.config import Config
from mmengine.dist import get_rank

from .checkpoint import find_checkpoint, read_checkpoint
from .errors import InputError
from .validate import dicts_of

LOCK = '.lock'
# What makes a run what it is, but for settings of the machine
SETTINGS = (
    *('model', 'optim_wrapper', 'param_scheduler', 'train_cfg'),
    *('train_dataloader', 'val_dataloader', 'randomness', 'train_images'),
)
OF_THE_MACHINE = (
    *('*.data_root', '*.num_workers', '*.persistent_workers', '*.pin_memory'),
    *('*.prefetch_factor', '*.fused', '*.pretrained', 'train_dataloader.batch_size'),
)


@contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Keeps other training runs out of a folder.

    The first of several processes does so for all. The lock ends with its process, however that
    ends.

    Raises:
        InputError: Another run has it.
    """
    if get_rank() != 0:
        yield
        return
    with open(folder / LOCK, 'a+', encoding='utf-8') as lock:
        try:
            fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # workers do not inherit it
        except OSError:
            lock.seek(0)
            raise InputError(
                f'the work dir {folder} is in use by {lock.read().strip() or "another process"}. '
                'Wait for its end, or use another --work-dir.'
            ) from None
        lock.truncate(0)
        lock.write(f'process {os.getpid()} of {socket.gethostname()}')
        lock.flush()
        yield


def empty_work_dir(folder: Path) -> None:
    """Removes all but the lock."""
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name != LOCK:
            path.unlink()


def settings_of(cfg: Config) -> Dict[str, Any]:
    """Path of each setting that a run depends on -> its value."""
    own = {name: cfg.get(name) for name in SETTINGS}
    return {
        f'{path}{key}': list(value) if isinstance(value, tuple) else value
        for path, node in dicts_of(Config(own)._cfg_dict)
        for key, value in node.items()
        if not isinstance(value, dict)
        and not (isinstance(value, list) and any(isinstance(v, dict) for v in value))
        and not any(fnmatch(f'{path}{key}', pattern) for pattern in OF_THE_MACHINE)
    }


def check_same_run(cfg: Config, checkpoint: str, remedy: str) -> None:
    """Compares a config with that of a checkpoint.

    Raises:
        InputError: They differ. Names the first setting that does, and ``remedy``.
    """
    saved = read_checkpoint(checkpoint).get('meta', {}).get('settings')
    if saved is None:
        return
    old, new = json.loads(saved), json.loads(json.dumps(settings_of(cfg), default=str))
    differ = [key for key in {**old, **new} if old.get(key) != new.get(key)]
    if differ:
        more = f', and differs in {", ".join(differ[1:5])}' if differ[1:] else ''
        raise InputError(
            f'{checkpoint} is of another run, with {differ[0]}={old.get(differ[0])!r} in place of '
            f'{new.get(differ[0])!r}{more}. {remedy}'
        )


def clear_work_dir(cfg: Config, overwrite: bool) -> None:
    """Makes sure that a new run finds no checkpoints of another.

    Raises:
        InputError: There are some, and they are not to be overwritten.
    """
    folder = Path(cfg.work_dir)
    if overwrite:
        source = cfg.get('load_from')
        if source and Path(source).resolve().parent == folder.resolve():
            raise InputError(f'--overwrite would remove {source} before it is loaded. Move it.')
        for file in _checkpoints(folder):
            file.unlink()
        return
    for pattern in ('iter_*.pth', 'best_*.pth'):
        found = find_checkpoint(str(folder), pattern)
        if found is not None:
            check_same_run(cfg, found, 'Use another --work-dir, --resume, or --overwrite.')


def _checkpoints(folder: Path) -> List[Path]:
    return [*folder.glob('iter_*.pth'), *folder.glob('best_*.pth')]
