"""The few-shot dataset and CLIP's view of its pictures."""

import json
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image

from safe_mm.config import dataset_base, use_clip
from safe_mm.errors import InputError
from safe_mm.registry import DATASETS, MODELS, TRANSFORMS

from .conftest import TINY_VIT

PIPELINE = [dict(type='safe_mm.LoadPhoto'), dict(type='safe_mm.CLIPCrop'), dict(type='PackInputs')]


@pytest.fixture
def photos(tmp_path) -> Path:
    """Six photos of two classes, one grey, one with a palette; a split."""
    rng = np.random.default_rng(0)
    items = []
    for i, mode in enumerate(['RGB', 'L', 'P', 'RGB', 'RGB', 'RGB']):
        size = (31, 47, 3) if i % 2 else (301, 257, 3)
        noise = rng.integers(0, 256, (9, 9, 3), np.uint8)
        image = Image.fromarray(noise).resize(size[1::-1]).convert(mode)
        name = f'{i}.png' if mode == 'P' else f'{i}.jpg'
        (tmp_path / 'images').mkdir(exist_ok=True)
        image.save(tmp_path / 'images' / name)
        items.append([name, i % 2, ['cat', 'big_dog'][i % 2]])
    split = dict(train=items, val=items[:4], test=items[:2])
    (tmp_path / 'split.json').write_text(json.dumps(split))
    return tmp_path


def build(root: Path, split: str = 'train', **kwargs):
    return DATASETS.build(
        dict(
            type='safe_mm.FewShotDataset',
            **{
                **dict(
                    split=split,
                    data_root=str(root),
                    data_prefix='images',
                    ann_file='split.json',
                    pipeline=PIPELINE,
                ),
                **kwargs,
            },
        )
    )


def test_pixels_equal_open_clip(photos):
    """The same tensor as open_clip's own transform, mirror image included."""
    path = photos / 'images' / '3.jpg'
    exif = Image.Exif()
    exif[274] = 6  # orientation, which CLIP's own preprocessing ignores
    Image.open(path).save(path, exif=exif)
    dataset = build(photos, mirror=True, exif=False)
    normalise = MODELS.build(
        dict(type='safe_mm.CLIPDataPreprocessor', clip=dict(model_name='RN50', pretrained='openai'))
    )
    transform = image_transform_v2(PreprocessCfg(), is_train=False)
    assert len(dataset) == 12
    for i in range(12):
        packed = normalise(pseudo_collate([dataset[i]]))
        path = packed['data_samples'][0].img_path
        expected = transform(Image.open(path).convert('RGB'))
        if i >= 6:
            expected = expected.flip(-1)
        assert packed['data_samples'][0].flip == (i >= 6)
        torch.testing.assert_close(packed['inputs'][0], expected, rtol=0, atol=2e-6)


def crop_of(model_name: str, pretrained: str = None) -> dict:
    """What ``--clip`` makes of a crop."""
    cfg = Config(dict(model=dict(), pipeline=PIPELINE))
    use_clip(cfg, model_name, pretrained)
    return cfg.pipeline[1]


def test_size_follows_the_clip(photos):
    pipeline = [PIPELINE[0], crop_of(TINY_VIT), PIPELINE[2]]
    assert build(photos, pipeline=pipeline)[0]['inputs'].shape == (3, 64, 64)


def test_classes_and_templates(photos):
    dataset = build(photos, templates='a {}.')
    assert dataset.metainfo['classes'] == ('cat', 'big_dog')
    assert dataset.metainfo['templates'] == 'a {}.'
    renamed = build(photos, classes=['kitten', 'dog'])
    assert renamed.metainfo['classes'] == ('kitten', 'dog')


def test_class_count_mismatch(photos):
    with pytest.raises(InputError, match='split.json has 2 classes, but 3'):
        build(photos, classes=['a', 'b', 'c'])


def test_shots(photos):
    dataset = build(photos, shots=1, mirror=True)
    labels = [dataset.get_data_info(i)['gt_label'] for i in range(4)]
    assert len(dataset) == 4 and sorted(labels) == [0, 0, 1, 1]
    assert len(build(photos, 'val', shots=1)) == 2
    assert len(build(photos, 'val', shots=16)) == 4
    assert len(build(photos, 'test')) == 2


def change_split(photos: Path, **parts) -> None:
    """Writes the split anew, some parts by functions of their items."""
    split = json.loads((photos / 'split.json').read_text())
    split.update({name: change(split[name]) for name, change in parts.items()})
    (photos / 'split.json').write_text(json.dumps(split))


@pytest.fixture
def warned(monkeypatch) -> list:
    """Warnings of a test."""
    lines = []
    monkeypatch.setattr(
        'mmengine.logging.print_log',
        lambda line, *_, level=None, **__: level and lines.append(line),
    )
    return lines


def test_short_classes_are_named(photos, warned):
    build(photos, shots=5)
    (line,) = (line for line in warned if 'fewer' in line)
    assert line.endswith(
        '2 classes with fewer than 5 training images; all of them are used: cat (3), big_dog (3)'
    )


