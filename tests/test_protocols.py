"""Classes that were not trained on: base-to-new and transfer to other datasets."""

import csv
import json
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from safe_mm.creatures import world
from safe_mm.datasets import FewShotDataset
from safe_mm.datasets.splits import few_shot, items_of, subset_labels
from safe_mm.errors import InputError
from safe_mm.registry import DATASETS, MODELS
from safe_mm.report import base_to_new

from .conftest import ROOT, config, fails, metrics, run_tool, weights
from .layouts import draw, draw_split
from .methods import METHODS, options
from .shapes import draw_shapes
from .sweeps import configs, figures, results, run

COLORS = ['blue_shape', 'green_shape', 'orange_shape', 'purple_shape', 'red_shape', 'yellow_shape']
TRANSFER = [
    *('zero-shot', 'calip', 'calip-fs', 'clip-adapter', 'prolip', 'fine-tune'),
    *('coop', 'coop-m4', 'cocoop', 'prograd', 'clip-lora', 'clip-svd', 'clip-cite'),
    *('safe', 'safe_coop', 'safe_prolip'),
]
CLIP = dict(model_name='creatures-rn', pretrained='seed1')
# At this rate training changes predictions, and the start is no candidate
TRAINED = """
optim_wrapper = dict(optimizer=dict(lr=1e-3))
train_cfg = dict(val_begin=2, max_iters=10, val_interval=5)
"""
RUN = ['--shots', 4, '--seeds', 1]


def write_configs(folder: Path, data: str, *names: str) -> dict:
    """Method -> its config file on the coloured shapes, that of SAFE with more effect."""
    files = dict(zip(names, configs(folder, data, *names)))
    if 'safe' in files:
        with files['safe'].open('a') as file:
            file.write(TRAINED)
    return files


def toy(root: Path) -> dict:
    """A split of five classes, on disk."""
    split = {
        part: [
            [f'{part}/{label}_{i}.jpg', label, f'name{label}']
            for label in (3, 0, 4, 1, 2)
            for i in range(count)
        ]
        for part, count in dict(train=6, val=3, test=2).items()
    }
    for items in split.values():
        for path, _, _ in items:
            draw(root / 'images' / path)
    (root / 'split.json').write_text(json.dumps(split))
    return split


def test_halves_of_labels():
    """The base half is the greater one."""
    assert [subset_labels(5, half) for half in ('base', 'new', None)] == [
        range(3),
        range(3, 5),
        range(5),
    ]
    assert subset_labels(6, 'new') == range(3, 6)
    items = [('a', 3, 'x'), ('b', 0, 'y'), ('c', 4, 'z')]
    assert items_of(items, range(3, 5)) == [('a', 0, 'x'), ('c', 1, 'z')]


@pytest.mark.parametrize('part', ['train', 'val', 'test'])
def test_the_sample_is_drawn_before_the_subset(tmp_path, part):
    split = {name: [tuple(i) for i in own] for name, own in toy(tmp_path).items()}
    drawn = few_shot(split, 2, 1)[part]
    for subset, labels in dict(base=[0, 1, 2], new=[3, 4]).items():
        data = FewShotDataset(
            part, 2, 1, subset, str(tmp_path), data_prefix='images', ann_file='split.json'
        )
        found = [(info['img_path'], info['gt_label']) for info in data]
        assert found == [
            (str(tmp_path / 'images' / path), labels.index(label))
            for path, label, _ in drawn
            if label in labels
        ]
        assert data.metainfo['classes'] == tuple(f'name{label}' for label in labels)
    # A draw from the subset alone takes other images
    if part == 'train':
        own = few_shot(dict(split, train=items_of(split[part], range(3, 5))), 2, 1)[part]
        assert [path for path, _, _ in own] != [path for path, label, _ in drawn if label > 2]


