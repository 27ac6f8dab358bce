"""What happens after training: fit, search, save."""

import json
from copy import deepcopy
from pathlib import Path
from typing import Dict, List, Optional, Tuple

import torch
from mmengine.dist import barrier, is_main_process
from mmengine.hooks import EMAHook, Hook
from mmengine.optim import OptimWrapper
from mmpretrain.datasets import BaseDataset
from torch import nn

from ..checkpoint import read_checkpoint
from ..errors import InputError
from ..files import write_text
from ..models import CLIPClassifier, use_copy
from ..models.reparametrize import interpolated
from ..pooled import Pooled, pool_dataset
from ..registry import HOOKS
from ..search import fit, search, search_space, summary
from .unwrap import rewrap, unwrap


@HOOKS.register_module()
class FitHook(Hook):
    """Fits a head in closed form and chooses hyper-parameters.

    A head that is fitted 'before' training starts from its fit; one that is fitted 'after' uses the
    best weights of the training. A search on the validation images follows, over the values of the
    config's ``search``, and the result is saved as ``best_fitted_iter_N.pth``; ``search.json`` and
    ``search.png`` show it. Without validation, hyper-parameters stay those of the config. A model
    with nothing to fit or search, or that is no :class:`safe_mm.models.CLIPClassifier`, is left
    alone.

    Args:
        interpolate (float, optional): Weight alpha of what was trained in alpha * trained +
            (1 - alpha) * start, an interpolation of weights (WiSE-FT, Wortsman et al., 2022) that
            comes before the fit, and in each validation; None for none. Defaults to None.

    Raises:
        InputError: ``interpolate`` is not between 0 and 1, or the head is fitted before training;
            a class has no training image, the search lacks values, or a frozen neck has no
            checkpoint.
    """

    priority = 'HIGH'

    def __init__(self, interpolate: Optional[float] = None) -> None:
        if interpolate is not None and not 0 <= interpolate <= 1:
            raise InputError(f'FitHook: interpolate={interpolate} should be between 0 and 1.')
        self.interpolate = interpolate
        self._initial_weights: Dict[str, torch.Tensor] = {}
        self._trained: List[Tuple[nn.Parameter, torch.Tensor]] = []
        self._initial_values: dict = {}
        self._space: dict = {}
        self._applies = False

    def before_run(self, runner) -> None:
        """Checks the data and the search space before anything is computed."""
        model = unwrap(runner.model)
        trains = isinstance(runner.optim_wrapper, OptimWrapper)
        self._applies = trains and isinstance(model, CLIPClassifier)
        if not self._applies:
            return
        if model.head.fits == 'before' and _ema_hooks(runner):
            raise InputError(
                f'EMAHook does not support {type(model.head).__name__}, which is fitted before '
                'training. Remove it.'
            )
        if model.neck.needs_checkpoint and not (runner._load_from or runner._resume):
            raise InputError(
                'the neck is frozen, so that training must start from its checkpoint: set '
                '--cfg-options load_from=CHECKPOINT, of SAFE or SAFE-A for the same task.'
            )
        if runner.max_iters and not model.trainable:
            raise InputError(
                'the model has nothing to train by gradient descent, but '
                f'train_cfg.max_iters is {runner.max_iters}. Set it to 0.'
            )
        if self.interpolate is not None:  # before a checkpoint is loaded
            if model.head.fits == 'before':
                raise InputError(
                    f'FitHook: interpolate does not support {type(model.head).__name__}, which is '
                    'fitted before training. Remove interpolate.'
                )
            own = dict(model.named_parameters())
            names = interpolated(model, model.trainable)
            self._initial_weights = {name: own[name].detach().clone() for name in names}
        self._space = search_space(model, runner.cfg.get('search'))
        if not model.head.fits:
            return
        check_no_class_is_empty(runner.train_loop.dataloader.dataset)
        self._initial_values = {
            name: getattr(part, name).clone()
            for name, part in model.hyperparameters.items()
            if part is model.head
        }

    def before_train_epoch(self, runner) -> None:
        """Fits what training starts from."""
        if not self._applies:
            return
        model = unwrap(runner.model)
        head = model.head
        head.in_training = True
        if not head.fits:
            return
        head.finished.fill_(False)
        if head.fits == 'after':
            head.reset_fit()  # a loaded one would act on training
            return
        for name, value in self._initial_values.items():
            getattr(head, name).copy_(value)  # a search may have left zero
        if not runner._resume:
            fit(model, self._pool(runner, 'train'))
        rewrap(runner)  # sizes of parameters have changed

    def before_val_epoch(self, runner) -> None:
        """Interpolates, for validation is of what is saved in the end."""
        if not self._initial_weights:
            return
        model = unwrap(runner.model)
        for number in range(len(model.runs.copies) if model.runs else 0):
            use_copy(model, number)
            self._interpolate(model)
        if not model.runs:
            self._interpolate(model)

    def after_val_epoch(self, runner, metrics: Optional[Dict[str, float]] = None) -> None:
        """Goes on with what is trained, before a checkpoint is saved."""
        with torch.no_grad():
            for parameter, trained in self._trained:
                parameter.copy_(trained)
        self._trained = []

    def after_train(self, runner) -> None:
        """Fits the head with the best weights, searches, and saves."""
        if not self._applies:
            return
        model, hub = unwrap(runner.model), runner.message_hub
        model.head.in_training = False
        if not (model.head.fits or self._space or self._initial_weights):
            return
        barrier()  # the best weights are written by then
        if hub.runtime_info.get('best_ckpt'):
            best = read_checkpoint(hub.get_info('best_ckpt'))['state_dict']
            model.load_state_dict(best, strict=False)
        model.eval()  # a neck may pool otherwise in training
        self._interpolate(model)
        self._trained = []  # these weights stay
        training = None
        if model.head.fits == 'after':
            training = self._pool(runner, 'train')
            runner.logger.info(
                f'Fitting {type(model.head).__name__} to {len(training.images.unique())} images'
            )
        if runner.val_loop is not None and self._space:
            self._search(runner, training)
        else:
            if training is not None:
                fit(model, training)
            runner.logger.info('No search: hyper-parameters are those of the config.')
        if model.head.fits:
            model.head.finished.fill_(True)
        self._save(runner)

    @torch.no_grad()
    def _interpolate(self, model: CLIPClassifier) -> None:
        own, alpha = dict(model.named_parameters()), self.interpolate or 0
        for name, start in self._initial_weights.items():
            trained = own[name].clone()
            self._trained.append((own[name], trained))
            own[name].copy_(torch.lerp(start.to(trained), trained, alpha))

    def _pool(self, runner, part: str) -> Pooled:
        loader = (runner.train_loop if part == 'train' else runner.val_loop).dataloader
        model = unwrap(runner.model)
        return pool_dataset(model, loader.dataset, loader.num_workers, f'{part} features')

    def _search(self, runner, training: Optional[Pooled]) -> None:
        model, hub = unwrap(runner.model), runner.message_hub
        choice = search(model, self._space, self._pool(runner, 'val'), training)
        for line in summary(choice):
            runner.logger.info(line)
        chosen = {name: getattr(part, name).item() for name, part in model.hyperparameters.items()}
        chosen.update(choice.chosen)
        hub.update_info('search', chosen)
        hub.update_info('best_score', choice.accuracy.max().item())
        if is_main_process():
            from ..plots import plot_search  # matplotlib takes a second

            found = dict(
                chosen=chosen,
                tried=choice.tried,
                ties=choice.ties,
                accuracy=choice.accuracy.tolist(),
            )
            write_text(Path(runner.work_dir, 'search.json'), json.dumps(found))
            plot_search(choice, Path(runner.work_dir, 'search.png'))

    def _save(self, runner) -> None:
        """The best weights with what was fitted, in a file of their own."""
        name = f'best_fitted_iter_{runner.iter}.pth'
        for hook in _ema_hooks(runner):  # which would save its average
            hook.ema_model.module = deepcopy(unwrap(runner.model))
        runner.save_checkpoint(
            runner.work_dir,
            name,
            save_optimizer=False,
            save_param_scheduler=False,
            by_epoch=False,
            meta=dict(epoch=runner.epoch, iter=runner.iter),
            backend_args=dict(backend='atomic_local'),
        )
        barrier()
        runner.message_hub.update_info('best_ckpt', str(Path(runner.work_dir, name)))


def _ema_hooks(runner) -> List[EMAHook]:
    return [hook for hook in runner.hooks if isinstance(hook, EMAHook)]


def check_no_class_is_empty(dataset: BaseDataset) -> None:
    """Raises an InputError that names a class without training images."""
    labels = {int(dataset.get_data_info(i)['gt_label']) for i in range(len(dataset))}
    classes = dataset.metainfo['classes']
    empty = [name for label, name in enumerate(classes) if label not in labels]
    if empty:
        raise InputError(
            f'the class {empty[0]!r} has no training image ({len(empty)} of {len(classes)} classes '
            'have none). Add some, or remove the class from the split file.'
        )
