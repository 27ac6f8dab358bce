"""Early stopping whose patience survives a resumed run."""

from mmengine.hooks import EarlyStoppingHook

from ..registry import HOOKS

STATE = 'early_stopping'


@HOOKS.register_module()
class ResumableEarlyStoppingHook(EarlyStoppingHook):
    """mmengine's early stopping, its count kept in the checkpoint.

    Args:
        patience (int): Validations without a better score before training stops.
        monitor (str): The metric. Defaults to 'accuracy/top1'.
        min_delta (float): By how much a score must be higher to count as better. Defaults to 1e-6,
            so that an equal score does not.
    """

    priority = 'LOW'  # before the checkpoint is saved

    def __init__(
        self, patience: int, monitor: str = 'accuracy/top1', min_delta: float = 1e-6
    ) -> None:
        super().__init__(monitor=monitor, min_delta=min_delta, patience=patience)

    def before_train(self, runner) -> None:
        if STATE in runner.message_hub.runtime_info:
            self.wait_count, self.best_score = runner.message_hub.get_info(STATE)
            runner.train_loop.stop_training = self.wait_count >= self.patience

    def after_val_epoch(self, runner, metrics: dict) -> None:
        super().after_val_epoch(runner, metrics)
        runner.message_hub.update_info(STATE, [self.wait_count, self.best_score])
