"""Tiny data sets in their published layout."""

import json
from pathlib import Path

from PIL import Image

# Image folder, split file, paths in it, class names
SPLITS = dict(
    caltech101=(
        'caltech-101/101_ObjectCategories',
        'caltech-101/split_zhou_Caltech101.json',
        '{name}/image_000{i}.jpg',
        ['accordion', 'car_side'],
    ),
    dtd=(
        'dtd/images',
        'dtd/split_zhou_DescribableTextures.json',
        '{name}/{name}_000{i}.jpg',
        ['banded', 'polka-dotted'],
    ),
    stanfordcars=(
        'stanford_cars',
        'stanford_cars/split_zhou_StanfordCars.json',
        'cars_{part}/0000{i}{label}.jpg',
        ['2012 Audi TTS Coupe', '2000 AM General Hummer SUV'],
    ),
    oxfordpets=(
        'oxford_pets/images',
        'oxford_pets/split_zhou_OxfordPets.json',
        '{name}_{i}.jpg',
        ['abyssinian', 'yorkshire_terrier'],
    ),
    ucf101=(
        'ucf101/UCF-101-midframes',
        'ucf101/split_zhou_UCF101.json',
        '{name}/v_{name}_g01_c0{i}.jpg',
        ['Apply_Eye_Makeup', 'Yo_Yo'],
    ),
    flowers102=(
        'oxford_flowers/jpg',
        'oxford_flowers/split_zhou_OxfordFlowers.json',
        'image_0{i}{label}.jpg',
        ['passion flower', 'rose'],
    ),
    food101=(
        'food-101/images',
        'food-101/split_zhou_Food101.json',
        '{name}/10{i}.jpg',
        ['apple_pie', 'waffles'],
    ),
    sun397=(
        'sun397/SUN397',
        'sun397/split_zhou_SUN397.json',
        '{name}/sun_a{i}.jpg',
        ['abbey', 'zen_garden'],
    ),
    eurosat=(
        'eurosat/2750',
        'eurosat/split_zhou_EuroSAT.json',
        'Forest/Forest_{i}{label}.jpg',
        ['Annual Crop Land', 'Sea or Lake'],
    ),
)
NUMBERS = dict(train=range(0, 4), val=range(4, 6), test=range(6, 9))


def draw(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new('RGB', (70, 80)).save(path)


def draw_aircraft(root: Path) -> list:
    """FGVC aircraft, which has lists in place of a split file; returns its class names."""
    classes, folder = ['707-320', 'Boeing 717'], root / 'fgvc_aircraft'
    for part, numbers in NUMBERS.items():
        lines = []
        for label, name in enumerate(classes):
            for i in numbers:
                draw(folder / f'images/10{label}{i}.jpg')
                lines.append(f'10{label}{i} {name}')
        (folder / f'images_variant_{part}.txt').write_text('\n'.join(lines))
    (folder / 'variants.txt').write_text('\n'.join(classes) + '\n')
    return classes


WNIDS = {'n01440764': 'tench', 'n02119789': 'kit fox', 'n07873807': 'pizza'}


def draw_split(name: str, root: Path) -> list:
    """Draws a data set with a split file; returns its class names."""
    images, ann_file, path, classes = SPLITS[name]
    split = {}
    for part, numbers in NUMBERS.items():
        split[part] = []
        for label, title in enumerate(classes):
            for i in numbers:
                item = path.format(part=part, name=title, i=i, label=label)
                draw(root / images / item)
                split[part].append([item, label, title])
    (root / ann_file).write_text(json.dumps(split))
    return classes


def write_imagenet_split(data_root: Path) -> dict:
    """The published split, which divides train; in an order of its own, as after a shuffle."""
    split = {
        part: [
            [f'train/{wnid}/{wnid}_{i}.JPEG', label, name]
            for label, (wnid, name) in enumerate(WNIDS.items())
            for i in numbers
        ]
        for part, numbers in (('train', (3, 0, 4)), ('val', (2, 1)))
    }
    split['test'] = [
        [f'val/{wnid}/ILSVRC2012_val_{label}.JPEG', label, name]
        for label, (wnid, name) in enumerate(WNIDS.items())
    ]
    (data_root / 'imagenet/split_ImageNet.json').write_text(json.dumps(split))
    return split


def draw_imagenet(data_root: Path) -> None:
    """ImageNet and its variants; two of them lack a class."""
    root = data_root / 'imagenet'
    for label, wnid in enumerate(WNIDS):
        for i in range(5):
            draw(root / f'images/train/{wnid}/{wnid}_{i}.JPEG')
        draw(root / f'images/val/{wnid}/ILSVRC2012_val_{label}.JPEG')
        draw(
            data_root
            / 'imagenetv2'
            / 'imagenetv2-matched-frequency-format-val'
            / str(label)
            / 'a.jpeg'
        )
        draw(data_root / f'imagenet-sketch/images/{wnid}/sketch_1.JPEG')
        if label != 1:
            for name in ('adversarial/imagenet-a', 'rendition/imagenet-r'):
                draw(data_root / f'imagenet-{name}/{wnid}/b.jpg')
    (root / 'classnames.txt').write_text(
        '\n'.join(f'{wnid} {name}' for wnid, name in WNIDS.items())
    )
    readme = data_root / 'imagenet-adversarial/imagenet-a/README.txt'
    readme.write_text('')
