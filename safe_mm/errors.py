"""The one exception type for input that a user can correct, and what messages have in common."""

import difflib
import errno
import logging
import sys
from contextlib import contextmanager
from functools import cache
from typing import Iterable

from .stopping import stop_in, stop_on_signals

FREE_SPACE = 'Free some space, and run the same command again; training goes on with --resume.'


class InputError(ValueError):
    """A file, key or value given by the user does not fit.

    The message names what was found, what was expected and the remedy. The command line tools print
    it alone, without a traceback.
    """


def near_matches(name: object, known: Iterable[str]) -> str:
    """Known names like one that is not known, for a message."""
    return ', '.join(difflib.get_close_matches(str(name), known)) or 'none'


def counted(number: int, noun: str) -> str:
    """'1 class', '2 classes'."""
    ending = '' if number == 1 else 'es' if noun.endswith('s') else 's'
    return f'{number} {noun}{ending}'


@cache
def warn_once(message: str) -> None:
    """Logs a warning, once a process."""
    from mmengine.logging import print_log  # predictors do without OpenMMLab

    print_log(message, 'current', level=logging.WARNING)


def first_line(error: Exception) -> str:
    """The first line of an error's message, or the name of its type."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def message_of(error: InputError) -> str:
    """The message of the error that was raised first.

    Registries and data loader workers put the place or the whole traceback in front of it.
    """
    message = str(error).rsplit('InputError: ', 1)[-1].strip()
    while isinstance(error.__context__, InputError):
        error = error.__context__
        message = str(error)
    return message


def full_disk(error: BaseException) -> str:
    """The message for a disk or quota that is full; empty for other errors."""
    if not isinstance(error, OSError) or error.errno not in (errno.ENOSPC, errno.EDQUOT):
        return ''
    place = error.filename or 'in the work dir or for temporary files'
    return f'{error.strerror}: {place}. {FREE_SPACE}'


@contextmanager
def exit_cleanly():
    """Ends the program with one line for an :class:`InputError`, a full disk, Ctrl-C or SIGTERM."""
    logging.raiseExceptions = False  # a log that cannot be written is no traceback
    try:
        with stop_on_signals():
            yield
    except BaseException as error:
        stop = stop_in(error)
        if stop is not None:
            print(f'\n{stop}', file=sys.stderr)
            sys.exit(stop.exit_code)
        if isinstance(error, InputError):
            sys.exit(f'error: {message_of(error)}')
        if full_disk(error):
            sys.exit(f'error: {full_disk(error)}')
        raise