def test_names_and_missing_classes_of_a_subset(tmp_path):
    toy(tmp_path)
    given = dict(data_root=str(tmp_path), data_prefix='images', ann_file='split.json')
    lazy = FewShotDataset(subset='new', classes=list('abcde'), lazy_init=True, **given)
    assert lazy.metainfo['classes'] == ('d', 'e')
    lazy.full_init()
    assert lazy.metainfo['classes'] == ('d', 'e') and len(lazy) == 4
    lacking = [['test/0_0.jpg', 0, 'v'], ['test/4_0.jpg', 4, 'z'], ['test/1_0.jpg', 1, 'w']]
    split = dict(test=lacking, val=[['a.jpg', 2, 'x'], ['b.jpg', 3, 'y']])
    (tmp_path / 'split.json').write_text(json.dumps(split))
    ids = {s: FewShotDataset(subset=s, **given).metainfo['class_ids'] for s in ('base', 'new')}
    assert ids == dict(base=[0, 1], new=[1])
    with pytest.raises(InputError, match="subset='old' should be one of"):
        FewShotDataset(subset='old', **given)


def test_creatures_have_halves(tmp_path, monkeypatch):
    monkeypatch.setattr(world, 'COUNTS', dict(train=2, val=1, test=2))
    cfg = Config.fromfile(ROOT / 'configs/safe_creatures.py').test_dataloader.dataset
    own = dict(cfg, data_root=str(tmp_path), subset='new')
    assert len(DATASETS.build(own).metainfo['classes']) == 5


def test_subset_option(shapes, tmp_path):
    """Data, model and name of the work dir have it."""
    cfg = config('--data-root', shapes, '--subset', 'new')
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        assert loader.dataset.subset == 'new'
    assert cfg.model.classes == COLORS[3:]
    assert cfg.work_dir == 'work_dirs/tiny/shapes_new_shots16_seed1'
    cfg.dump(tmp_path / 'dumped.py')
    fails(
        '--subset base needs a config with dataset',
        'test',
        tmp_path / 'dumped.py',
        tmp_path,
        '--subset',
        'base',
    )


def model_of(method, count: int):
    cfg = Config.fromfile(ROOT / 'configs' / f'{method.name}.py').model
    clip = dict(model_name='creatures-rn', pretrained=None)
    if method.name == 'safe_cupl':
        cfg.templates = '{}'  # the file is the user's
    return MODELS.build(dict(cfg, clip=clip, classes=[f'class {i}' for i in range(count)]))


@pytest.mark.parametrize('method', METHODS, ids=lambda m: m.id)
def test_what_belongs_to_the_classes_is_declared(method):
    """All tensors whose size depends on the classes, of a head that can predict others."""
    two, three = (model_of(method, count) for count in (2, 3))
    bound = [*two.head.fitted, *two.head.class_bound]
    declared = [*bound, *two.head.from_names]
    assert all(hasattr(two.head, name) for name in declared)
    if method.name in TRANSFER:
        assert not bound
    if bound:
        with pytest.raises(InputError, match=f'cannot predict .*{bound[0]}'):
            three.for_new_classes(two.state_dict())
        return
    sizes = {key: value.shape for key, value in three.state_dict().items()}
    differ = [key for key, value in two.state_dict().items() if value.shape != sizes[key]]
    assert set(differ) <= {f'head.{name}' for name in declared}
    trained = dict(two.named_parameters())[two.trainable[0]] if two.trainable else None
    if trained is not None:
        trained.data += 1
    own = three.head.class_weights.clone()
    three.load_state_dict(three.for_new_classes(two.state_dict()))
    assert torch.equal(three.head.class_weights, own)
    if trained is not None:
        assert torch.equal(dict(three.named_parameters())[two.trainable[0]], trained)


def is_trained(checkpoint: Path) -> bool:
    """Whether its pooling layer is not CLIP's own."""
    state = weights(checkpoint)
    own = MODELS.build(dict(type='safe_mm.BlendedAttentionPool', clip=CLIP)).state_dict()
    return any(not torch.equal(state[f'neck.{key}'], own[key]) for key in own if '_f.' in key)


