"""Text classifiers whose weights a text encoder computes in each step.

For methods that train the text encoder or its prompts. The tower is open_clip's; what of it is
trained, a config says.
"""

from typing import Any, Mapping, Optional, Sequence, Tuple, Union

import torch
from torch.nn import functional as F

from ..clip import SplitCLIP, get_clip
from ..errors import InputError
from ..models.text_encoder import TextEncoder
from ..registry import MODELS
from .zero_shot import CROSS_ENTROPY, TextClsHead, class_means, sentences_of


@MODELS.register_module()
class TextTowerHead(TextClsHead):
    """logit_scale * f W^T, with f of unit length and W of a text encoder that is trained.

    In eval mode W is computed once, and again after a change of the parameters.

    Args:
        clip (dict | SplitCLIP): ``model_name`` and ``pretrained``, see
            :class:`safe_mm.clip.SplitCLIP`.
        classes (Sequence[str] | Mapping[str, list[str]]): See :class:`safe_mm.methods.TextClsHead`.
            Defaults to ().
        loss (dict): Config of the loss. Defaults to cross-entropy.

    Attributes:
        text (TextEncoder, optional): The text encoder; None after :meth:`merge`.
        tokens (Tensor): Of all sentences, shape (T, L).
        counts (list[int]): Number of sentences of each class.
    """

    trainable: Sequence[str] = ('text.*',)
    tokens: torch.Tensor

    def __init__(
        self,
        clip: Union[dict, SplitCLIP],
        classes: Union[Sequence[str], Mapping[str, list]] = (),
        loss: dict = CROSS_ENTROPY,
    ) -> None:
        clip = get_clip(clip)
        super().__init__(clip, classes, loss=loss)
        self.text: Any = TextEncoder(clip)
        sentences = sentences_of(classes) if classes else []
        self.counts = [len(texts) for texts in sentences]
        texts = [text for texts in sentences for text in texts]
        tokens = clip.tokenize(texts) if texts else torch.empty(0, 1, dtype=torch.long)
        self.register_buffer('tokens', tokens, persistent=False)
        self._kept: Tuple[Any, torch.Tensor] = (None, tokens)

    def encode(self) -> torch.Tensor:
        """W: for each class the mean over its sentences, of unit length, shape (N, D)."""
        return self.encode_classes(range(len(self.counts)))

    def encode_classes(self, classes: Sequence[int]) -> torch.Tensor:
        """The rows of W of a few classes, shape (len(classes), D)."""
        groups = self.tokens.split(self.counts)
        features = self.text.encode(torch.cat([groups[c] for c in classes]))
        return F.normalize(class_means(features, [self.counts[c] for c in classes]), dim=-1)

    def check_classes(self) -> None:
        """Raises an InputError if the head was built without classes."""
        if not self.counts:
            raise InputError(
                f'{type(self).__name__} has no classes. Set model.classes (or head.classes) in the '
                'config: a checkpoint does not name them.'
            )

    def current_weights(self) -> torch.Tensor:
        """W of the present parameters, shape (N, D)."""
        if self.text is None:
            return self.class_weights
        self.check_classes()
        if self.training:
            return self.encode()
        state = [(p._version, p.device, p.dtype) for p in self.parameters()]
        if self._kept[0] != state:
            with torch.no_grad():
                self._kept = state, self.encode()
        return self._kept[1]

    def text_tower(self) -> Optional[torch.nn.Module]:
        return None if self.text is None else self.text.clip

    def merge(self) -> None:
        self.class_weights, self.text = self.current_weights().detach(), None

    def train(self, mode: bool = True) -> 'TextTowerHead':
        self._kept = None, self.tokens
        return super().train(mode)

    def logits(self, features: torch.Tensor) -> torch.Tensor:
        return self.similarity(features, self.current_weights())
