"""Cross-modal adaptation: text features are further training samples of the classifier.

Lin et al., Multimodality Helps Unimodality: Cross-Modal Few-Shot Learning with Multimodal Models,
CVPR 2023.
"""

from typing import Any, Dict, List, Mapping, Optional, Sequence, Union

import torch
from mmengine.dist import get_rank, get_world_size
from mmpretrain.structures import DataSample
from torch import nn
from torch.nn import functional as F

from ..clip import SplitCLIP, get_clip
from ..registry import MODELS
from .clip_adapter import bottleneck, mix
from .zero_shot import CROSS_ENTROPY, TextClsHead, sentences_of


def draw(step: int, count: int, total: int) -> torch.Tensor:
    """Samples of an iteration: each is taken once in random order, then all again in another.

    Args:
        step (int): Iterations before this one.
        count (int): Samples of an iteration.
        total (int): Samples there are.

    Returns:
        Tensor: Positions below ``total``, shape (count, ).
    """
    taken = torch.arange(step * count, (step + 1) * count)
    picked = torch.empty_like(taken)
    for epoch in taken.div(total, rounding_mode='floor').unique().tolist():
        order = torch.randperm(total, generator=torch.Generator().manual_seed(epoch))
        here = taken // total == epoch
        picked[here] = order[taken[here] % total]
    return picked


@MODELS.register_module()
class CrossModalHead(TextClsHead):
    """scale * f H^T, with f of unit length and H trained from the class texts.

    Each batch has as many text features as images; the loss is the mean over both.

    Args:
        clip (dict | SplitCLIP): ``model_name`` and ``pretrained``, see
            :class:`safe_mm.clip.SplitCLIP`.
        scale (float, optional): Factor of the logits. If None, CLIP's. Defaults to None.
        text_samples (bool): Whether texts are training samples; without, it is a linear probe of
            images alone that starts from the texts. Defaults to True.
        ratio (float, optional): Weight of a trained CLIP-Adapter on the unit features of images and
            texts; None for none. Defaults to None.
        classes (Sequence[str] | Mapping[str, list[str]]): See :class:`safe_mm.methods.TextClsHead`;
            each sentence is a sample. Defaults to ().
        loss (dict): Config of the loss. Defaults to cross-entropy.

    Attributes:
        weight (nn.Parameter): H, shape (N, D).
        texts (Tensor): Unit features of the sentences, shape (T, D); T is 0 without text samples.
        text_labels (Tensor): Their classes, shape (T, ).
        step (Tensor): Iterations so far, so that a resumed run draws the same texts.
    """

    class_bound = ('weight',)
    loss_module: Any
    texts: torch.Tensor
    text_labels: torch.Tensor
    step: torch.Tensor

    def __init__(
        self,
        clip: Union[dict, SplitCLIP],
        scale: Optional[float] = None,
        text_samples: bool = True,
        ratio: Optional[float] = None,
        classes: Union[Sequence[str], Mapping[str, list]] = (),
        loss: dict = CROSS_ENTROPY,
    ) -> None:
        clip = get_clip(clip)
        super().__init__(clip, classes, loss=loss)
        self.scale = self.logit_scale.item() if scale is None else scale
        self.ratio, self.text_samples = ratio, text_samples
        self.weight = nn.Parameter(self.class_weights.clone())
        self.adapter = nn.Identity() if ratio is None else bottleneck(clip.embed_dim)
        self.trainable = ('weight',) if ratio is None else ('weight', 'adapter.*')
        sentences = sentences_of(classes) if text_samples else []
        counts = torch.tensor([len(texts) for texts in sentences], dtype=torch.long)
        texts = [text for texts in sentences for text in texts]
        encoded = clip.encode_text(texts) if texts else self.class_weights[:0]
        self.register_buffer('texts', encoded)
        self.register_buffer('text_labels', torch.arange(len(counts)).repeat_interleave(counts))
        self.register_buffer('step', torch.tensor(0))

    def loss(
        self, feats: Sequence[torch.Tensor], data_samples: List[DataSample], **kwargs
    ) -> Dict[str, torch.Tensor]:
        """mmpretrain's, of the images and as many texts."""
        if not self.text_samples:
            return super().loss(feats, data_samples, **kwargs)
        features, world = feats[-1], get_world_size()
        count = len(features)
        picked = draw(int(self.step), world * count, len(self.texts))
        picked = picked[get_rank() * count :][:count].to(features.device)
        self.step += 1
        labels = [*(sample.gt_label for sample in data_samples), self.text_labels[picked]]
        scores = self((torch.cat([features, self.texts[picked]]),))
        loss = self.loss_module(scores, torch.cat(labels), avg_factor=len(scores), **kwargs)
        return dict(loss=loss)

    def logits(self, features: torch.Tensor) -> torch.Tensor:
        unit = F.normalize(features, dim=-1)
        if self.ratio is not None:
            unit = F.normalize(mix(self.adapter(unit), unit, self.ratio), dim=-1)
        return self.scale * unit @ self.weight.T
