"""Pictures of what a model does, and their numbers."""

import json
import re
import runpy
import shutil
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from safe_mm.analyses.confusions import class_gains, most_confused, reliability
from safe_mm.analyses.correspondence import argmax, features, similarity
from safe_mm.analyses.heat_maps import Explained, compared, share
from safe_mm.analyses.parts import coalitions, means, probabilities, shapley_values, superpixels
from safe_mm.analyses.subject import Example, Subject
from safe_mm.creatures import world
from safe_mm.datasets.creatures import CreatureDataset
from safe_mm.registry import ANALYSES
from safe_mm.report.results import prepare, read_results, to_frame
from safe_mm.report.tables import gains

from .conftest import ROOT, fails, metrics, run_tool

CONFIG = ROOT / 'configs' / 'safe_creatures.py'
RESULTS = ROOT / 'docs' / 'results' / 'creatures.jsonl'


@pytest.fixture(scope='module')
def runs(tmp_path_factory):
    """A small world, and work dirs of SAFE on it by CLIP."""
    root = tmp_path_factory.mktemp('analyses')
    patch = pytest.MonkeyPatch()
    patch.setattr(world, 'COUNTS', dict(train=2, val=1, test=2))
    data = ['--dataset', 'ears', '--data-root', root / 'world', '--shots', 1]
    short = ['--cfg-options', 'param_scheduler=None', 'train_cfg.max_iters=10']
    short += ['train_cfg.val_interval=5', f'default_hooks.feature_cache.root={root}/features']
    for clip in ('creatures-rn:seed1', 'creatures-vit:seed1'):
        run_tool('train', CONFIG, *data, '--clip', clip, '--work-dir', root / clip, *short)
    yield root
    patch.undo()


def options(runs, clip='creatures-rn:seed1'):
    more = ['--dataset', 'ears', '--data-root', runs / 'world', '--clip', clip]
    return [CONFIG, runs / clip, *more]


def analyze(name, out, *args):
    run_tool('analyze', name, *args, '--out', out)
    numbers = json.loads((out / f'{name}.json').read_text())
    for picture in out.glob('*.png'):
        assert np.asarray(Image.open(picture).convert('L')).std() > 5  # something is drawn
    return numbers


@pytest.fixture(scope='module')
def subject(runs):
    args = dict(
        config=str(CONFIG),
        checkpoint=str(runs / 'creatures-rn:seed1'),
        photos=[],
        device='cpu',
        work_dir=None,
        dataset='ears',
        clip='creatures-rn:seed1',
        data_root=str(runs / 'world'),
        subset=None,
        shots=None,
        seed=None,
        amp=False,
        no_pin_memory=True,
        cfg_options={},
        launcher='none',
        local_rank=0,
    )
    return Subject(Namespace(**args))


def test_shapley_values_are_exact():
    """Equal to captum's, which goes through all orders; they sum to the difference."""
    from captum.attr import ShapleyValues

    values = np.random.default_rng(0).random((16, 2))
    found = shapley_values(values)
    np.testing.assert_allclose(found.sum(0), values[-1] - values[0])
    assert coalitions(2) == [(), (0,), (1,), (0, 1)]
    table, bits = torch.tensor(values), torch.tensor([1, 2, 4, 8])
    for column in range(2):
        attribute = ShapleyValues(lambda x, c=column: table[(x * bits).sum(1).long(), c])
        expected = attribute.attribute(torch.ones(1, 4))
        np.testing.assert_allclose(found[:, column], expected[0].numpy(), atol=1e-6)


@pytest.mark.parametrize('clip', ['creatures-rn:seed1', 'creatures-vit:seed1'])
def test_parts(clip, runs, tmp_path):
    numbers = analyze('parts', tmp_path, *options(runs, clip), '--limit', 3)
    assert set(numbers['mean']) == {'original', 'tuned', 'model'}
    for row in numbers['images']:
        assert {'ground', 'ears', 'head'} <= set(row['parts']) and 'eye' not in row['parts']
        for title, values in row['shapley'].items():
            total = row['whole'][title] - row['nothing'][title]
            assert sum(values) == pytest.approx(total, abs=1e-4)


