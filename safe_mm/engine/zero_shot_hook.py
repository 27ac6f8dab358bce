"""Zero-shot accuracy of a CLIP while it is pretrained."""

from typing import Dict, Tuple

import torch
from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch.nn import functional as F
from torch.utils.data import DataLoader

from ..methods.zero_shot import text_class_weights
from ..prompts import class_prompts
from ..registry import HOOKS
from .unwrap import unwrap


@HOOKS.register_module()
class ZeroShotHook(Hook):
    """Logs zero-shot accuracy, and how alike the prompts are to the model.

    Prompts whose features have a cosine near one cannot be told apart: the text encoder has
    collapsed.

    Args:
        dataloaders (dict[str, dict]): Name -> config of a dataloader of labelled images, with class
            names and templates. Not of test data.
        interval (int): Iterations between two looks. Defaults to 200.
    """

    def __init__(self, dataloaders: Dict[str, dict], interval: int = 200) -> None:
        self.interval = interval
        self._cfg = dataloaders
        self._loaders: Dict[str, DataLoader] = {}

    def before_train(self, runner) -> None:
        """Makes the data ready, before hours of training."""
        self._loaders = {name: Runner.build_dataloader(cfg) for name, cfg in self._cfg.items()}

    def after_train_iter(
        self, runner, batch_idx: int, data_batch: dict = None, outputs: dict = None
    ) -> None:
        """Looks at every ``interval``-th and at the last iteration."""
        if self.every_n_train_iters(runner, self.interval) or self.is_last_train_iter(runner):
            self._look(runner)

    @master_only
    @torch.no_grad()
    def _look(self, runner) -> None:
        model = unwrap(runner.model)
        model.eval()
        scalars = {}
        for name, loader in self._loaders.items():
            accuracy, cosine = zero_shot(model, loader)
            scalars[f'zero_shot/{name}'] = accuracy
            scalars[f'prompt_cosine/{name}'] = cosine
        model.train()
        runner.visualizer.add_scalars(scalars, step=runner.iter + 1)
        runner.logger.info(
            'Iter {}: {}'.format(
                runner.iter + 1, '  '.join(f'{key} {value:.2f}' for key, value in scalars.items())
            )
        )


def zero_shot(model, loader: DataLoader) -> Tuple[float, float]:
    """Accuracy in percent, and the mean cosine of two classes' prompts.

    Args:
        model (CLIPPretrainer): Or any with ``encode_image``, ``encode_text`` and
            ``data_preprocessor``.
        loader (DataLoader): Labelled images, named by the dataset's metainfo.
    """
    meta = loader.dataset.metainfo
    weights = text_class_weights(
        class_prompts(meta['classes'], meta['templates']), model.encode_text
    )
    hits = []
    for batch in loader:
        batch = model.data_preprocessor(batch)
        features = F.normalize(model.encode_image(batch['inputs']), dim=-1)
        labels = torch.cat([s.gt_label for s in batch['data_samples']])
        hits.append((features @ weights.T).argmax(-1) == labels)
    count = len(weights)
    cosine = (weights @ weights.T).sum() - count
    return (100 * torch.cat(hits).float().mean().item(), cosine.item() / (count * (count - 1)))
