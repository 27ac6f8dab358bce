"""Methods that train through a tower, by the published equations and open_clip's own modules.

Nothing is left out that a plain implementation computes: all positions of the text encoder's
context, one image at a time, a low-rank branch or both factors in each layer.
"""

import copy
from typing import Any, Dict, Sequence, Type, Union, cast

import torch
from mmengine.config import Config
from torch import nn
from torch.nn import functional as F

from ..clip.loading import load_clip
from ..methods.clip_cite import contrast_other_classes, distance_to_original
from ..methods.cross_modal import draw
from ..models import CLIPClassifier
from .encoders import pool, pooling_layer
from .layers import Factored, LowRank, linear, replace_attention
from .timing import DEVICE


class Plain(nn.Module):
    """Base: a frozen CLIP in eval mode, with the initial values of a classifier.

    Args:
        cfg (Config): Of a method.
        model (CLIPClassifier): The classifier of that config.
    """

    clip: Any

    def __init__(self, cfg: Config, model: CLIPClassifier) -> None:
        super().__init__()
        self.clip = load_clip(**cfg.model.clip).requires_grad_(False).eval().to(DEVICE)
        self.tokens: Any = getattr(model.head, 'tokens', None)
        self.scale = self.clip.logit_scale.exp().item()

    def loss(self, inputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Of a batch of what the classifier's frozen stage gives."""
        return F.cross_entropy(self.logits(inputs), labels)

    def backward(self, inputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """The loss, with gradients left in the parameters."""
        loss = self.loss(inputs, labels)
        loss.backward()
        return loss

    def logits(self, inputs: torch.Tensor) -> torch.Tensor:
        raise NotImplementedError


class CoOp(Plain):
    """Context vectors between the first token and those of the class names."""

    start: torch.Tensor
    rest: torch.Tensor

    def __init__(self, cfg: Config, model: CLIPClassifier) -> None:
        super().__init__(cfg, model)
        context: Any = model.head.context
        self.context = nn.Parameter(context.detach().clone())
        embeddings = self.clip.token_embedding(self.tokens)
        self.register_buffer('start', embeddings[:, :1])
        self.register_buffer('rest', embeddings[:, 1 + len(self.context) :])

    def texts(self, context: torch.Tensor) -> torch.Tensor:
        """Features of all prompts, shape (N, D)."""
        shared = context.expand(len(self.tokens), -1, -1)
        x = torch.cat([self.start, shared, self.rest], dim=1) + self.clip.positional_embedding
        x = self.clip.ln_final(self.clip.transformer(x, attn_mask=self.clip.attn_mask))
        x = x[torch.arange(len(x)), self.tokens.argmax(-1)] @ self.clip.text_projection
        return F.normalize(x, dim=-1)

    def logits(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.scale * F.normalize(inputs[:, 0], dim=-1) @ self.texts(self.context).T


class SAFEWithCoOp(CoOp):
    """Context vectors and the pooling layer, on dense features."""

    def __init__(self, cfg: Config, model: CLIPClassifier) -> None:
        super().__init__(cfg, model)
        pooling_layer(self.clip.visual).requires_grad_(True)

    def logits(self, inputs: torch.Tensor) -> torch.Tensor:
        features = F.normalize(pool(self.clip.visual, inputs), dim=-1)
        return self.scale * features @ self.texts(self.context).T


class CoCoOp(CoOp):
    """One image at a time."""

    def __init__(self, cfg: Config, model: CLIPClassifier) -> None:
        super().__init__(cfg, model)
        self.meta_net: Any = copy.deepcopy(model.head.meta_net)

    def logits(self, inputs: torch.Tensor) -> torch.Tensor:
        unit = F.normalize(inputs[:, 0], dim=-1)
        texts = [self.texts(self.context + shift) for shift in self.meta_net(unit)]
        return self.scale * torch.stack([x @ y.T for x, y in zip(unit, texts)])


class ProGrad(CoOp):
    """Two backward passes, and the second gradient without what opposes the first."""

    class_weights: torch.Tensor

    def __init__(self, cfg: Config, model: CLIPClassifier) -> None:
        super().__init__(cfg, model)
        weights: Any = model.head.class_weights
        self.register_buffer('class_weights', weights)

    def backward(self, inputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        logits = self.logits(inputs)
        teacher = self.scale * F.normalize(inputs[:, 0], dim=-1) @ self.class_weights.T
        p = teacher.softmax(-1)
        divergence = (p * (p.log() - logits.log_softmax(-1))).sum(-1).mean()
        (h,) = torch.autograd.grad(divergence, self.context, retain_graph=True)
        loss = F.cross_entropy(logits, labels)
        (g,) = torch.autograd.grad(loss, self.context)
        overlap = (g * h).sum().clamp(max=0)
        self.context.grad = g - overlap / h.norm() ** 2 * h
        return loss


class BothTowers(Plain):
    """Base of methods that change layers of both towers; from images, or a ResNet's features."""

    def __init__(self, cfg: Config, model: CLIPClassifier) -> None:
        super().__init__(cfg, model)
        self.on_features = model.frozen_stage == 'dense'

    def logits(self, inputs: torch.Tensor) -> torch.Tensor:
        visual = self.clip.visual
        features = visual.attnpool(inputs) if self.on_features else visual(inputs)
        texts = self.clip.encode_text(self.tokens, normalize=True)
        return self.scale * F.normalize(features, dim=-1) @ texts.T


class CLIPLoRA(BothTowers):
    """A low-rank branch for queries, keys and values."""

    def __init__(self, cfg: Config, model: CLIPClassifier) -> None:
        super().__init__(cfg, model)
        own = cfg.model.reparametrize
        replace_attention(self.clip, lambda w, b: LowRank(w, b, own.rank, own.dropout), linear)


class CLIPSVD(BothTowers):
    """Linear layers in two factors, with singular values between them."""

    def __init__(self, cfg: Config, model: CLIPClassifier) -> None:
        super().__init__(cfg, model)
        replace_attention(self.clip, Factored, Factored)
        for block in self.clip.modules():
            if hasattr(block, 'mlp'):
                for name in ('c_fc', 'c_proj'):
                    old = getattr(block.mlp, name)
                    setattr(block.mlp, name, Factored(old.weight, old.bias))


class FullFineTuning(Plain):
    """The visual encoder and a classifier, on images."""

    def __init__(self, cfg: Config, model: CLIPClassifier) -> None:
        super().__init__(cfg, model)
        head: Any = model.head
        self.weight, self.scale = nn.Parameter(head.weight.detach().clone()), head.scale
        for part in self.tuned():
            part.requires_grad_(True)

    def tuned(self) -> Sequence[Union[nn.Module, nn.Parameter]]:
        return (self.clip.visual,)

    def logits(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.scale * F.normalize(self.clip.visual(inputs), dim=-1) @ self.weight.T


def pooling_parts(visual: Any) -> Sequence[Union[nn.Module, nn.Parameter]]:
    """The pooling layer and what follows it."""
    after = (visual.ln_post, visual.proj) if hasattr(visual, 'transformer') else ()
    return (pooling_layer(visual), *after)


class FineTuning(Plain):
    """The last block before the pooling layer, and what follows, on the features before."""

    weight: torch.Tensor

    def __init__(self, cfg: Config, model: CLIPClassifier) -> None:
        super().__init__(cfg, model)
        visual, head = self.clip.visual, cast(Any, model.head)
        self.register_buffer('weight', head.class_weights)
        is_vit = hasattr(visual, 'transformer')
        self.block: Any = visual.transformer.resblocks[-2] if is_vit else visual.layer4
        for part in (self.block, *pooling_parts(visual)):
            part.requires_grad_(True)

    def logits(self, inputs: torch.Tensor) -> torch.Tensor:
        features = F.normalize(pool(self.clip.visual, self.block(inputs)), dim=-1)
        return self.scale * features @ self.weight.T


class CrossModalPartial(FullFineTuning):
    """The pooling layer and a classifier, on dense features and as many texts."""

    def __init__(self, cfg: Config, model: CLIPClassifier) -> None:
        super().__init__(cfg, model)
        self.texts: Any = model.head.texts
        self.text_labels: Any = model.head.text_labels

    def tuned(self) -> Sequence[Union[nn.Module, nn.Parameter]]:
        return pooling_parts(self.clip.visual)

    def loss(self, inputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        picked = draw(0, len(inputs), len(self.texts))
        samples = torch.cat(
            [F.normalize(pool(self.clip.visual, inputs), dim=-1), self.texts[picked]]
        )
        labels = torch.cat([labels, self.text_labels[picked]])
        return F.cross_entropy(self.scale * samples @ self.weight.T, labels)


class CLIPCITE(Plain):
    """Both towers, and the unchanged CLIP beside them, on images and the texts of their classes."""

    def __init__(self, cfg: Config, model: CLIPClassifier) -> None:
        super().__init__(cfg, model)
        weight: Any = model.head.weight
        self.original: Any = copy.deepcopy(self.clip)
        self.clip.requires_grad_(True).logit_scale.requires_grad_(False)
        self.weight = nn.Parameter(weight.detach().clone())

    def loss(self, inputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        texts = self.tokens[labels]
        with torch.no_grad():
            image, text, scale = self.original(inputs, texts)
        unchanged = scale * image @ text.T
        image, text, scale = self.clip(inputs, texts)
        similarity = scale * image @ text.T
        scores = scale * image @ F.normalize(self.weight, dim=-1).T
        return (
            F.cross_entropy(scores, labels)
            + 0.7 * contrast_other_classes(similarity, labels)
            + 0.1 * distance_to_original(similarity, unchanged)
        )


PLAIN: Dict[str, Type[Plain]] = {
    'coop': CoOp,
    'cocoop': CoCoOp,
    'prograd': ProGrad,
    'clip-lora': CLIPLoRA,
    'clip-svd': CLIPSVD,
    'clip-cite': CLIPCITE,
    'full-fine-tune': FullFineTuning,
    'fine-tune': FineTuning,
    'safe_coop': SAFEWithCoOp,
    'cross-modal-partial': CrossModalPartial,
}
