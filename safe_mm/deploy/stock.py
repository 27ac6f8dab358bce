"""Trained models as stock CLIPs, of open_clip and of Hugging Face."""

import re
from typing import Any, Dict

import torch
from open_clip.transformer import QuickGELU
from torch import nn
from torch.nn import functional as F

from ..clip import SplitCLIP
from ..clip.architecture import model_config, require_transformers
from ..datasets.classes import class_sentences
from ..errors import InputError, first_line
from ..methods.zero_shot import text_class_weights
from ..models.reparametrize import merge_weights
from ..registry import MODELS
from .trained import Trained

IMAGES = 4  # random ones, to compare the logits
TOLERANCE = 1e-3  # of logits, which are between -100 and 100
BLOCK = r'((?:visual\.)?transformer)\.resblocks\.(\d+)\.(.+)'
# open_clip's keys -> Hugging Face's, of both towers
KEYS = {
    'logit_scale': 'logit_scale',
    'visual.class_embedding': 'vision_model.embeddings.class_embedding',
    'visual.conv1.weight': 'vision_model.embeddings.patch_embedding.weight',
    'visual.positional_embedding': 'vision_model.embeddings.position_embedding.weight',
    'visual.ln_pre': 'vision_model.pre_layrnorm',
    'visual.ln_post': 'vision_model.post_layernorm',
    'visual.proj': 'visual_projection.weight',
    'token_embedding.weight': 'text_model.embeddings.token_embedding.weight',
    'positional_embedding': 'text_model.embeddings.position_embedding.weight',
    'ln_final': 'text_model.final_layer_norm',
    'text_projection': 'text_projection.weight',
}
TRANSPOSED = ('visual.proj', 'text_projection')
IN_BLOCK = {
    'ln_1': 'layer_norm1',
    'ln_2': 'layer_norm2',
    'attn.out_proj': 'self_attn.out_proj',
    'mlp.c_fc': 'mlp.fc1',
    'mlp.c_proj': 'mlp.fc2',
}


def stock_clip(trained: Trained) -> SplitCLIP:
    """The CLIP with the weights of the model.

    Raises:
        InputError: A CLIP of this architecture cannot have the same predictions.
    """
    model, cfg = trained.model, trained.cfg.model
    merge_weights(model)
    clip = SplitCLIP(**cfg.clip)
    trunk = MODELS.build(
        {'type': 'safe_mm.CLIPTrunk', **cfg.get('backbone', {})}, default_args=dict(clip=clip)
    )
    copy_tensors(model.backbone, trunk)
    copy_tensors(model.neck.clip_pool(), clip.pool)
    text = model.head.text_tower()
    if text is not None:
        copy_tensors(text, clip.text)
    check_logits(trained, trunk, clip)
    return clip


def open_clip_state_dict(trained: Trained) -> Dict[str, torch.Tensor]:
    """All weights under open_clip's keys.

    Raises:
        InputError: See :func:`stock_clip`.
    """
    whole = stock_clip(trained).whole
    return {key: tensor.detach().contiguous() for key, tensor in whole.items()}


@torch.no_grad()
def copy_tensors(source: nn.Module, target: nn.Module) -> None:
    """Copies parameters and buffers into a module of the same names."""
    found = {**dict(source.named_parameters()), **dict(source.named_buffers())}
    for name, tensor in (*target.named_parameters(), *target.named_buffers()):
        tensor.copy_(found[name])


@torch.no_grad()
def check_logits(trained: Trained, trunk: nn.Module, clip: SplitCLIP) -> None:
    """Raises an InputError unless the CLIP has the model's logits."""
    model = trained.model
    images = torch.randn(IMAGES, 3, *model.backbone.image_size)
    sentences = class_sentences(model.classes, trained.cfg.model.get('templates'))
    weights = text_class_weights(list(sentences.values()), clip.encode_text)
    features = F.normalize(clip.pool(trunk(images)[-1]), dim=-1)
    logits = clip.logit_scale * features @ weights.T + clip.logit_bias
    if (logits - model(images)).abs().max() > TOLERANCE:
        raise InputError(
            f'{type(model.head).__name__} classifies in another way than a CLIP by the texts of '
            'the config, so that none has the same predictions. Export it to a classifier, ONNX '
            'or torch.export.'
        )


