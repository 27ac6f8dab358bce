"""Fills the cache of a CacheHead, and chooses alpha, gamma and beta."""
import hashlib
from pathlib import Path
from typing import Callable, Optional, Tuple

import mmengine
import torch
from mmengine.dist import barrier, is_main_process
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper
from torch.utils.data import Dataset

from ..checkpoint import digest, read_checkpoint
from ..errors import InputError
from ..models import CacheHead
from ..plots import plot_search
from ..pooled import pool_dataset
from ..registry import HOOKS
from ..search import check_space, keys_by_beta, report, search
from .checkpoint_hook import BETA
from .unwrap import unwrap


@HOOKS.register_module()
class CacheHook(Hook):
    """Builds F_train and L_train from the training images (SAFE, Eq. 5, 9).

    Keys that are fine-tuned are there before training starts, unless a
    checkpoint brought them for the same pooling layers and images. Otherwise
    the cache is made when training is over, of the best weights. In both
    cases a search on the validation images follows, and the result is saved
    as ``best_cache_iter_N.pth``; ``search.json`` and ``search.png`` show it.
    Without validation, alpha, gamma and beta stay those of the config.

    The config's ``search`` has the values of ``alpha`` and ``gamma`` to try,
    and of the neck's ``beta``, see :func:`safe_mm.search.search`. Processes
    on several machines need a work dir that they share.

    Raises:
        InputError: Before training, if the head has no cache, a class has no
            training image, or the search has no values.
    """

    priority = 'HIGHEST'  # room for keys is made before FreezeHook wraps

    def __init__(self) -> None:
        self._loaded: dict = {}
        self._has_loaded = False
        self._made_from = ''
        self._complete = False

    def before_run(self, runner) -> None:
        """Checks the data, and makes room for keys that are to be trained."""
        head = unwrap(runner.model).head
        if not isinstance(head, CacheHead):
            raise InputError('CacheHook needs a head of type '
                             f'safe_mm.CacheHead, and got '
                             f'{type(head).__name__}.')
        if not isinstance(runner.optim_wrapper, OptimWrapper):
            return  # no training in this run
        check_space(runner.cfg.get('search'))
        dataset = runner.train_loop.dataloader.dataset
        _, labels = image_of_view(dataset)
        check_no_class_is_empty(labels, dataset.metainfo['classes'])
        self._start = head.alpha.item(), head.gamma.item()
        if head.keys.requires_grad:
            room = head.keys.new_zeros(len(labels), head.keys.shape[1])
            head.set_cache(room, labels)

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        """Knows whether there is a cache, and of what."""
        model, state = unwrap(runner.model), checkpoint['state_dict']
        self._has_loaded = True
        self._loaded = checkpoint.get('meta', {}).get('cache') or {}
        keys = state.get('head.keys')
        if keys is not None and len(model.head.keys) and (
                keys.shape != model.head.keys.shape):  # room was made
            del state['head.keys'], state['head.labels']  # of other images
            self._loaded = {}

    def before_train_epoch(self, runner) -> None:
        """Fills keys that are to be trained; else training knows no cache."""
        model = unwrap(runner.model)
        head, width = model.head, model.head.keys.shape[1]
        if not head.keys.requires_grad:
            head.set_cache(head.keys.new_empty(0, width), head.labels[:0])
            return
        if hasattr(model.neck, 'beta') and not self._has_loaded:
            raise InputError(
                'keys of blended features are trained after SAFE: give '
                '--cfg-options load_from=CHECKPOINT of SAFE or SAFE-A.')
        alpha, gamma = self._start  # a search may have left an alpha of zero
        head.alpha.fill_(alpha)
        head.gamma.fill_(gamma)
        self._made_from = fingerprint(model,
                                      runner.train_loop.dataloader.dataset)
        if self._loaded.get('made_from') != self._made_from:
            self._fill(runner, model)

    def after_train(self, runner) -> None:
        """Fills the cache of the best weights, searches, and saves."""
        model, hub = unwrap(runner.model), runner.message_hub
        barrier()  # the best weights are written by then
        if hub.runtime_info.get('best_ckpt'):
            best = read_checkpoint(hub.get_info('best_ckpt'))['state_dict']
            model.load_state_dict({**model.state_dict(), **best})
        keys_of = None
        if not model.head.keys.requires_grad:
            keys_of = self._fill(runner, model)
        if runner.val_loop is not None:
            self._search(runner, model, keys_of)
        else:
            runner.logger.info('No validation: alpha, gamma and beta are '
                               'those of the config.')
        self._save(runner)

    def before_test(self, runner) -> None:
        """Refuses a cache that is not there, or not ready."""
        if not (self._complete or self._loaded.get('complete')):
            raise InputError(
                f'{runner._load_from} has no cache that is ready: its '
                'training did not end, or it is of SAFE. Let tools/train.py '
                '--resume end it, or give a best_cache_iter_*.pth.')

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        """Notes what the cache was made from, and by which beta."""
        model = unwrap(runner.model)
        if not len(model.head.keys):
            return
        checkpoint['meta']['cache'] = dict(
            made_from=self._made_from, complete=self._complete)
        if hasattr(model.neck, 'beta'):
            checkpoint['state_dict'][BETA] = torch.tensor(
                model.neck.beta, dtype=torch.float64)

    def _fill(self, runner, model) -> Callable:
        """Fills the cache; returns how its keys depend on beta."""
        loader = runner.train_loop.dataloader
        images, labels = image_of_view(loader.dataset)
        pooled = pool_dataset(model, loader.dataset, loader.num_workers,
                              'keys of the cache')
        device = model.head.keys.device
        keys_of = keys_by_beta(pooled, images.to(device))
        model.head.set_cache(
            keys_of(getattr(model.neck, 'beta', 0.)), labels)
        self._made_from = fingerprint(model, loader.dataset)
        self._loaded = dict(made_from=self._made_from)
        runner.logger.info(f'Cache of {len(labels)} training images, the mean '
                           f'of {len(images) // len(labels)} views each')
        return keys_of

    def _search(self, runner, model, keys_of: Optional[Callable]) -> None:
        """Sets what the validation images choose, and shows it."""
        head, neck, space = model.head, model.neck, dict(runner.cfg.search)
        beta = getattr(neck, 'beta', 0.)
        if keys_of is None or not hasattr(neck, 'beta'):
            space.pop('beta', None)  # trained keys belong to their beta
        loader = runner.val_loop.dataloader
        validation = pool_dataset(model, loader.dataset, loader.num_workers,
                                  'validation images')
        trained = head.keys.data
        keys_of = keys_of or (lambda beta: trained)
        choice = search(space, keys_of, head.labels, validation,
                        head.class_weights, head.logit_scale, beta)
        head.alpha.fill_(choice.alpha)
        head.gamma.fill_(choice.gamma)
        if choice.beta is not None:
            neck.beta = beta = choice.beta
            head.set_cache(keys_of(beta), head.labels)
        for line in report(choice, space):
            runner.logger.info(line)
        chosen = dict(alpha=choice.alpha, gamma=choice.gamma)
        if hasattr(neck, 'beta'):
            chosen['beta'] = beta
        runner.message_hub.update_info('search', chosen)
        runner.message_hub.update_info('best_score',
                                       choice.accuracy.max().item())
        if is_main_process():
            folder = Path(runner.work_dir)
            mmengine.dump(
                dict(chosen=chosen, tried=space,
                     chosen_by='few-shot validation images',
                     flatness=choice.flatness,
                     accuracy=choice.accuracy.tolist()),
                folder / 'search.json')
            plot_search(choice, space, beta, folder / 'search.png')

    def _save(self, runner) -> None:
        """The best weights with their cache, in a file of their own."""
        self._complete = True
        name = f'best_cache_iter_{runner.iter}.pth'
        runner.save_checkpoint(
            runner.work_dir, name, save_optimizer=False,
            save_param_scheduler=False, by_epoch=False,
            meta=dict(epoch=runner.epoch, iter=runner.iter),
            backend_args=dict(backend='atomic_local'))
        barrier()
        runner.message_hub.update_info(
            'best_ckpt', str(Path(runner.work_dir, name)))


