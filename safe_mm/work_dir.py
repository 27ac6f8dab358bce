"""The folder of a run, which one process uses at a time."""

import fcntl
import os
import socket
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator

from mmengine.dist import get_rank

from .errors import InputError

LOCK = '.lock'


def make_work_dir(path: str) -> Path:
    """Creates the folder.

    Raises:
        InputError: It cannot be created, or nothing can be written into it.
    """
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f'the work dir {folder} cannot be created ({error.strerror}). Use another --work-dir.'
        ) from None
    if not os.access(folder, os.W_OK):
        raise InputError(f'the work dir {folder} is read-only. Use another --work-dir.')
    return folder


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