def hugging_face_clip(trained: Trained) -> Any:
    """The model as a ``transformers.CLIPModel``.

    Raises:
        InputError: See :func:`stock_clip`, or Hugging Face has no such architecture.
    """
    require_transformers('a CLIP of Hugging Face')
    from transformers import CLIPConfig, CLIPModel

    clip, name = stock_clip(trained), trained.cfg.model.clip.model_name
    try:
        state = hugging_face_state_dict(clip.whole)
        model = CLIPModel(CLIPConfig(**hugging_face_config(model_config(name), clip))).eval()
        model.load_state_dict(state)
    except (KeyError, RuntimeError) as error:
        raise InputError(
            f"{name} is not of the architecture of Hugging Face's CLIP, a ViT with a class token "
            f'and a text transformer: {first_line(error)}'
        ) from None
    return model


def hugging_face_config(cfg: dict, clip: SplitCLIP) -> dict:
    """Arguments of ``CLIPConfig`` for open_clip's configuration of an architecture."""
    vision, text = cfg['vision_cfg'], cfg['text_cfg']
    quick = any(isinstance(module, QuickGELU) for module in clip.text.modules())
    activation = 'quick_gelu' if quick else 'gelu'
    last = text['vocab_size'] - 1
    return dict(
        projection_dim=cfg['embed_dim'],
        vision_config=dict(
            hidden_size=vision['width'],
            intermediate_size=int(vision['width'] * vision.get('mlp_ratio', 4)),
            num_hidden_layers=vision['layers'],
            num_attention_heads=vision['width'] // vision.get('head_width', 64),
            image_size=vision['image_size'],
            patch_size=vision['patch_size'],
            projection_dim=cfg['embed_dim'],
            hidden_act=activation,
        ),
        text_config=dict(
            hidden_size=text['width'],
            intermediate_size=int(text['width'] * text.get('mlp_ratio', 4)),
            num_hidden_layers=text['layers'],
            num_attention_heads=text['heads'],
            max_position_embeddings=text['context_length'],
            vocab_size=text['vocab_size'],
            projection_dim=cfg['embed_dim'],
            hidden_act=activation,
            bos_token_id=last - 1,
            eos_token_id=last,
            pad_token_id=0,
        ),
    )


def hugging_face_state_dict(state: Dict[str, torch.Tensor]) -> Dict[str, torch.Tensor]:
    """open_clip's state dict under Hugging Face's keys, which has three layers for q, k and v.

    Raises:
        KeyError: A tensor of another architecture.
    """
    found = {}
    for key, tensor in state.items():
        block = re.fullmatch(BLOCK, key)
        if block is None:
            stem, _, kind = key.rpartition('.')
            name = KEYS[key] if key in KEYS else f'{KEYS[stem]}.{kind}'
            found[name] = tensor.T if key in TRANSPOSED else tensor
            continue
        tower, number, rest = block.groups()
        prefix = 'vision_model' if tower.startswith('visual') else 'text_model'
        found.update(
            {
                f'{prefix}.encoder.layers.{number}.{name}': part
                for name, part in in_block(rest, tensor).items()
            }
        )
    return {name: tensor.detach().contiguous() for name, tensor in found.items()}


def in_block(key: str, tensor: torch.Tensor) -> Dict[str, torch.Tensor]:
    """A tensor of a transformer block by Hugging Face's keys."""
    if key.startswith('attn.in_proj_'):
        kind = key[len('attn.in_proj_') :]
        return {f'self_attn.{x}_proj.{kind}': part for x, part in zip('qkv', tensor.chunk(3))}
    stem, _, kind = key.rpartition('.')
    return {f'{IN_BLOCK[stem]}.{kind}': tensor}
