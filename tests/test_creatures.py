"""The drawn world: exact on any machine, true to its masks and captions."""

import hashlib
import json
import random
from collections import Counter

import numpy as np
import pytest
from mmengine.config import Config

from safe_mm.creatures import anatomy, raster, world
from safe_mm.creatures.captions import MENTIONS, TEMPLATES, caption
from safe_mm.creatures.draw import GROUNDS, KNOWN_GROUNDS, NEW_GROUNDS, PARTS, SIZE, draw
from safe_mm.errors import InputError
from safe_mm.registry import DATASETS

from .conftest import ROOT


def attributes(rng: random.Random, **fixed: str) -> dict:
    return {**{k: rng.choice(v) for k, v in anatomy.KINDS.items()}, **fixed}


def sha(*arrays: np.ndarray) -> str:
    return hashlib.sha256(b''.join(a.tobytes() for a in arrays)).hexdigest()


def inside(x: int, y: int, points: list) -> bool:
    """Even-odd rule at one point, in exact fractions."""
    from fractions import Fraction

    hit = False
    for (x0, y0), (x1, y1) in zip(points, points[1:] + points[:1]):
        if (y0 > y) != (y1 > y):
            cross = x0 + Fraction((y - y0) * (x1 - x0), y1 - y0)
            hit ^= cross <= x
    return hit


@pytest.mark.parametrize('seed', range(8))
def test_polygons_cover_the_centres_inside(seed):
    rng = random.Random(seed)
    size = 12
    points = [
        (rng.randrange(-40, 240), rng.randrange(-40, 240)) for _ in range(rng.randrange(3, 8))
    ]
    picture = np.zeros((size, size), bool)
    box, mask = raster.fill_polygon(np.array(points), size)
    picture[box] = mask
    for row in range(size):
        for column in range(size):
            assert picture[row, column] == inside(16 * column + 8, 16 * row + 8, points)


def test_sines_are_pinned():
    assert raster.SINE[:4].tolist() == [0, 402, 804, 1205]
    assert raster.COSINE[0] == raster.ONE and raster.COSINE[64] == 0
    assert sha(raster.SINE.astype('<i8'))[:16] == '1bb80ce4ebd3162c'


def test_noise_is_pinned():
    values = raster.noise(np.random.PCG64(1), (2, 3))
    assert values.tolist() == [[255, 228, 34], [121, 243, 189]]


PINNED = {
    'grass': '0fae7809acdc5338',
    'stars': '0c4d2cea03b2c14c',
    'water': '60dc4e072040231c',
    'net': 'e0360e5ec524c475',
    'dunes': '7f18e193975a1e34',
    'embers': '7fdd8aa9905f2712',
    'ice': 'd2a80a6832f0ce6d',
    'carpet': '64bed70853f1ac14',
}


@pytest.mark.parametrize('ground', PINNED)
def test_pictures_are_pinned(ground):
    """The same pixels on any machine, with any version of numpy."""
    rng = random.Random(ground)
    picture = draw(attributes(rng), ground, rng)
    assert sha(picture.image, picture.parts)[:16] == PINNED[ground]


@pytest.mark.parametrize('ground', GROUNDS + NEW_GROUNDS + KNOWN_GROUNDS)
def test_masks_and_keypoints(ground):
    for seed in range(5):
        rng = random.Random(f'{ground}{seed}')
        picture = draw(attributes(rng, pattern='striped'), ground, rng)
        assert picture.image.shape == (SIZE, SIZE, 3)
        assert set(np.unique(picture.parts)) == set(range(len(PARTS)))
        for name, part in (('eye', ('eye',)), ('body', ('body', 'pattern'))):
            x, y = picture.keypoints[name]
            assert PARTS[picture.parts[int(y), int(x)]] in part
        edge = np.concatenate([picture.parts[[0, -1]].ravel(), picture.parts[:, [0, -1]].ravel()])
        seen = {PARTS[part] for part in np.unique(edge)}
        assert seen <= {'ground', 'ears'}  # of which a tip may be cut off
        assert (edge > 0).sum() < 12


@pytest.mark.parametrize('task', world.TASKS)
def test_classes_differ_in_one_part_alone(task):
    """The same creature with another part: all else is the same picture."""
    for first, second in zip(anatomy.KINDS[task], anatomy.KINDS[task][1:]):
        pictures = []
        for kind in (first, second):
            rng = random.Random('same')
            pictures.append(draw(attributes(rng, **{task: kind}), 'sand', rng))
        one, two = pictures
        part = PARTS.index(task)
        shown = (one.parts == part) | (two.parts == part)
        for axis in (0, 1):  # pixels shared with a part in front
            shown |= np.roll(shown, 1, axis) | np.roll(shown, -1, axis)
        changed = (one.image != two.image).any(-1)
        assert changed.sum() > 40 and (changed & ~shown).sum() <= 1


def test_negative_exchanges_dark_and_light():
    pictures = []
    for rendering in ('color', 'negative'):
        rng = random.Random(0)
        pictures.append(draw(attributes(rng), 'snow', rng, rendering))
    color, negative = pictures
    assert (negative.image[..., 0] == negative.image[..., 1]).all()
    assert np.array_equal(color.parts, negative.parts)
    assert color.image.mean() > 128 > negative.image.mean()


