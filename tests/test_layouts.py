"""Each data set in its published layout, on a tiny tree, by its config."""
import json
from pathlib import Path

import pytest
from PIL import Image

from safe_mm.config import dataset_base, share
from safe_mm.datasets.splits import few_shot
from safe_mm.errors import InputError
from safe_mm.models import TextClsHead
from safe_mm.registry import DATASETS

from .conftest import TINY_VIT

CLIP = dict(model_name=TINY_VIT, pretrained=None)
# Image folder, split file, paths in it, class names
SPLITS = dict(
    caltech101=('caltech-101/101_ObjectCategories',
                'caltech-101/split_zhou_Caltech101.json',
                '{name}/image_000{i}.jpg', ['accordion', 'car_side']),
    dtd=('dtd/images', 'dtd/split_zhou_DescribableTextures.json',
         '{name}/{name}_000{i}.jpg', ['banded', 'polka-dotted']),
    stanfordcars=('stanford_cars',
                  'stanford_cars/split_zhou_StanfordCars.json',
                  'cars_{part}/0000{i}{label}.jpg',
                  ['2012 Audi TTS Coupe', '2000 AM General Hummer SUV']),
    oxfordpets=('oxford_pets/images',
                'oxford_pets/split_zhou_OxfordPets.json',
                '{name}_{i}.jpg', ['abyssinian', 'yorkshire_terrier']),
    ucf101=('ucf101/UCF-101-midframes', 'ucf101/split_zhou_UCF101.json',
            '{name}/v_{name}_g01_c0{i}.jpg', ['Apply_Eye_Makeup', 'Yo_Yo']),
    flowers102=('oxford_flowers/jpg',
                'oxford_flowers/split_zhou_OxfordFlowers.json',
                'image_0{i}{label}.jpg', ['passion flower', 'rose']),
    food101=('food-101/images', 'food-101/split_zhou_Food101.json',
             '{name}/10{i}.jpg', ['apple_pie', 'waffles']),
    sun397=('sun397/SUN397', 'sun397/split_zhou_SUN397.json',
            '{name}/sun_a{i}.jpg', ['abbey', 'zen_garden']),
    eurosat=('eurosat/2750', 'eurosat/split_zhou_EuroSAT.json',
             'Forest/Forest_{i}{label}.jpg',
             ['Annual Crop Land', 'Sea or Lake']))
NUMBERS = dict(train=range(0, 4), val=range(4, 6), test=range(6, 9))


