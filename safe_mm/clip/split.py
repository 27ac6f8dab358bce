"""CLIP in parts: feature extractor G, pooling layer (both SAFE's, Sec. III), text encoder."""

from functools import cached_property
from typing import Callable, List, Optional, Tuple, Union

import torch
from timm.layers import to_2tuple
from torch import nn
from tqdm import tqdm

from ..errors import InputError, counted, warn_once
from ..poolings import POOLINGS, Pooling
from .architecture import model_config
from .loading import load_clip
from .tokenizer import get_tokenizer, token_counts

TEXTS_PER_BATCH = 256


class SplitCLIP:
    """The parts of one CLIP, each in memory as long as it is referenced.

    Args:
        model_name (str): Name of an open_clip architecture with one of
            :data:`safe_mm.poolings.POOLINGS`, or the path of its JSON file.
        pretrained (str, optional): open_clip tag (``'openai'``, ``'laion2b_s34b_b79k'``), or the
            path of a ``.safetensors`` or ``.pt`` file or of OpenAI's TorchScript archive. None
            gives random weights, the same each time, with a warning.

    Attributes:
        name (str): ``model_name:pretrained``.
        trunk (nn.Module): G. Images (B, 3, H, W) -> dense features F, of shape (B, C, h, w) for a
            convolutional trunk and (B, K + h*w, C) for a ViT, its K leading tokens (class token,
            registers) first.
        pool (Pooling): The pooling layer, F -> (B, embed_dim).
        text (CLIPModel): open_clip's model without the visual encoder.
        whole (dict[str, Tensor]): All of open_clip's tensors by their keys; those of the parts are
            the same.
        embed_dim (int): Length of image and text features.
        image_size (int | tuple[int]): Height and width of images in pixels; one number if equal.
        logit_scale (float): CLIP's learned inverse temperature, about 100 for OpenAI's weights.
        logit_bias (float): What SigLIP adds to all logits; 0 for others.

    Raises:
        InputError: Unknown name or tag, no network, a damaged or foreign file, an architecture
            whose pooling layer is not supported.
    """

    def __init__(self, model_name: str, pretrained: Optional[str]) -> None:
        self.name = f'{model_name}:{pretrained}'
        clip = load_clip(model_name, pretrained).eval()
        self.whole = clip.state_dict(keep_vars=True)
        height, width = to_2tuple(clip.visual.image_size)
        self.image_size: Union[int, Tuple[int, int]] = (
            height if height == width else (height, width)
        )
        self.trunk, self.pool = split_visual(clip.visual, model_name)
        self.embed_dim: int = model_config(model_name)['embed_dim']
        self.logit_scale = clip.logit_scale.exp().item()
        bias = getattr(clip, 'logit_bias', None)
        self.logit_bias = 0.0 if bias is None else bias.item()
        clip.visual = None
        if hasattr(clip, 'text_decoder'):
            clip.text_decoder = None  # CoCa's, for captions
        self.text = clip
        self._model_name = model_name

    @cached_property
    def tokenize(self) -> Callable:
        """Sentences -> token ids, shape (number, length)."""
        return get_tokenizer(self._model_name)

    @torch.no_grad()
    def encode_text(self, texts: List[str], normalize: bool = True) -> torch.Tensor:
        """Sentences -> text features of unit length, (number, embed_dim).

        They are computed on the GPU if there is one, and returned on the CPU. The encoder stays
        where it was.
        """
        device = 'cuda' if torch.cuda.is_available() else 'cpu'
        before = self.text.logit_scale.device
        encoder = self.text.to(device).eval()
        starts, features = range(0, len(texts), TEXTS_PER_BATCH), []
        for i in tqdm(starts, 'text encoder', disable=len(starts) == 1):
            tokens = self.tokenize(texts[i : i + TEXTS_PER_BATCH])
            self._warn_if_cut(texts[i : i + TEXTS_PER_BATCH], tokens)
            features.append(encoder.encode_text(tokens.to(device), normalize=normalize).cpu())
        self.text.to(before)
        return torch.cat(features)

    def _warn_if_cut(self, texts: List[str], tokens: torch.Tensor) -> None:
        """Names a sentence that is longer than the context."""
        context, padding = tokens.shape[1], self.tokenize([''])[0, -1]
        full = [text for text, last in zip(texts, tokens[:, -1]) if last != padding]
        counts = token_counts(self.tokenize, full) if full else []
        cut = [(text, count) for text, count in zip(full, counts) if count > context]
        if cut:
            text, count = max(cut, key=lambda pair: pair[1])
            warn_once(
                f'{counted(len(cut), "prompt")} cut off after {context} tokens, the context of '
                f'{self.name}; one has {count}: {text[:60]!r}...'
            )


def get_clip(clip: Union[dict, SplitCLIP]) -> SplitCLIP:
    """Loads the ``dict(model_name=..., pretrained=...)`` of a config, unless loaded already."""
    return clip if isinstance(clip, SplitCLIP) else SplitCLIP(**clip)


def split_visual(visual: nn.Module, model_name: str) -> Tuple[nn.Module, Pooling]:
    """Takes the pooling layer off open_clip's visual tower.

    Raises:
        InputError: None of :data:`safe_mm.poolings.POOLINGS` fits.
    """
    for kind in POOLINGS:
        parts = kind.split(visual)
        if parts is not None:
            return parts
    known = '; '.join(kind.supports for kind in POOLINGS)
    raise InputError(
        f'the pooling layer of {model_name} is not supported: its visual tower is a '
        f'{type(visual).__name__} that pools in another way than these: {known}. Set '
        'clip.model_name to such a model.'
    )
