"""mmengine's Runner with a short log, which shuts down the workers of its data loaders."""

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

    Config, environment and hooks take some 300 lines before the first iteration.

    The workers of its data loaders are shut down after training and after testing. The garbage
    collector closes their queues first, and each worker then takes 5 s to time out.
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
        """Drops the iterators, which shuts down their workers."""
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
