"""Evaluation on held-out captions and class names while a CLIP is pretrained."""

from typing import Dict, List, Tuple

import torch
from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch.nn import functional as F

from ..feature_cache import CachedFeatures
from ..models import CLIPPretrainer
from ..models.vocabulary import TEMPLATES, Group
from ..registry import HOOKS
from .unwrap import unwrap

BATCH = 256
SURE = 0.5  # probability of a class from which a photo counts as one of it
TEMPLATE = TEMPLATES[1]


@HOOKS.register_module()
class HeldOutHook(Hook):
    """Logs measures on which to choose the settings of pretraining.

    ``names`` and ``terms`` are of classes and more general terms that were never named, see
    :class:`safe_mm.models.vocabulary.Vocabulary`: on training photos that the image encoder's own
    classifier is sure of, each once, how often CLIP chooses the same class among those held out, or
    the term above it among the terms held out. ``known`` is the same of the named classes.
    ``image_to_text`` and ``text_to_image`` are the recall at 1 of photos with captions, each with
    its first one.

    Args:
        dataloader (dict): Config of a dataloader of held-out photos with captions.
        interval (int): Iterations between two evaluations. Defaults to 200.
    """

    priority = 'LOW'

    def __init__(self, dataloader: dict, interval: int = 200) -> None:
        self.cfg, self.interval = dataloader, interval

    def before_train(self, runner: Runner) -> None:
        """Builds the data, and evaluates the start."""
        self._loader = Runner.build_dataloader(self.cfg)
        self._evaluate(runner, runner.iter)

    def after_train_iter(self, runner: Runner, *args, **kwargs) -> None:
        """Evaluates every ``interval``-th and the last iteration."""
        if self.every_n_train_iters(runner, self.interval) or self.is_last_train_iter(runner):
            self._evaluate(runner, runner.iter + 1)

    @master_only
    @torch.no_grad()
    def _evaluate(self, runner: Runner, step: int) -> None:
        model = unwrap(runner.model)
        model.eval()
        values = retrieval(model, self._loader)
        if isinstance(runner.train_dataloader.dataset, CachedFeatures):
            values.update(naming(model, runner.train_dataloader.dataset))
        model.train()
        runner.visualizer.add_scalars({f'held_out/{k}': v for k, v in values.items()}, step=step)
        listed = '  '.join(f'{key} {value:.1f}' for key, value in values.items())
        runner.logger.info(f'Iter {step}, held out: {listed}')


def retrieval(model: CLIPPretrainer, loader) -> Dict[str, float]:
    """Recall at 1 in percent, among all photos of a loader."""
    images, captions = [], []
    for batch in loader:
        batch = model.data_preprocessor(batch)
        images.append(F.normalize(model.encode_image(batch['inputs']), dim=-1))
        captions += [sample.captions[0] for sample in batch['data_samples']]
    scores = torch.cat(images) @ model.encode_text(captions).T
    own = torch.arange(len(scores), device=scores.device)
    return dict(
        image_to_text=100 * (scores.argmax(1) == own).float().mean().item(),
        text_to_image=100 * (scores.argmax(0) == own).float().mean().item(),
    )


def first_views(photos) -> List[int]:
    """Index of the first sample of each photo of a dataset."""
    paths = [photos.get_data_info(i)['img_path'] for i in range(len(photos))]
    return sorted({path: i for i, path in reversed(list(enumerate(paths)))}.values())


def naming(model: CLIPPretrainer, features: CachedFeatures) -> Dict[str, float]:
    """Agreement with the image encoder's own classifier, in percent, on each photo's first view."""
    vocabulary, photos = model.posterior_loss.vocabulary, first_views(features)
    classes, parts = [], []
    for i in range(0, len(photos), BATCH):
        dense = features.features(photos[i : i + BATCH]).float().to(model.text.logit_scale.device)
        sure, label = model.posterior_loss.posterior(dense).max(-1)
        classes.append(label.where(sure > SURE, -1))
        parts.append(F.normalize(model.pool(dense), dim=-1))
    labels, pooled = torch.cat(classes).tolist(), torch.cat(parts)
    above = [vocabulary.held_out_term(label) if label >= 0 else None for label in labels]
    groups: Dict[str, Tuple[list, list]] = dict(
        known=(labels, vocabulary.named),
        names=(labels, vocabulary.held_out_classes),
        terms=(above, sorted(vocabulary.held_out_terms)),
    )
    return {
        name: agreement(model, pooled, targets, among)
        for name, (targets, among) in groups.items()
        if set(targets) & set(among)
    }


def agreement(
    model: CLIPPretrainer, pooled: torch.Tensor, targets: list, among: List[Group]
) -> float:
    """How often the nearest of some classes or terms is the target, where that is among them."""
    sentences = model.posterior_loss.vocabulary.sentences(among, TEMPLATE)
    texts = model.encode_text(sentences)
    nearest = (pooled @ texts.T).argmax(-1).tolist()
    hits = [among[n] == target for n, target in zip(nearest, targets) if target in among]
    return 100 * sum(hits) / len(hits)
