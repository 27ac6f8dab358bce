"""Loops of joint training, see :mod:`.joint`."""

import copy
from math import inf, log
from statistics import fmean
from typing import Any, Dict, Iterator, List, Sequence

import torch
from mmengine.evaluator import BaseMetric
from mmengine.runner import IterBasedTrainLoop, Runner, ValLoop
from mmengine.runner.amp import autocast
from torch.utils.data import DataLoader

from ..config import set_everywhere
from ..models import add_joint_runs, use_copy
from ..registry import LOOPS
from ..search import search_space
from .joint import refuse, seed_prefixes
from .unwrap import rewrap, unwrap


class JoinedLoader:
    """Batches that are each made of a batch from every loader, in their order.

    Args:
        loaders (Sequence[DataLoader]): What all have in common, such as the names of the classes,
            is asked of the first.
    """

    def __init__(self, loaders: Sequence[DataLoader]) -> None:
        self.loaders = list(loaders)
        self.dataset = self.loaders[0].dataset
        self.sampler = self.loaders[0].sampler
        self.batch_size = self.loaders[0].batch_size

    def __iter__(self) -> Iterator[Dict[str, Any]]:
        for batches in zip(*self.loaders):
            yield {key: join([batch[key] for batch in batches]) for key in batches[0]}

    def __len__(self) -> int:
        return len(self.loaders[0])


def join(parts: List[Any]) -> Any:
    """Tensors or lists, one after the other."""
    return torch.cat(parts) if isinstance(parts[0], torch.Tensor) else sum(parts, [])


def loader_of_seeds(runner: Runner, cfg: dict, seeds: Sequence[int]) -> Any:
    """Loaders as in runs of each seed alone, joined; without seeds, the config as it is."""
    loaders = []
    for seed in seeds:
        own = copy.deepcopy(cfg)
        set_everywhere(own, 'seed', seed)
        loaders.append(runner.build_dataloader(own, seed=seed))
    return JoinedLoader(loaders) if loaders else cfg


