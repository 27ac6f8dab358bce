"""CLIP's text encoder, as a part of a model that trains through it."""

from contextlib import contextmanager
from typing import Any, Dict, Iterator, Optional

import torch
from torch import nn
from torch.func import functional_call

from ..clip import SplitCLIP
from .slim import SlimModule


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
        self.width: int = self._embedding.weight.shape[1]

    @property
    def _tower(self) -> Any:
        return getattr(self.clip, 'text', self.clip)

    @property
    def _embedding(self) -> nn.Embedding:
        tower = self._tower
        if hasattr(tower, 'token_embedding'):
            return tower.token_embedding
        return tower.transformer.get_input_embeddings()  # Hugging Face's

    def embed(self, tokens: torch.Tensor) -> torch.Tensor:
        """Token ids (n, L) -> embeddings (n, L, width), without positions."""
        return self._embedding(tokens)

    def encode(
        self, tokens: torch.Tensor, embeddings: Optional[torch.Tensor] = None
    ) -> torch.Tensor:
        """Sentences -> features, as :meth:`forward`, without positions that have no effect."""
        length = int(self._used(tokens).any(0).nonzero().max()) + 1
        cropped = self._cropped(length)
        if cropped is None:
            return self(tokens, embeddings)
        if embeddings is not None:
            embeddings = embeddings[:, :length]
        return functional_call(self, cropped, (tokens[:, :length], embeddings))

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
        handle = self._embedding.register_forward_hook(lambda *_: embeddings)
        try:
            yield
        finally:
            handle.remove()

    def _used(self, tokens: torch.Tensor) -> torch.Tensor:
        config = getattr(self._tower, 'config', None)
        return tokens != (config.pad_token_id if config else 0)

    def _cropped(self, length: int) -> Optional[Dict[str, torch.Tensor]]:
        """What to replace for a context of this length; None if it cannot be shortened."""
        tower = self._tower
        if hasattr(tower, 'config'):
            return {}
        mask = getattr(tower, 'attn_mask', None)
        pool = getattr(tower, 'text_pool_type', None) or getattr(tower, 'pool_type', None)
        padded = getattr(tower, 'cls_emb', None) is not None or getattr(
            tower, 'use_pad_mask', False
        )
        if mask is None or padded or pool not in ('argmax', 'eos'):
            return None
        prefix = 'clip.' if tower is self.clip else 'clip.text.'
        return {
            f'{prefix}positional_embedding': tower.positional_embedding[:length],
            f'{prefix}attn_mask': mask[:length, :length],
        }
