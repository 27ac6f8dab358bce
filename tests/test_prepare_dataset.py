"""tools/prepare_dataset.py on tiny trees in the published layouts."""

import json
import re
import shutil
import sys
from pathlib import Path
from types import ModuleType
from urllib.error import URLError

import pytest
import torchvision

from safe_mm.config import dataset_base
from safe_mm.creatures.world import TASKS
from safe_mm.datasets.catalog import CATALOG
from safe_mm.datasets.check import find_faults, locate

from .conftest import ROOT, fails, run_tool
from .layouts import NUMBERS, SPLITS, WNIDS, draw, draw_imagenet, write_imagenet_split

VARIANTS = [name for name in dataset_base('imagenet_variants').variants if name != 'imagenet']
LISTS = ['variants.txt'] + [f'images_variant_{part}.txt' for part in NUMBERS]
# The class of torchvision, an archive it keeps, what it takes for a finished download once it
# exists, and where it puts what is needed
CLASSES = dict(
    caltech101=(
        'Caltech101',
        'caltech101/caltech-101.zip',
        'caltech101/101_ObjectCategories',
        ['caltech101/101_ObjectCategories'],
    ),
    dtd=('DTD', 'dtd/dtd-r1.0.1.tar.gz', 'dtd/dtd', ['dtd/dtd/images']),
    oxfordpets=(
        'OxfordIIITPet',
        'oxford-iiit-pet/images.tar.gz',
        'oxford-iiit-pet/images',
        ['oxford-iiit-pet/images'],
    ),
    flowers102=('Flowers102', 'flowers-102/102flowers.tgz', 'flowers-102/jpg', ['flowers-102/jpg']),
    food101=('Food101', 'food-101.tar.gz', 'food-101/images', ['food-101/images']),
    sun397=('SUN397', 'SUN397.tar.gz', 'SUN397', ['SUN397']),
    eurosat=('EuroSAT', 'eurosat/EuroSAT.zip', 'eurosat/2750', ['eurosat/2750']),
    fgvcaircraft=(
        'FGVCAircraft',
        'fgvc-aircraft-2013b.tar.gz',
        'fgvc-aircraft-2013b',
        [f'fgvc-aircraft-2013b/data/{name}' for name in ['images', *LISTS]],
    ),
)


@pytest.fixture
def publish(tmp_path, monkeypatch):
    """Makes a data set of 18 images in tmp_path / 'data', and says that it was published so.
    Returns that folder.
    """
    root = tmp_path / 'data'

    def make(name: str) -> Path:
        if name == 'fgvcaircraft':
            make_aircraft(root / 'fgvc_aircraft')
        else:
            make_split(root, *SPLITS[name])
        monkeypatch.setitem(CATALOG, name, CATALOG[name]._replace(classes=2, sizes=(8, 4, 6)))
        return root

    return make


def make_split(root: Path, images: str, ann_file: str, path: str, classes: list) -> None:
    split = {
        part: [
            [path.format(part=part, name=title, i=i, label=label), label, title]
            for label, title in enumerate(classes)
            for i in numbers
        ]
        for part, numbers in NUMBERS.items()
    }
    for items in split.values():
        for item, _, _ in items:
            draw(root / images / item)
    (root / ann_file).write_text(json.dumps(split))


def make_aircraft(folder: Path) -> None:
    for part, numbers in NUMBERS.items():
        items = [
            (f'10{label}{i}', name)
            for label, name in enumerate(['707-320', 'Boeing 717'])
            for i in numbers
        ]
        for image, _ in items:
            draw(folder / f'images/{image}.jpg')
        (folder / f'images_variant_{part}.txt').write_text(
            '\n'.join(f'{image} {name}' for image, name in items)
        )
    (folder / 'variants.txt').write_text('707-320\nBoeing 717\n')


@pytest.fixture
def downloads(publish, tmp_path, monkeypatch):
    """Publishes a data set and takes from it what torchvision downloads; the class of torchvision
    brings it back, in its own layout. Returns the data root, the folder of the data set, and a list
    of what the class found.
    """
    monkeypatch.setitem(sys.modules, 'scipy', ModuleType('scipy'))
    hidden, found = tmp_path / 'hidden', []

    def make(name: str):
        root = publish(name)
        cls, _, finished, made = CLASSES[name]
        home = root / Path(CATALOG[name].needs[0].path).parts[0]
        hidden.mkdir()
        for path in made:
            (home / Path(path).name).rename(hidden / Path(path).name)

        def download(folder, download):
            found.extend(str(path.relative_to(folder)) for path in Path(folder).rglob('*'))
            if not Path(folder, finished).exists():
                for path in made:
                    Path(folder, path).parent.mkdir(parents=True, exist_ok=True)
                    shutil.move(hidden / Path(path).name, Path(folder, path))

        monkeypatch.setattr(torchvision.datasets, cls, download)
        return root, home, found

    return make


