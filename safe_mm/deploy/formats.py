"""Files that other libraries read."""

import json
import warnings
from pathlib import Path
from typing import Any, Callable, Dict

import numpy as np
import torch
from safetensors.torch import save_file

from ..errors import InputError
from ..files import new_file
from . import FORMATS
from .predictor import KEY
from .stock import hugging_face_clip, open_clip_state_dict
from .trace import export
from .trained import Trained, description, predictor_of

TOLERANCE = 1e-4  # of ONNX's logits, relative to the largest
BATCHES = (1, 3)


def write_classifier(trained: Trained, path: Path) -> None:
    """The self-contained file of :meth:`safe_mm.Predictor.save`."""
    predictor_of(trained).save(path)


def write_onnx(trained: Trained, path: Path) -> None:
    """ONNX for batches of any size, which is compared with torch by onnxruntime.

    Inputs are normalised ``images``, outputs ``logits`` and, of most methods, ``attention``. The
    metadata ``safe_mm.classifier`` is a JSON object with class names and preprocessing.

    Raises:
        InputError: A package is missing, or onnxruntime computes other logits.
    """
    try:
        import onnxruntime
        import onnxscript  # noqa: F401, which torch needs to export
    except ImportError as error:
        raise InputError(
            f'{error.name} is not installed. Install it by: pip install "safe-mm[export]"'
        ) from None
    exported = export(trained.model)
    program = onnx_program(exported)
    program.model.metadata_props[KEY] = json.dumps(description(trained))
    with new_file(path) as draft:
        program.save(str(draft))
        session = onnxruntime.InferenceSession(str(draft), providers=['CPUExecutionProvider'])
        for size in BATCHES:
            images = torch.randn(size, 3, *trained.model.backbone.image_size)
            with torch.no_grad():
                expected = exported.module()(images)['logits'].numpy()
            (found,) = session.run(['logits'], dict(images=images.numpy()))
            difference = float(np.abs(found - expected).max() / np.abs(expected).max())
            if not difference < TOLERANCE:
                raise InputError(
                    f'onnxruntime {onnxruntime.__version__} computes logits that differ from '
                    f"torch's by a share of {difference:.1e}, so that nothing was written. Try "
                    'another version of onnxruntime and onnxscript.'
                )


def onnx_program(exported: torch.export.ExportedProgram) -> Any:
    """The model as ONNX, in memory."""
    return torch.onnx.export(
        exported,
        dynamo=True,
        verbose=False,
        input_names=['images'],
        dynamic_shapes=dict(images={0: 'batch'}),
        output_names=list(exported.call_spec.out_spec.context),
    )


def write_torch(trained: Trained, path: Path) -> None:
    """What ``torch.export.load`` reads, with the description as an extra file."""
    exported = export(trained.model)
    described = json.dumps(description(trained))
    with new_file(path) as draft, warnings.catch_warnings():
        # Weights in channels_last are no "complete" tensors to it; they are saved all the same
        warnings.filterwarnings('ignore', 'No complete tensor found')
        # torch insists on the name's ending
        named = draft.with_suffix('.pt2')
        torch.export.save(exported, named, extra_files={f'{KEY}.json': described})
        named.replace(draft)


def write_open_clip(trained: Trained, path: Path) -> None:
    """A state dict for ``open_clip.create_model(NAME, pretrained=PATH)``."""
    state = open_clip_state_dict(trained)
    with new_file(path) as draft:
        save_file({key: tensor.clone() for key, tensor in state.items()}, draft)


def write_hugging_face(trained: Trained, path: Path) -> None:
    """A folder for ``transformers.CLIPModel.from_pretrained``."""
    model = hugging_face_clip(trained)  # refuses where transformers are missing
    from transformers import CLIPImageProcessor

    preprocess = description(trained)['preprocess']
    processor = CLIPImageProcessor(
        size=dict(shortest_edge=preprocess['size']),
        crop_size=preprocess['size'],
        image_mean=list(preprocess['mean']),
        image_std=list(preprocess['std']),
    )
    with new_file(path) as draft:
        model.save_pretrained(draft)
        processor.save_pretrained(draft)


WRITERS: Dict[str, Callable[[Trained, Path], None]] = {
    'classifier': write_classifier,
    'onnx': write_onnx,
    'torch': write_torch,
    'open_clip': write_open_clip,
    'hugging_face': write_hugging_face,
}


def check_path(name: str, path: Path) -> None:
    """Raises an InputError unless a file or folder of a format can have this path."""
    ending = FORMATS[name]
    if path.suffix != ending:
        kind = f'a file that ends in {ending}' if ending else 'a folder'
        raise InputError(f'{path}: the format {name} takes {kind}.')
    if path.is_dir() and any(path.iterdir()):
        raise InputError(f'{path} is a folder with files in it. Choose another.')
    if not path.parent.is_dir():
        raise InputError(f'the folder {path.parent} does not exist. Create it first.')
