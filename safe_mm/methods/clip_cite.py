"""CLIP-CITE: full fine-tuning of both towers, held near the unchanged CLIP.

Liu et al., Fully Fine-tuned CLIP Models are Efficient Few-Shot Learners, KBS 2025. There is no
public code; the losses are as printed. The weights before and after training are averaged in the
end (``FitHook(interpolate=0.5)``).
"""

from typing import Dict, List, Mapping, Optional, Sequence, Union

import torch
from mmengine.dist import get_world_size
from mmpretrain.structures import DataSample
from torch import nn
from torch.distributed.nn.functional import all_gather
from torch.nn import functional as F

from ..clip import SplitCLIP, get_clip
from ..registry import MODELS
from .text_tower import TextTowerHead
from .zero_shot import CROSS_ENTROPY


def contrast_other_classes(similarity: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Supervised contrast of images and their class texts (Eq. 4), in both directions.

    -log(exp(s_ii) / sum of exp(s_ij) over j of other classes), mean over i. An image without
    another class in the batch is left out.

    Args:
        similarity (Tensor): Of each image with each image's text, shape (B, B).
        labels (Tensor): Shape (B, ).
    """
    same = labels[:, None] == labels
    has_others = ~same.all(1)
    if not has_others.any():
        return 0 * similarity.sum()
    own = similarity.diagonal()
    others = similarity.masked_fill(same, -torch.inf)
    both = [(others.logsumexp(dim) - own)[has_others].mean() for dim in (1, 0)]
    return torch.stack(both).sum()


def distance_to_original(similarity: torch.Tensor, original: torch.Tensor) -> torch.Tensor:
    """KL(p || p_original) of each image's softmax over the texts of the batch (Eq. 5).

    Args:
        similarity (Tensor): Times the logit scale, shape (B, B).
        original (Tensor): That of the unchanged CLIP, same shape.
    """
    return F.kl_div(
        original.log_softmax(-1), similarity.log_softmax(-1), reduction='batchmean', log_target=True
    )


def gathered(features: torch.Tensor) -> torch.Tensor:
    """The features of all processes, shape (processes * B, ...), with their gradients."""
    return torch.cat(list(all_gather(features))) if get_world_size() > 1 else features


@MODELS.register_module()
class CLIPCITEHead(TextTowerHead):
    """A text tower that is trained, and in training a classifier that starts from its texts.

    Three losses: cross-entropy of the classifier; :func:`contrast_other_classes`, weight 0.7; and
    :func:`distance_to_original`, weight 0.1. Predictions are those of the text tower.

    Args:
        clip (dict | SplitCLIP): ``model_name`` and ``pretrained``, see
            :class:`safe_mm.clip.SplitCLIP`.
        scale (float, optional): Factor of the cosines in the first two losses. The paper prints
            none, which is 1. If None, CLIP's logit scale. Defaults to None.
        contrast (float): Weight of the second loss. Defaults to 0.7.
        distance (float): Weight of the third. Defaults to 0.1.
        classes (Sequence[str] | Mapping[str, list[str]]): See :class:`safe_mm.methods.TextClsHead`.
            Defaults to ().
        loss (dict): Config of the first loss. Defaults to cross-entropy.

    Attributes:
        weight (nn.Parameter): The classifier, shape (N, D).
    """

    needs_original = True
    from_names = ('class_weights', 'weight')
    trainable = ('text.*', 'weight')

    def __init__(
        self,
        clip: Union[dict, SplitCLIP],
        scale: Optional[float] = None,
        contrast: float = 0.7,
        distance: float = 0.1,
        classes: Union[Sequence[str], Mapping[str, list]] = (),
        loss: dict = CROSS_ENTROPY,
    ) -> None:
        clip = get_clip(clip)
        super().__init__(clip, classes, loss=loss)
        self.scale = self.logit_scale.item() if scale is None else scale
        self.contrast, self.distance = contrast, distance
        self.weight = nn.Parameter(self.class_weights.clone())

    def loss(
        self, feats: Sequence[torch.Tensor], data_samples: List[DataSample], **kwargs
    ) -> Dict[str, torch.Tensor]:
        """The three losses; ``feats`` are of the unchanged CLIP and of the trained one."""
        original, features = (F.normalize(f, dim=-1) for f in feats)
        labels = torch.cat([sample.gt_label for sample in data_samples]).to(features.device)
        scores = self.scale * features @ F.normalize(self.weight, dim=-1).T
        losses = self._get_loss(scores, data_samples, **kwargs)
        original, features, labels = map(gathered, (original, features, labels))
        present, rows = labels.unique(return_inverse=True)
        similarity = features @ self.encode_classes(present.tolist())[rows].T
        unchanged = original @ self.class_weights[labels].T
        losses['loss_contrast'] = self.contrast * contrast_other_classes(
            self.scale * similarity, labels
        )
        losses['loss_distance'] = self.distance * distance_to_original(
            self.logit_scale * similarity, self.logit_scale * unchanged
        )
        return losses
