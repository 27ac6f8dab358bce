"""Trained models from work dirs."""

from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple, Optional, Union

from mmengine.config import Config
from mmpretrain import get_model

from ..checkpoint import checkpoint_file
from ..clip import preprocess_cfg
from ..config import find_config, merge_options, read_config
from ..environment import versions
from ..errors import InputError
from ..models import CLIPClassifier
from .predictor import Predictor
from .trace import export, to_program


class Trained(NamedTuple):
    """A trained model.

    Attributes:
        model (CLIPClassifier): In eval mode.
        cfg (Config): What it was built from.
    """

    model: CLIPClassifier
    cfg: Config


def load_trained(
    path: Union[str, Path], config: Optional[str] = None, options: Optional[dict] = None
) -> Trained:
    """The best weights of a work dir, or a checkpoint.

    Args:
        path (str | Path): A work dir, or a file ``.pth``.
        config (str, optional): Defaults to the config in the same folder.
        options (dict, optional): Settings to change in it, by their keys.

    Raises:
        InputError: There is no such file, or config and checkpoint do not fit.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f'{path} does not exist; it should be a work dir or a checkpoint.')
    cfg = read_config(find_config(config) if config else config_in(path))
    merge_options(cfg, options or {})
    trains = bool(cfg.get('train_cfg'))  # zero-shot CLIP has no checkpoint
    model = get_model(cfg, pretrained=checkpoint_file(str(path)) if trains else False)
    if not isinstance(model, CLIPClassifier):
        raise InputError(f'{cfg.filename} has a {cfg.model.type}, and no CLIPClassifier.')
    return Trained(model.eval(), cfg)


def config_in(path: Path) -> str:
    """The config that a run leaves in its work dir.

    Raises:
        InputError: There is none, or more than one.
    """
    folder = path if path.is_dir() else path.parent
    configs = list(folder.glob('*.py'))
    if len(configs) != 1:
        raise InputError(
            f'{folder} has {len(configs) or "no"} config files, where a run leaves one. Name the '
            'config.'
        )
    return str(configs[0])


def predictor_of(trained: Trained) -> Predictor:
    """The model for photos, without its code.

    Raises:
        InputError: See :func:`safe_mm.deploy.trace.export`.
    """
    return Predictor(to_program(export(trained.model)), **description(trained))


def description(trained: Trained) -> dict:
    """What a predictor needs to know beside the computation, and whose it is; plain values.

    ``classes``, open_clip's ``preprocess`` settings, and ``about``: method, CLIP and versions.
    """
    cfg = trained.cfg
    clip = cfg.model.clip
    source = f'{clip.model_name}:{clip.pretrained}'
    return dict(
        classes=list(trained.model.classes),
        preprocess=asdict(preprocess_cfg(**clip)),
        about=dict(method=Path(cfg.filename).stem, clip=source, **versions()),
    )
