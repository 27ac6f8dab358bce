"""A grid of settings, all trained in one pass, of which validation chooses.

The runs share everything but their pooling layers, so each gets the result
that it would get alone.
"""
import copy
from itertools import product
from typing import Dict, List

import torch
from mmengine.config import Config
from mmengine.optim import DefaultOptimWrapperConstructor
from mmengine.runner import ValLoop
from mmengine.runner.amp import autocast
from torch import nn

from ..errors import InputError
from ..feature_store import last
from ..models.neck import blend
from ..registry import LOOPS, OPTIM_WRAPPER_CONSTRUCTORS
from .unwrap import unwrap


def has_pool_to_train(cfg: Config) -> bool:
    """Whether a config fine-tunes AttnPool_F, which a grid is for."""
    return bool(
        cfg.get('train_cfg') and 'BlendedAttentionPool' in cfg.model.neck.type
        and not cfg.model.head.get('train_keys'))


def use_grid(cfg: Config) -> None:
    """Makes a config train all settings of its ``grid``.

    Args:
        cfg (Config): ``grid`` has ``lr`` and ``weight_decay``, a list each.

    Raises:
        InputError: There is no such grid, or the config has something that
            would let one run act on another.
    """
    grid = cfg.get('grid') or {}
    if set(grid) != {'lr', 'weight_decay'} or not all(
            isinstance(v, (list, tuple)) and v for v in grid.values()):
        raise InputError('a grid needs grid=dict(lr=[...], weight_decay=[...])'
                         f' in the config, and got {dict(grid)}.')
    hooks = [hook['type'] for hook in cfg.get('custom_hooks') or []]
    for culprit, there in (
            ('optim_wrapper.clip_grad', cfg.optim_wrapper.get('clip_grad')),
            ('optim_wrapper.paramwise_cfg',
             cfg.optim_wrapper.get('paramwise_cfg')),
            ('an early stopping hook',
             any('EarlyStopping' in str(name) for name in hooks)),
            ('what trains no AttnPool_F', not has_pool_to_train(cfg)),
            ('resume', cfg.get('resume'))):
        if there:
            raise InputError(f'a grid does not go with {culprit}: take it out '
                             'of the config, or train settings one by one.')
    settings = [
        dict(lr=lr, weight_decay=weight_decay)
        for lr, weight_decay in product(grid.lr, grid.weight_decay)
    ]
    cfg.model.neck.runs = len(settings)
    cfg.optim_wrapper.constructor = 'safe_mm.GridOptimWrapperConstructor'
    cfg.optim_wrapper.paramwise_cfg = dict(settings=settings)
    cfg.val_cfg = dict(type='safe_mm.GridValLoop')
    cfg.default_hooks.checkpoint.interval = 0  # the best alone


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class GridOptimWrapperConstructor(DefaultOptimWrapperConstructor):
    """Gives each run of a :class:`safe_mm.models.RunStack` its setting.

    Args:
        optim_wrapper_cfg (dict): mmengine's.
        paramwise_cfg (dict): ``settings``, for each run a dict of what is to
            differ, such as ``lr``.
    """

    def add_params(self, params: List[dict], module: nn.Module) -> None:
        """A group of parameters for each run."""
        pools = module.neck.attn_pool_f.pools
        for pool, setting in zip(pools, self.paramwise_cfg['settings']):
            params.append(dict(setting, params=list(pool.parameters())))


@LOOPS.register_module()
class GridValLoop(ValLoop):
    """Validates the runs of a :class:`safe_mm.models.RunStack` in one pass.

    Each is then put in the stack's place, so that the best checkpoint is that
    of an ordinary model, of the best run at its best iteration; of equals the
    earlier iteration, then the earlier setting. After the last validation
    the model has the best run's layer.
    """

    def run(self) -> Dict[str, float]:
        """Validates all runs; returns the metrics of the last."""
        hub, neck = self.runner.message_hub, unwrap(self.runner.model).neck
        stack = neck.attn_pool_f
        settings = self.runner.cfg.optim_wrapper.paramwise_cfg.settings
        grid = hub.runtime_info.setdefault(
            'grid', [dict(setting, validation=-1.) for setting in settings])
        self._evaluators = [copy.deepcopy(self.evaluator) for _ in grid]
        self.runner.call_hook('before_val')
        self.runner.call_hook('before_val_epoch')
        self.runner.model.eval()
        for index, batch in enumerate(self.dataloader):
            self.run_iter(index, batch)
        for number, pool in enumerate(stack.pools):
            neck.attn_pool_f = pool
            metrics = self._evaluators[number].evaluate(
                len(self.dataloader.dataset))
            top1, before = metrics['accuracy/top1'], hub.runtime_info.get(
                'best_score', -1.)
            self.runner.call_hook('after_val_epoch', metrics=metrics)
            grid[number]['validation'] = max(grid[number]['validation'], top1)
            if top1 > before:
                hub.update_info('setting', dict(settings[number]))
        self.runner.call_hook('after_val')
        best = settings.index(hub.get_info('setting'))
        if self.runner.iter < self.runner.max_iters:
            neck.attn_pool_f = stack
        else:
            neck.attn_pool_f = stack.pools[best]
            self._report(grid, best)
        return metrics

    @torch.no_grad()
    def run_iter(self, idx: int, data_batch: dict) -> None:
        """AttnPool_O and the dense features serve all runs."""
        self.runner.call_hook(
            'before_val_iter', batch_idx=idx, data_batch=data_batch)
        model = unwrap(self.runner.model)
        with autocast(enabled=self.fp16):
            batch = model.data_preprocessor(data_batch)
            original, finetuned = model.neck.poolings(
                last(model.backbone(batch['inputs'])))
            for own, evaluator in zip(finetuned, self._evaluators):
                blended = blend(original, own, model.neck.beta)
                samples = model.head.predict((blended, ),
                                             batch['data_samples'])
                evaluator.process(samples, data_batch)
        self.runner.call_hook('after_val_iter', batch_idx=idx,
                              data_batch=data_batch, outputs=samples)

    def _report(self, grid: List[dict], best: int) -> None:
        """Logs the validation accuracy of each setting."""
        for number, setting in enumerate(grid):
            text = ' '.join(f'{key}={value:g}'
                            for key, value in setting.items())
            self.runner.logger.info(
                f'{text}{" chosen" if number == best else ""}')
