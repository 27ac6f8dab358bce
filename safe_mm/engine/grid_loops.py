"""Loops of runs that are trained side by side, see :mod:`.grid`."""
import copy
from math import inf, isnan, log
from statistics import fmean
from typing import Dict, List, Sequence

import torch
from mmengine.evaluator import BaseMetric
from mmengine.runner import IterBasedTrainLoop, Runner, ValLoop
from mmengine.runner.amp import autocast
from torch import nn
from torch.utils.data import DataLoader

from ..models.dense import last
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

    A seed's best is then put in the stack's place, so that the best checkpoint
    is that of an ordinary model: of the greatest score; of equals the earlier
    iteration, then the least loss on the validation images. After the last
    validation the model has the best run's layer, of the first seed.

    Args:
        runner (Runner): Of the run.
        dataloader (dict): As of one seed.
        evaluator (dict): Of one run.
        fp16 (bool): mmengine's. Defaults to False.
        seeds (Sequence[int]): See :func:`train_together`; may be empty.
        metric (str): What chooses.
    """

    def __init__(self,
                 runner: Runner,
                 dataloader: dict,
                 evaluator: dict,
                 fp16: bool = False,
                 *,
                 seeds: Sequence[int],
                 metric: str) -> None:
        super().__init__(
            runner, loader_of_seeds(runner, dataloader, seeds)
            if seeds else dataloader, evaluator, fp16)
        self.evaluator.metrics.append(MeanLoss())
        self.seeds, self.metric = seeds or [None], metric
        self.settings = runner.cfg.optim_wrapper.paramwise_cfg.settings

    def run(self) -> Dict[str, float]:
        """Validates all runs; returns the metrics of the last seed's best."""
        neck = unwrap(self.runner.model).neck
        stack = neck.attn_pool_f
        self.runner.call_hook('before_val')
        self.runner.call_hook('before_val_epoch')
        self.runner.model.eval()
        loaders = getattr(self.dataloader, 'loaders', [self.dataloader])
        for number, (seed, loader) in enumerate(zip(self.seeds, loaders)):
            pools = stack.of_seed(number)
            found = self._evaluate(loader, pools)
            best = self._choose(prefix(seed), found)
            neck.attn_pool_f = pools[best]
            metrics = {prefix(seed) + key: value
                       for key, value in found[best].items()}
            self.runner.call_hook('after_val_epoch', metrics=metrics)
        self.runner.call_hook('after_val')
        neck.attn_pool_f = stack
        if self.runner.iter >= self.runner.max_iters:
            neck.attn_pool_f = stack.pools[self._report()]
        return metrics

    @torch.no_grad()
    def _evaluate(self, loader: DataLoader,
                  pools: Sequence[nn.Module]) -> List[Dict[str, float]]:
        """Metrics of each run; AttnPool_O and dense features serve all."""
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
        return [evaluator.evaluate(len(loader.dataset))
                for evaluator in evaluators]

    def _choose(self, name: str, found: List[Dict[str, float]]) -> int:
        """Notes each run's result; returns which is best."""
        hub = self.runner.message_hub
        grid = hub.runtime_info.setdefault(name + 'grid', [
            dict(setting, validation=-inf) for setting in self.settings])
        before = max(run['validation'] for run in grid)
        # Without that metric, the checkpoint hook objects
        scores = [metrics.get(self.metric, -inf) for metrics in found]
        for run, score in zip(grid, scores):
            run['validation'] = max(run['validation'], score)
        best = best_run(scores, [metrics['loss/mean'] for metrics in found])
        if scores[best] > before:
            hub.update_info(name + 'setting', dict(self.settings[best]))
        return best

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


def best_run(scores: Sequence[float], losses: Sequence[float]) -> int:
    """The greatest score; of equals the least loss, then the first."""
    return max(range(len(scores)), key=lambda run: (
        scores[run], -inf if isnan(losses[run]) else -losses[run]))


class MeanLoss(BaseMetric):
    """Cross-entropy of the classes' probabilities, 'loss/mean'."""

    default_prefix = 'loss'

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Notes the loss of each image."""
        for sample in data_samples:
            score = sample['pred_score'][int(sample['gt_label'])].item()
            self.results.append(-log(max(score, 1e-38)))

    def compute_metrics(self, results: List[float]) -> Dict[str, float]:
        """The mean of all images."""
        return dict(mean=fmean(results))
