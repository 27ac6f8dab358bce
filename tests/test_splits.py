"""Who is drawn: the published procedure, written out a second time."""

import hashlib
import json
import random
from collections import Counter
from pathlib import Path

import pytest

from safe_mm.datasets.splits import class_names, few_shot, read_folders, read_split
from safe_mm.errors import InputError

SHARED = Path(__file__).parents[2] / 'shared' / 'data'
PUBLISHED = sorted(SHARED.glob('*/split_zhou_*.json'))


SIZES = dict(  # classes, train, val, test, as the paper's Table II has them
    Caltech101=(100, 4128, 1649, 2465),
    DescribableTextures=(47, 2820, 1128, 1692),
    EuroSAT=(10, 13500, 5400, 8100),
    OxfordFlowers=(102, 4093, 1633, 2463),
    OxfordPets=(37, 2944, 736, 3669),
    StanfordCars=(196, 6509, 1635, 8041),
    UCF101=(101, 7639, 1898, 3783),
)


def published(train: list, val: list, shots: int, seed: int) -> tuple:
    """The procedure in its own words, on Python's global generator."""

    def draw(items, count):
        labels = list(dict.fromkeys(label for _, label, _ in items))
        out = []
        for label in labels:
            group = [item for item in items if item[1] == label]
            out.extend(random.sample(group, count) if len(group) >= count else group)
        return out

    state = random.getstate()
    random.seed(seed)
    drawn = draw(train, shots), draw(val, min(shots, 4))
    random.setstate(state)
    return drawn


def toy_split() -> dict:
    rng = random.Random(0)
    split = {}
    for part, size in (('train', 20), ('val', 5), ('test', 3)):
        items = [
            (f'{part}/{label}_{i}.jpg', label, f'name{label}')
            for label in range(7)
            for i in range(size)
        ]
        rng.shuffle(items)
        split[part] = items
    return split


@pytest.mark.parametrize('seed', [1, 2, 3])
@pytest.mark.parametrize('shots', [1, 2, 4, 8, 16])
def test_few_shot_is_the_published_procedure(shots, seed):
    split = toy_split()
    drawn = few_shot(split, shots, seed)
    assert (drawn['train'], drawn['val']) == published(split['train'], split['val'], shots, seed)
    assert drawn['test'] == split['test']
    counts = Counter(label for _, label, _ in drawn['train'])
    assert set(counts.values()) == {shots}


def test_literal_draw():
    """Pinned: another Python must draw the same images."""
    split = dict(
        train=[(f'{i}.jpg', i % 2, 'ab'[i % 2]) for i in range(20)],
        val=[(f'v{i}.jpg', i % 2, 'ab'[i % 2]) for i in range(20)],
    )
    drawn = few_shot(split, 2, 1)
    assert [item[0] for item in drawn['train']] == ['4.jpg', '2.jpg', '9.jpg', '3.jpg']
    assert [item[0] for item in drawn['val']] == ['v14.jpg', 'v18.jpg', 'v15.jpg', 'v13.jpg']


@pytest.mark.skipif(not PUBLISHED, reason='published splits are not here')
@pytest.mark.parametrize('path', PUBLISHED, ids=lambda p: p.stem)
def test_published_split_files(path):
    split = read_split(path)
    sizes = tuple(len(split[part]) for part in ('train', 'val', 'test'))
    assert (len(class_names(split, path)), *sizes) == SIZES[path.stem.split('_')[-1]]
    for shots in (1, 2, 4, 8, 16):
        for seed in (1, 2, 3):
            drawn = few_shot(split, shots, seed)
            assert (drawn['train'], drawn['val']) == published(
                split['train'], split['val'], shots, seed
            )


