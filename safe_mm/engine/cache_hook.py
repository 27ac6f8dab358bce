"""Fills the cache of a CacheHead, and chooses alpha, gamma and beta."""
import hashlib
from pathlib import Path
from typing import Optional

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
from .unwrap import unwrap


@HOOKS.register_module()
class CacheHook(Hook):
    """Builds F_train and L_train from the training images (SAFE, Eq. 5, 9).

    Keys that are fine-tuned are there before training starts, unless a
    checkpoint brought them for the same pooling layers and images. Otherwise
    the cache is made when training is over, of the best weights. In both
    cases a search on the validation images follows, and the result is saved
    as ``best_cache_iter_N.pth``; ``search.json`` and ``search.png`` show it.

    Args:
        search (dict, optional): Values of ``alpha`` and ``gamma`` to try,
            and of the neck's ``beta``, see :func:`safe_mm.search.search`.
            If None, those of the config are kept. Defaults to None.

    Raises:
        InputError: The head has no cache, a class has no training image, or
            the search has no values.
    """

    priority = 'HIGHEST'  # room for keys is made before FreezeHook wraps

    def __init__(self, search: Optional[dict] = None) -> None:
        if search is not None:
            check_space(search)
        self.search = search
        self._loaded: dict = {}
        self._has_loaded = False
        self._made_from = ''

    def before_run(self, runner) -> None:
        """Makes room for keys that the optimizer is to train."""
        head = unwrap(runner.model).head
        if not isinstance(head, CacheHead):
            raise InputError('CacheHook needs a head of type '
                             f'safe_mm.CacheHead, and got '
                             f'{type(head).__name__}.')
        training = isinstance(runner.optim_wrapper, OptimWrapper)
        if training and head.keys.requires_grad:
            _, labels = image_of_view(runner.train_loop.dataloader.dataset)
            head.set_cache(head.keys.new_zeros(len(labels),
                                               head.keys.shape[1]), labels)

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        """Takes the beta with which the keys were pooled."""
        self._has_loaded = True
        self._loaded = checkpoint.get('meta', {}).get('cache') or {}
        beta = self._loaded.get('beta')
        neck = unwrap(runner.model).neck
        if beta is not None and neck.beta != beta:
            runner.logger.info(f'beta = {beta:g}, as the cache was made with')
            neck.beta = beta

    def before_train_epoch(self, runner) -> None:
        """Fills keys that are to be trained."""
        model = unwrap(runner.model)
        if model.head.keys.requires_grad:
            if hasattr(model.neck, 'beta') and not self._has_loaded:
                raise InputError(
                    'keys of blended features are trained after SAFE: give '
                    '--cfg-options load_from=CHECKPOINT of SAFE or SAFE-A.')
            dataset = runner.train_loop.dataloader.dataset
            self._made_from = fingerprint(model, dataset)
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
        if self.search and runner.val_loop is not None:
            self._search(runner, model, keys_of)
        self._save(runner)

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        """Notes what the cache was made from."""
        model = unwrap(runner.model)
        if len(model.head.keys):
            checkpoint['meta']['cache'] = dict(
                made_from=self._made_from,
                beta=getattr(model.neck, 'beta', None))

    def _fill(self, runner, model):
        """Fills the cache; returns how its keys depend on beta."""
        loader = runner.train_loop.dataloader
        images, labels = image_of_view(loader.dataset)
        check_no_class_is_empty(labels, loader.dataset.metainfo['classes'])
        pooled = pool_dataset(model, loader.dataset, loader.num_workers,
                              'keys of the cache')
        device = model.head.keys.device
        keys_of = keys_by_beta(pooled, images.to(device))
        model.head.set_cache(
            keys_of(getattr(model.neck, 'beta', 0.)), labels)
        self._made_from = fingerprint(model, loader.dataset)
        runner.logger.info(f'Cache of {len(labels)} training images, the mean '
                           f'of {len(images) // len(labels)} views each')
        return keys_of

    def _search(self, runner, model, keys_of) -> None:
        head, neck, space = model.head, model.neck, dict(self.search)
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
                     flatness=choice.flatness(),
                     accuracy=choice.accuracy.tolist()),
                folder / 'search.json')
            plot_search(choice, space, beta, folder / 'search.png')

    def _save(self, runner) -> None:
        """The best weights with their cache, in a file of their own."""
        name = f'best_cache_iter_{runner.iter}.pth'
        runner.save_checkpoint(
            runner.work_dir, name, save_optimizer=False,
            save_param_scheduler=False, by_epoch=False,
            meta=dict(epoch=runner.epoch, iter=runner.iter),
            backend_args=dict(backend='atomic_local'))
        barrier()
        runner.message_hub.update_info(
            'best_ckpt', str(Path(runner.work_dir, name)))


def image_of_view(dataset: Dataset):
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
            f'the class {empty[0]!r} has no training image, nor have '
            f'{len(empty) - 1} more of {len(classes)}: the cache would never '
            'vote for them. Check the split file.')


def fingerprint(model, dataset: Dataset) -> str:
    """SHA-256 of the pooling layers and of which images are the keys."""
    state = model.neck.state_dict()
    sha = hashlib.sha256(digest(state, list(state)).encode())
    for i in range(len(dataset)):
        info = dataset.get_data_info(i)
        name = Path(info['img_path']).name
        sha.update(f'{name} {info["gt_label"]}\n'.encode())
    return sha.hexdigest()
