"""Zero-shot accuracy of a CLIP while it is pretrained."""

from typing import Any, Dict, Tuple

import torch
from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch.nn import functional as F
from torch.utils.data import DataLoader

from ..methods.zero_shot import text_class_weights
from ..models import CLIPPretrainer
from ..prompts import class_prompts
from ..registry import HOOKS
from .unwrap import unwrap


@HOOKS.register_module()
class ZeroShotHook(Hook):
    """Logs zero-shot accuracy, and the mean cosine between prompts of two classes.

    A cosine near one means that the text encoder has collapsed.

    Args:
        dataloaders (dict[str, dict]): Name -> config of a dataloader of labelled images, with class
            names and templates. Not of test data.
        interval (int): Iterations between two evaluations. Defaults to 200.
    """

    def __init__(self, dataloaders: Dict[str, dict], interval: int = 200) -> None:
        self.interval = interval
        self._cfg = dataloaders
        self._loaders: Dict[str, DataLoader] = {}

    def before_train(self, runner: Runner) -> None:
        """Builds the data, before hours of training."""
        for name, cfg in self._cfg.items():
            loader = Runner.build_dataloader(cfg)
            # One process evaluates all images
            self._loaders[name] = DataLoader(
                loader.dataset,
                loader.batch_size,
                num_workers=loader.num_workers,
                collate_fn=loader.collate_fn,
            )

    def after_train_iter(self, runner: Runner, *args, **kwargs) -> None:
        """Evaluates every ``interval``-th and the last iteration."""
        if self.every_n_train_iters(runner, self.interval) or self.is_last_train_iter(runner):
            self._evaluate(runner)

    @master_only
    @torch.no_grad()
    def _evaluate(self, runner: Runner) -> None:
        model = unwrap(runner.model)
        model.eval()
        scalars: Dict[str, float] = {}
        for name, loader in self._loaders.items():
            accuracy, cosine = zero_shot(model, loader)
            scalars.update({f'zero_shot/{name}': accuracy, f'prompt_cosine/{name}': cosine})
        model.train()
        runner.visualizer.add_scalars(scalars, step=runner.iter + 1)
        values = '  '.join(f'{key} {value:.2f}' for key, value in scalars.items())
        runner.logger.info(f'Iter {runner.iter + 1}: {values}')


def zero_shot(model: CLIPPretrainer, loader: DataLoader) -> Tuple[float, float]:
    """Accuracy in percent, and the mean cosine between prompts of two classes.

    Args:
        model (CLIPPretrainer): In eval mode.
        loader (DataLoader): Labelled images, with class names and templates in the metainfo.
    """
    images: Any = loader.dataset
    meta = images.metainfo
    prompts = class_prompts(meta['classes'], meta['templates'])
    weights = text_class_weights(prompts, model.encode_text)
    hits = []
    for batch in loader:
        batch = model.data_preprocessor(batch)
        features = F.normalize(model.encode_image(batch['inputs']), dim=-1)
        labels = torch.cat([s.gt_label for s in batch['data_samples']])
        hits.append((features @ weights.T).argmax(-1) == labels)
    accuracy = 100 * torch.cat(hits).float().mean().item()
    count = len(weights)
    return accuracy, ((weights @ weights.T).sum().item() - count) / (count * (count - 1))