def test_all_parts_are_the_image(subject):
    """Their masks cover it once, so that the model sees it as it is."""
    for number in range(3):
        example = subject.test_image(number)
        masks = list(subject.masks(example).values())
        assert (sum(mask.astype(int) for mask in masks) == 1).all()
        figures = compared(subject.model, example)
        joined = [masks[0], np.any(masks[1:], 0)]
        whole = probabilities(subject, example, joined, example.label, figures)[-1]
        with torch.no_grad():
            expected = [
                Explained(subject.model, figure)(example.inputs[None]).softmax(-1)[0, example.label]
                for figure in figures.values()
            ]
        np.testing.assert_allclose(whole, torch.stack(expected).cpu(), atol=1e-5)


def test_examples_are_of_all_classes(subject):
    """In turn, and not in the order of the files."""
    labels = [example.label for example in subject.examples(15)]
    assert sorted(labels[:10]) == list(range(10)) and len(set(labels[10:])) == 5
    assert labels[:10] != list(range(10))
    assert sorted(subject.chosen(10**9)) == list(range(20))


def test_parts_of_photos(runs, tmp_path):
    """Superpixels, or masks from files; the class is named."""
    photo = next((runs / 'world').rglob('images/test_seen_round_*.png'))
    args = [CONFIG, runs / 'creatures-rn:seed1', '--class', 'leaf']
    args[2:2] = [photo]
    more = ['--dataset', 'ears', '--data-root', runs / 'world']
    numbers = analyze('parts', tmp_path / 'a', *args, *more)
    (row,) = numbers['images']
    assert len(row['parts']) == 7 and row['class_name'] == 'leaf'
    masks = tmp_path / 'masks'
    masks.mkdir()
    shutil.copy(photo.parents[1] / 'masks' / photo.name, masks)
    fails('up to 8 are supported', 'analyze', 'parts', *args, *more, '--masks', masks)
    halves = np.repeat([[0, 200]], [56, 56], 1).repeat(112, 0).astype(np.uint8)
    Image.fromarray(halves).save(masks / photo.name)
    numbers = analyze('parts', tmp_path / 'b', *args, *more, '--masks', masks)
    whole = Image.fromarray(halves)
    whole.resize((112, 56)).save(masks / photo.name)
    fails('112 x 56 pixels, and .* 112 x 112', 'analyze', 'parts', *args, *more, '--masks', masks)
    assert numbers['images'][0]['parts'] == ['0', '200']
    args[-1] = 'leaves'
    fails("no class 'leaves'. Near matches: leaf", 'analyze', 'parts', *args, *more)
    regions = superpixels(np.array(Image.open(photo)))
    assert (sum(mask.astype(int) for mask in regions.values()) == 1).all()


def test_correspondence_finds_a_shift(subject):
    """A point of an image is found in a copy that is shifted by a cell of the layer."""
    example = subject.test_image(0)
    columns = 16  # of pixels: one cell of layer3
    inputs = example.inputs.roll(columns, -1)
    shifted = Example(example.path, example.picture, inputs)
    size = example.picture.shape[:2]
    own = features(subject.model, [example, shifted], ['layer3'])['layer3']
    for point in ((56, 72), (88, 40), (72, 104)):
        x, y = argmax(similarity(own[0], own[1:], [point], size)[0, 0])
        assert abs(x - point[0] - columns) <= 4 and abs(y - point[1]) <= 4
        same = similarity(own[0], own[:1], [point], size)[0, 0]
        assert argmax(same) == list(point)
        assert same[point[1], point[0]].item() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize('clip', ['creatures-rn:seed1', 'creatures-vit:seed1'])
def test_correspondence(clip, runs, tmp_path):
    """By layer, with the share of keypoints that are found."""
    numbers = analyze('correspondence', tmp_path, *options(runs, clip), '--limit', 5)
    layers = list(numbers['pck']['mean'])
    assert len(layers) == 4 and set(numbers['found']) == set(layers)
    assert set(numbers['pck']['keypoints'][layers[0]]) >= {'eye', 'tail'}
    assert numbers['pck']['pairs'] == 20
    fails("no layer 'layer9'", 'analyze', 'correspondence', *options(runs), '--layers', 'layer9')


def test_correspondence_of_photos(runs, tmp_path):
    photos = sorted((runs / 'world').rglob('images/test_seen_*.png'))[:3]
    args = [CONFIG, runs / 'creatures-rn:seed1', *photos, '--data-root', runs / 'world']
    fails('needs --point X Y', 'analyze', 'correspondence', *args)
    fails('not in what the model sees', 'analyze', 'correspondence', *args, '--point', 500, 5)
    numbers = analyze('correspondence', tmp_path, *args, '--point', 56, 28)
    assert numbers['source']['point'] == [80, 40]  # of 160 pixels in place of 112
    assert [t['file'] for t in numbers['found']['layer4']] == [p.name for p in photos[1:]]
    assert 'pck' not in numbers