# Of all the few-shot sets of a split. Those of the published splits were equal, item by item and
# in order, to the index files of https://github.com/linzhiqiu/cross_modal_adaptation (ac9077e).
DIGESTS = {
    'small': '59cbc84ebde6107f44ad861a57fb68579dbe6045c633f5a8625d37a23adbb9be',
    'small, without val': 'c939f9f38aad6bdab6d24c7061a1a0cca0ac3004480f55c08000906251dd01c0',
    'Caltech101': '8aabb2aa7ae42190323a0519ee6f56a68399c5123144aa3f89b07b17e0bde0b6',
    'EuroSAT': '4509342a6801efb8861ae839c01383bdfabb464dc0b46076acbeaa9b0b2b3cb6',
    'DescribableTextures': '8cfdc982f56e56c90c2b9b9619c8823d8f244c05aa5b66bef0303456c9e5566f',
    'OxfordFlowers': '056bd24bfe1bd7067062944e251a271e6eb9e43f1766219a5038aa5ef3214508',
    'OxfordPets': 'f98e043d38651f6015c7b829be93a5c68773ae293d452daf39c1c247e234c7ca',
    'StanfordCars': '7c4ab8ffc773adcf2370c0e7f296ea4b62d4ba7f2aeeb06d3ae0a10ae015b56c',
    'UCF101': '7e11b2b6a3e235296066ceffb0d7e9cdddf18c66a8773e56520372d6b346dea2',
}


def digest_of_sets(split: dict) -> str:
    """SHA-256 of the few-shot sets of all shots and seeds, a line ``SHOTS SEED PART PATH LABEL
    NAME`` for each item in its order.
    """
    sha = hashlib.sha256()
    for shots in (1, 2, 4, 8, 16):
        for seed in (1, 2, 3):
            drawn = few_shot(split, shots, seed)
            for part in ('train', 'val'):
                for path, label, name in drawn[part]:
                    sha.update(f'{shots} {seed} {part} {path} {label} {name}\n'.encode())
    return sha.hexdigest()


def test_digest_of_a_small_split():
    """A class with fewer images than shots, classes out of order, names with spaces."""
    split = dict(
        train=[
            (f'{label}/{i}.jpg', label, f'class {label}')
            for i in range(20)
            for label in (2, 0, 1)
            if label or i < 5
        ],
        val=[
            (f'{label}/v{i}.jpg', label, f'class {label}') for label in range(3) for i in range(6)
        ],
    )
    assert digest_of_sets(split) == DIGESTS['small']
    without_val = dict(train=split['train'])
    assert digest_of_sets(without_val) == DIGESTS['small, without val']


@pytest.mark.skipif(not PUBLISHED, reason='published splits are not here')
@pytest.mark.parametrize('path', PUBLISHED, ids=lambda p: f'{p.parent.name}/{p.stem}')
def test_digest_of_a_published_split(path):
    assert digest_of_sets(read_split(path)) == DIGESTS[path.stem.split('_')[-1]]


def test_short_class_gives_all():
    split = toy_split()
    drawn = few_shot(split, 50, 1)
    assert sorted(drawn['train']) == sorted(split['train'])


GOOD = [['a.jpg', 0, 'cat'], ['b.jpg', 1, 'dog']]


@pytest.mark.parametrize(
    'content,message',
    [
        ('{"train": [', 'not a split file'),
        ('[1, 2]', 'not a split file'),
        ('{"images": []}', 'none of the keys'),
        ('{"train": []}', 'lists no images'),
        (json.dumps(dict(train=[['a.jpg', 0]])), 'not a split file'),
        (json.dumps(dict(train=[['a.jpg', 'zero', 'cat']])), 'label .zero'),
        (json.dumps(dict(train=[['a.jpg', -1, 'cat']])), 'label -1'),
        (json.dumps(dict(train=[*GOOD, ['c.jpg', 3, 'cow']])), r'label \[2\]'),
        (json.dumps(dict(train=[*GOOD, ['c.jpg', 10**9, 'cow']])), r'go up to 1000000000.*\[2\]'),
        (json.dumps(dict(train=[['a.jpg', True, 'cat']])), 'label True'),
        (json.dumps(dict(train=[[None, 0, 'cat']])), 'train has the path None'),
        (json.dumps(dict(train=[['', 0, 'cat']])), "train has the path ''"),
        (json.dumps(dict(train=[['a.jpg', 0, None]])), 'class name None'),
        (json.dumps(dict(train=[['a.jpg', 0, ' ']])), "class name ' '"),
        (json.dumps(dict(train=GOOD[:1])), "one class only, 'cat'"),
        (json.dumps(dict(train=5)), 'train has 5'),
        (json.dumps(dict(train=GOOD, test=None)), 'test has None'),
        ('5', 'not a split file'),
        (
            json.dumps(dict(train=GOOD, test=[['c.jpg', 1, 'wolf']])),
            "label 1 has the class names 'dog' and 'wolf' .in test",
        ),
    ],
)
def test_bad_split_files(tmp_path, content, message):
    path = tmp_path / 'split.json'
    path.write_text(content)
    with pytest.raises(InputError, match=message) as error:
        read_split(path)
    assert 'split.json' in str(error.value)


