"""The model before its first iteration is a candidate, too."""

from mmengine.hooks import Hook

from ..registry import HOOKS


@HOOKS.register_module()
class InitialValidationHook(Hook):
    """Validates the model before the first iteration.

    Training that never gets above where it starts, which for SAFE is zero-shot CLIP, then keeps
    those weights, as ``best_METRIC_iter_0.pth``. Heads that are fitted before training have been
    fitted by then, and cached features are in place. A resumed run does not repeat it. It is left
    out where the config asks for later validations (``train_cfg.val_begin`` above 1), for none at
    all, or for no iterations.
    """

    priority = 'LOWEST'  # after what the others do before training

    def before_train_epoch(self, runner) -> None:
        """The last to be called before the first iteration."""
        loop = runner.train_loop
        if (
            loop.iter == 0
            and loop.max_iters
            and loop.val_begin <= 1
            and runner.val_loop is not None
        ):
            runner.val_loop.run()