def test_captions_are_true_and_mention_everything():
    rng = random.Random(0)
    counts = Counter()
    for _ in range(3000):
        own = attributes(rng)
        sentence = caption(own, 'grass', rng)
        words = sentence.rstrip('.').split()
        for name, kind in own.items():
            counts[name] += kind in words
            others = set(anatomy.KINDS[name]) - set(own.values())
            assert not others & set(words)
    # 1/7 of short sentences, and MENTIONS / 8 of the long ones, each a half
    assert counts.keys() == anatomy.KINDS.keys()
    for name, count in counts.items():
        expected = (1 / 7 + MENTIONS[name] / 8) / 2
        assert abs(count / 3000 - expected) < 0.04


def test_templates_are_captions():
    """What the classifier is told has been said in captions."""
    rng = random.Random(0)
    own = attributes(rng)
    said = {caption(own, 'sand', rng) for _ in range(500)}
    own['ground'] = 'sand'
    assert {t.format(own[name]) for name, t in TEMPLATES.items()} <= said


@pytest.fixture
def few(monkeypatch):
    monkeypatch.setattr(world, 'COUNTS', dict(train=3, val=2, test=2))


def content(folder) -> dict:
    return {
        str(f.relative_to(folder)): f.read_bytes() for f in sorted(folder.rglob('*')) if f.is_file()
    }


def test_two_builds_are_identical(few, tmp_path):
    one = content(world.build_task(tmp_path / 'a', 'tail', 0))
    two = content(world.build_task(tmp_path / 'b', 'tail', 0))
    assert one == two
    other = content(world.build_task(tmp_path / 'c', 'tail', 1))
    assert other.keys() == one.keys()
    assert other['images/train_seen_thin_000.png'] != one['images/train_seen_thin_000.png']


def test_a_task_on_disk(few, tmp_path):
    folder = world.build_task(tmp_path, 'pattern', 0)
    index = json.loads((folder / 'index.json').read_text())
    assert len(index) == 8 * (3 + 2 + 3 * 2)
    splits = {v: json.loads((folder / f'{v}.json').read_text()) for v in world.VARIANTS}
    for variant, split in splits.items():
        assert split['train'] == splits['seen']['train']
        assert {part: len(items) for part, items in split.items()} == dict(
            train=24, val=16, test=16
        )
        for name, label, kind in split['test']:
            assert index[name]['attributes']['pattern'] == kind
            assert anatomy.PATTERNS[label] == kind
            assert index[name]['ground'] in world.VARIANTS[variant][0]
            assert (folder / 'masks' / name).is_file()


def test_a_failed_build_leaves_nothing(few, tmp_path, monkeypatch):
    monkeypatch.setattr(world, 'caption', lambda *args: (_ for _ in ()).throw(OSError('full')))
    with pytest.raises(OSError, match='full'):
        world.build_task(tmp_path, 'ears', 0)
    assert not [f for f in tmp_path.rglob('*') if f.is_file()]


def test_another_process_was_faster(few, tmp_path, monkeypatch):
    build = world._build_task

    def slow(folder, task, seed):
        build(folder, task, seed)
        done = folder.parent / task
        if not done.exists():
            monkeypatch.setattr(world, '_build_task', build)
            world.build_task(tmp_path, task, seed)

    monkeypatch.setattr(world, '_build_task', slow)
    folder = world.build_task(tmp_path, 'ears', 0)
    assert [f.name for f in folder.parent.iterdir()] == ['ears']
    assert (folder / 'index.json').is_file()
    assert folder.stat().st_mode == folder.parent.stat().st_mode


def test_dataset(few, tmp_path):
    cfg = dict(
        type='safe_mm.CreatureDataset',
        task='ears',
        split='train',
        shots=2,
        mirror=True,
        data_root=str(tmp_path),
    )
    dataset = DATASETS.build(cfg)
    assert len(dataset) == 10 * 2 * 2
    assert dataset.metainfo == dict(
        classes=anatomy.EARS,
        templates='a creature with {} ears.',
        part_masks=True,
        keypoints=True,
        larger_parts=dict(eye='head', pattern='body'),
        class_part='ears',
    )
    before = content(tmp_path)
    test = DATASETS.build({**cfg, 'split': 'test', 'variant': 'grounds'})
    assert len(test) == 40  # all, each with its mirror image
    assert content(tmp_path) == before  # drawn once
    for wrong in (dict(task='wings'), dict(variant='moon')):
        with pytest.raises(InputError, match='should be one of'):
            DATASETS.build({**cfg, **wrong})


@pytest.mark.parametrize('task', world.TASKS)
def test_config_base(few, tmp_path, task):
    cfg = Config.fromfile(ROOT / f'configs/_base_/datasets/{task}.py')
    classes = len(anatomy.KINDS[task])
    sizes = dict(train=classes * 3 * 2, val=classes * 2, test=classes * 2)
    for part, size in sizes.items():
        loader = cfg[f'{part}_dataloader']
        dataset = DATASETS.build({**loader.dataset, 'data_root': tmp_path})
        assert dataset.split == part and len(dataset) == size
        assert dataset.metainfo['classes'] == anatomy.KINDS[task]
        assert dataset[0]['inputs'].shape == (3, 160, 160)
