"""Test data out of the distribution of the training images."""

from typing import Any, Dict

from mmengine.config import Config

from ..config import dataset_base
from ..errors import InputError


def variants_of(cfg: Config) -> Dict[str, dict]:
    """Name -> what differs in the test dataset.

    Those of the config; data of ImageNet has its four published variants.
    """
    variants = dict(cfg.get('variants', {}))
    imagenet = dataset_base('imagenet_variants')
    own = cfg.test_dataloader.dataset
    if own.get('data_prefix') == imagenet.dataset.data_prefix:
        variants = {**imagenet.variants, **variants}
    return variants


def use_variant(cfg: Config, name: str) -> None:
    """Puts a variant in place of the test data.

    Raises:
        InputError: There is none of that name.
    """
    variants = variants_of(cfg)
    if name not in variants:
        raise InputError(
            f'--variant {name} is not known; the data has {", ".join(variants) or "no variants"}.'
        )
    cfg.test_dataloader.dataset = variant_dataset(cfg, variants[name])
    cfg.model.update(cfg.get('new_classes', {}).get(name, {}))


def variant_dataset(cfg: Config, changes: dict) -> Dict[str, Any]:
    """The test dataset with the changes of a variant.

    Those with a ``type`` replace the dataset. ``corruption`` names a
    :class:`safe_mm.datasets.Corruption`, which comes last in its pipeline.
    """
    changes = dict(changes)
    corruption = changes.pop('corruption', None)
    replaced = cfg.dataset if 'type' in changes else ()
    own = cfg.test_dataloader.dataset
    dataset = {**{key: own[key] for key in own if key not in replaced}, **changes}
    if corruption:
        *steps, pack = dataset['pipeline']
        dataset['pipeline'] = [*steps, dict(type='safe_mm.Corruption', name=corruption), pack]
    return dataset
