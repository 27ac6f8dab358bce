"""Distillation of an image encoder's own classifier into a CLIP, and where it starts from.

A classifier of ImageNet says of any photo which classes it resembles. A CLIP between the same image
encoder and a text encoder should say the same of sentences that name those classes.
"""

from typing import Callable, List, Tuple

import torch
from torch import nn
from torch.nn import functional as F

from ..clip.parts import trunk_classifier
from .vocabulary import TEMPLATES, Vocabulary

RIDGE = 0.01  # of the text projection's start, relative to the variance of a feature


def soft_cross_entropy(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Cross-entropy with probabilities as targets, which may sum to less than one.

    Args:
        logits (Tensor): Shape (B, N).
        targets (Tensor): Shape (B, N).
    """
    return -(targets * logits.log_softmax(-1)).sum(-1).mean()


class PosteriorLoss(nn.Module):
    """Cross-entropy between class probabilities of the image encoder's classifier and CLIP's.

    The sentences name ImageNet's classes, or groups of them, whose probabilities are summed.

    Args:
        model_name (str): A CLIP whose image encoder comes with its classifier, see
            :func:`safe_mm.clip.parts.trunk_classifier`.
        vocabulary (Vocabulary): Draws the sentences.
    """

    weight: torch.Tensor
    bias: torch.Tensor

    def __init__(self, model_name: str, vocabulary: Vocabulary) -> None:
        super().__init__()
        self.vocabulary = vocabulary
        weight, bias = trunk_classifier(model_name)
        self.register_buffer('weight', weight, persistent=False)
        self.register_buffer('bias', bias, persistent=False)

    def posterior(self, dense: torch.Tensor) -> torch.Tensor:
        """Dense features (B, C, h, w) -> probabilities of ImageNet's classes, (B, 1000)."""
        return F.linear(dense.mean((-1, -2)), self.weight, self.bias).softmax(-1)

    def forward(
        self,
        dense: torch.Tensor,
        pooled: torch.Tensor,
        scale: torch.Tensor,
        encode_text: Callable[[List[str]], torch.Tensor],
    ) -> torch.Tensor:
        """The loss of a batch.

        Args:
            dense (Tensor): Shape (B, C, h, w).
            pooled (Tensor): Of unit length, shape (B, D).
            scale (Tensor): CLIP's inverse temperature.
            encode_text (Callable): Sentences -> features of unit length.
        """
        members, sentences = self.vocabulary.draw()
        probabilities = self.posterior(dense)[:, self.vocabulary.named]
        targets = probabilities.new_zeros(len(dense), len(sentences))
        targets.index_add_(1, torch.tensor(members, device=dense.device), probabilities)
        return soft_cross_entropy(scale * pooled @ encode_text(sentences).T, targets)

    def start(
        self, means: torch.Tensor, stored: Callable[[List[str]], torch.Tensor], width: int
    ) -> Tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Weights from which images and names already agree.

        The image projection is an orthonormal basis: of the classifier's rows, centred, then of
        what varies most in the features beside them. The text projection is a ridge regression from
        names to the rows in that basis.

        Args:
            means (Tensor): Averaged dense features of photos, shape (V, C).
            stored (Callable): Sentences -> what the text projection takes, shape (n, T).
            width (int): D, of the embedding.

        Returns:
            tuple[Tensor, Tensor, Tensor]: Weight (D, C) and bias (D, ) of the image projection,
            weight (D, T) of the text projection.
        """
        labels = self.vocabulary.named
        rows = self.weight[labels] - self.weight[labels].mean(0)
        basis = torch.linalg.svd(rows.T, full_matrices=False)[0][:, : min(width, len(rows) - 1)]
        centre = means.mean(0)
        rest = means - centre
        rest = rest - rest @ basis @ basis.T
        variation = torch.linalg.eigh(rest.T @ rest)[1].flip(1)  # the largest first
        basis = torch.cat([basis, variation[:, : width - basis.shape[1]]], dim=1)
        names = [stored(self.vocabulary.sentences(labels, t)) for t in TEMPLATES]
        texts = torch.cat(names)
        targets = F.normalize(rows @ basis, dim=-1).repeat(len(TEMPLATES), 1)
        strength = RIDGE * texts.square().sum(0).mean() * torch.eye(texts.shape[1]).to(texts)
        text_weight = torch.linalg.solve(texts.T @ texts + strength, texts.T @ targets).T
        return basis.T, -basis.T @ centre, text_weight
