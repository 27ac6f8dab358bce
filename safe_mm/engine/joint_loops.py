"""Loops of joint training, see :mod:`.joint`."""

import copy
from math import inf, isnan, log
from statistics import fmean
from typing import Dict, List, Sequence

import torch
from mmengine.evaluator import BaseMetric
from mmengine.model import is_model_wrapper
from mmengine.runner import IterBasedTrainLoop, Runner, ValLoop
from mmengine.runner.amp import autocast
from torch.utils.data import DataLoader

from ..errors import InputError
from ..models import add_joint_runs, use_copy
from ..registry import LOOPS
from ..search import search_space
from .joined_loader import loader_of_seeds
from .joint import prefix
from .unwrap import unwrap


@LOOPS.register_module()
class JointTrainLoop(IterBasedTrainLoop):
    """mmengine's loop, for runs side by side.

    Args:
        runner (Runner): Of all runs.
        dataloader (dict): As for one seed.
        max_iters (int): Of each run.
        settings (list[dict]): Of the optimizer, for each run of a seed.
        seeds (Sequence[int]): Of few-shot samples; may be empty.
        val_begin (int): First iteration to validate at. Defaults to 1.
        val_interval (int): Iterations between validations. Defaults to 1000.

    Raises:
        InputError: The model trains nothing, or not on cached features.
    """

    def __init__(
        self,
        runner: Runner,
        dataloader: dict,
        max_iters: int,
        settings: List[dict],
        seeds: Sequence[int],
        val_begin: int = 1,
        val_interval: int = 1000,
    ) -> None:
        if seeds:
            dataloader = loader_of_seeds(runner, dataloader, seeds)
        super().__init__(runner, dataloader, max_iters, val_begin, val_interval)
        model = unwrap(runner.model)
        for culprit, there in {
            'a model that trains nothing': not model.trainable,
            'a trained trunk': model.frozen_stage == 'image',
            'a head that is fitted before training': model.head.fits == 'before',
            'several seeds with a head that is fitted': model.head.fits and seeds,
            'several seeds with a search': seeds and search_space(model, runner.cfg.get('search')),
        }.items():
            if there:
                raise InputError(
                    f'--grid and --seeds do not support {culprit}. Train the runs separately.'
                )
        add_joint_runs(model, len(settings), max(1, len(seeds)))
        if is_model_wrapper(runner.model):
            runner.model = model  # the old wrapper releases its tensors
            runner.model = runner.wrap_model(runner.cfg.get('model_wrapper_cfg'), model)


@LOOPS.register_module()
class JointValLoop(ValLoop):
    """Validates the runs of :class:`safe_mm.models.JointRuns` in one pass.

    The model then has a seed's best neck and head, so that the best checkpoint is that of an
    ordinary model: of the greatest score; ties go to the earlier iteration, then to the least loss
    on the validation images. After the last validation the model has the best run of the first
    seed.

    Args:
        runner (Runner): Of all runs.
        dataloader (dict): As for one seed.
        evaluator (dict): Of one run.
        settings (list[dict]): Of the optimizer, for each run of a seed.
        seeds (Sequence[int]): Of few-shot samples; may be empty.
        metric (str): What chooses.
        fp16 (bool): mmengine's. Defaults to False.
    """

    def __init__(
        self,
        runner: Runner,
        dataloader: dict,
        evaluator: dict,
        settings: List[dict],
        seeds: Sequence[int],
        metric: str,
        fp16: bool = False,
    ) -> None:
        super().__init__(
            runner,
            loader_of_seeds(runner, dataloader, seeds) if seeds else dataloader,
            evaluator,
            fp16,
        )
        self.evaluator.metrics.append(MeanLoss())
        self.settings, self.seeds = settings, seeds or [None]
        self.metric = metric

    def run(self) -> Dict[str, float]:
        """Validates all runs; returns the metrics of the last seed's best."""
        model = unwrap(self.runner.model)
        self.runner.call_hook('before_val')
        self.runner.call_hook('before_val_epoch')
        self.runner.model.eval()
        loaders = getattr(self.dataloader, 'loaders', [self.dataloader])
        for number, (seed, loader) in enumerate(zip(self.seeds, loaders)):
            found = self._evaluate(loader, number)
            best = self._choose(prefix(seed), found)
            use_copy(model, number * model.runs.runs + best)
            metrics = {prefix(seed) + key: value for key, value in found[best].items()}
            self.runner.call_hook('after_val_epoch', metrics=metrics)
        self.runner.call_hook('after_val')
        if self.runner.iter >= self.runner.max_iters:
            use_copy(model, self._report())
        return metrics

    @torch.no_grad()
    def _evaluate(self, loader: DataLoader, number: int) -> List[Dict[str, float]]:
        """Metrics of each run of a seed; frozen features serve all."""
        model = unwrap(self.runner.model)
        evaluators = [copy.deepcopy(self.evaluator) for _ in self.settings]
        for index, data_batch in enumerate(loader):
            self.runner.call_hook('before_val_iter', batch_idx=index, data_batch=data_batch)
            with autocast(enabled=self.fp16):
                batch = model.data_preprocessor(data_batch)
                start = batch.get('start', 'image')
                predictions = model.runs.predict(
                    model.stem(batch['inputs'], start), batch['data_samples'], start, number
                )
                for samples, evaluator in zip(predictions, evaluators):
                    evaluator.process(samples, data_batch)
            self.runner.call_hook(
                'after_val_iter', batch_idx=index, data_batch=data_batch, outputs=samples
            )
        return [evaluator.evaluate(len(loader.dataset)) for evaluator in evaluators]

    def _choose(self, name: str, found: List[Dict[str, float]]) -> int:
        """Notes each run's result; returns which is best."""
        hub = self.runner.message_hub
        grid = hub.runtime_info.setdefault(
            name + 'grid', [dict(setting, validation=-inf) for setting in self.settings]
        )
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
    """The greatest score; ties go to the least loss, then to the first."""
    return max(
        range(len(scores)),
        key=lambda run: (scores[run], -inf if isnan(losses[run]) else -losses[run]),
    )


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
