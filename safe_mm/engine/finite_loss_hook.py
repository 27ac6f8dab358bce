"""A training that has diverged does not go on."""

import math
from pathlib import Path
from typing import Optional

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner

from ..errors import InputError
from ..registry import HOOKS
from .unwrap import unwrap


@HOOKS.register_module()
class FiniteLossHook(Hook):
    """Ends training at a loss that is infinite or not a number.

    On a GPU, losses are read every ``interval`` iterations and before a validation, so that no
    iteration waits for them. Runs that are trained side by side are left to validation.

    Args:
        interval (int): Iterations between two looks at losses on a GPU. Defaults to 20.

    Raises:
        InputError: Names the first such iteration, its learning rate and the last checkpoint.
    """

    def __init__(self, interval: int = 20) -> None:
        self.interval = interval
        self._first: Optional[torch.Tensor] = (
            None  # iteration, as long as the losses are finite inf
        )

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch=None, outputs: Optional[dict] = None
    ) -> None:
        """Notes the first loss that is not finite."""
        if getattr(unwrap(runner.model), 'runs', None) is not None or not outputs:
            return
        loss, step = outputs['loss'].detach(), runner.iter + 1
        own = torch.where(loss.isfinite(), math.inf, step)
        self._first = own if self._first is None else torch.minimum(self._first, own)
        if not loss.is_cuda or self.every_n_train_iters(runner, self.interval):
            self._check(runner)

    def before_val(self, runner: Runner) -> None:
        """Looks before a validation, whose result such weights would spoil."""
        self._check(runner)

    def after_train(self, runner: Runner) -> None:
        self._check(runner)

    def _check(self, runner: Runner) -> None:
        first = math.inf if self._first is None else self._first.item()
        if first == math.inf:
            return
        saved = {int(p.stem[5:]): p for p in Path(runner.work_dir).glob('iter_*.pth')}
        before = [step for step in saved if step < first]
        (rate, *_) = next(iter(runner.optim_wrapper.get_lr().values()))
        raise InputError(
            f'the loss of iteration {first:.0f} is not finite, at a learning rate of {rate:g}. '
            'Train with a lower one. The last checkpoint before is '
            f'{saved[max(before)] if before else "none"}.'
        )
