"""Small checkpoints that load safely and resume exactly."""
import os
import shutil
from math import inf
from typing import Dict, List, Optional, Union

from mmengine.dist import is_main_process
from mmengine.fileio import LocalBackend, register_backend
from mmengine.hooks import CheckpointHook

from ..checkpoint import digest, frozen_keys, plain
from ..errors import InputError
from ..registry import HOOKS
from .unwrap import unwrap

BETA = 'neck.beta'  # saved with a cache, whose keys were pooled by it
METRIC = 'accuracy/top1'  # chooses, unless a config has another
# Always saved; a checkpoint of SAFE, from which SAFE-A may start, has no cache
HEAD = ('head.class_weights', 'head.logit_scale', 'head.keys', 'head.labels',
        'head.alpha', 'head.gamma')


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
    """Saves what was trained; fills in the rest when loading.

    Frozen weights that the model has as soon as it is built, as
    :class:`safe_mm.models.CLIPTrunk` has, are left out, and recognised by
    their SHA-256 when the checkpoint is loaded. All else is tensors and plain
    values, so that torch's safe loader reads it.

    An iteration that ends with a validation is saved after it, so that a
    resumed run knows its result, and the best weights are the same as in an
    unbroken run.

    Args:
        interval (int): Iterations between checkpoints; 0 keeps the best
            alone. Defaults to 100.
        max_keep_ckpts (int): How many to keep beside the best; one of them
            is intact while another is written. Defaults to 2.
        save_best (str | list[str], optional): The metric, greater being
            better, whose best checkpoint is kept; of equals, the earliest.
            A list, such as ``['seed1/accuracy/top1', ...]``, is for several
            seeds in one pass. Defaults to 'accuracy/top1'.

    Raises:
        InputError: A checkpoint does not fit the model it is loaded into, or
            there is no such metric.
    """

    def __init__(self,
                 interval: int = 100,
                 max_keep_ckpts: int = 2,
                 save_best: Union[str, List[str], None] = METRIC) -> None:
        super().__init__(
            interval=interval,
            by_epoch=False,
            max_keep_ckpts=max_keep_ckpts,
            save_best=save_best,
            rule='greater',
            backend_args=dict(backend='atomic_local'))
        self._built: Dict[str, str] = {}
        self._left_out: Optional[List[str]] = None
        self._frozen_sha256 = ''

    def before_run(self, runner) -> None:
        """Remembers the frozen weights with which the model was built."""
        model = unwrap(runner.model)
        state = model.state_dict()
        self._built = {k: digest(state, [k]) for k in frozen_keys(model)}

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
            if is_main_process() and os.path.isfile(source) and not (
                    os.path.isfile(own) and os.path.samefile(source, own)):
                shutil.copy(source, own)
            self.best_ckpt_path = own
            runner.message_hub.update_info('best_ckpt', own)
            return
        runner.logger.warning(f'{source}, the best weights so far, does not '
                              'exist: the next validation starts anew.')
        self.best_ckpt_path = None
        for key in ('best_ckpt', 'best_score'):
            runner.message_hub.runtime_info.pop(key, None)

    def after_train_iter(self,
                         runner,
                         batch_idx: int,
                         data_batch: dict = None,
                         outputs: dict = None) -> None:
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
                f'among what is measured: {", ".join(metrics)}.')
        if all(key.startswith('seed') for key in watched):  # one at a time
            metrics = {**dict.fromkeys(watched, -inf), **metrics}
        super().after_val_epoch(runner, metrics)
        saved = self.keep_ckpt_ids and self.keep_ckpt_ids[-1] == runner.iter
        due = self.interval and (
            runner.iter % self.interval == 0
            or runner.iter == runner.train_loop.max_iters)
        if due and not saved:
            self._save_checkpoint_with_step(
                runner,
                runner.iter,
                meta=dict(epoch=runner.epoch, iter=runner.iter))

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        """Leaves out frozen weights and whatever is not plain."""
        model = unwrap(runner.model)
        if self._left_out is None:
            state = model.state_dict()
            self._left_out = [
                k for k in frozen_keys(model)
                if digest(state, [k]) == self._built.get(k)
                and k not in HEAD
            ]
            self._frozen_sha256 = digest(state, self._left_out)
        for key in self._left_out:
            del checkpoint['state_dict'][key]
        checkpoint['meta'].update(
            frozen_sha256=self._frozen_sha256,
            clip=runner.cfg.get('clip', {}))
        hub = checkpoint['message_hub']
        hub['log_scalars'] = {}  # of a class of mmengine's, for display only
        hub['resumed_keys'] = {
            key: value
            for key, value in hub['resumed_keys'].items()
            if key in hub['runtime_info']
        }
        for key in list(checkpoint):
            checkpoint[key] = plain(checkpoint[key])

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        """Checks that a checkpoint fits and fills in the frozen weights."""
        model = unwrap(runner.model)
        expected, state = model.state_dict(), checkpoint['state_dict']
        wrong = [k for k in state if k not in expected and k != BETA] + [
            k for k, v in expected.items()
            if k in state and v.numel() and v.shape != state[k].shape
        ]
        left_out = [
            k for k in expected if k not in state and k not in HEAD
        ]
        meta = checkpoint.get('meta', {})
        same = not left_out or digest(
            expected, left_out) == meta.get('frozen_sha256')
        if wrong or not same:
            what = (
                f'{wrong[0]} and {len(wrong) - 1} more tensors differ' if wrong
                else 'the frozen weights that it leaves out are not those of '
                'this model')
            raise InputError(
                f'the checkpoint does not fit the model: {what}. It was '
                f'trained with clip={dict(meta.get("clip") or {})}, and this '
                f'config has clip={dict(runner.cfg.get("clip", {}))}.')
        checkpoint['state_dict'] = {**expected, **state}
