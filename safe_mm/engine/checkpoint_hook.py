"""Small checkpoints that load safely and resume exactly."""

import os
import shutil
from math import inf
from typing import List, Sequence, Union

from mmengine.dist import is_main_process
from mmengine.fileio import LocalBackend, register_backend
from mmengine.hooks import CheckpointHook
from mmengine.runner import BaseLoop

from ..checkpoint import plain
from ..errors import InputError
from ..models import CLIPClassifier
from ..registry import HOOKS
from .unwrap import unwrap

METRIC = 'accuracy/top1'  # chooses, unless a config has another


@register_backend('atomic_local')
class AtomicLocalBackend(LocalBackend):
    """mmengine's local files, written whole or not at all.

    A run that is killed while it saves leaves the file that was there.
    """

    def put(self, obj: bytes, filepath: str) -> None:
        temporary = f'{filepath}.tmp'
        super().put(obj, temporary)
        os.replace(temporary, filepath)


@HOOKS.register_module()
class SlimCheckpointHook(CheckpointHook):
    """Saves checkpoints of tensors and plain values only.

    torch's safe loader reads them.

    An iteration that ends with a validation is saved after it, so that a resumed run knows its
    result, and the best weights are the same as in an unbroken run.

    Args:
        interval (int): Iterations between checkpoints; 0 keeps the best alone. Defaults to 100.
        max_keep_ckpts (int): How many to keep beside the best; one of them is intact while another
            is written. Defaults to 2.
        save_best (str | list[str], optional): The metric, greater being better, whose best
            checkpoint is kept; of equals, the earliest. A list, such as ``['seed1/accuracy/top1',
            ...]``, is for several seeds in one pass. Defaults to 'accuracy/top1'.

    Raises:
        InputError: A checkpoint or a model is of other classes than the data, or there is no such
            metric.
    """

    def __init__(
        self,
        interval: int = 100,
        max_keep_ckpts: int = 2,
        save_best: Union[str, List[str], None] = METRIC,
    ) -> None:
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
            check_classes('the model has', model.classes, data_classes(runner))

    def before_train(self, runner) -> None:
        """Takes over the best weights of the run that is resumed."""
        super().before_train(runner)
        best = getattr(self, 'best_ckpt_path', None)
        if not best:
            return
        # It lies beside the checkpoint that is resumed, wherever that is now
        name = os.path.basename(best)
        own = os.path.join(self.out_dir, name)
        source = os.path.join(os.path.dirname(runner._load_from or own), name)
        if os.path.isfile(source) or os.path.isfile(own):
            if (
                is_main_process()
                and os.path.isfile(source)
                and not (os.path.isfile(own) and os.path.samefile(source, own))
            ):
                shutil.copy(source, own)
            self.best_ckpt_path = own
            runner.message_hub.update_info('best_ckpt', own)
            return
        runner.logger.warning(
            f'{source}, the best weights so far, does not exist: the next validation starts anew.'
        )
        self.best_ckpt_path = None
        for key in ('best_ckpt', 'best_score'):
            runner.message_hub.runtime_info.pop(key, None)

    def after_train_iter(
        self, runner, batch_idx: int, data_batch: dict = None, outputs: dict = None
    ) -> None:
        """Saves, unless a validation follows."""
        loop, step = runner.train_loop, runner.iter + 1
        due = step % loop.val_interval == 0 or step == loop.max_iters
        validates = due and step >= loop.val_begin
        if self.interval and (runner.val_loop is None or not validates):
            super().after_train_iter(runner, batch_idx, data_batch, outputs)

    def after_val_epoch(self, runner, metrics: dict) -> None:
        """Saves the best, then the current iteration with that result."""
        if self.out_dir is None:
            return  # not training
        watched = getattr(self, 'key_indicators', ())
        if metrics and watched and not {'auto', *metrics} & set(watched):
            raise InputError(
                f'default_hooks.checkpoint.save_best={watched[0]!r} is not '
                f'a metric of this run: {", ".join(metrics)}.'
            )
        if all(key.startswith('seed') for key in watched):  # one at a time
            metrics = {**dict.fromkeys(watched, -inf), **metrics}
        super().after_val_epoch(runner, metrics)
        saved = self.keep_ckpt_ids and self.keep_ckpt_ids[-1] == runner.iter
        due = (
            self.interval
            and runner.iter
            and (runner.iter % self.interval == 0 or runner.iter == runner.train_loop.max_iters)
        )
        if due and not saved:
            self._save_checkpoint_with_step(
                runner, runner.iter, meta=dict(epoch=runner.epoch, iter=runner.iter)
            )

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        """Leaves out whatever is not a tensor or a plain value."""
        hub = checkpoint['message_hub']
        hub['log_scalars'] = {}  # of a class of mmengine's, for display only
        hub['resumed_keys'] = {
            key: value for key, value in hub['resumed_keys'].items() if key in hub['runtime_info']
        }
        for key in list(checkpoint):
            checkpoint[key] = plain(checkpoint[key])

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        """Checks that the checkpoint is of the classes of the data."""
        meta = checkpoint.get('meta', {}).get('dataset_meta') or {}
        if isinstance(unwrap(runner.model), CLIPClassifier):
            check_classes(
                'the checkpoint was trained on', meta.get('classes') or (), data_classes(runner)
            )


def data_classes(runner) -> Sequence[str]:
    """Class names of the data of a run, if it knows them."""
    for loop in (runner._train_loop, runner._val_loop, runner._test_loop):
        if isinstance(loop, BaseLoop):  # it is built
            meta = getattr(loop.dataloader.dataset, 'metainfo', {})
            return meta.get('classes') or ()
    return ()


def check_classes(subject: str, own: Sequence[str], data: Sequence[str]) -> None:
    """Raises an InputError if classes differ from those of the data."""
    if own and data and tuple(own) != tuple(data):
        differ = [pair for pair in zip(own, data) if pair[0] != pair[1]]
        first = ', first {!r} against {!r}'.format(*differ[0]) if differ else ''
        raise InputError(
            f'{subject} {len(own)} classes, and the data has {len(data)}; '
            f'they differ{first}. Use data with the same classes.'
        )
