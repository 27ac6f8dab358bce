"""From a config file and command line options to a config ready to run."""

import difflib
import os
from argparse import Namespace
from copy import deepcopy
from pathlib import Path
from typing import Any, Optional, Sequence, Tuple

from mmengine.config import Config
from mmengine.registry import init_default_scope

from .clip import preprocess_cfg
from .clip.architecture import base_name, model_config
from .clip.weights import weight_tags
from .datasets.classes import read_classes
from .datasets.splits import SUBSETS
from .errors import InputError, first_line
from .hardware import apply_hardware_defaults
from .validate import dicts_of, validate_config, validate_options
from .values import check_top_level

# Given as options, these are set wherever they occur in a config
EVERYWHERE = ('data_root', 'shots', 'seed')
LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')


class FormattedConfig(Config):
    """A config whose text is formatted once, not for each checkpoint and log."""

    _text = ('', '')  # of the config as it was, and formatted

    @property
    def pretty_text(self) -> str:
        now = repr(self._cfg_dict)
        if FormattedConfig._text[0] != now:
            FormattedConfig._text = now, super().pretty_text
        return FormattedConfig._text[1]


def load_config(args: Namespace) -> Config:
    """Reads the config file and applies the options of :mod:`safe_mm.options`.

    Raises:
        InputError: No such file, or an option that cannot work here.
    """
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    cfg = read_config(find_config(args.config))
    cfg = FormattedConfig(cfg._cfg_dict, cfg.text, cfg.filename, cfg.env_variables)
    validate_options(cfg, args.cfg_options)
    if args.dataset:
        use_dataset(cfg, args.dataset)
    if args.subset:
        use_subset(cfg, args.subset)
    if getattr(args, 'protocol', None):
        use_base_to_new(cfg)
    if getattr(args, 'transfer', None):
        use_transfer(cfg, args.transfer)
    if args.clip:
        use_clip(cfg, *parse_clip(args.clip))
    merge_options(cfg, args.cfg_options)
    check_top_level(cfg._cfg_dict)
    for key in EVERYWHERE:
        option = getattr(args, key, None)
        if option is not None:
            cfg[key] = option
        elif key not in args.cfg_options:
            continue
        if not set_everywhere(cfg._cfg_dict, key, cfg[key]) and option is not None:
            raise InputError(
                f'--{key.replace("_", "-")} has no effect: nothing in {args.config} has {key}.'
            )
    merge_options(cfg, args.cfg_options)  # nested options have priority
    cfg.work_dir = (
        args.work_dir
        or cfg.get('work_dir')
        or default_work_dir(cfg, args.config, getattr(args, 'seeds', []))
    )
    hooks = cfg.get('default_hooks', {})
    if 'feature_cache' in hooks and not hooks.feature_cache:
        hooks.pop('feature_cache')  # mmengine takes None for its own only
    init_default_scope(cfg.get('default_scope', 'mmpretrain'))
    validate_config(cfg)
    if isinstance(cfg.get('model', {}).get('classes'), dict):
        write_classes(cfg)
    make_paths_absolute(cfg)
    apply_hardware_defaults(cfg, args)
    return cfg


def read_config(path: str) -> Config:
    """mmengine's, whatever its contents.

    Raises:
        InputError: It cannot be read or executed.
    """
    try:
        return Config.fromfile(path)
    except Exception as error:  # a config is code, and may raise anything
        raise InputError(
            f'{path} cannot be read as a config: {type(error).__name__}: {first_line(error)}'
        ) from None


def merge_options(cfg: Config, options: dict) -> None:
    """Applies ``--cfg-options``.

    Raises:
        InputError: A list is indexed beyond its end, or by a name.
    """
    try:
        cfg.merge_from_dict(options)
    except (KeyError, TypeError, IndexError, AttributeError):
        raise InputError(
            f'one of --cfg-options {" ".join(options)} leads nowhere: elements of a list are '
            'numbered from 0, and only dicts and lists have settings.'
        ) from None


def find_config(path: str) -> str:
    """``path``, or the config of that name that came with the package."""
    carried = Path(__file__).parent / '.mim' / 'configs' / path
    for candidate in (Path(path), carried):
        if candidate.is_file():
            return str(candidate)
    raise InputError(
        f'the config file {path} does not exist, neither here '
        f'nor among those of the package in {carried.parents[1]}'
    )


def set_everywhere(node: Any, key: str, value: Any) -> int:
    """Sets ``key`` to ``value`` wherever it occurs below the top level.

    Returns:
        int: In how many places it was set.
    """
    places = [own for path, own in dicts_of(node) if path and key in own]
    for own in places:
        own[key] = value
    return len(places)


def parse_clip(text: str) -> Tuple[str, Optional[str]]:
    """'NAME:WEIGHTS' -> both; without WEIGHTS, OpenAI's or the package's.

    Raises:
        InputError: The architecture is unknown, or has no weights of its own.
    """
    name, _, weights = text.partition(':')
    model_config(name)  # names near matches if there is no such architecture
    if weights:
        return name, None if weights == 'None' else weights
    tags = weight_tags(base_name(name))
    if not tags:
        raise InputError(
            f'--clip {text} needs weights: --clip {text}:WEIGHTS, a file, or None for random ones.'
        )
    return name, 'openai' if 'openai' in tags else tags[0]


