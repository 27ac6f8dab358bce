"""Models inside wrappers for many processes."""

from typing import Any

from mmengine.model import BaseTTAModel, is_model_wrapper
from mmengine.runner import Runner


def unwrap(model: Any) -> Any:
    """The model itself, out of wrappers for many processes or for TTA."""
    while is_model_wrapper(model) or isinstance(model, BaseTTAModel):
        model = model.module
    return model


def rewrap(runner: Runner) -> None:
    """Wraps the model again, after its trained parameters have changed."""
    if is_model_wrapper(runner.model):
        runner.model = unwrap(runner.model)  # the old wrapper releases its tensors
        if any(p.requires_grad for p in runner.model.parameters()):  # or DDP refuses
            runner.model = runner.wrap_model(runner.cfg.get('model_wrapper_cfg'), runner.model)