def prepare(name: str, root: Path, *options: str) -> None:
    run_tool('prepare_dataset', name, '--data-root', root, *options)


@pytest.mark.parametrize('name', [*SPLITS, 'fgvcaircraft'])
def test_all_in_place(name, publish, capsys):
    prepare(name, publish(name))
    out = capsys.readouterr().out
    assert 'missing' not in out
    assert out.endswith(f'{name}: complete, 2 classes, 8 train, 4 val, 6 test\n')


@pytest.mark.parametrize('name', ['imagenet', *VARIANTS])
def test_imagenet(name, tmp_path, monkeypatch, capsys):
    source, folder = locate(name, tmp_path)
    few = name in ('imagenet_a', 'imagenet_r')
    for label, wnid in enumerate(WNIDS):
        if name == 'imagenet':
            draw(folder / f'train/{wnid}/{wnid}_1.JPEG')
            draw(folder / f'val/{wnid}/ILSVRC2012_val_{label}.JPEG')
        elif not few or label != 1:
            draw(folder / str(label if name == 'imagenetv2' else wnid) / 'a.jpg')
    source.parent.mkdir(exist_ok=True)
    source.write_text('\n'.join(f'{wnid} {WNIDS[wnid]}' for wnid in WNIDS))
    classes = 2 if few else 3
    train = 3 if name == 'imagenet' else 0
    monkeypatch.setitem(
        CATALOG, name, CATALOG[name]._replace(classes=classes, sizes=(train, 0, classes))
    )
    prepare(name, tmp_path)
    counts = '3 train, 3 test' if train else f'{classes} test'
    assert capsys.readouterr().out.endswith(f'{name}: complete, {classes} classes, {counts}\n')


def test_published_split_of_imagenet(tmp_path, monkeypatch, capsys):
    """It need not be there; where it is, train and val are counted by it."""
    draw_imagenet(tmp_path)
    whole = CATALOG['imagenet']._replace(classes=3, sizes=(15, 0, 3), divided=(9, 6, 3))
    monkeypatch.setitem(CATALOG, 'imagenet', whole)
    prepare('imagenet', tmp_path)
    out = capsys.readouterr().out
    assert 'not there, optional  imagenet/split_ImageNet.json\n' in out
    assert out.endswith('imagenet: complete, 3 classes, 15 train, 3 test\n')
    write_imagenet_split(tmp_path)
    prepare('imagenet', tmp_path)
    out = capsys.readouterr().out
    assert 'present  imagenet/split_ImageNet.json\n' in out
    assert out.endswith('imagenet: complete, 3 classes, 9 train, 6 val, 3 test\n')


def test_every_fault_in_one_run(publish, capsys):
    root = publish('dtd')
    images, file = root / 'dtd/images/banded', root / SPLITS['dtd'][1]
    split = json.loads(file.read_text())
    del split['train'][0]
    file.write_text(json.dumps(split))
    (images / 'banded_0001.jpg').unlink()
    whole = (images / 'banded_0002.jpg').read_bytes()
    (images / 'banded_0002.jpg').write_bytes(whole[:-60])
    (images / 'banded_0006.jpg').write_text('<html>Not found</html>')
    with pytest.raises(SystemExit) as status:
        prepare('dtd', root, '--check')
    assert status.value.code == 1
    out = capsys.readouterr().out
    assert re.search(
        r'classes +2 of +2\n +train +7 of +8 +WRONG\n'
        r' +val +4 of +4\n +test +6 of +6\n',
        out,
    )
    assert re.search(r'missing +1\n +banded/banded_0001.jpg\n', out)
    assert re.search(
        r'unreadable +2\n +banded/banded_0002.jpg: .*truncated.*\n'
        r' +banded/banded_0006.jpg: cannot identify',
        out,
    )


def test_many_faults_are_counted(publish, capsys):
    root = publish('dtd')
    shutil.rmtree(root / 'dtd/images')
    with pytest.raises(SystemExit):
        prepare('dtd', root, '--check')
    out = capsys.readouterr().out
    assert re.search(r'missing +18\n( +\S+_000\d.jpg\n){10} +and 8 more', out)


def test_the_bar_counts_images(tmp_path, capsys):
    draw(tmp_path / 'a.png')
    found = find_faults(tmp_path, ['a.png'] * 150)
    assert not any(found.values())
    assert '150/150' in capsys.readouterr().err


def test_bad_split(publish):
    root = publish('dtd')
    check = 'prepare_dataset', 'dtd', '--check', '--data-root', root
    (root / SPLITS['dtd'][1]).write_text('[]')
    fails('is not a split file', *check)
    (root / SPLITS['dtd'][1]).unlink()
    fails('split_zhou_DescribableTextures.json does not exist', *check)