@LOOPS.register_module()
class JointTrainLoop(IterBasedTrainLoop):
    """mmengine's loop, for runs side by side.

    Args:
        settings (list[dict]): What differs in the optimizer, for each run of a seed.
        seeds (Sequence[int]): Of few-shot samples; may be empty.

    The other arguments are mmengine's.

    Raises:
        InputError: The model trains nothing, or has no frozen stage, or a fit or a search that is
            not supported.
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
        dataloader = loader_of_seeds(runner, dataloader, seeds)
        super().__init__(runner, dataloader, max_iters, val_begin, val_interval)
        model = unwrap(runner.model)
        refuse(
            {
                'a model that trains nothing': not model.trainable,
                'a trained trunk': model.frozen_stage == 'image',
                'a loss that takes the features of the unchanged CLIP': model.head.needs_original,
                'a head that is fitted before training': model.head.fits == 'before',
                'several seeds with a head that is fitted': seeds and model.head.fits,
                'several seeds with a search': seeds
                and search_space(model, runner.cfg.get('search')),
            }
        )
        add_joint_runs(model, settings, max(1, len(seeds)))
        rewrap(runner)


@LOOPS.register_module()
class JointValLoop(ValLoop):
    """Validates the runs of :class:`safe_mm.models.JointRuns` in one pass.

    The model then has the parts of a seed's best run, so that checkpoints are those of an ordinary
    model. The greatest score is best; ties go to the earlier iteration, then to the least loss on
    the validation images.

    Args:
        seeds (Sequence[int]): Of few-shot samples; may be empty.
        metric (str): What chooses.

    The other arguments are mmengine's.
    """

    def __init__(
        self,
        runner: Runner,
        dataloader: dict,
        evaluator: dict,
        seeds: Sequence[int],
        metric: str,
        fp16: bool = False,
    ) -> None:
        super().__init__(runner, loader_of_seeds(runner, dataloader, seeds), evaluator, fp16)
        self.evaluator.metrics.append(MeanLoss())
        self.settings = unwrap(runner.model).runs.settings
        self.prefixes = seed_prefixes(seeds)
        self.metric = metric

    def run(self) -> Dict[str, float]:
        """Validates all runs; returns the metrics of the last seed's best."""
        model = unwrap(self.runner.model)
        self.runner.call_hook('before_val')
        self.runner.call_hook('before_val_epoch')
        self.runner.model.eval()
        loaders = getattr(self.dataloader, 'loaders', [self.dataloader])
        found = [self._evaluate(loader, seed) for seed, loader in enumerate(loaders)]
        for seed, (prefix, own) in enumerate(zip(self.prefixes, found)):
            best = self._choose(prefix, own)
            use_copy(model, seed * len(self.settings) + best)
            metrics = {prefix + key: value for key, value in own[best].items()}
            self.runner.call_hook('after_val_epoch', metrics=metrics)
        self.runner.call_hook('after_val')
        if self.runner.iter >= self.runner.max_iters:
            self._report()
        return metrics

    @torch.no_grad()
    def _evaluate(self, loader: DataLoader, seed: int) -> List[Dict[str, float]]:
        """Metrics of each run of a seed; frozen features serve all."""
        model = unwrap(self.runner.model)
        evaluators = [copy.deepcopy(self.evaluator) for _ in self.settings]
        for index, data_batch in enumerate(loader):
            self.runner.call_hook('before_val_iter', batch_idx=index, data_batch=data_batch)
            with autocast(enabled=self.fp16):
                batch = model.data_preprocessor(data_batch)
                start = batch.get('start', 'image')
                stem = model.stem(batch['inputs'], start)
                predictions = model.runs.predict(stem, batch['data_samples'], start, seed)
            for samples, evaluator in zip(predictions, evaluators):
                evaluator.process(samples, data_batch)
            self.runner.call_hook(
                'after_val_iter', batch_idx=index, data_batch=data_batch, outputs=samples
            )
        images: Any = loader.dataset
        return [evaluator.evaluate(len(images)) for evaluator in evaluators]

    def _choose(self, prefix: str, found: List[Dict[str, float]]) -> int:
        """Notes the result of each run of a seed; returns which is best."""
        info = self.runner.message_hub.runtime_info
        grid = info.setdefault(
            prefix + 'grid', [dict(setting, validation=-inf) for setting in self.settings]
        )
        # Without that metric, the checkpoint hook objects
        scores = [(metrics.get(self.metric, -inf), -metrics['loss/mean']) for metrics in found]
        best = scores.index(max(scores))
        if scores[best][0] > max(run['validation'] for run in grid):
            # Before the first iteration, all settings are the same model
            info[prefix + 'setting'] = dict(self.settings[best]) if self.runner.iter else {}
        for run, (score, _) in zip(grid, scores):
            run['validation'] = max(run['validation'], score)
        return best

    def _report(self) -> None:
        """Logs how each setting did."""
        info = self.runner.message_hub.runtime_info
        for prefix in self.prefixes:
            chosen = info[prefix + 'setting']
            for setting, run in zip(self.settings, info[prefix + 'grid']):
                text = ' '.join(f'{key}={value:g}' for key, value in run.items())
                mark = ' chosen' if setting == chosen else ''
                self.runner.logger.info(f'{prefix[:-1]} {text}{mark}'.strip())
            if not chosen:
                text = 'no setting gets above the start, which is chosen'
                self.runner.logger.info(f'{prefix[:-1]} {text}'.strip())


class MeanLoss(BaseMetric):
    """Cross-entropy of the classes' probabilities, 'loss/mean'."""

    default_prefix = 'loss'

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        for sample in data_samples:
            score = sample['pred_score'][int(sample['gt_label'])].item()
            self.results.append(-log(max(1e-38, score)))  # in this order, also of NaN

    def compute_metrics(self, results: List[float]) -> Dict[str, float]:
        return dict(mean=fmean(results))
