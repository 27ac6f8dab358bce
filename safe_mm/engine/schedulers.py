"""The warm-up of SAFE's protocol."""

from mmengine.optim import LinearLR, OptimWrapper

from ..errors import InputError
from ..registry import PARAM_SCHEDULERS


@PARAM_SCHEDULERS.register_module()
class WarmupLR(LinearLR):
    """Linear warm-up from a fixed learning rate to the base rate.

    Iterations count from 0. A base rate below ``start_lr`` is used from the start: warm-up never
    goes above it.

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
        super().__init__(optimizer, end=end, by_epoch=False)

    def _get_value(self) -> list:
        """Learning rates of the groups, each on its own way to its base."""
        values = []
        for number, base in enumerate(self.base_values):
            self.start_factor = min(1.0, self.start_lr / base) if base else 1.0
            values.append(super()._get_value()[number])
        return values
