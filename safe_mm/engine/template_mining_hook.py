"""Choice of prompt templates on the few-shot validation set."""

from typing import List, Sequence, Tuple, Union

import torch
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper
from torch.nn import functional as F

from ..clip import SplitCLIP
from ..errors import InputError
from ..pooled import pool_dataset
from ..prompts import class_prompts
from ..registry import HOOKS
from .unwrap import unwrap


def mine(
    texts: torch.Tensor, features: torch.Tensor, labels: torch.Tensor, keep: int
) -> Tuple[torch.Tensor, List[int]]:
    """Class weights of the templates that classify images best, each alone.

    Args:
        texts (Tensor): Unit text features of each template and class, shape (T, N, D).
        features (Tensor): Unit image features, shape (V, D).
        labels (Tensor): Shape (V, ).
        keep (int): How many templates to keep; ties to the earlier ones.

    Returns:
        tuple: W_c, shape (N, D), and the numbers of the chosen templates, best first.
    """
    hits = (features @ texts.mT).argmax(-1) == labels  # (T, V)
    best = hits.sum(-1).argsort(descending=True, stable=True)[:keep]
    return F.normalize(texts[best].mean(0), dim=-1), best.tolist()


@HOOKS.register_module()
class TemplateMiningHook(Hook):
    """Replaces W_c by that of the best templates of a pool (SAFE, Fig. 8).

    Each template is ranked by the zero-shot accuracy of CLIP on the validation images, before
    training. The templates of the dataset are candidates, too. As in cross-modal adaptation (Lin et
    al., 2023), 21 are kept.

    Args:
        pool (str | Sequence[str]): Templates, or the name of a set, see
            :func:`safe_mm.prompts.class_prompts`. Defaults to 'openai_imagenet', of 80.
        keep (int): How many to keep. Defaults to 21.

    Raises:
        InputError: There is no validation, there are several seeds, classes have different numbers
            of sentences, the head has other tensors that follow from W_c, or the neck has no
            features of the unchanged CLIP.
    """

    priority = 'VERY_LOW'  # when features are cached

    def __init__(self, pool: Union[str, Sequence[str]] = 'openai_imagenet', keep: int = 21) -> None:
        self.pool, self.keep = pool, keep
        self._sentences: List[List[str]] = []

    def before_run(self, runner) -> None:
        """Checks a training before anything is computed."""
        if not isinstance(runner.optim_wrapper, OptimWrapper):
            return
        model = unwrap(runner.model)
        if runner.val_loop is None:
            raise InputError('TemplateMiningHook needs validation images. Remove --no-validate.')
        if model.runs is not None and model.runs.num_seeds > 1:
            raise InputError(
                'TemplateMiningHook does not support --seeds: each sample has templates of its '
                'own. Train them one by one, with --seed.'
            )
        if model.head.class_bound or set(model.head.from_names) != {'class_weights'}:
            raise InputError(
                f'TemplateMiningHook does not support {type(model.head).__name__}, which has other '
                'tensors that follow from the class weights. Use a TextClsHead.'
            )
        own = runner.cfg.model.get('templates') or 'a photo of a {}.'
        self._sentences = [
            list(dict.fromkeys(first + second))
            for first, second in zip(
                class_prompts(model.classes, own), class_prompts(model.classes, self.pool)
            )
        ]
        if len({len(sentences) for sentences in self._sentences}) > 1:
            raise InputError(
                'TemplateMiningHook needs the same templates for all classes, but some have more '
                'sentences than others. Set model.templates and pool to templates with {}.'
            )

    @torch.no_grad()
    def before_train_epoch(self, runner) -> None:
        """Chooses before the first iteration; later, W_c comes from a checkpoint."""
        if runner.train_loop.iter:
            return
        model, per_class = unwrap(runner.model), self._sentences
        validation = pool_dataset(model, runner.val_loop.dataloader.dataset)
        figures = model.neck.figures(validation.branches)
        if 'zero-shot' not in figures:
            raise InputError(
                f'TemplateMiningHook needs the unchanged CLIP, which {type(model.neck).__name__} '
                'has not kept. Use a BlendedAttentionPool.'
            )
        texts = SplitCLIP(**runner.cfg.model.clip).encode_text(sum(per_class, []))
        texts = texts.unflatten(0, (len(per_class), -1)).transpose(0, 1)
        weights, best = mine(
            texts.to(validation.branches),
            F.normalize(figures['zero-shot'], dim=-1),
            validation.labels,
            self.keep,
        )
        model.head.class_weights.copy_(weights)
        name = model.classes[0].replace('_', ' ')
        chosen = [per_class[0][i].replace(name, '{}') for i in best]
        runner.logger.info(f'Templates by validation: {"; ".join(chosen)}')
