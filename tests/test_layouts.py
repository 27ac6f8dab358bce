"""Each data set in its published layout, on a tiny tree, by its config."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import default_collate
from mmpretrain.structures import DataSample

from safe_mm.config import dataset_base, set_everywhere, use_dataset
from safe_mm.datasets.splits import few_shot
from safe_mm.datasets.variants import use_variant
from safe_mm.errors import InputError
from safe_mm.methods import TextClsHead
from safe_mm.models import CLIPClassifier
from safe_mm.registry import DATASETS

from .conftest import ROOT, TINY_VIT
from .layouts import (
    SPLITS,
    WNIDS,
    draw,
    draw_aircraft,
    draw_imagenet,
    draw_split,
    write_imagenet_split,
)

CLIP = dict(model_name=TINY_VIT, pretrained=None)


def build(name: str, part: str, root: Path, **changes):
    """A data set of ``configs/_base_/datasets``, with a few classes."""
    cfg, changes = dataset_base(name), dict(dict(num_classes=None), **changes)
    for key, value in dict(data_root=str(root), shots=2).items():
        set_everywhere(cfg._cfg_dict, key, value)
    cfg[f'{part}_dataloader'].dataset.pipeline[1].size = 64
    return DATASETS.build({**cfg[f'{part}_dataloader'].dataset, **changes})


def check(dataset, count: int, names: list) -> None:
    assert len(dataset) == count
    assert list(dataset.metainfo['classes']) == names
    for i in range(count):
        assert dataset[i]['inputs'].shape == (3, 64, 64)


@pytest.mark.parametrize('name', SPLITS)
def test_split_file(name, tmp_path):
    classes = draw_split(name, tmp_path)
    check(build(name, 'train', tmp_path), 2 * 2 * 2, classes)
    check(build(name, 'val', tmp_path), 2 * 2, classes)
    check(build(name, 'test', tmp_path), 2 * 3, classes)


def test_aircraft(tmp_path):
    classes, folder = draw_aircraft(tmp_path), tmp_path / 'fgvc_aircraft'
    check(build('fgvcaircraft', 'train', tmp_path), 8, classes)
    check(build('fgvcaircraft', 'val', tmp_path), 4, classes)
    test = build('fgvcaircraft', 'test', tmp_path)
    check(test, 6, classes)
    assert test.get_data_info(3)['gt_label'] == 1

    (folder / 'images_variant_val.txt').write_text('1 Concorde')
    with pytest.raises(InputError, match="'Concorde' is not in"):
        build('fgvcaircraft', 'val', tmp_path)
    (folder / 'images_variant_val.txt').unlink()
    with pytest.raises(InputError, match='images_variant_val.txt cannot be'):
        build('fgvcaircraft', 'train', tmp_path)


@pytest.fixture
def imagenet(tmp_path):
    draw_imagenet(tmp_path)
    return tmp_path


def test_imagenet(imagenet):
    names = list(WNIDS.values())
    train = build('imagenet', 'train', imagenet)
    val = build('imagenet', 'val', imagenet)
    check(train, 2 * 3 * 2, names)
    check(val, 2 * 3, names)
    seen = [{Path(d.get_data_info(i)['img_path']) for i in range(len(d))} for d in (train, val)]
    assert not seen[0] & seen[1]  # validated on images that are not trained on
    assert all('train' in path.parts for path in seen[1])
    test = build('imagenet', 'test', imagenet)
    check(test, 3, names)
    assert 'class_ids' not in test.metainfo
    assert '/val/' in test.get_data_info(0)['img_path']


def paths_of(dataset, root: Path) -> list:
    """Paths of the images, each once, below the image folder."""
    infos = [dataset.get_data_info(i) for i in range(len(dataset))]
    images = root / 'imagenet/images'
    return [str(Path(i['img_path']).relative_to(images)) for i in infos if not i['mirror']]


def test_published_split_of_imagenet(imagenet):
    """It divides train; the few-shot sets are those of the published procedure."""
    split = write_imagenet_split(imagenet)
    drawn = few_shot({part: [tuple(i) for i in items] for part, items in split.items()}, 2, 1)
    names = list(WNIDS.values())
    for part, count in (('train', 2 * 3 * 2), ('val', 2 * 3), ('test', 3)):
        dataset = build('imagenet', part, imagenet)
        check(dataset, count, names)
        assert paths_of(dataset, imagenet) == [path for path, _, _ in drawn[part]]
    whole = [build('imagenet', part, imagenet, shots=None) for part in ('train', 'val')]
    assert [len(paths_of(data, imagenet)) for data in whole] == [9, 6]
    draw(imagenet / 'imagenet/images/val/n07873807/ILSVRC2012_val_9.JPEG')
    assert len(build('imagenet', 'test', imagenet)) == 4  # the folder's, not the file's


@pytest.mark.parametrize(
    'image, label',
    [
        ('val/n01440764/ILSVRC2012_val_0.JPEG', 0),  # a test image
        ('train/n01440764/n01440764_0.JPEG', 1),
        ('train/n00000000/n00000000_0.JPEG', 0),
    ],
)
def test_another_split_of_imagenet_is_refused(imagenet, image, label):
    split = write_imagenet_split(imagenet)
    split['train'].append([image, label, list(WNIDS.values())[label]])
    (imagenet / 'imagenet/split_ImageNet.json').write_text(json.dumps(split))
    with pytest.raises(InputError, match=f'{image} has the label {label} in train'):
        build('imagenet', 'train', imagenet)


@pytest.mark.parametrize('split', [False, True])
def test_order_and_mark_of_classnames(imagenet, split):
    """Labels are by WNID, whatever the order of the list, and none is lost."""
    if split:
        write_imagenet_split(imagenet)
    lines = [f'{wnid} {name}' for wnid, name in reversed(WNIDS.items())]
    path = imagenet / 'imagenet/classnames.txt'
    path.write_text('\n'.join(lines), encoding='utf-8-sig')
    for part, count in (('train', 12), ('test', 3)):
        check(build('imagenet', part, imagenet), count, list(WNIDS.values()))
    test = build('imagenet', 'test', imagenet)
    labels = {
        info['img_path'].split('/')[-2]: info['gt_label']
        for info in map(test.get_data_info, range(3))
    }
    assert labels == {wnid: label for label, wnid in enumerate(WNIDS)}
    path.write_text('n01440764\n' + '\n'.join(lines))
    with pytest.raises(InputError, match="the line 'n01440764' should be"):
        build('imagenet', 'test', imagenet)


@pytest.mark.parametrize('split', [False, True])
def test_imagenet_variants(imagenet, split):
    if split:
        write_imagenet_split(imagenet)
    cfg = dataset_base('imagenet_variants')
    assert list(cfg.variants) == [
        'imagenet',
        'imagenetv2',
        'imagenet_sketch',
        'imagenet_a',
        'imagenet_r',
    ]
    for name, changes in cfg.variants.items():
        few = name in ('imagenet_a', 'imagenet_r')
        assert changes.get('num_classes') == (200 if few else None)
        changes['num_classes'] = 2 if few else 3
        data = build('imagenet', 'test', imagenet, **changes)
        check(data, 2 if few else 3, list(WNIDS.values()))
        labels = [data.get_data_info(i)['gt_label'] for i in range(len(data))]
        assert labels == ([0, 2] if few else [0, 1, 2])
        assert data.metainfo.get('class_ids') == ([0, 2] if few else None)


def test_variant_of_a_config():
    """Any data of ImageNet has its variants."""
    cfg = Config.fromfile(ROOT / 'configs/safe.py')
    with pytest.raises(InputError, match='imagenet_a.*has no variants'):
        use_variant(cfg, 'imagenet_a')
    use_dataset(cfg, 'imagenet')
    with pytest.raises(InputError, match='imagenet_b .*imagenet_sketch'):
        use_variant(cfg, 'imagenet_b')
    use_variant(cfg, 'imagenet_a')
    dataset = cfg.test_dataloader.dataset
    assert dataset.data_prefix == 'imagenet-adversarial/imagenet-a'
    assert dataset.num_classes == 200 and dataset.split == 'test'


def test_variant_of_a_config_that_names_the_split(imagenet):
    """The variant's images are not looked for in the split file."""
    write_imagenet_split(imagenet)
    cfg = Config.fromfile(ROOT / 'configs/safe.py')
    use_dataset(cfg, 'imagenet')
    set_everywhere(cfg._cfg_dict, 'ann_file', 'imagenet/split_ImageNet.json')
    set_everywhere(cfg._cfg_dict, 'data_root', str(imagenet))
    own = DATASETS.build({**cfg.test_dataloader.dataset, 'num_classes': 3})
    use_variant(cfg, 'imagenet_a')
    variant = DATASETS.build({**cfg.test_dataloader.dataset, 'num_classes': 2})
    assert len(own) == 3 and len(variant) == 2
    assert list(own.metainfo['classes']) == list(variant.metainfo['classes'])


