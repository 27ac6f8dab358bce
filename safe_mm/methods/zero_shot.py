"""Zero-shot CLIP: its own pooling, and a classifier of text features.

Radford et al., Learning Transferable Visual Models From Natural Language Supervision, 2021.
"""

from itertools import chain
from typing import Callable, Dict, List, Mapping, Optional, Sequence, Union

import torch
from mmpretrain.models.heads import ClsHead
from mmpretrain.structures import DataSample
from torch.nn import functional as F

from ..clip import SplitCLIP, get_clip
from ..errors import InputError
from ..models.part import Head, Neck, mask_classes
from ..models.slim import SlimModule
from ..poolings import Pooling
from ..prompts import class_prompts
from ..registry import MODELS

CROSS_ENTROPY = dict(type='CrossEntropyLoss', loss_weight=1.0)
ROWS = 1024  # of W_c that are compared at a time


def text_class_weights(prompts: Sequence[List[str]], encode: Callable) -> torch.Tensor:
    """W_c: one text feature for each class.

    Args:
        prompts (Sequence[list[str]]): Sentences of each class.
        encode (Callable): Sentences -> text features of unit length, shape (number of sentences,
            D).

    Returns:
        Tensor: Shape (N, D); each row the mean of its class's text features,
        normalised again.
    """
    features = encode([text for texts in prompts for text in texts])
    return F.normalize(class_means(features, [len(texts) for texts in prompts]), dim=-1)


def class_means(features: torch.Tensor, counts: Sequence[int]) -> torch.Tensor:
    """Mean of the first ``counts[0]`` rows, of the next ``counts[1]``, and so on."""
    return torch.stack([own.mean(0) for own in features.split(list(counts))])


def sentences_of(
    classes: Union[Sequence[str], Mapping[str, list]],
    templates: Union[str, Sequence[str]] = 'a photo of a {}.',
) -> List[List[str]]:
    """The sentences of each class: those given, or templates with its name."""
    if isinstance(classes, Mapping):
        return list(classes.values())
    return class_prompts(classes, templates)


def names_of(classes: Union[Sequence[str], Mapping[str, list]]) -> List[str]:
    """The name of each class, as it is written in a sentence."""
    return [str(name).replace('_', ' ') for name in getattr(classes, 'names', classes)]


def check_distinct(names: Sequence[str], weights: torch.Tensor) -> None:
    """Raises an InputError if classes of two names have one W_c, shape (N, D)."""
    for start in range(0, len(weights), ROWS):
        cosines = weights[start : start + ROWS] @ weights.T
        for one, two in (cosines > 1 - 2e-7).nonzero().tolist():
            if names[start + one] != names[two]:
                raise InputError(
                    f'the classes {names[start + one]!r} and {names[two]!r} have the same text '
                    'features. Give them prompts that differ before the text encoder cuts them off.'
                )


def mean_text_features(
    clip: SplitCLIP, classes: Union[Sequence[str], Mapping[str, list]]
) -> torch.Tensor:
    """Means over each class's sentences of text features that are not normalised.

    Args:
        clip (SplitCLIP): Encodes the sentences.
        classes (Sequence[str] | Mapping[str, list[str]]): See :class:`TextClsHead`.

    Returns:
        Tensor: Shape (N, D).
    """
    if not classes:
        return torch.empty(0, clip.embed_dim)
    sentences = sentences_of(classes)
    features = clip.encode_text([t for texts in sentences for t in texts], normalize=False)
    return class_means(features, [len(texts) for texts in sentences])


def text_logits(
    features: torch.Tensor, class_weights: torch.Tensor, logit_scale: torch.Tensor
) -> torch.Tensor:
    """Logits of SAFE's Eq. 4: logit_scale * normalize(F) W_c^T.

    Args:
        features (Tensor): Shape (..., B, D).
        class_weights (Tensor): W_c, rows of unit length, shape (..., N, D).
        logit_scale (Tensor): CLIP's inverse temperature, a scalar.

    Returns:
        Tensor: Shape (..., B, N).
    """
    return logit_scale * F.normalize(features, dim=-1) @ class_weights.mT


