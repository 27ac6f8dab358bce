"""Loops of runs that are trained side by side, see :mod:`.grid`."""
import copy
from typing import Dict, List, Optional, Sequence

import torch
from mmengine.evaluator import Evaluator
from mmengine.runner import IterBasedTrainLoop, Runner, ValLoop
from mmengine.runner.amp import autocast
from torch import nn
from torch.utils.data import DataLoader

from ..feature_store import last
from ..models.neck import blend
from ..registry import LOOPS
from .grid import prefix
from .joined_loader import loader_of_seeds
from .unwrap import unwrap


@LOOPS.register_module()
class SeedsTrainLoop(IterBasedTrainLoop):
    """mmengine's, on batches of several seeds joined as one.

    Args:
        runner (Runner): Of the run.
        dataloader (dict): As of one seed.
        max_iters (int): Of each run.
        seeds (Sequence[int]): See :func:`train_together`.
        val_begin (int): First iteration to validate at. Defaults to 1.
        val_interval (int): Iterations between validations.
            Defaults to 1000.
    """

    def __init__(self,
                 runner: Runner,
                 dataloader: dict,
                 max_iters: int,
                 seeds: Sequence[int],
                 val_begin: int = 1,
                 val_interval: int = 1000) -> None:
        super().__init__(runner, loader_of_seeds(runner, dataloader, seeds),
                         max_iters, val_begin, val_interval)


@LOOPS.register_module()
class GridValLoop(ValLoop):
    """Validates the runs of a :class:`safe_mm.models.RunStack` in one pass.

    Each is then put in the stack's place, so that the best checkpoint is that
    of an ordinary model, of a seed's best run at its best iteration; of
    equals the earlier iteration, then the earlier setting. After the last
    validation the model has the best run's layer, of the first seed.

    Args:
        runner (Runner): Of the run.
        dataloader (dict): As of one seed.
        evaluator (dict): Of one run.
        fp16 (bool): mmengine's. Defaults to False.
        seeds (Sequence[int]): See :func:`train_together`.
        metric (str): What chooses. Defaults to 'accuracy/top1'.
    """

    def __init__(self,
                 runner: Runner,
                 dataloader: dict,
                 evaluator: dict,
                 fp16: bool = False,
                 seeds: Sequence[int] = (),
                 metric: str = 'accuracy/top1') -> None:
        super().__init__(
            runner, loader_of_seeds(runner, dataloader, seeds)
            if seeds else dataloader, evaluator, fp16)
        self.seeds, self.metric = seeds or [None], metric
        self.settings = runner.cfg.optim_wrapper.paramwise_cfg.settings

    def run(self) -> Dict[str, float]:
        """Validates all runs; returns the metrics of the last."""
        neck = unwrap(self.runner.model).neck
        stack = neck.attn_pool_f
        self.runner.call_hook('before_val')
        self.runner.call_hook('before_val_epoch')
        self.runner.model.eval()
        loaders = getattr(self.dataloader, 'loaders', [self.dataloader])
        for number, (seed, loader) in enumerate(zip(self.seeds, loaders)):
            pools = stack.of_seed(number)
            evaluators = self._evaluate(loader, pools)
            for run, (pool, evaluator) in enumerate(zip(pools, evaluators)):
                neck.attn_pool_f = pool
                metrics = self._compare(
                    seed, run, evaluator.evaluate(len(loader.dataset)))
        self.runner.call_hook('after_val')
        neck.attn_pool_f = stack
        if self.runner.iter >= self.runner.max_iters:
            neck.attn_pool_f = stack.pools[self._report()]
        return metrics

    @torch.no_grad()
    def _evaluate(self, loader: DataLoader,
                  pools: Sequence[nn.Module]) -> List[Evaluator]:
        """AttnPool_O and the dense features serve all runs of a seed."""
        model = unwrap(self.runner.model)
        evaluators = [copy.deepcopy(self.evaluator) for _ in pools]
        for index, data_batch in enumerate(loader):
            self.runner.call_hook(
                'before_val_iter', batch_idx=index, data_batch=data_batch)
            with autocast(enabled=self.fp16):
                batch = model.data_preprocessor(data_batch)
                features = last(model.backbone(batch['inputs']))
                original = model.neck.attn_pool_o(features)
                for pool, evaluator in zip(pools, evaluators):
                    blended = blend(original, pool(features), model.neck.beta)
                    samples = model.head.predict((blended, ),
                                                 batch['data_samples'])
                    evaluator.process(samples, data_batch)
            self.runner.call_hook('after_val_iter', batch_idx=index,
                                  data_batch=data_batch, outputs=samples)
        return evaluators

    def _compare(self, seed: Optional[int], run: int,
                 metrics: Dict[str, float]) -> Dict[str, float]:
        """Notes a run's result, and lets hooks save what is best so far."""
        info, name = self.runner.message_hub.runtime_info, prefix(seed)
        grid = info.setdefault(name + 'grid', [
            dict(setting, validation=-1.) for setting in self.settings])
        score = metrics[self.metric]
        if score > max(other['validation'] for other in grid):
            info[name + 'setting'] = dict(self.settings[run])
        grid[run]['validation'] = max(grid[run]['validation'], score)
        metrics = {name + key: value for key, value in metrics.items()}
        self.runner.call_hook('after_val_epoch', metrics=metrics)
        return metrics

    def _report(self) -> int:
        """Logs how each setting did; returns the first seed's best run."""
        info, best = self.runner.message_hub.runtime_info, []
        for name in map(prefix, self.seeds):
            best.append(self.settings.index(info[name + 'setting']))
            for number, run in enumerate(info[name + 'grid']):
                words = [name.rstrip('/')] if name else []
                words += [f'{key}={value:g}' for key, value in run.items()]
                words += ['chosen'] if number == best[-1] else []
                self.runner.logger.info(' '.join(words))
        return best[0]
