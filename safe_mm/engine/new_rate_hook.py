"""A resumed run with another learning rate than before."""

from typing import List

from mmengine.hooks import Hook
from mmengine.runner import Runner


class NewRateHook(Hook):
    """Gives a resumed run the learning rate of its config; a checkpoint brings the one before."""

    def __init__(self) -> None:
        self._rates: List[float] = []

    def before_run(self, runner: Runner) -> None:
        """Notes the rates before a checkpoint is loaded."""
        groups = runner.optim_wrapper.param_groups
        self._rates = [group.get('initial_lr', group['lr']) for group in groups]

    def before_train(self, runner: Runner) -> None:
        """Scales the current rates and those that schedules start from."""
        groups = runner.optim_wrapper.param_groups
        for group, rate in zip(groups, self._rates):
            before = group.get('initial_lr', group['lr'])  # without a schedule, it is constant
            group['lr'] = group['lr'] * rate / before if before else rate
            group['initial_lr'] = rate
        for scheduler in runner.param_schedulers or ():
            scheduler.base_values = list(self._rates)