@pytest.mark.parametrize('folder', ['imagenet/images/val', 'imagenet-sketch/images'])
def test_half_an_imagenet_is_refused(imagenet, folder):
    """Else the model would choose among fewer classes."""
    shutil.rmtree(imagenet / folder / list(WNIDS)[1])
    prefix = dict(data_prefix=folder.replace('/val', ''))
    with pytest.raises(InputError, match='of 2 classes for .test.*not of 3'):
        build('imagenet', 'test', imagenet, num_classes=3, **prefix)


def test_predictions_are_among_the_classes_of_the_data():
    head = TextClsHead(CLIP, classes=list(WNIDS.values()))
    feats = (head.class_weights.clone(),)  # most like 0, 1 and 2
    assert [s.pred_label.item() for s in head.predict(feats)] == [0, 1, 2]
    samples = [DataSample(metainfo=dict(class_ids=[0, 2])) for _ in range(3)]
    labels = [s.pred_label.item() for s in head.predict(feats, samples)]
    assert labels[0] == 0 and labels[2] == 2 and labels[1] in (0, 2)
    logits = head(feats)[:, [0, 2]]
    assert labels[1] == [0, 2][logits[1].argmax()]
    assert head(feats).isfinite().all()  # the loss knows all classes


def test_a_variant_tells_its_classes_to_the_model(imagenet):
    """Each of its predictions, those of the figures, too."""
    model = CLIPClassifier(
        clip=CLIP,
        neck=dict(type='safe_mm.BlendedAttentionPool'),
        head=dict(type='safe_mm.TextClsHead'),
        classes=list(WNIDS.values()),
    ).eval()
    data = build(
        'imagenet', 'test', imagenet, num_classes=2, data_prefix='imagenet-adversarial/imagenet-a'
    )
    batch = model.data_preprocessor(default_collate([data[0], data[1]]))
    with torch.no_grad():  # an absent class that is always the most likely
        features = model.pool(batch['inputs'])[0].mean(0)
        model.head.class_weights[1] = features / features.norm()
        assert model(batch['inputs']).argmax(-1).tolist() == [1, 1]
        for sample in model(**batch, mode='predict'):
            assert sample.pred_label.item() != 1
            assert 1 not in sample.figures.values()


def test_without_a_val_part_train_gives_what_is_left():
    split = dict(
        train=[(f'{label}_{i}', label, str(label)) for label in range(3) for i in range(6)], test=[]
    )
    drawn = few_shot(split, 4, 1)
    assert not set(drawn['train']) & set(drawn['val'])
    assert len(drawn['train']) == 12 and len(drawn['val']) == 6
