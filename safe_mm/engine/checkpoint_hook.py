"""Small checkpoints that load safely and resume exactly."""

import json
import shutil
from math import inf
from pathlib import Path
from typing import Any, List, Optional, Sequence, Union

from mmengine.dist import is_main_process
from mmengine.fileio import LocalBackend, register_backend
from mmengine.hooks import CheckpointHook
from mmengine.runner import BaseLoop, Runner

from ..checkpoint import plain
from ..errors import InputError, counted
from ..files import new_file
from ..models import CLIPClassifier
from ..registry import HOOKS
from ..work_dir import settings_of
from .unwrap import unwrap

METRIC = 'accuracy/top1'  # chooses, unless a config has another


@register_backend('atomic_local')
class AtomicLocalBackend(LocalBackend):
    """mmengine's local files, written completely or not at all."""

    def put(self, obj: bytes, filepath: str) -> None:
        with new_file(Path(filepath), len(obj)) as draft:
            super().put(obj, str(draft))


@HOOKS.register_module()
class SlimCheckpointHook(CheckpointHook):
    """Saves checkpoints of tensors and plain values only, which torch's safe loader reads.

    An iteration that ends with a validation is saved after it, so that a resumed run knows its
    result, and the best weights are the same as in an unbroken run.

    Args:
        interval (int): Iterations between checkpoints; 0 keeps the best alone. Defaults to 100.
        max_keep_ckpts (int): How many to keep beside the best. Defaults to 2.
        save_best (str | list[str], optional): The metric whose greatest value chooses the best
            checkpoint; ties go to the earliest. A list, such as ``['seed1/accuracy/top1', ...]``,
            is for several seeds in one pass. Defaults to 'accuracy/top1'.
        new_classes (bool): Whether a checkpoint may be of other classes than the model, which then
            keeps its own class weights. Defaults to False.

    Raises:
        InputError: A checkpoint or model has other classes than the data, or a run no such metric.
    """

    best_ckpt_path: Any

    def __init__(
        self,
        interval: int = 100,
        max_keep_ckpts: int = 2,
        save_best: Union[str, List[str], None] = METRIC,
        new_classes: bool = False,
    ) -> None:
        self.new_classes = new_classes
        super().__init__(
            interval=interval,
            by_epoch=False,
            max_keep_ckpts=max_keep_ckpts,
            save_best=save_best,
            rule='greater',
            backend_args=dict(backend='atomic_local'),
        )

    def before_run(self, runner) -> None:
        """Checks that the model is of the classes of the data."""
        model = unwrap(runner.model)
        if isinstance(model, CLIPClassifier):
            check_classes(runner, 'the model has', model.classes)

    def before_train(self, runner) -> None:
        """Takes over the best weights of the run that is resumed."""
        super().before_train(runner)
        best = getattr(self, 'best_ckpt_path', None)
        if not best:
            return
        # It is beside the checkpoint that is resumed, wherever that is now
        own = Path(self.out_dir, Path(best).name)
        source = Path(runner._load_from or own).with_name(own.name)
        if source.is_file() or own.is_file():
            if is_main_process() and source.is_file() and source.resolve() != own.resolve():
                with new_file(own, source.stat().st_size) as draft:
                    shutil.copy(source, draft)
            self.best_ckpt_path = str(own)
            runner.message_hub.update_info('best_ckpt', self.best_ckpt_path)
            return
        runner.logger.warning(
            f'{source}, the best weights so far, does not exist. The next validation starts over.'
        )
        self.best_ckpt_path = None
        for key in ('best_ckpt', 'best_score'):
            runner.message_hub.runtime_info.pop(key, None)

    def after_train_iter(
        self,
        runner,
        batch_idx: int,
        data_batch: Optional[dict] = None,
        outputs: Optional[dict] = None,
    ) -> None:
        """Saves, unless a validation follows."""
        if self.interval and not validation_follows(runner):
            super().after_train_iter(runner, batch_idx, data_batch, outputs)

    def save_now(self, runner: Runner) -> None:
        """Saves after an iteration between two intervals, unless a validation follows."""
        if self.interval and not validation_follows(runner):
            self._save_checkpoint(runner)

    def after_val_epoch(self, runner, metrics: dict) -> None:
        """Saves the best, then the current iteration with that result."""
        if self.out_dir is None:
            return  # not training
        watched = getattr(self, 'key_indicators', ())
        if metrics and watched and not {'auto', *metrics} & set(watched):
            raise InputError(
                f'default_hooks.checkpoint.save_best={watched[0]!r} is not '
                f'a metric of this run, which has {", ".join(metrics)}.'
            )
        if all(key.startswith('seed') for key in watched):  # one at a time
            metrics = {**dict.fromkeys(watched, -inf), **metrics}
        super().after_val_epoch(runner, metrics)
        step = runner.iter
        saved = self.keep_ckpt_ids and self.keep_ckpt_ids[-1] == step
        due = self.interval and (step % self.interval == 0 or step == runner.train_loop.max_iters)
        if step and due and not saved:
            self._save_checkpoint_with_step(runner, step, dict(epoch=runner.epoch, iter=step))

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        """Adds the run's settings, and leaves out whatever is not a tensor or a plain value."""
        checkpoint['meta']['settings'] = json.dumps(settings_of(runner.cfg), default=str)
        hub = checkpoint['message_hub']
        hub['log_scalars'] = {}  # of a class of mmengine's, for display only
        hub['resumed_keys'] = {
            key: value for key, value in hub['resumed_keys'].items() if key in hub['runtime_info']
        }
        for key in list(checkpoint):
            checkpoint[key] = plain(checkpoint[key])

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        """Checks that the checkpoint is of the classes of the data, or adapts it to them."""
        model = unwrap(runner.model)
        if not isinstance(model, CLIPClassifier):
            return
        if self.new_classes:
            checkpoint['state_dict'] = model.for_new_classes(checkpoint['state_dict'])
            return
        meta = checkpoint.get('meta', {}).get('dataset_meta') or {}
        check_classes(runner, 'the checkpoint was trained on', meta.get('classes') or ())


def validation_follows(runner: Runner) -> bool:
    """Whether the current iteration ends with a validation."""
    loop, step = runner.train_loop, runner.iter + 1
    due = step % loop.val_interval == 0 or step == loop.max_iters
    return runner.val_loop is not None and due and step >= loop.val_begin


def check_classes(runner: Runner, subject: str, own: Sequence[str]) -> None:
    """Raises an InputError if classes differ from those of a run's data, if it knows them."""
    loops = (runner._train_loop, runner._val_loop, runner._test_loop)
    built = [loop for loop in loops if isinstance(loop, BaseLoop)]
    data = built[0].dataloader.dataset.metainfo.get('classes') if built else ()
    if own and data and tuple(own) != tuple(data):
        differ = [pair for pair in zip(own, data) if pair[0] != pair[1]]
        first = ', first {!r} against {!r}'.format(*differ[0]) if differ else ''
        raise InputError(
            f'{subject} {counted(len(own), "class")}, and the data has {len(data)}; '
            f'they differ{first}. Use data with the same classes.'
        )
