"""SAFE in a multimodal language model (SAFE, Sec. IV-E): LLaVA of Hugging Face.

LLaVA trains its projector, and in a second stage its language model, too. SAFE adds the last layer
of the vision tower, which is frozen otherwise.
"""

from typing import Any, List

import torch
from torch import nn

from ..errors import InputError
from .stock import hugging_face_clip
from .trained import Trained

PARTS = dict(vision='vision_tower', projector='multi_modal_projector', language='language_model')


def last_read_layer(model: Any) -> nn.Module:
    """The layer of the vision tower whose output a LLaVA reads.

    That is not the last of the tower where ``vision_feature_layer`` is -2, as in LLaVA-1.5: what
    comes after it has no effect.

    Args:
        model (LlavaForConditionalGeneration): The model.

    Raises:
        InputError: It reads several layers, or the embeddings.
    """
    layers = part_of(model, 'vision').encoder.layers
    read = model.config.vision_feature_layer
    if not isinstance(read, int):
        raise InputError(f'vision_feature_layer={read} names several layers; set it to one number.')
    number = read if read >= 0 else len(layers) + 1 + read  # 0 are the embeddings
    if not 1 <= number <= len(layers):
        raise InputError(f'vision_feature_layer={read} is no layer of {len(layers)}.')
    return layers[number - 1]


def train_last_layer(model: Any, projector: bool = True, language_model: bool = False) -> List[str]:
    """Leaves the last vision layer trainable, and of the rest what is asked for.

    Args:
        model (LlavaForConditionalGeneration): Its parameters are frozen, but for these.
        projector (bool): Whether the projector is trained. Defaults to True.
        language_model (bool): Whether the language model is trained. Defaults to False.

    Returns:
        list[str]: Names of the parameters that are trained.

    Raises:
        InputError: See :func:`last_read_layer`.
    """
    model.requires_grad_(False)
    last_read_layer(model).requires_grad_(True)
    part_of(model, 'projector').requires_grad_(projector)
    part_of(model, 'language').requires_grad_(language_model)
    if language_model:
        model.get_output_embeddings().requires_grad_(True)
    return [name for name, parameter in model.named_parameters() if parameter.requires_grad]


@torch.no_grad()
def write_last_layer(trained: Trained, tower: Any) -> None:
    """Writes the tuned last layer of a ViT into a vision tower of Hugging Face.

    Args:
        trained (Trained): See :func:`safe_mm.deploy.trained.load_trained`; with ``beta=0``.
        tower (CLIPVisionModel): Of the same architecture, such as a LLaVA's; a LLaVA reads this
            layer where ``vision_feature_layer`` is -1.

    Raises:
        InputError: The architectures differ, or see :func:`hugging_face_clip`.
    """
    source = hugging_face_clip(trained).vision_model.encoder.layers[-1].state_dict()
    target = getattr(tower, 'vision_model', tower).encoder.layers[-1]
    for name, tensor in target.state_dict().items():
        if tensor.shape != source[name].shape:
            raise InputError(
                f'the vision tower has a layer of another size: {name} is '
                f'{tuple(tensor.shape)} there, and {tuple(source[name].shape)} in the checkpoint.'
            )
    target.load_state_dict(source)


def part_of(model: Any, part: str) -> Any:
    """The vision tower, projector or language model of a LLaVA; transformers have moved them."""
    name = PARTS[part]
    inner = model.model if hasattr(model, 'model') else model
    found = getattr(inner, name)
    return getattr(found, 'vision_model', found) if part == 'vision' else found
