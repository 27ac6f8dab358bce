"""The one exception type for input that a user can correct."""

import sys
from contextlib import contextmanager


class InputError(ValueError):
    """A file, key or value given by the user does not fit.

    The message names what was found, what was expected and the remedy. The command line tools print
    it alone, without a traceback.
    """


def message_of(error: InputError) -> str:
    """What was raised first, in few words.

    Registries and data loader workers re-raise errors with the place or the whole traceback put in
    front.
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
