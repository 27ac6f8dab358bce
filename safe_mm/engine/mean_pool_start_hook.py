"""Closed-form initialisation of a CLIP between two pretrained encoders."""

import torch
from mmengine.hooks import Hook
from tqdm import tqdm

from ..errors import InputError
from ..feature_cache import CachedFeatures
from ..models import CLIPPretrainer
from ..registry import HOOKS
from .unwrap import unwrap

BATCH = 256


@HOOKS.register_module()
class MeanPoolStartHook(Hook):
    """Sets pooling layer and text projection in closed form before the first iteration.

    The pooling layer averages, and both projections agree on the names of ImageNet's classes, see
    :meth:`safe_mm.models.posterior.PosteriorLoss.start`. A resumed run keeps its weights. Place it
    beside a :class:`safe_mm.engine.FeatureCacheHook`, whose features it reads.

    Raises:
        InputError: Features are not cached, the model has no ``posterior`` loss, or its pooling
            layer is none that can average.
    """

    priority = 'BELOW_NORMAL'  # after the features are cached

    def before_train(self, runner) -> None:
        """Starts from the features of the training photos."""
        model, features = unwrap(runner.model), runner.train_dataloader.dataset
        if not isinstance(model, CLIPPretrainer) or model.posterior_loss is None:
            raise InputError('MeanPoolStartHook needs a CLIPPretrainer with posterior > 0.')
        if not isinstance(features, CachedFeatures):
            raise InputError('MeanPoolStartHook needs a FeatureCacheHook, whose features it reads.')
        if runner.iter == 0:
            start_as_mean(model, averaged(features))


def averaged(features: CachedFeatures) -> torch.Tensor:
    """Dense features of all photos, averaged over the grid, shape (V, C)."""
    starts = tqdm(range(0, len(features), BATCH), 'averaged features')
    return torch.cat(
        [
            features.features(range(i, min(i + BATCH, len(features)))).float().mean((-1, -2))
            for i in starts
        ]
    )


@torch.no_grad()
def start_as_mean(model: CLIPPretrainer, means: torch.Tensor) -> None:
    """The pooling layer averages; both projections agree on names.

    Args:
        model (CLIPPretrainer): With a posterior loss.
        means (Tensor): Averaged dense features of photos, shape (V, C).
    """
    projection = model.text.text.proj.weight
    weight, bias, text = model.posterior_loss.start(
        means.to(projection.device), model.stored, len(projection)
    )
    model.pool.start_as_mean(weight, bias)
    projection.copy_(text)
