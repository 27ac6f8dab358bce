"""CLIP, trained on images with captions: from scratch, or between two pretrained encoders."""

import random
from typing import Any, Dict, List, Optional

import torch
from mmengine.dist import get_rank, get_world_size
from mmengine.model import BaseModel
from open_clip.loss import ClipLoss
from torch import nn
from torch.nn import functional as F

from ..clip.architecture import model_config
from ..clip.loading import build
from ..clip.parts import PARTS, read_parts
from ..clip.split import split_visual
from ..clip.tokenizer import get_tokenizer
from ..errors import InputError
from ..registry import MODELS
from .extractor import Extractor
from .posterior import PosteriorLoss
from .sentences import StoredSentences
from .vocabulary import Vocabulary

MAX_LOGIT_SCALE = 4.6052  # ln 100 (CLIP, Radford et al. 2021, Sec. 2.5)


def words_loss(scores: torch.Tensor, bags: torch.Tensor) -> torch.Tensor:
    """Mean cross-entropy of the words of a picture's captions, predicted from its positions.

    The probability of a word is proportional to the sum of exp(score) over positions. After Joulin
    et al. (Learning visual features from large weakly supervised data, 2016), who average over
    positions first.

    Args:
        scores (Tensor): Of each word at each position, shape (B, L, V).
        bags (Tensor): 1 where a picture's captions have the word, shape (B, V).
    """
    targets = bags / bags.sum(-1, keepdim=True)
    return F.cross_entropy(scores.logsumexp(dim=1), targets)


