"""Ctrl-C and SIGTERM end a tool in order."""

import os
import signal
import threading
from contextlib import contextmanager
from typing import Any, Callable, Iterator, Optional

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stopped(BaseException):
    """The user, or a scheduler, wants the program to end.

    Args:
        number (int): Of the signal.
        advice (str): How to go on.
    """

    def __init__(self, number: int, advice: str = '') -> None:
        name = 'Ctrl-C' if number == signal.SIGINT else signal.Signals(number).name
        super().__init__(f'stopped by {name}. {advice}'.strip())
        self.number = number

    @property
    def exit_code(self) -> int:
        """130 or 143, as shells have it."""
        return 128 + self.number


class Stopper:
    """Raises :class:`Stopped` when a signal arrives, or notes it where that would do harm.

    Attributes:
        waits (bool): Whether the first signal is noted alone.
        noted (int, optional): The signal.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """For a new program in this process."""
        self.waits = False
        self.noted: Optional[int] = None
        self._owner = os.getpid()

    def __call__(self, number: int, frame: Any) -> None:
        if os.getpid() != self._owner:
            return  # a worker, which its owner ends
        at_once = not self.waits or self.noted is not None
        self.noted = number  # a bare except of a library may drop what is raised
        if at_once:
            raise Stopped(number)


STOPPER = Stopper()


@contextmanager
def advice_on_stop(advice: Callable[[], str]) -> Iterator[None]:
    """Says how to go on when the program is stopped."""
    try:
        yield
    except BaseException as error:
        stop = stop_in(error)
        if stop is None:
            raise
        raise Stopped(stop.number, advice()) from None


def stop_in(error: Optional[BaseException]) -> Optional[Stopped]:
    """The :class:`Stopped` that an error is, or that a library has replaced by it."""
    while error is not None and not isinstance(error, Stopped):
        error = error.__context__
    return error


@contextmanager
def stop_on_signals() -> Iterator[None]:
    """Handles signals in the main thread until the end of the context."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    # The tracker of multiprocessing removes what killed workers leave, and need not warn of it
    os.environ.setdefault('PYTHONWARNINGS', 'ignore:resource_tracker')
    STOPPER.reset()
    before = {number: signal.signal(number, STOPPER) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def sigint_blocked() -> Iterator[None]:
    """Ctrl-C waits until the end of the context, and never reaches processes that it starts."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
