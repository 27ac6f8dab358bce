"""Evaluation of a model, and the metric of a neck's figures."""

from typing import Dict, List, Sequence

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
        """Notes which figures are right, for each image."""
        for sample in data_samples:
            label = int(sample['gt_label'])
            self.results.append(
                {name: predicted == label for name, predicted in sample.get('figures', {}).items()}
            )

    def compute_metrics(self, results: List[dict]) -> Dict[str, float]:
        """The share of images, in percent."""
        return {
            name: 100 * sum(hits[name] for hits in results) / len(results) for name in results[0]
        }


@torch.no_grad()
def evaluate(model: BaseClassifier, loader: DataLoader, metrics: List[dict]) -> Dict[str, float]:
    """The metrics of a config, as in mmengine's loops.

    Args:
        model (BaseClassifier): Predicts.
        loader (DataLoader): Labelled images, or cached features.
        metrics (list[dict]): Such as the config's ``test_evaluator``.

    Returns:
        dict[str, float]: 'accuracy', and others by their own names; without 'figure/' before the
        neck's figures.
    """
    model.eval()
    evaluator = Evaluator(metrics)
    evaluator.dataset_meta = loader.dataset.metainfo
    for batch in loader:
        evaluator.process(model.test_step(batch), batch)
    found = evaluator.evaluate(len(loader.dataset))
    return {
        'accuracy' if name == 'accuracy/top1' else name.replace('figure/', ''): round(
            float(value), 4
        )
        for name, value in found.items()
    }
