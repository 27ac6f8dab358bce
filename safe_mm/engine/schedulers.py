"""The warm-up of SAFE's protocol."""

from typing import List

from mmengine.optim import OptimWrapper, _ParamScheduler

from ..errors import InputError
from ..registry import PARAM_SCHEDULERS


@PARAM_SCHEDULERS.register_module()
class WarmupLR(_ParamScheduler):
    """Linear warm-up of the learning rate.

    Iterations count from 0. The rate of iteration 0 is ``min(start_lr, base)``, that of iteration i
    is ``base * i / end``, and that of iteration ``end`` is the base rate, with which the next
    scheduler in the list may continue. This is the schedule of cross-modal adaptation, on whose
    code SAFE builds, but for its iteration 0, which has ``start_lr`` even above the base rate.

    Args:
        optimizer (OptimWrapper): The optimizer.
        start_lr (float): Learning rate of the first iteration. Defaults to 1e-5.
        end (int): Number of iterations until the base rate. Defaults to 50.

    Raises:
        InputError: ``start_lr`` is not above zero.
    """

    def __init__(self, optimizer: OptimWrapper, start_lr: float = 1e-5, end: int = 50) -> None:
        if start_lr <= 0:
            raise InputError(f'WarmupLR: start_lr={start_lr} should be above zero.')
        self.start_lr = start_lr
        self.iterations = end
        super().__init__(optimizer, 'lr', end=end + 1, by_epoch=False)

    def _get_value(self) -> List[float]:
        """Learning rates of the parameter groups."""
        if self.last_step == 0:
            return [min(self.start_lr, base) for base in self.base_values]
        return [base * self.last_step / self.iterations for base in self.base_values]
