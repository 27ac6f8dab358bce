"""Files that are written completely or not at all."""

import errno
import os
import shutil
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Iterator

from safetensors import SafetensorError

from .errors import FREE_SPACE, InputError, first_line


@contextmanager
def new_file(path: Path, size: int = 0, advice: str = '') -> Iterator[Path]:
    """A draft beside a file or new folder, which takes its place at the end of the context.

    A process that is killed while it writes, or a full disk, leaves the file that was there.

    Args:
        path (Path): The file; or a folder, which does not exist, or is empty.
        size (int): Bytes that it will have; 0 if this is not known. Defaults to 0.
        advice (str): What else the message says. Defaults to ''.

    Raises:
        InputError: It cannot be written. Names the space that is needed and free.
    """
    draft = path.with_name(f'{path.name}.{os.getpid()}')
    try:
        if size > shutil.disk_usage(path.parent).free:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        yield draft
        os.replace(draft, path)
    except (OSError, SafetensorError) as error:
        size = size or (draft.stat().st_size if draft.exists() else 0)
        free = shutil.disk_usage(path.parent).free if path.parent.is_dir() else 0
        reason = getattr(error, 'strerror', None) or first_line(error)
        raise InputError(
            f'{path} cannot be written: {reason} ({size / 1e6:.3f} MB or more are needed, '
            f'{free / 1e6:.3f} MB are free). What was there is kept. {FREE_SPACE}{advice}'
        ) from None
    finally:
        if draft.is_dir():
            shutil.rmtree(draft, ignore_errors=True)
        with suppress(OSError):
            draft.unlink()


def make_folder(path: Path, option: str) -> Path:
    """Creates a folder and its parents.

    Args:
        path (Path): The folder, which may exist.
        option (str): The command-line option that sets it, for error messages.

    Raises:
        InputError: It cannot be created, or nothing can be written into it.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f'{path} cannot be created ({error.strerror}). Use another {option}.'
        ) from None
    if not os.access(path, os.W_OK):
        raise InputError(f'{path} is read-only. Use another {option}.')
    return path


def write_text(path: Path, text: str) -> None:
    """Writes a file in UTF-8, see :func:`new_file`."""
    content = text.encode('utf-8')
    with new_file(path, len(content)) as draft:
        draft.write_bytes(content)