CSV = 'path,label,class,split\na.jpg,0,cat,train\n"b, 2.jpg",1,big dog,test\n'


def test_csv_split(tmp_path):
    path = tmp_path / 'split.csv'
    path.write_text(CSV, encoding='utf-8-sig')
    assert read_split(path) == dict(train=[('a.jpg', 0, 'cat')], test=[('b, 2.jpg', 1, 'big dog')])


@pytest.mark.parametrize(
    'content,message',
    [
        (CSV.replace('label,', ''), 'line 2 lacks one of the columns path,label,class,split'),
        (CSV.replace(',test', ''), 'line 3 lacks'),
        (CSV.replace('test', 'tset'), "line 3 has the split 'tset'"),
        (CSV.replace('1', 'one'), "label 'one'"),
        ('', 'none of the keys'),
    ],
)
def test_bad_csv_splits(tmp_path, content, message):
    path = tmp_path / 'split.csv'
    path.write_text(content)
    with pytest.raises(InputError, match=f'split.csv.*{message}'):
        read_split(path)


def test_byte_order_mark(tmp_path):
    path = tmp_path / 'split.json'
    path.write_text(json.dumps(dict(train=GOOD)), encoding='utf-8-sig')
    assert read_split(path)['train'][1] == ('b.jpg', 1, 'dog')


def test_link_to_a_folder_above(tmp_path):
    make_images(tmp_path / 'cat', 2)
    make_images(tmp_path / 'dog', 2)
    (tmp_path / 'dog' / 'more').symlink_to(tmp_path)
    with pytest.raises(InputError, match='dog/more is a link to .*Remove the link'):
        read_folders(tmp_path)


def test_missing_split_file(tmp_path):
    with pytest.raises(InputError, match='does not exist.*--data-root'):
        read_split(tmp_path / 'split.json')


def make_images(folder: Path, count: int) -> None:
    folder.mkdir(parents=True)
    for i in range(count):
        (folder / f'{i}.jpg').touch()


def test_folders_are_divided_once_and_for_all(tmp_path):
    for name, count in (('cat', 10), ('dog', 20)):
        make_images(tmp_path / name, count)
    split = read_folders(tmp_path)
    sizes = {part: Counter(i[2] for i in items) for part, items in split.items()}
    assert sizes == dict(
        train=Counter(cat=5, dog=10), val=Counter(cat=2, dog=4), test=Counter(cat=3, dog=6)
    )
    assert len({i[0] for items in split.values() for i in items}) == 30
    assert read_folders(tmp_path) == split


def test_folders_of_parts(tmp_path):
    for part in ('train', 'val', 'test'):
        for name in ('cat', 'dog'):
            make_images(tmp_path / part / name, 2)
    split = read_folders(tmp_path)
    assert split['val'][0] == ('val/cat/0.jpg', 0, 'cat')
    assert {len(items) for items in split.values()} == {4}


def test_folders_of_parts_share_their_classes(tmp_path):
    """A part may lack a class; labels are the same in all."""
    for part, name in (('val', 'dog'), ('test', 'cat'), ('test', 'dog')):
        make_images(tmp_path / part / name, 1)
    split = read_folders(tmp_path)
    assert split['val'] == [('val/dog/0.jpg', 1, 'dog')]
    assert 'train' not in split


def test_folder_without_images(tmp_path):
    make_images(tmp_path / 'cat', 2)
    (tmp_path / 'dog').mkdir()
    with pytest.raises(InputError, match='but dog has no .jpg'):
        read_folders(tmp_path)
    with pytest.raises(InputError, match='does not exist'):
        read_folders(tmp_path / 'nowhere')
