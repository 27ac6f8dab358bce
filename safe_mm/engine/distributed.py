"""Distributed training of models that may have nothing to train."""

from typing import Any

from mmengine.model import MMDistributedDataParallel
from torch import nn

from ..registry import MODEL_WRAPPERS


@MODEL_WRAPPERS.register_module()
class DistributedClassifier(MMDistributedDataParallel):
    """mmengine's wrapper; a model without trainable parameters stays as it is.

    torch's DistributedDataParallel refuses such a model.
    """

    def __new__(cls, module: nn.Module, *args, **kwargs) -> Any:
        if any(p.requires_grad for p in module.parameters()):
            return super().__new__(cls)
        return module
