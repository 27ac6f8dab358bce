"""What a trained model costs: sizes, and time at test."""

import time
from statistics import median
from typing import Dict, List

import torch
from mmengine.dataset import default_collate
from mmengine.device import get_device
from mmpretrain.datasets import BaseDataset

from ..feature_cache import CPU_BATCH
from ..models import CLIPClassifier

IMAGES, PASSES = 32, 5  # of a measurement; on a CPU, CPU_BATCH images
LIMIT = 2.0  # seconds after which no further pass begins


def sizes(model: CLIPClassifier) -> Dict[str, int]:
    """Sizes of what makes a model differ from its CLIP.

    Returns:
        dict: 'trained_parameters'; 'fitted_parameters', without those that were also trained;
        'stored_bytes' of its checkpoint, with the text classifier and without CLIP's frozen
        weights.
    """
    parameters = dict(model.named_parameters())
    fitted = [name for name in model.head.fitted if f'head.{name}' not in model.trainable]
    return dict(
        trained_parameters=sum(parameters[name].numel() for name in model.trainable),
        fitted_parameters=sum(getattr(model.head, name).numel() for name in fitted),
        stored_bytes=sum(t.numel() * t.element_size() for t in model.state_dict().values()),
    )


@torch.no_grad()
def seconds_per_image(model: CLIPClassifier, dataset: BaseDataset) -> float:
    """Seconds from an image in memory to its prediction, without loading and preprocessing.

    The median of up to five passes over a batch of test images, after one that warms up.
    """
    model.eval()
    size = CPU_BATCH if get_device() == 'cpu' else IMAGES
    batch = default_collate([dataset[i] for i in range(min(size, len(dataset)))])
    seconds: List[float] = []
    while len(seconds) < 2 or len(seconds) <= PASSES and sum(seconds) < LIMIT:
        start = time.perf_counter()
        # The list of predictions waits for a GPU
        model(model.data_preprocessor(batch)['inputs']).argmax(-1).tolist()
        seconds.append(time.perf_counter() - start)
    return median(seconds[1:]) / len(batch['inputs'])