def test_keypoints_and_masks_follow_the_crop(subject):
    example = subject.test_image(3)
    points = subject.crop_points(subject.dataset.keypoints(3), example)
    x, y = (int(value) for value in points['eye'])
    masks = subject.masks(example)
    assert example.picture.shape == (160, 160, 3)
    assert masks['eye'][y - 3 : y + 4, x - 3 : x + 4].any()


@pytest.mark.parametrize('clip', ['creatures-rn:seed1', 'creatures-vit:seed1'])
@pytest.mark.parametrize('name', ['heat_maps', 'attention'])
def test_heat_maps(name, clip, runs, tmp_path):
    pytest.importorskip('torchcam')
    numbers = analyze(name, tmp_path, *options(runs, clip), '--limit', 2)
    for own in numbers['percent_of_heat'].values():
        assert list(own) == ['original', 'tuned', 'model', 'even']
        assert all(0 <= value <= 100 for value in own.values())
    assert not any(numbers.get('empty_maps', {}).values())


def test_what_is_explained_is_the_model(subject):
    images = torch.stack([subject.test_image(i).inputs for i in range(3)])
    model = subject.model
    names = compared(model, subject.test_image(0))
    assert names == {'original': 'zero-shot', 'tuned': 'beta=0', 'model': ''}
    with torch.no_grad():
        torch.testing.assert_close(Explained(model, '')(images), model(images))
        samples = model.predict(images)
        for figure in ('zero-shot', 'beta=0'):
            found = Explained(model, figure)(images).argmax(-1).tolist()
            assert found == [sample.figures[figure] for sample in samples]


def test_share_by_hand():
    heat = np.array([[3.0, 1.0], [0.0, 0.0]])
    mask = np.zeros((4, 4), bool)
    mask[:2, :2], mask[0, 2] = True, True  # a cell, and a quarter of the next
    assert share(heat, mask) == pytest.approx((3 + 0.25) / 4)
    assert share(np.zeros((2, 2)), mask) == mask.mean()


def test_confusions(runs, tmp_path, capsys):
    """The accuracy is that of the test tool."""
    numbers = analyze('confusions', tmp_path, *options(runs))
    assert numbers['images'] == 20
    assert {p.stem for p in tmp_path.glob('*.png')} >= {'confusions', 'calibration', 'gains'}
    found = metrics(*options(runs))
    assert numbers['accuracy'] == pytest.approx(found['accuracy/top1'], abs=0.01)
    assert numbers['zero_shot'] == pytest.approx(found['figure/zero-shot'], abs=0.01)
    mean = sum(numbers['gains'].values()) / len(numbers['gains'])
    assert mean == pytest.approx(numbers['accuracy'] - numbers['zero_shot'], abs=0.02)


def test_confusions_by_hand():
    scores = np.array([[0.9, 0.1], [0.8, 0.2], [0.35, 0.65], [0.3, 0.7]])
    truth = np.array([0, 1, 1, 1])
    own = reliability(scores, truth)
    # Distances of 0.1, 0.8, 0.35 and 0.3, each in a bin of its own
    assert own['error'] == pytest.approx(100 * (0.1 + 0.8 + 0.35 + 0.3) / 4)
    gain = class_gains(truth, scores.argmax(1), np.array([1, 1, 0, 0]), ['a', 'b'])
    assert gain == {'a': 100.0, 'b': pytest.approx(33.34, abs=0.02)}
    assert most_confused(np.array([[1, 0], [2, 5]]), ['a', 'b']) == [['b', 'a', 2]]


def test_records(tmp_path):
    """The same as in the report."""
    numbers = analyze('beta', tmp_path, RESULTS)
    frame = to_frame(prepare(read_results([RESULTS])[0]))
    frame = frame[frame.method == 'SAFE']
    for variant, table in numbers.items():
        expected = gains(frame[frame.variant == variant])
        assert table['16']['0.5'] == pytest.approx(expected.loc[16, 0.5], abs=0.005)
    found = analyze('accuracy', tmp_path, RESULTS)
    assert 'SAFE' in found['ears'] and set(found['ears']['SAFE']) >= {'1', '16'}
    texts = ROOT / 'docs' / 'results' / 'creatures_comparison.jsonl'
    found = analyze('prompts', tmp_path, texts)
    assert len(next(iter(found.values()))) >= 4
    fails('several texts', 'analyze', 'prompts', RESULTS, '--out', tmp_path)


