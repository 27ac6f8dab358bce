"""FreezeHook, for stock mmpretrain models with parts of this package."""

from typing import List, Optional, Sequence

from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper, OptimWrapperDict
from torch import nn

from ..errors import counted
from ..models.freeze import freeze_except, frozen_modules
from ..registry import HOOKS
from .unwrap import rewrap, unwrap


@HOOKS.register_module()
class FreezeHook(Hook):
    """Trains the named parts of a model and keeps the rest as it is.

    The Runner wraps the model for distributed training and builds the optimizer before any hook
    runs. After this hook, the optimizer has trainable tensors only, and processes exchange only
    those. Frozen modules stay in eval mode, so that no statistics drift.

    Args:
        trainable (Sequence[str]): Glob patterns for names of parameters, such as
            ``'backbone.layer4.*'``; none freezes all. Defaults to SAFE's tuned pooling layer,
            ``('neck.attn_pool_f.*', )``.

    Raises:
        InputError: A pattern matches no parameter.
    """

    priority = 'VERY_HIGH'

    def __init__(self, trainable: Sequence[str] = ('neck.attn_pool_f.*',)) -> None:
        self.trainable = tuple(trainable)
        self._frozen_modules: List[nn.Module] = []

    def before_run(self, runner) -> None:
        """Freezes, filters the optimizer, and wraps the model again."""
        wrapper = runner.optim_wrapper
        if not isinstance(wrapper, (OptimWrapper, OptimWrapperDict)):
            return  # no training in this run
        model = unwrap(runner.model)
        left = freeze_except(model, self.trainable)
        self._frozen_modules = frozen_modules(model, self.trainable)
        several = isinstance(wrapper, OptimWrapperDict)
        for one in wrapper.values() if several else [wrapper]:
            for group in one.param_groups:
                group['params'] = [p for p in group['params'] if p.requires_grad]
        rewrap(runner)
        size = sum(p.numel() for p in model.parameters() if p.requires_grad)
        runner.logger.info(
            f'Training {counted(len(left), "tensor")} with {size:,} '
            f'numbers: {", ".join(self.trainable) or "none"}'
        )

    def before_train_iter(self, runner, batch_idx: int, data_batch: Optional[dict] = None) -> None:
        """The train loop has just put all modules in training mode."""
        for module in self._frozen_modules:
            module.eval()
