"""mmengine's Runner with a log that fits on a screen, and loaders that end with it."""

import logging
from typing import Dict, Union

import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.runner import BaseLoop, Runner

from ..errors import InputError, first_line

LINES = 3
# What mmengine says of frozen parameters, of its own parts, and of BatchNorms in one process
NOISE = (
    *('skipped since its requires_grad', 'FileClient', 'HardDiskBackend', 'SyncBatchNorm'),
    'save_param_scheduler',
)


class QuietRunner(Runner):
    """Shows short messages on the console; the file in the work dir has all.

    Config, environment and hooks take some 300 lines before the first iteration. Worker processes
    of loaders end with a training or test. As garbage, whose queues Python ends first, they would
    be waited for, 5 s each.
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

    def train(self) -> torch.nn.Module:
        """See mmengine."""
        try:
            return super().train()
        finally:
            self._end_workers()

    def test(self) -> Dict[str, float]:
        """See mmengine."""
        try:
            return super().test()
        finally:
            self._end_workers()

    def _end_workers(self) -> None:
        for loop in (self._train_loop, self._val_loop, self._test_loop):
            if isinstance(loop, BaseLoop):
                loop.dataloader._iterator = None  # of persistent workers
                loop.dataloader_iterator = None  # of training

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
