"""Features of sentences that a frozen text tower gives, computed once."""

from typing import Any, Callable, Dict, List

import torch
from tqdm import tqdm

BATCH = 128


class StoredSentences:
    """Sentences -> what the tower's last layer, a trained projection, takes.

    Each sentence is computed on first use, without gradient, and kept in memory.

    Args:
        tower (HFTextEncoder): open_clip's; it has ``transformer``, ``pooler`` and ``proj``.
        tokenize (Callable): Sentences -> token ids.
    """

    def __init__(self, tower: Any, tokenize: Callable) -> None:
        self.tower, self.tokenize = tower, tokenize
        self._known: Dict[str, torch.Tensor] = {}

    def __call__(self, sentences: List[str]) -> torch.Tensor:
        """Features of shape (len(sentences), width), on the tower's device."""
        missing = sorted({s for s in sentences if s not in self._known}, key=len)
        starts = range(0, len(missing), BATCH)  # of similar length, so that little is padding
        for i in tqdm(starts, 'sentences', disable=len(starts) < 4, leave=False):
            part = missing[i : i + BATCH]
            self._known.update(zip(part, self._compute(part)))
        device = next(self.tower.proj.parameters()).device
        return torch.stack([self._known[s] for s in sentences]).to(device)

    @torch.no_grad()
    def _compute(self, sentences: List[str]) -> torch.Tensor:
        tower = self.tower
        tower.transformer.eval()  # no dropout, whatever the rest of the model does
        tokens = self.tokenize(sentences).to(next(tower.transformer.parameters()).device)
        mask = tokens != tower.config.pad_token_id
        length = int(mask.any(0).nonzero().max()) + 1
        tokens, mask = tokens[:, :length], mask[:, :length].long()
        out = tower.transformer(input_ids=tokens, attention_mask=mask)
        return tower.pooler(out, mask).cpu()