def test_what_cannot_be_analyzed(runs, tmp_path):
    own = [*options(runs), '--out', tmp_path]
    fails("no analysis 'part'. Near matches: parts", 'analyze', 'part', *own)
    fails('--point has no effect on parts', 'analyze', 'parts', *own, '--point', 1, 2)
    broken = tmp_path / 'broken.png'
    broken.write_text('no image')
    fails('broken.png cannot be read', 'analyze', 'attention', *own[:2], broken, *own[2:])
    photo = next((runs / 'world').rglob('images/*.png'))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Image, 'MAX_IMAGE_PIXELS', 1000)
        fails('cannot be read as an image', 'analyze', 'attention', *own[:2], photo, *own[2:])
    fails('cannot be created', 'analyze', 'parts', *own[:-1], broken)
    fails('needs a checkpoint', 'analyze', 'attention', CONFIG, *own[2:])
    empty = tmp_path / 'empty'
    empty.mkdir()
    fails('has no image files', 'analyze', 'attention', *own[:2], empty, *own[2:])
    fails('of test images', 'analyze', 'confusions', *own[:2], Path(RESULTS), *own[2:])


def test_dataset_knows_its_parts(runs):
    dataset = CreatureDataset('ears', data_root=str(runs / 'world'))
    masks = dataset.masks(0)
    np.testing.assert_array_equal(masks['ears'], dataset.part_mask(0))
    assert set(dataset.keypoints(0)) >= {'eye', 'tail', 'body'}


DOCS = (ROOT / 'docs' / 'analyses.md').read_text()


def committed(name):
    return json.loads((ROOT / 'docs' / 'results' / 'analyses' / f'{name}.json').read_text())


def line(name, values):
    """A row of a table."""
    return ' | '.join([f'| {name}', *(f'{round(value, 1) + 0:.1f}' for value in values)]) + ' |\n'


def test_tables_of_the_docs():
    """All their figures are those of the files."""
    parts = committed('parts')
    assert means(parts['images']) == parts['mean']
    for title, own in parts['mean'].items():
        total = sum(own.values())
        share = 100 * (total - own['ground']) / total
        assert line(title, [*own.values(), total, share]) in DOCS
    for name, shown in (('attention', 'attention'), ('heat_maps', 'Smooth Grad-CAM++')):
        heat = committed(name)['percent_of_heat']
        for title in heat['object']:
            assert line(f'{shown}, {title}', [own[title] for own in heat.values()]) in DOCS
    for name in ('correspondence', 'correspondence_vit'):
        pck = committed(name)['pck']
        for layer, mean in pck['mean'].items():
            assert line(f'`{layer}`', [*pck['keypoints'][layer].values(), mean]) in DOCS
    for dataset, own in committed('accuracy').items():
        assert line(f'SAFE, {dataset}', own['SAFE'].values()) in DOCS
    beta = committed('beta')
    for shots in ('4', '16'):
        assert line(f'{shots} shots', [own[shots]['0.5'] for own in beta.values()]) in DOCS
    prompts = list(committed('prompts').values())
    for method in prompts[0]:
        if method != 'zero-shot CLIP':
            columns = [np.mean([own[method][k] for own in prompts]) for k in prompts[0][method]]
            assert line(method, columns) in DOCS
    confusions = committed('confusions')
    for key in ('accuracy', 'zero_shot', 'calibration_error'):
        assert f'{confusions[key]:.1f} %' in DOCS


def test_commands_and_pictures_of_the_docs(monkeypatch):
    """The tool takes them; each picture is there, small and shown."""
    commands = re.findall(r'python (tools/analyze.py [^`\n]*)', DOCS.replace('\\\n', ''))
    assert len(commands) > 10
    for command in commands:
        monkeypatch.setattr('sys.argv', command.split())
        args = runpy.run_path(str(ROOT / 'tools' / 'analyze.py'))['parse_args']()
        assert args.analysis in ('ANALYSIS', *ANALYSES.module_dict)
        assert args.config.isupper() or (ROOT / args.config).is_file()
    for picture in (ROOT / 'docs' / 'analyses').iterdir():
        assert f'](analyses/{picture.name})' in DOCS and picture.stat().st_size < 200_000