def use_clip(cfg: Config, model_name: str, pretrained: Optional[str]) -> None:
    """Replaces the CLIP of a config, and size and interpolation of its crops."""
    cfg.model.clip = dict(model_name=model_name, pretrained=pretrained)
    view = preprocess_cfg(model_name, pretrained)
    for _, step in dicts_of(cfg._cfg_dict):
        if step.get('type') in ('safe_mm.CLIPCrop', 'safe_mm.CLIPRandomCrop'):
            step.update(
                size=view.size, interpolation=view.interpolation, resize_mode=view.resize_mode
            )


def dataset_base(name: str) -> Config:
    """The config base of a dataset, such as 'dtd'.

    Raises:
        InputError: There is none of that name.
    """
    folder = Path(find_config('_base_/datasets/caltech101.py')).parent
    bases = {path.stem: path for path in sorted(folder.glob('*.py'))}
    if name not in bases:
        near = difflib.get_close_matches(name, bases) or bases
        raise InputError(f'the dataset {name!r} is not known; there are {", ".join(near)}.')
    return Config.fromfile(bases[name])


def use_dataset(cfg: Config, name: str) -> None:
    """Replaces the dataset of a config; few-shot sampling and transforms stay.

    Raises:
        InputError: There is no such dataset, or the config has no ``dataset``.
    """
    base = dataset_base(name)
    if not isinstance(cfg.get('dataset'), dict):
        raise InputError(f'--dataset {name} has no effect: the config has no dataset=dict(...).')
    nodes = [cfg[loader].dataset for loader in LOADERS if cfg.get(loader)]
    for node in nodes:
        for key in cfg.dataset:
            node.pop(key, None)
        node.update(deepcopy(base.dataset))
    cfg.dataset = base.dataset
    if not isinstance(cfg.model.classes, dict):  # of a work dir, with templates
        cfg.model.pop('templates', None)
    cfg.model.classes = deepcopy(base.dataset)
    for key in ('variants', 'new_classes'):
        cfg.pop(key, None)
    if 'variants' in base:
        cfg.variants = base.variants
    cfg.dataset_name = name


def use_subset(cfg: Config, subset: str) -> None:
    """Restricts data and model to 'base' or 'new', a half of the classes."""
    check_has_dataset(cfg, f'--subset {subset}')
    nodes = [cfg[loader].dataset for loader in LOADERS if cfg.get(loader)]
    for node in (cfg.dataset, cfg.model.classes, *nodes):
        node.subset = subset
    cfg.dataset_name = f'{cfg.get("dataset_name", "custom")}_{subset}'


def use_base_to_new(cfg: Config) -> None:
    """Trains on one half of the classes, and tests on each."""
    base, new = SUBSETS
    use_subset(cfg, base)
    cfg.variants = {base: {}, new: dict(subset=new)}
    cfg.new_classes = {new: dict(cfg.dataset, subset=new)}


def use_transfer(cfg: Config, names: Sequence[str]) -> None:
    """Tests on other datasets, too, each with its own classes.

    Raises:
        InputError: There is no such dataset.
    """
    check_has_dataset(cfg, '--transfer')
    source = cfg.get('dataset_name', 'custom')
    others = {name: dataset_base(name).dataset for name in names if name != source}
    cfg.variants = {source: {}, **others}
    cfg.new_classes = deepcopy(others)


def check_has_dataset(cfg: Config, option: str) -> None:
    """Raises an InputError if a config does not say which dataset its classes are of."""
    if not isinstance(cfg.get('dataset'), dict) or not isinstance(cfg.model.classes, dict):
        raise InputError(
            f'{option} needs a config with dataset=dict(...) and model=dict(classes=dataset), as '
            'configs/safe.py is. One in a work dir has the names of its classes alone.'
        )


def write_classes(cfg: Config) -> None:
    """Class names in place of datasets: the config in the work dir builds its model without data.

    Those of ``new_classes`` are of test variants, and kept where they differ from the model's.
    """
    given = cfg.model.get('templates')
    names, cfg.model.templates = read_classes(cfg.model.classes, given)
    cfg.model.classes = list(names)
    for variant, dataset in list(cfg.get('new_classes', {}).items()):
        names, templates = read_classes(dataset, given)
        cfg.new_classes[variant] = dict(classes=list(names), templates=templates)
        if cfg.new_classes[variant].classes == cfg.model.classes:
            cfg.new_classes.pop(variant)


def make_paths_absolute(cfg: Config) -> None:
    """Files of the model, so that the config in the work dir holds in any folder."""
    model = cfg.get('model', {})
    clip = model.get('clip')
    if isinstance(model.get('templates'), str) and model.templates.endswith('.json'):
        model.templates = absolute(model.templates)
    if clip and clip.model_name.endswith('.json'):
        clip.model_name = absolute(clip.model_name)
    if clip and clip.get('pretrained') not in (None, *weight_tags(base_name(clip.model_name))):
        clip.pretrained = absolute(clip.pretrained)


def absolute(path: str) -> str:
    """A path from the root, if there is such a file."""
    file = Path(path).expanduser()
    return str(file.resolve()) if file.is_file() else path


def default_work_dir(cfg: Config, config_file: str, seeds: Sequence[int] = ()) -> str:
    """``work_dirs/CONFIG``, and a folder for each few-shot task."""
    run = [cfg.dataset_name] if cfg.get('dataset_name') else []
    names = {key: cfg[key] for key in ('shots', 'seed') if key in cfg}
    if seeds:
        names['seed'] = '-'.join(map(str, seeds))
    run += [f'{key}{name}' for key, name in names.items()]
    return str(Path('work_dirs', Path(config_file).stem, '_'.join(run)))