def test_class_without_training_images(photos):
    change_split(photos, train=lambda items: items[::2])
    with pytest.raises(InputError, match="the class 'big_dog' has no training image .1 of 2 "):
        build(photos, shots=2)


def test_repeated_images_are_named_once(photos, warned):
    """Within a part, and in two."""
    change_split(photos, train=lambda items: [*items, items[0]], test=lambda items: items[:1])
    build(photos)
    build(photos, 'test')
    assert [line.partition('.json: ')[2] for line in warned if '.json: ' in line] == [
        'train lists 1 image more than once: 0.jpg',
        'train and val share 4 images: 0.jpg',
        'train and test share 1 image: 0.jpg',
        'val and test share 1 image: 0.jpg',
    ]


def test_rotation_of_the_camera(photos):
    """Is applied to users' own photos, and ignored for the published benchmarks."""
    exif = Image.Exif()
    exif[274] = 6
    path = photos / 'images' / '0.jpg'
    Image.open(path).save(path, exif=exif)
    load = [dict(type='safe_mm.LoadPhoto')]
    upright = build(photos, pipeline=load)[0]['img']
    stored = build(photos, pipeline=load, exif=False)[0]['img']
    assert np.array_equal(upright, np.rot90(stored, -1))
    for folder, exif in (('caltech101', False), ('imagenet_variants', False), ('folder', True)):
        assert dataset_base(folder).dataset.get('exif', True) == exif


def test_sixteen_bits_are_scaled(photos):
    grey = np.linspace(0, 65535, 31 * 47).reshape(31, 47)
    Image.fromarray(grey.astype(np.uint16)).save(photos / 'images' / '2.png')
    found = build(photos, pipeline=[dict(type='safe_mm.LoadPhoto')])[2]['img']
    assert np.abs(found - grey.astype(np.uint16)[..., None] / 257).max() <= 0.5


def test_photos_that_cannot_be_used(photos, monkeypatch):
    """Too large for Pillow, or of 32 bits."""
    Image.fromarray(np.ones((5, 5), np.float32)).save(photos / 'images' / '2.png', 'tiff')
    with pytest.raises(InputError, match='2.png cannot be read as an image .its pixels have 32'):
        build(photos)[2]
    monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', 700)
    with pytest.raises(InputError, match='0.jpg cannot be read as an image .Image size'):
        build(photos)[0]


def test_longest_side_resize(photos, tmp_path):
    """Models with another way to resize keep it."""
    (tmp_path / 'open_clip_config.json').write_text(
        json.dumps(dict(preprocess_cfg=dict(resize_mode='longest')))
    )
    (tmp_path / 'x.pt').touch()
    crop = TRANSFORMS.build(crop_of(TINY_VIT, str(tmp_path / 'x.pt')))
    image = np.zeros((40, 100, 3), np.uint8)
    image[:, 90:] = 255  # would be cut off by a centre crop
    result = crop(dict(img=image))['img']
    assert result.shape == (64, 64, 3) and result.max() == 255


def test_missing_images_are_counted(photos):
    (photos / 'images' / '1.jpg').unlink()
    (photos / 'images' / '3.jpg').unlink()
    with pytest.raises(
        InputError,
        match=r'1.jpg does not exist, nor do 1 mor'
        r'e of the 6',
    ):
        build(photos)


def test_truncated_image_is_named(photos):
    path = photos / 'images' / '0.jpg'
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(InputError, match='0.jpg cannot be read as an image'):
        build(photos)[0]


def test_no_image_at_all_is_named(photos):
    (photos / 'images' / '0.jpg').write_text('no picture')
    with pytest.raises(InputError, match='0.jpg cannot be read as an image'):
        build(photos)[0]


@pytest.mark.parametrize(
    'wrong,message',
    [
        (dict(split='training'), "split='training'"),
        (dict(shots=0), 'shots=0'),
        (dict(ann_file='nothing.json'), 'nothing.json does not exist'),
        (dict(data_prefix='nowhere'), 'nowhere.0.jpg does not exist'),
    ],
)
def test_bad_arguments(photos, wrong, message):
    with pytest.raises(InputError, match=message):
        build(photos, **wrong)


def test_split_without_the_part(photos):
    (photos / 'split.json').write_text(
        json.dumps(dict(train=[['0.jpg', 0, 'cat'], ['1.jpg', 1, 'dog']]))
    )
    with pytest.raises(InputError, match="no images for 'test'"):
        build(photos, 'test')


def test_folders(shapes):
    dataset = build(shapes, data_prefix='shapes', ann_file='', shots=2)
    assert len(dataset) == 12
    assert dataset.metainfo['classes'][0] == 'blue_shape'


def test_open_clip_constants_are_not_repeated():
    preprocessor = MODELS.build(
        dict(
            type='safe_mm.CLIPDataPreprocessor',
            clip=dict(model_name='ViT-L-14', pretrained='laion2b_s32b_b82k'),
        )
    )
    assert preprocessor.mean.flatten().tolist() == [127.5] * 3
    assert open_clip.OPENAI_DATASET_MEAN[0] != 0.5
