"""Training ends in order when it is told to."""

import torch
from mmengine.dist import all_reduce, get_world_size
from mmengine.hooks import Hook
from mmengine.runner import Runner

from ..stopping import STOPPER, Stopped
from .checkpoint_hook import SlimCheckpointHook

INTERVAL = 10  # iterations between two questions to other processes


class StopHook(Hook):
    """Saves a checkpoint after the iteration in which SIGINT or SIGTERM arrives, and stops.

    At the second signal, or in the validation of a single process, training stops at once. An
    iteration that ends with a validation is not saved, since its result belongs to the checkpoint;
    the one before is then the last.

    Raises:
        Stopped: Names the signal.
    """

    priority = 'LOWEST'

    def before_train_iter(self, runner: Runner, *args, **kwargs) -> None:
        """From here on, neither an iteration nor the loading of images is interrupted."""
        STOPPER.waits = True

    def before_val(self, runner: Runner) -> None:
        STOPPER.waits = get_world_size() > 1

    def after_train_iter(self, runner: Runner, *args, **kwargs) -> None:
        """Several processes stop at the same iteration."""
        number = STOPPER.noted or 0
        if get_world_size() > 1:
            if (runner.iter + 1) % INTERVAL:
                return
            shared = torch.tensor(number)
            all_reduce(shared, 'max')
            number = int(shared)
        if number:
            for hook in runner.hooks:
                if isinstance(hook, SlimCheckpointHook):
                    hook.save_now(runner)
            raise Stopped(number)

    def after_train(self, runner: Runner) -> None:
        """What follows may be interrupted."""
        STOPPER.waits = False
