"""Another data set, or a variant of it, in place of a config's."""
from pathlib import Path

from mmengine.config import Config

from ..config import find_config
from ..errors import InputError


def dataset_base(name: str) -> Config:
    """The config base of a data set, such as 'dtd'.

    Raises:
        InputError: There is none of that name.
    """
    folder = Path(find_config('_base_/datasets/few_shot.py')).parent
    bases = {path.stem: path for path in sorted(folder.glob('*.py'))
             if path.stem != 'few_shot'
             and not path.stem.startswith('creature')}
    if name not in bases:
        raise InputError(f'the data set {name!r} is not known; there are '
                         f'{", ".join(bases)}.')
    return Config.fromfile(bases[name])


def use_dataset(cfg: Config, name: str) -> None:
    """Puts a data set in place of the config's.

    Args:
        cfg (Config): Of a ``FewShotDataset``.
        name (str): As for :func:`dataset_base`.

    Raises:
        InputError: There is no such data set, or the config's is of another
            kind.
    """
    base = dataset_base(name)
    for part in ('train', 'val', 'test'):
        loader = cfg.get(f'{part}_dataloader')
        if loader and 'FewShotDataset' not in loader.dataset.type:
            raise InputError(f'{name} cannot take the place of data of type '
                             f'{loader.dataset.type}.')
        if loader:
            loader.dataset.update(
                {key: base.dataset.get(key)
                 for key in ('data_prefix', 'ann_file', 'templates',
                             'num_classes')})
    cfg.pop('variants', None)
    if 'variants' in base:
        cfg.variants = base.variants


def use_variant(cfg: Config, name: str) -> None:
    """Puts a variant in place of the test data.

    Args:
        cfg (Config): Has ``variants``, or is of ImageNet.
        name (str): Of a variant.

    Raises:
        InputError: There is none of that name.
    """
    dataset = cfg.test_dataloader.dataset
    imagenet = dataset_base('imagenet_variants')
    variants = dict(cfg.get('variants', {}))
    if dataset.get('data_prefix') == imagenet.dataset.data_prefix:
        variants = {**imagenet.variants, **variants}
    if name not in variants:
        raise InputError(f'--variant {name}: there is no such variant of this '
                         f'data, but {", ".join(variants) or "none"}.')
    dataset.update(variants[name])
