"""CLIP's text encoder, as a part of a model that trains through it."""

from contextlib import contextmanager
from typing import Any, Dict, Iterator, Optional, Union

import torch
from torch import nn
from torch.func import functional_call

from ..clip import SplitCLIP
from .slim import SlimModule


class OpenCLIPTower:
    """What :class:`TextEncoder` asks of open_clip's own text transformer.

    Attributes:
        embedding (nn.Embedding): Of tokens.
        padding (int): Id of the token after the end of a sentence.
    """

    padding = 0

    def __init__(self, tower: Any) -> None:
        self.tower = tower
        self.embedding: nn.Embedding = tower.token_embedding

    def shortened(self, length: int) -> Optional[Dict[str, torch.Tensor]]:
        """What to replace for a context of this length; None if features would change."""
        tower = self.tower
        causal = getattr(tower, 'attn_mask', None) is not None
        # Of the tower, or of a CLIP that is its own tower
        pool = getattr(tower, 'pool_type', None) or getattr(tower, 'text_pool_type', None)
        has_class_token = getattr(tower, 'cls_emb', None) is not None
        if not causal or has_class_token or pool not in ('argmax', 'eos'):
            return None
        if getattr(tower, 'use_pad_mask', False):
            return None
        return dict(
            positional_embedding=tower.positional_embedding[:length],
            attn_mask=tower.attn_mask[:length, :length],
        )


class HuggingFaceTower:
    """The same of a text model of Hugging Face, which masks padding by itself."""

    def __init__(self, tower: Any) -> None:
        self.embedding: nn.Embedding = tower.transformer.get_input_embeddings()
        self.padding: int = tower.config.pad_token_id

    def shortened(self, length: int) -> Optional[Dict[str, torch.Tensor]]:
        return {}


class TextEncoder(SlimModule):
    """Token ids, or embeddings in their place, -> text features of unit length.

    Only as many positions are computed as the longest sentence has, where this changes nothing: in
    a causal tower that reads the end of the text, and in one of Hugging Face, which masks padding.

    Args:
        clip (SplitCLIP): Whose text encoder it is.

    Attributes:
        clip (CLIPModel): open_clip's model without the visual encoder.
        width (int): Length of token embeddings.
    """

    def __init__(self, clip: SplitCLIP) -> None:
        super().__init__(clip.name)
        self.clip = clip.text
        for name in ('logit_scale', 'logit_bias'):
            if getattr(self.clip, name, None) is not None:
                getattr(self.clip, name).requires_grad_(False)
        self.width: int = self._tower.embedding.weight.shape[1]

    @property
    def _tower(self) -> Union[OpenCLIPTower, HuggingFaceTower]:
        tower = getattr(self.clip, 'text', self.clip)
        return HuggingFaceTower(tower) if hasattr(tower, 'config') else OpenCLIPTower(tower)

    def embed(self, tokens: torch.Tensor) -> torch.Tensor:
        """Token ids (n, L) -> embeddings (n, L, width), without positions."""
        return self._tower.embedding(tokens)

    def longest(self, tokens: torch.Tensor) -> int:
        """Number of tokens of the longest sentence."""
        return int((tokens != self._tower.padding).any(0).nonzero().max()) + 1

    def encode(
        self,
        tokens: torch.Tensor,
        embeddings: Optional[torch.Tensor] = None,
        length: Optional[int] = None,
    ) -> torch.Tensor:
        """Sentences -> features, as :meth:`forward`, without positions that have no effect.

        Args:
            tokens (Tensor): See :meth:`forward`.
            embeddings (Tensor, optional): See the same.
            length (int, optional): :meth:`longest` of the tokens, if that is known.
        """
        length = length or self.longest(tokens)
        shortened = self._tower.shortened(length)
        if shortened is None:
            return self(tokens, embeddings)
        if embeddings is not None:
            embeddings = embeddings[:, :length]
        prefix = 'clip.text.' if hasattr(self.clip, 'text') else 'clip.'
        replaced = {prefix + name: tensor for name, tensor in shortened.items()}
        return functional_call(self, replaced, (tokens[:, :length], embeddings))

    def forward(
        self, tokens: torch.Tensor, embeddings: Optional[torch.Tensor] = None
    ) -> torch.Tensor:
        """Sentences -> features.

        Args:
            tokens (Tensor): Ids, which say where a sentence ends, shape (n, L).
            embeddings (Tensor, optional): In place of those of the ids, shape (n, L, width).

        Returns:
            Tensor: Of unit length, shape (n, D).
        """
        with self._given(embeddings):
            return self.clip.encode_text(tokens, normalize=True)

    @contextmanager
    def _given(self, embeddings: Optional[torch.Tensor]) -> Iterator[None]:
        if embeddings is None:
            yield
            return
        handle = self._tower.embedding.register_forward_hook(lambda *_: embeddings)
        try:
            yield
        finally:
            handle.remove()
