"""Corruptions and renderings of photos."""

import numpy as np
import pytest
import torch
from mmengine.config import Config

from safe_mm.config import use_clip
from safe_mm.datasets.corruption import CORRUPTIONS, Corruption
from safe_mm.datasets.variants import variant_dataset
from safe_mm.errors import InputError
from safe_mm.registry import DATASETS

from .conftest import ROOT, config


def picture():
    """BGR: a red square on blue, each slightly uneven."""
    pixels = np.zeros((64, 48, 3), np.uint8)
    pixels[..., 0] = 200
    pixels[16:40, 8:32] = (10, 20, 220)
    pixels[::4, ::4, 1] += 9
    return pixels


@pytest.mark.parametrize('name', CORRUPTIONS)
def test_same_each_time_and_of_the_same_shape(name):
    before = picture()
    found, again = (Corruption(name)(dict(img=picture()))['img'] for _ in range(2))
    assert found.shape == before.shape and found.dtype == np.uint8
    assert np.array_equal(found, again) and not np.array_equal(found, before)
    assert repr(Corruption(name)) == f"Corruption('{name}')"


def changed(name):
    return Corruption(name)(dict(img=picture()))['img'].astype(float)


def test_what_they_do():
    before = picture().astype(float)
    assert np.array_equal(changed('negative'), 255 - before)
    # ITU-R 601: red weighs 0.299, green 0.587, blue 0.114
    luminance = before @ [0.114, 0.587, 0.299]
    assert np.abs(changed('grey') - luminance[..., None]).max() <= 1
    spread = changed('contrast').std((0, 1)) / before.std((0, 1))
    assert np.abs(spread - 0.2).max() < 0.02
    noise = changed('noise') - before
    inside = (before > 0) & (before < 255) & (changed('noise') > 0) & (changed('noise') < 255)
    assert 30 < noise[inside].std() < 55
    assert (
        np.abs(np.diff(changed('blur'), axis=0)).max() < 40 < np.abs(np.diff(before, axis=0)).max()
    )
    lines = changed('edges')
    assert lines[28, 20].min() > 250 and lines[28, 8].max() < 60  # inside, and on the outline
    assert np.abs(changed('jpeg') - before).mean() > 1


def test_in_a_pipeline(shapes):
    """On the read-only, flipped arrays that other transforms leave."""
    cfg = config('--data-root', shapes, '--shots', 1)
    for name in CORRUPTIONS:
        plain, changed = (
            DATASETS.build(variant_dataset(cfg, own))[0] for own in ({}, dict(corruption=name))
        )
        assert changed['inputs'].shape == plain['inputs'].shape
        assert not torch.equal(changed['inputs'], plain['inputs'])


def test_unknown_name():
    with pytest.raises(InputError, match=r"name='fog'\) should be one of \('blur', 'noise'"):
        Corruption('fog')


def test_variants_of_caltech101():
    """Each has the test pipeline, at the size that the CLIP takes."""
    cfg = Config.fromfile(ROOT / 'configs' / '_base_' / 'datasets' / 'caltech101_shifts.py')
    cfg.model = {}
    use_clip(cfg, 'creatures-rn', 'seed1')
    assert list(cfg.variants) == ['photos', *CORRUPTIONS]
    for name in CORRUPTIONS:
        _, crop, corruption, _ = variant_dataset(cfg, cfg.variants[name])['pipeline']
        assert crop.size == 160 and corruption == dict(type='safe_mm.Corruption', name=name)
