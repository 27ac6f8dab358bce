"""Work that several processes share, by locks that end with their process."""
import os
from contextlib import suppress
from pathlib import Path
from typing import Optional

from filelock import FileLock, Timeout


def claim(path: Path, wait: bool = False) -> Optional[FileLock]:
    """Claims a piece of work.

    Whether it is still to be done is to be asked after, not before: another
    process may just have done it.

    Args:
        path (Path): Of its lock, a file that need not exist.
        wait (bool): For another process that has claimed it.
            Defaults to False.

    Returns:
        FileLock: To be handed to :func:`give_back`; None if another process
        has it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path, timeout=-1 if wait else 0)
    try:
        return lock.acquire().lock
    except Timeout:
        return None


def give_back(lock: FileLock) -> None:
    """Ends a claim; its file goes, too."""
    with suppress(OSError):
        os.unlink(lock.lock_file)
    lock.release()
