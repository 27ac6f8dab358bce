"""Evaluation of a model, and the metric of a neck's figures."""

from typing import Any, Dict, List, Sequence

import torch
from mmengine.evaluator import BaseMetric, Evaluator
from mmpretrain.models import BaseClassifier
from torch.utils.data import DataLoader

from .registry import METRICS


@METRICS.register_module()
class FigureAccuracy(BaseMetric):
    """Accuracy in percent of each of the neck's figures.

    Such as 'figure/zero-shot' and 'figure/beta=0.5', by the text classifier alone. Predictions
    without figures, as those of test-time augmentation, give none.
    """

    default_prefix = 'figure'

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        for sample in data_samples:
            label = int(sample['gt_label'])
            self.results.append(
                {name: predicted == label for name, predicted in sample.get('figures', {}).items()}
            )

    def compute_metrics(self, results: List[dict]) -> Dict[str, float]:
        return {
            name: 100 * sum(hits[name] for hits in results) / len(results) for name in results[0]
        }


@torch.no_grad()
def evaluate(model: BaseClassifier, loader: DataLoader, metrics: List[dict]) -> Dict[str, float]:
    """Metrics, such as a config's ``test_evaluator``, as in mmengine's loops.

    Returns:
        dict[str, float]: 'accuracy', and others by their own names; without 'figure/' before the
        neck's figures.
    """
    model.eval()
    evaluator = Evaluator(metrics)
    dataset: Any = loader.dataset  # torch's type has neither metainfo nor length
    evaluator.dataset_meta = dataset.metainfo
    for batch in loader:
        evaluator.process(model.test_step(batch), batch)
    found = evaluator.evaluate(len(dataset))
    return {
        'accuracy' if name == 'accuracy/top1' else name.replace('figure/', ''): round(
            float(value), 4
        )
        for name, value in found.items()
    }