def draw(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new('RGB', (70, 80)).save(path)


def build(name: str, part: str, root: Path, **changes):
    """A data set of ``configs/_base_/datasets``."""
    cfg = dataset_base(name)
    for key, value in dict(clip=CLIP, data_root=str(root), shots=2).items():
        share(cfg._cfg_dict, key, value)
    return DATASETS.build({**cfg[f'{part}_dataloader'].dataset, **changes})


def check(dataset, count: int, names: list) -> None:
    assert len(dataset) == count
    assert list(dataset.metainfo['classes']) == names
    for i in range(count):
        assert dataset[i]['inputs'].shape == (3, 64, 64)


@pytest.mark.parametrize('name', SPLITS)
def test_split_file(name, tmp_path):
    images, ann_file, path, classes = SPLITS[name]
    split = {}
    for part, numbers in NUMBERS.items():
        split[part] = []
        for label, title in enumerate(classes):
            for i in numbers:
                item = path.format(part=part, name=title, i=i, label=label)
                draw(tmp_path / images / item)
                split[part].append([item, label, title])
    (tmp_path / ann_file).write_text(json.dumps(split))
    check(build(name, 'train', tmp_path), 2 * 2 * 2, classes)
    check(build(name, 'val', tmp_path), 2 * 2, classes)
    check(build(name, 'test', tmp_path), 2 * 3, classes)


def test_aircraft(tmp_path):
    classes, folder = ['707-320', 'Boeing 717'], tmp_path / 'fgvc_aircraft'
    for part, numbers in NUMBERS.items():
        lines = []
        for label, name in enumerate(classes):
            for i in numbers:
                draw(folder / f'images/10{label}{i}.jpg')
                lines.append(f'10{label}{i} {name}')
        (folder / f'images_variant_{part}.txt').write_text('\n'.join(lines))
    (folder / 'variants.txt').write_text('\n'.join(classes) + '\n')
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


WNIDS = {'n01440764': 'tench', 'n02119789': 'kit fox', 'n07873807': 'pizza'}


@pytest.fixture
def imagenet(tmp_path):
    """ImageNet and its variants; two of them lack a class."""
    root = tmp_path / 'imagenet'
    for label, wnid in enumerate(WNIDS):
        for i in range(5):
            draw(root / f'images/train/{wnid}/{wnid}_{i}.JPEG')
        draw(root / f'images/val/{wnid}/ILSVRC2012_val_{label}.JPEG')
        draw(tmp_path / 'imagenetv2/imagenetv2-matched-frequency-format-val' /
             str(label) / 'a.jpeg')
        draw(tmp_path / f'imagenet-sketch/images/{wnid}/sketch_1.JPEG')
        if label != 1:
            for name in ('adversarial/imagenet-a', 'rendition/imagenet-r'):
                draw(tmp_path / f'imagenet-{name}/{wnid}/b.jpg')
    (root / 'classnames.txt').write_text(
        '\n'.join(f'{wnid} {name}' for wnid, name in WNIDS.items()))
    (tmp_path / 'imagenet-adversarial/imagenet-a/README.txt').write_text('')
    return tmp_path


def test_imagenet(imagenet):
    names = list(WNIDS.values())
    train = build('imagenet', 'train', imagenet)
    val = build('imagenet', 'val', imagenet)
    check(train, 2 * 3 * 2, names)
    check(val, 2 * 3, names)
    seen = [{Path(d.get_data_info(i)['img_path']) for i in range(len(d))}
            for d in (train, val)]
    assert not seen[0] & seen[1]  # validated on images that are not trained on
    assert all('train' in path.parts for path in seen[1])
    test = build('imagenet', 'test', imagenet)
    check(test, 3, names)
    assert 'subset' not in test.metainfo
    assert '/val/' in test.get_data_info(0)['img_path']


def test_imagenet_variants(imagenet):
    cfg = dataset_base('imagenet_variants')
    assert list(cfg.variants) == ['imagenet', 'imagenetv2', 'imagenet_sketch',
                                  'imagenet_a', 'imagenet_r']
    for name, changes in cfg.variants.items():
        data = build('imagenet', 'test', imagenet, **changes)
        few = name in ('imagenet_a', 'imagenet_r')
        check(data, 2 if few else 3, list(WNIDS.values()))
        labels = [data.get_data_info(i)['gt_label'] for i in range(len(data))]
        assert labels == ([0, 2] if few else [0, 1, 2])
        assert data.metainfo.get('subset') == ([0, 2] if few else None)


def test_predictions_are_among_the_classes_of_the_data():
    head = TextClsHead(CLIP, classes=list(WNIDS.values()))
    feats = (head.class_weights.clone(), )  # most like 0, 1 and 2
    assert [s.pred_label.item() for s in head.predict(feats)] == [0, 1, 2]
    head.among = [0, 2]
    labels = [s.pred_label.item() for s in head.predict(feats)]
    assert labels[0] == 0 and labels[2] == 2 and labels[1] in (0, 2)
    logits = head(feats)[:, [0, 2]]
    assert labels[1] == [0, 2][logits[1].argmax()]
    assert head(feats).isfinite().all()  # the loss knows all classes


def test_without_a_val_part_train_gives_what_is_left():
    split = dict(train=[(f'{label}_{i}', label, str(label))
                        for label in range(3) for i in range(6)], test=[])
    drawn = few_shot(split, 4, 1)
    assert not set(drawn['train']) & set(drawn['val'])
    assert len(drawn['train']) == 12 and len(drawn['val']) == 6
