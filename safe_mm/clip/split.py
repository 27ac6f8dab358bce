"""CLIP, split in three: feature extractor G, pooling layer, text encoder.

SAFE (Zhu et al., Sec. III) sees CLIP's visual encoder as a feature extractor
followed by one pooling layer: ``attnpool`` of a ResNet, or the last block of
a ViT with the norm and projection behind it.
"""
from typing import Dict, List, Optional, Tuple

import torch
from open_clip.modified_resnet import ModifiedResNet
from open_clip.transformer import ResidualAttentionBlock, VisionTransformer
from torch import nn
from tqdm import tqdm

from ..errors import InputError
from .loading import load_clip
from .pooling import AttentionPool, LastBlockPool
from .tokenizer import get_tokenizer

TEXTS_PER_BATCH = 256


class SplitCLIP:
    """The parts of one CLIP. Get it from :func:`split_clip`.

    Attributes:
        trunk (nn.Module): G. Images (B, 3, H, W) -> dense features F, of
            shape (B, C, h, w) for a ResNet and (B, 1 + h*w, C), class token
            first, for a ViT.
        pool (AttentionPool | LastBlockPool): The pooling layer, F ->
            (B, embed_dim).
        embed_dim (int): Length of image and text features.
        image_size (int): Height and width of input images in pixels.
        logit_scale (float): CLIP's learned inverse temperature, about 100
            for OpenAI's weights.
    """

    def __init__(self, model_name: str, pretrained: Optional[str]) -> None:
        self._source = (model_name, pretrained)
        clip = load_clip(model_name, pretrained).eval()  # no drift in here
        self.trunk, self.pool = split_visual(clip.visual, model_name)
        size = self.trunk.image_size
        self.image_size = size if isinstance(size, int) else size[0]
        self.embed_dim = self.trunk.output_dim
        self.logit_scale = clip.logit_scale.exp().item()
        clip.visual = None
        self._text: Optional[nn.Module] = clip
        self._encoded: Dict[Tuple[str, ...], torch.Tensor] = {}

    @torch.no_grad()
    def encode_text(self,
                    texts: List[str],
                    device: str = 'cpu') -> torch.Tensor:
        """Text features of unit length; what was asked before is kept.

        Args:
            texts (list[str]): Sentences.
            device (str): Where to compute. Defaults to 'cpu'.

        Returns:
            Tensor: Shape (len(texts), embed_dim), float32, on the CPU.
        """
        known = self._encoded.get(tuple(texts))
        if known is not None:
            return known
        if self._text is None:  # released after an earlier use
            self._text = load_clip(*self._source)
            self._text.visual = None
        encoder = self._text.to(device).eval()
        tokenizer = get_tokenizer(self._source[0])
        batches = range(0, len(texts), TEXTS_PER_BATCH)
        features = [
            encoder.encode_text(
                tokenizer(texts[i:i + TEXTS_PER_BATCH]).to(device),
                normalize=True).cpu() for i in tqdm(
                    batches, 'text encoder', disable=len(batches) == 1)
        ]
        self._encoded[tuple(texts)] = torch.cat(features)
        return self._encoded[tuple(texts)]

    def release_text_encoder(self) -> None:
        """Drops the text encoder, which nothing needs once W_c exists."""
        self._text = None


_SPLITS: Dict[Tuple[str, Optional[str]], SplitCLIP] = {}


def split_clip(model_name: str, pretrained: Optional[str]) -> SplitCLIP:
    """The parts of a CLIP; its weights are read once per process.

    The parts are shared, and stay in memory for whoever asks next: copy what
    is to be changed.

    Args:
        model_name (str): Name of an open_clip architecture (ModifiedResNet
            or ViT), or the path of its JSON file.
        pretrained (str, optional): open_clip tag (``'openai'``,
            ``'laion2b_s34b_b79k'``), or the path of a ``.safetensors`` or
            ``.pt`` file or of OpenAI's TorchScript archive. None stands for
            random weights, the same ones each time, with a warning.

    Raises:
        InputError: Unknown name or tag, no network, a damaged or foreign
            file, an architecture without a pooling layer that SAFE knows.
    """
    key = (model_name, pretrained)
    if key not in _SPLITS:
        _SPLITS[key] = SplitCLIP(model_name, pretrained)
    return _SPLITS[key]


def split_visual(visual: nn.Module,
                  model_name: str) -> Tuple[nn.Module, nn.Module]:
    """Takes the pooling layer off open_clip's visual encoder."""
    if isinstance(visual, ModifiedResNet):
        pool = AttentionPool(visual.attnpool)
        visual.attnpool = nn.Identity()
        # Convolutions are faster where a pixel's channels lie side by side
        return visual.to(memory_format=torch.channels_last), pool

    blocks = getattr(getattr(visual, 'transformer', None), 'resblocks', [])
    if not (isinstance(visual, VisionTransformer) and visual.attn_pool is None
            and visual.pool_type == 'tok'
            and isinstance(blocks[-1], ResidualAttentionBlock)):
        raise InputError(
            f'{model_name} has no pooling layer that SAFE knows: it must be '
            'a ModifiedResNet, or a ViT pooled by its class token.')
    pool = LastBlockPool(blocks[-1], visual.ln_post, visual.proj)
    visual.transformer.resblocks = blocks[:-1]
    visual.ln_post = nn.Identity()
    visual.proj = None
    visual.pool_type = 'none'  # all tokens come out, not the first alone
    return visual, pool