@pytest.fixture(scope='module')
def base_to_new_sweep(shapes, tmp_path_factory):
    """Folder of a sweep, in which two methods fail."""
    folder = tmp_path_factory.mktemp('halves')
    names = 'tip-adapter', 'safe', 'linear-probe', 'zero-shot'
    files = write_configs(folder, shapes, *names).values()
    with pytest.raises(SystemExit) as error:
        run(folder, *files, '--protocol', 'base-to-new', *RUN)
    assert str(error.value).startswith('2 runs failed:\n')
    assert 'tip-adapter, creatures-rn, 4 shots, seed 1: CacheHead cannot' in str(error.value)
    assert 'LinearProbeHead cannot' in str(error.value)
    return folder


def test_base_to_new(base_to_new_sweep, tmp_path, shapes):
    """Each half as its own zero-shot task, and as the tools test a trained model."""
    found = results(base_to_new_sweep)
    assert set(found) == {('safe', 'shapes_base', 4, 1), ('zero-shot', 'shapes_base', 0, 0)}
    for by in found.values():
        assert list(by['test']) == ['base', 'new']
    safe, zero = (by['test'] for by in found.values())
    zero, safe = (zero, safe) if 'beta=0' in safe else (safe, zero)
    files = write_configs(tmp_path, shapes, 'zero-shot', 'safe')
    (best,) = (base_to_new_sweep / 'sweep' / 'safe').rglob('best_*.pth')
    assert is_trained(best) and len(set(safe['new'].values())) > 1
    for half in ('base', 'new'):
        expected = metrics(files['zero-shot'], *options()[:2], '--subset', half)['accuracy/top1']
        assert zero[half]['accuracy'] == pytest.approx(expected)
        assert safe[half]['zero-shot'] == pytest.approx(expected)
    tested = metrics(files['safe'], best, *options()[:2], '--subset', 'new', '--new-classes')
    assert tested['accuracy/top1'] == pytest.approx(safe['new']['accuracy'])
    assert tested['figure/zero-shot'] == pytest.approx(safe['new']['zero-shot'])
    # The config beside it knows the classes of both
    again = [best.with_name('safe.py'), best, *options()[:2]]
    tested = metrics(*again, '--variant', 'new', '--new-classes')
    assert tested['accuracy/top1'] == pytest.approx(safe['new']['accuracy'])


def test_a_checkpoint_of_other_classes_is_refused_without_the_option(
    base_to_new_sweep, tmp_path, shapes
):
    (file,) = configs(tmp_path, shapes, 'safe')
    (best,) = (base_to_new_sweep / 'sweep' / 'safe').rglob('best_*.pth')
    more = ['--work-dir', tmp_path, *options()[:2]]
    fails('trained on 3 classes', 'test', file, best, '--subset', 'new', *more)
    (zero,) = configs(tmp_path, shapes, 'zero-shot')
    fails('has no effect without a checkpoint', 'test', zero, '--new-classes', *more)


def test_a_trained_cache_is_refused(tmp_path, shapes):
    (file,) = configs(tmp_path, shapes, 'tip-adapter')
    run_tool('train', file, *options('--subset', 'base', '--work-dir', tmp_path / 'own'))
    more = ['--subset', 'new', '--new-classes', '--work-dir', tmp_path, *options()[:2]]
    fails('CacheHead cannot .*keys are learned', 'test', file, tmp_path / 'own', *more)


