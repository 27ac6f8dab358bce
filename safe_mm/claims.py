"""Work that several processes share, by locks that end with their process."""
import os
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import (
    Callable,
    Deque,
    Iterable,
    Iterator,
    Optional,
    Tuple,
    TypeVar,
)

from filelock import FileLock, Timeout

Piece = TypeVar('Piece')


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
        lock.acquire()
    except Timeout:
        return None
    return lock


def give_back(lock: FileLock) -> None:
    """Ends a claim; its file goes, too."""
    with suppress(OSError):
        os.unlink(lock.lock_file)
    lock.release()


class Claims:
    """Pieces of work that are claimed as they are asked for.

    Those that are asked for ahead wait in a queue.

    Args:
        pieces (Iterable): What may be left to do, in an order that is the
            same for all processes.
        lock_file (Callable): Piece -> path of its lock.
        is_done (Callable): Whether there is nothing left to do for a piece.
        wait (bool): Whether to wait for pieces that other processes have,
            and not to pass over them.
    """

    def __init__(self, pieces: Iterable[Piece],
                 lock_file: Callable[[Piece], Path],
                 is_done: Callable[[Piece], bool], wait: bool) -> None:
        self.pieces, self.lock_file = pieces, lock_file
        self.is_done, self.wait = is_done, wait
        self._queue: Deque[Tuple[Piece, FileLock]] = deque()

    def __iter__(self) -> Iterator[Piece]:
        for piece in self.pieces:
            lock = claim(self.lock_file(piece), self.wait)
            if lock is None:
                continue
            if self.is_done(piece):
                give_back(lock)
                continue
            self._queue.append((piece, lock))
            yield piece

    @property
    def current(self) -> Piece:
        """The piece at the head of the queue."""
        return self._queue[0][0]

    def end(self) -> None:
        """Ends the claim at the head of the queue."""
        give_back(self._queue.popleft()[1])

    def end_all(self) -> None:
        """Ends what was claimed and not done."""
        while self._queue:
            self.end()