@pytest.mark.parametrize('name', CLASSES)
def test_download_goes_into_the_layout(name, downloads, capsys):
    root, home, _ = downloads(name)
    prepare(name, root)
    out = capsys.readouterr().out
    assert f'missing  {CATALOG[name].needs[0].path}\n' in out
    assert out.endswith('complete, 2 classes, 8 train, 4 val, 6 test\n')
    assert not (home / '.download').exists()


@pytest.mark.parametrize('name', CLASSES)
def test_killed_download_goes_on(name, downloads):
    root, home, found = downloads(name)
    _, archive, _, made = CLASSES[name]
    for path in (archive, f'{made[0]}/half.jpg'):
        (home / '.download' / path).parent.mkdir(parents=True, exist_ok=True)
        (home / '.download' / path).write_text('')
    prepare(name, root)
    # No checksum tells whether this one is whole
    assert (archive in found) == (name != 'fgvcaircraft')


def test_what_is_in_place_stays(downloads, capsys):
    root, home, _ = downloads('fgvcaircraft')
    (home / 'images').mkdir()
    (home / 'images/mine.jpg').write_text('')
    with pytest.raises(SystemExit):
        prepare('fgvcaircraft', root)
    assert [path.name for path in home.glob('images/*')] == ['mine.jpg']
    assert sorted(path.name for path in home.glob('*.txt')) == sorted(LISTS)
    assert re.search('missing +18', capsys.readouterr().out)


@pytest.mark.parametrize('name', CLASSES)
def test_failed_download(name, tmp_path, monkeypatch):
    def download(folder, download):
        raise URLError('no network')

    monkeypatch.setitem(sys.modules, 'scipy', ModuleType('scipy'))
    monkeypatch.setattr(torchvision.datasets, CLASSES[name][0], download)
    need = CATALOG[name].needs[0]
    home, image_folder = (tmp_path / need.path).parent, Path(need.path).name
    fails(
        f'{CLASSES[name][0]} could not be .*no network.*{need.source}.*{image_folder}.* to {home}',
        'prepare_dataset',
        name,
        '--data-root',
        tmp_path,
    )
    assert not (home / image_folder).exists()


def test_flowers_need_scipy(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'scipy', None)  # as if not installed
    monkeypatch.delattr(torchvision.datasets, 'Flowers102')
    fails('ModuleNotFoundError: .*scipy', 'prepare_dataset', 'flowers102', '--data-root', tmp_path)


@pytest.mark.parametrize('name', [name for name in CATALOG if name not in CLASSES])
def test_by_hand(name, tmp_path, capsys):
    needs = [need for need in CATALOG[name].needs if not need.optional]
    fails(
        f'{name} lacks {", ".join(need.path for need in needs)} below',
        'prepare_dataset',
        name,
        '--data-root',
        tmp_path,
    )
    out = capsys.readouterr().out
    for need in needs:
        assert f'missing  {need.path}\n           from {need.source}\n' in out
        assert 'https://' in need.source
    assert not list(tmp_path.iterdir())


def test_unknown_name(tmp_path, capsys):
    with pytest.raises(SystemExit) as status:
        prepare('cifar', tmp_path)
    assert status.value.code == 2
    assert re.search("'cifar' .choose from '?imagenet'?, ", capsys.readouterr().err)


def test_catalog_has_the_config_bases():
    bases = {path.stem for path in ROOT.glob('configs/_base_/datasets/*.py')}
    bases -= {'creatures', *TASKS, 'imagenet_variants', 'caltech101_shifts', 'folder'}
    assert set(CATALOG) == bases | set(VARIANTS)
    for name, data in CATALOG.items():
        paths = [Path(need.path) for need in data.needs]
        source, folder = locate(name, Path())
        assert source in paths
        assert folder in paths or folder in [path.parent for path in paths]
        assert bool(data.torchvision) == any(need.made for need in data.needs)


def test_docs_have_the_sizes():
    rows = re.findall(
        r'^\| `(\w+)` \|.*\| (\d+) \| (.*) \|$', (ROOT / 'docs/datasets.md').read_text(), re.M
    )
    assert {name for name, _, _ in rows} == set(CATALOG) - set(VARIANTS)
    for name, classes, sizes in rows:
        train, val, test = CATALOG[name].sizes
        texts = f'{train:,}', f'{val:,}', f'{test:,}'
        if name == 'imagenet':
            texts = f'{train / 1e6:.2f} M', 'from train', texts[2]
        assert int(classes) == CATALOG[name].classes
        assert sizes == ' / '.join(texts)