def test_base_to_new_in_the_report(base_to_new_sweep, capsys):
    run_tool('report', base_to_new_sweep / 'sweep')
    text = capsys.readouterr().out
    assert 'Accuracy in percent on base and new classes, mean of shapes, ' in text
    assert 'shapes_base' not in text[text.index('## creatures') : text.index('### Blending')]
    path = base_to_new_sweep / 'report' / 'base_to_new_creatures-rn_seed1.csv'
    with path.open() as file:
        rows = {row['method']: row for row in csv.DictReader(file)}
    safe = results(base_to_new_sweep)['safe', 'shapes_base', 4, 1]['test']
    base, new = (safe[half]['beta=0.5'] for half in ('base', 'new'))
    assert float(rows['SAFE']['new']) == pytest.approx(new, abs=1e-3)
    for name in (base_to_new.OF_AVERAGES, base_to_new.OF_DATASETS):
        expected = 2 * base * new / (base + new)
        assert float(rows['SAFE'][name]) == pytest.approx(expected, abs=1e-3)


def test_transfer(tmp_path, capsys):
    """Trained on shapes once, tested on two other datasets by their own names and prompts."""
    data = tmp_path / 'data'
    draw_shapes(data, images=10)
    for name in ('dtd', 'eurosat'):
        draw_split(name, data)
    names = 'safe', 'tip-adapter', 'zero-shot'
    files = list(write_configs(tmp_path, str(data), *names).values())
    more = ['--data-root', data, *RUN]
    with pytest.raises(SystemExit, match='1 run failed:\ntip-adapter.*CacheHead cannot'):
        run(tmp_path, *files, '--transfer', 'dtd', 'eurosat', *more)
    found = results(tmp_path)
    safe, zero = found['safe', 'shapes', 4, 1], found['zero-shot', 'shapes', 0, 0]
    assert list(safe['test']) == list(zero['test']) == ['shapes', 'dtd', 'eurosat']
    (best,) = (tmp_path / 'sweep' / 'safe').rglob('best_*.pth')
    assert is_trained(best)
    for file in (files[0], best.with_name('safe.py')):
        own = ['--dataset', 'dtd', '--data-root', data]
        tested = metrics(file, best, *options()[:2], *own, '--new-classes')
        assert tested['accuracy/top1'] == pytest.approx(safe['test']['dtd']['accuracy'])
        assert tested['figure/zero-shot'] == pytest.approx(zero['test']['dtd']['accuracy'])
    cfg = Config.fromfile(best.with_name('safe.py'))
    assert cfg.new_classes.dtd == dict(classes=['banded', 'polka-dotted'], templates='{} texture.')
    run_tool('report', tmp_path / 'sweep')
    text = capsys.readouterr().out
    table = text.split('by test variant, mean of shapes')[1].split('\n\n')[1]
    assert table.split('\n')[0].replace(' ', '') == (
        '|method|shots|shapes|dtd|eurosat|meanofothers|'
    )

    # An ordinary sweep is none of these runs, and is what it was
    ordinary = run(tmp_path / 'own', *files, *more)
    assert ordinary['safe', 'shapes', 4, 1]['data_hash'] != safe['data_hash']
    assert ordinary['safe', 'shapes', 4, 1]['method_hash'] == safe['method_hash']
    assert figures(ordinary)['safe', 'shapes', 4, 1][0]['test'] == safe['test']['shapes']


def test_the_place_of_other_data_is_not_part_of_a_run(tmp_path):
    """As that of the training data is not."""
    hashes = set()
    for place in ('one', 'two'):
        data = tmp_path / place
        draw_shapes(data, images=10)
        draw_split('dtd', data)
        files = configs(tmp_path, 'data', 'zero-shot')
        found = run(data, *files, '--data-root', data, '--transfer', 'dtd')
        hashes |= {own['data_hash'] for own in found.values()}
    assert len(hashes) == 1


def test_bad_options(tmp_path, shapes):
    (file,) = configs(tmp_path, shapes, 'zero-shot')
    both = ['--protocol', 'base-to-new', '--transfer', 'dtd']
    fails('neither --subset nor --transfer', 'sweep', file, *both)
    fails("dataset 'wool' is not known", 'sweep', file, '--transfer', 'wool')