@MODELS.register_module()
class CLIPPretrainer(BaseModel):
    """Trains an open_clip architecture on pictures with captions.

    Three losses: CLIP's own, between each picture and one of its captions; :func:`words_loss`,
    which teaches the dense features the words of all its captions, since CLIP's alone takes very
    long to learn small parts; and :class:`safe_mm.models.posterior.PosteriorLoss`. The second needs
    no pooling, so a ResNet takes any image size.

    Args:
        clip (dict): ``model_name``, see :func:`safe_mm.clip.SplitCLIP`; weights start at random, by
            ``randomness.seed`` of the config, but for those that packages bring
            (:mod:`safe_mm.clip.parts`).
        contrast (float): Weight of CLIP's loss; 0 omits it. Defaults to 1.0.
        words (float): Weight of the loss of words; 0 omits it. Defaults to 0.0.
        posterior (float): Weight of the distillation of the image encoder's own classifier; 0 omits
            it. Defaults to 0.0.
        vocabulary (dict, optional): Arguments of :class:`safe_mm.models.vocabulary.Vocabulary`, for
            ``posterior``. Defaults to None.
        bf16 (bool): Whether the trunk runs under bfloat16 autocast. Defaults to True.
        data_preprocessor (dict, optional): Config. Defaults to a
            :class:`safe_mm.models.CLIPDataPreprocessor`.
        init_cfg (dict, optional): mmengine's initialization config. Defaults to None.

    Attributes:
        trunk (nn.Module): G, see :class:`safe_mm.clip.SplitCLIP`.
        pool (nn.Module): The pooling layer.
        text (open_clip.CLIP): All but the image encoder.
        own_keys (dict[str, str]): open_clip's name of each weight -> its name here.
        posterior_loss (PosteriorLoss, optional): If ``posterior`` is not 0.
        stored (StoredSentences, optional): If the text encoder comes from a package.
    """

    posterior_loss: Any
    stored: Any
    pool: Any

    def __init__(
        self,
        clip: dict,
        contrast: float = 1.0,
        words: float = 0.0,
        posterior: float = 0.0,
        vocabulary: Optional[dict] = None,
        bf16: bool = True,
        data_preprocessor: Optional[dict] = None,
        init_cfg: Optional[dict] = None,
    ) -> None:
        name = clip['model_name']
        pixels = dict(
            type='safe_mm.CLIPDataPreprocessor', clip=dict(model_name=name, pretrained=None)
        )
        super().__init__(data_preprocessor or pixels, init_cfg)
        self.contrast, self.words, self.bf16 = contrast, words, bf16
        cfg = model_config(name)
        self.text = build(name, cfg.get('quick_gelu'), torch.initial_seed())
        whole = self.text.state_dict(keep_vars=True)
        self.text.load_state_dict(read_parts(name, list(whole)), strict=False)
        self.trunk, self.pool = split_visual(self.text.visual, name)
        self.text.visual = None
        for key in self.pool.without_effect:
            nn.init.zeros_(self.pool.get_parameter(key))
        self.trunk.to(memory_format=torch.channels_last)
        if words:
            if 'vocab_size' not in cfg['text_cfg']:
                raise InputError(f'words > 0 is not for {name}: use a text tower of open_clip.')
            self.word_scores = nn.Linear(self.pool.width, cfg['text_cfg']['vocab_size'])
        self.posterior, self.posterior_loss = posterior, None
        if posterior:
            self.posterior_loss = PosteriorLoss(name, Vocabulary(**(vocabulary or {})))
        own_keys = {id(v): k for k, v in self.state_dict(keep_vars=True).items()}
        self.own_keys = {key: own_keys[id(v)] for key, v in whole.items()}
        self.tokenize = get_tokenizer(name)
        self.stored = StoredSentences(self.text.text, self.tokenize) if name in PARTS else None
        self.clip_loss = ClipLoss(
            local_loss=True, gather_with_grad=True, rank=get_rank(), world_size=get_world_size()
        )

    def forward(
        self, inputs: torch.Tensor, data_samples: List, mode: str = 'loss', start: str = 'image'
    ) -> Dict[str, torch.Tensor]:
        """Losses of a batch.

        Args:
            inputs (Tensor): Normalised images, shape (B, 3, H, W), or dense features.
            data_samples (list[DataSample]): Each with ``captions``.
            mode (str): 'loss', the only one supported.
            start (str): The stage of ``inputs``. Defaults to 'image'.
        """
        if mode != 'loss':
            raise NotImplementedError(f'{type(self).__name__} only trains.')
        with torch.no_grad():
            self.text.logit_scale.clamp_(0, MAX_LOGIT_SCALE)
        captions = [sample.captions for sample in data_samples]
        features = self.dense_features(inputs) if start == 'image' else inputs
        losses = {}
        if self.words:
            scores = self.word_scores(self.pool.patch_features(features))
            bags = self.word_bags(captions).to(inputs.device)
            losses['loss_words'] = self.words * words_loss(scores, bags)
        if self.contrast or self.posterior:
            pooled = F.normalize(self.pool(features), dim=-1)
            scale = self.text.logit_scale.exp()
        captioned = [i for i, sentences in enumerate(captions) if sentences]
        if self.contrast and get_world_size() > 1 and len(captioned) < len(captions):
            raise InputError('Photos without captions are for training in one process.')
        if self.contrast and captioned:
            texts = self.encode_text([random.choice(captions[i]) for i in captioned])
            loss = self.clip_loss(pooled[captioned], texts, scale)
            losses['loss_contrast'] = self.contrast * loss
        if self.posterior_loss is not None:
            loss = self.posterior_loss(features, pooled, scale, self.encode_text)
            losses['loss_posterior'] = self.posterior * loss
        return losses

    def dense_features(self, images: torch.Tensor) -> torch.Tensor:
        images = images.contiguous(memory_format=torch.channels_last)
        with torch.autocast(images.device.type, torch.bfloat16, enabled=self.bf16):
            return self.trunk(images).to(images.dtype)

    @property
    def frozen_stage(self) -> str:
        """'dense' if the trunk is frozen, else 'image'."""
        trained = any(p.requires_grad for p in self.trunk.parameters())
        return 'image' if trained else 'dense'

    def extractor(self, stage: str) -> Extractor:
        """Images -> dense features, as a module."""
        return Extractor(self.trunk)

    def encode_image(self, images: torch.Tensor) -> torch.Tensor:
        """Images (B, 3, H, W) -> pooled features (B, embed_dim)."""
        return self.pool(self.dense_features(images))

    def encode_text(self, texts: List[str]) -> torch.Tensor:
        """Sentences -> features of unit length, (len(texts), embed_dim)."""
        if self.stored is not None:
            return F.normalize(self.text.text.proj(self.stored(texts)), dim=-1)
        tokens = self.tokenize(texts).to(self.text.logit_scale.device)
        return self.text.encode_text(tokens, normalize=True)

    def open_clip_state_dict(self) -> Dict[str, torch.Tensor]:
        """The weights under the names of the open_clip architecture."""
        state = self.state_dict()
        return {key: state[own].contiguous() for key, own in self.own_keys.items()}

    def word_bags(self, captions: List[List[str]]) -> torch.Tensor:
        """1 where the captions of a picture have a token, else 0; shape (B, V)."""
        bags = torch.zeros(len(captions), self.word_scores.out_features)
        for bag, sentences in zip(bags, captions):
            bag[self.tokenize(sentences).flatten()] = 1
        bags[:, [0, -2, -1]] = 0  # padding, start and end of text
        return bags