@MODELS.register_module()
class CLIPPool(Neck, SlimModule):
    """CLIP's own pooling layer.

    Args:
        clip (dict | SplitCLIP): ``model_name`` and ``pretrained``, see
            :class:`safe_mm.clip.SplitCLIP`.
        init_cfg (dict, optional): mmengine's initialization config. Defaults to None.
    """

    poolings = ('attn_pool_o',)

    def __init__(self, clip: Union[dict, SplitCLIP], init_cfg: Optional[dict] = None) -> None:
        clip = get_clip(clip)
        super().__init__(clip.name, init_cfg)
        self.attn_pool_o = clip.pool.requires_grad_(False)

    def combine(self, branches: torch.Tensor) -> torch.Tensor:
        return branches[0]

    def figures(self, branches: torch.Tensor) -> Dict[str, torch.Tensor]:
        return {'zero-shot': branches[0]}

    def clip_pool(self) -> Pooling:
        return self.attn_pool_o


@MODELS.register_module()
class TextClsHead(Head, ClsHead):
    """Classifies features by their similarity to class texts (SAFE, Eq. 4).

    A checkpoint has W_c, the logit scale and SigLIP's logit bias.

    Args:
        clip (dict | SplitCLIP): ``model_name`` and ``pretrained``, see
            :class:`safe_mm.clip.SplitCLIP`.
        classes (Sequence[str] | Mapping[str, list[str]]): Class names, or the sentences for each of
            them. If empty, W_c must come from a checkpoint. Defaults to ().
        templates (str | Sequence[str]): For class names without sentences, see
            :func:`safe_mm.prompts.class_prompts`. Defaults to ``'a photo of a {}.'``.
        loss (dict): Config of the loss. Defaults to cross-entropy.
        topk (int | tuple[int]): For accuracy while training, if ``cal_acc``. Defaults to (1, ).
        cal_acc (bool): Whether to log accuracy while training. Defaults to False.
        init_cfg (dict, optional): mmengine's initialization config. Defaults to None.

    Attributes:
        class_weights (Tensor): W_c, shape (N, D); N is 0 until it is known.
        logit_scale (Tensor): CLIP's inverse temperature.
        logit_bias (Tensor, optional): What SigLIP adds to all logits; None for a CLIP without it.
    """

    from_names: Sequence[str] = ('class_weights',)
    class_weights: torch.Tensor
    logit_scale: torch.Tensor
    logit_bias: Optional[torch.Tensor]

    def __init__(
        self,
        clip: Union[dict, SplitCLIP],
        classes: Union[Sequence[str], Mapping[str, list]] = (),
        templates: Union[str, Sequence[str]] = 'a photo of a {}.',
        loss: dict = CROSS_ENTROPY,
        topk: Union[int, Sequence[int]] = (1,),
        cal_acc: bool = False,
        init_cfg: Optional[dict] = None,
    ) -> None:
        super().__init__(loss=loss, topk=topk, cal_acc=cal_acc, init_cfg=init_cfg)
        clip = get_clip(clip)
        self.register_buffer('logit_scale', torch.tensor(clip.logit_scale))
        self.register_buffer(
            'logit_bias', torch.tensor(clip.logit_bias) if clip.logit_bias else None
        )
        weights = torch.empty(0, clip.embed_dim)
        if classes:
            weights = text_class_weights(sentences_of(classes, templates), clip.encode_text)
            check_distinct(names_of(classes), weights)
        self.register_buffer('class_weights', weights)

    def logits(self, features: torch.Tensor) -> torch.Tensor:
        return self.text_logits(features)

    def text_logits(self, features: torch.Tensor) -> torch.Tensor:
        if not len(self.class_weights):
            raise InputError(
                'the classifier has no classes. Set model.classes (or '
                'head.classes) in the config, or load a checkpoint.'
            )
        return self.similarity(features, self.class_weights)

    def similarity(self, features: torch.Tensor, class_weights: torch.Tensor) -> torch.Tensor:
        """Eq. 4 with other weights than W_c, and SigLIP's bias; (B, D), (N, D) -> (B, N)."""
        logits = text_logits(features, class_weights, self.logit_scale)
        return logits if self.logit_bias is None else logits + self.logit_bias

    def _get_predictions(
        self, cls_score: torch.Tensor, data_samples: Optional[List[DataSample]]
    ) -> List[DataSample]:
        """mmpretrain's, among the classes that the data has."""
        return super()._get_predictions(mask_classes(cls_score, data_samples), data_samples)

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args) -> None:
        """Takes the shapes of the checkpoint, if no classes are known."""
        own = chain(self.named_parameters(recurse=False), self.named_buffers(recurse=False))
        for name, tensor in () if len(self.class_weights) else own:
            loaded = state_dict.get(prefix + name, tensor)
            if loaded.shape != tensor.shape:
                tensor.data = tensor.new_empty(loaded.shape)
        super()._load_from_state_dict(state_dict, prefix, *args)