def image_of_view(dataset: Dataset) -> Tuple[torch.Tensor, torch.Tensor]:
    """Which image each view shows, counted from 0, and each image's label."""
    number, labels, views = {}, [], []
    for i in range(len(dataset)):
        info = dataset.get_data_info(i)
        if info['img_path'] not in number:
            number[info['img_path']] = len(number)
            labels.append(int(info['gt_label']))
        views.append(number[info['img_path']])
    return torch.tensor(views), torch.tensor(labels)


def check_no_class_is_empty(labels: torch.Tensor, classes: list) -> None:
    """Raises an InputError that names a class without training images."""
    empty = [name for label, name in enumerate(classes)
             if label not in labels]
    if empty:
        raise InputError(
            f'the class {empty[0]!r} has no training image ({len(empty)} of '
            f'{len(classes)} classes have none): the cache would never vote '
            'for it. Check the split file.')


def fingerprint(model, dataset: Dataset) -> str:
    """SHA-256 of the pooling layers, and of which images are the keys.

    Images are known by file name and label, so that data may move.
    """
    state = model.neck.state_dict()
    sha = hashlib.sha256(digest(state, list(state)).encode())
    for i in range(len(dataset)):
        info = dataset.get_data_info(i)
        name = Path(info['img_path']).name
        sha.update(f'{name} {info["gt_label"]}\n'.encode())
    return sha.hexdigest()
