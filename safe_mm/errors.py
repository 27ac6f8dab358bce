"""The one exception type for input that a user can correct."""

import difflib
import sys
from contextlib import contextmanager
from typing import Iterable


class InputError(ValueError):
    """A file, key or value given by the user does not fit.

    The message names what was found, what was expected and the remedy. The command line tools print
    it alone, without a traceback.
    """


def near_matches(name: object, known: Iterable[str]) -> str:
    """Known names like one that is not known, for a message."""
    return ', '.join(difflib.get_close_matches(str(name), known)) or 'none'


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


@contextmanager
def exit_on_input_error():
    """Ends the program with the bare message of an :class:`InputError`."""
    try:
        yield
    except InputError as error:
        sys.exit(f'error: {message_of(error)}')
