"""mmengine's Runner with a log that fits on a screen."""

import logging
from typing import Union

from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.runner import Runner

from ..errors import InputError, first_line

LINES = 3
# What mmengine says of frozen parameters, of its own parts, and of BatchNorms in one process
NOISE = (
    *('skipped since its requires_grad', 'FileClient', 'HardDiskBackend', 'SyncBatchNorm'),
    'save_param_scheduler',
)


class QuietRunner(Runner):
    """Shows short messages on the console; the file in the work dir has all.

    Config, environment and hooks take some 300 lines before the first iteration.
    """

    @classmethod
    def from_cfg(cls, cfg: Union[dict, Config]) -> Runner:
        """See mmengine.

        Raises:
            InputError: A package that the config needs, such as tensorboard, is not installed.
        """
        try:
            return super().from_cfg(cfg)
        except ImportError as error:
            raise InputError(f'a package is missing: {first_line(error)}') from None

    def build_logger(self, *args, **kwargs) -> MMLogger:
        logger = super().build_logger(*args, **kwargs)
        for handler in logger.handlers:
            if type(handler) is logging.StreamHandler:
                handler.addFilter(is_short)
        return logger


def is_short(record: logging.LogRecord) -> bool:
    """Whether a message is for the console."""
    message = record.getMessage().strip()
    return message.count('\n') < LINES and not any(text in message for text in NOISE)
