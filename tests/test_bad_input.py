"""Each fault of the input gets one short message; tests/data/bad_input.tsv has most of them."""

import csv
import shlex
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmpretrain import get_model

from safe_mm.checkpoint import read_checkpoint
from safe_mm.errors import InputError

from .conftest import CONFIG, ROOT, TINY_RN, config, fails, run_tool, short, training
from .shapes import draw_shapes
from .test_clip_weights import Payload


def test_payload_in_a_checkpoint(shapes, tmp_path):
    marker, path = tmp_path / 'marker', tmp_path / 'evil.pth'
    torch.save(dict(state_dict={}, evil=Payload(marker)), path)
    fails(
        'refusing to load .*evil.pth',
        'test',
        CONFIG,
        path,
        '--data-root',
        shapes,
        '--work-dir',
        tmp_path,
    )
    fails(
        'refusing to load .*evil.pth',
        'train',
        CONFIG,
        '--resume',
        path,
        '--data-root',
        shapes,
        '--work-dir',
        tmp_path,
    )
    with pytest.raises(InputError, match='refusing to load .*evil.pth'):
        get_model(config('--data-root', shapes), pretrained=str(path))
    assert not marker.exists()


def test_payload_in_load_from(shapes, tmp_path):
    marker, path = tmp_path / 'marker', tmp_path / 'evil.pth'
    torch.save(dict(state_dict={}, evil=Payload(marker)), path)
    fails(
        'refusing to load .*evil.pth',
        *training(shapes, tmp_path),
        '--cfg-options',
        f'load_from={path}',
    )
    fails(
        'evil.pth does not exist; it should be a local file',
        *training(shapes, tmp_path),
        '--cfg-options',
        'load_from=http://127.0.0.1/evil.pth',
    )
    assert not marker.exists()


def test_names_of_results(trained, shapes, tmp_path):
    options = ['--data-root', shapes, '--work-dir', tmp_path, '--out']
    fails('ends in .pkl', 'test', CONFIG, trained, *options, 'x.json')
    fails('ends in .json', 'test', CONFIG, trained, *options, 'x.txt', '--out-item', 'metrics')


def test_bad_checkpoints(trained, shapes, tmp_path):
    options = ['--data-root', shapes, '--work-dir', tmp_path]
    fails('gone.pth does not exist', 'test', CONFIG, tmp_path / 'gone.pth', *options)
    torn = tmp_path / 'torn.pth'
    torn.write_bytes((trained / 'iter_120.pth').read_bytes()[:-5000])
    fails('torn.pth cannot be read; it may be truncated', 'test', CONFIG, torn, *options)
    fails('no best_', 'test', CONFIG, tmp_path, *options)
    fails(
        'does not fit the model: neck.*same --clip',
        'test',
        CONFIG,
        trained,
        *options,
        '--clip',
        f'{TINY_RN}:None',
    )


@pytest.mark.parametrize('part', ['backbone', 'neck'])
def test_checkpoint_on_other_frozen_weights(trained, shapes, tmp_path, part):
    path = tmp_path / 'changed.pth'
    checkpoint = read_checkpoint(str(next(trained.glob('best_*.pth'))))
    checkpoint['state_dict'][f'{part}.frozen_sha256'][0] += 1
    torch.save(checkpoint, path)
    message = 'other frozen weights than .*tiny-vit.json:None.*same --clip'
    fails(message, 'test', CONFIG, path, '--data-root', shapes, '--work-dir', tmp_path)
    with pytest.raises(InputError, match=message):
        get_model(Config.fromfile(trained / 'tiny.py'), pretrained=str(path))


def test_data_with_other_classes(trained, tmp_path):
    """A checkpoint of six classes against data with five."""
    draw_shapes(tmp_path, images=10)
    for file in (tmp_path / 'shapes' / 'red_shape').glob('*'):
        file.unlink()
    (tmp_path / 'shapes' / 'red_shape').rmdir()
    fails(
        'trained on 6 classes, and the data has 5; .*yellow_shape',
        'test',
        CONFIG,
        trained,
        '--data-root',
        tmp_path,
        '--work-dir',
        tmp_path,
    )
    # The config in the work dir has the names that were trained
    fails(
        'the model has 6 classes, and the data has 5; .*yellow_shape',
        'test',
        trained / 'tiny.py',
        trained,
        '--data-root',
        tmp_path,
        '--work-dir',
        tmp_path,
    )


def test_model_with_other_classes(shapes, tmp_path):
    fails(
        "the model has 2 classes, and the data has 6; they differ, first 'a' against 'blue_shape'",
        *training(shapes, tmp_path),
        *short(8, 'model.classes=[a,b]'),
    )


CONFIGS = dict(
    syntax='x = [',
    raises='raise ValueError("no")',
    name='x = undefined',
    base="_base_ = 'gone.py'",
    empty='',
    number='model = 5',
)
with open(ROOT / 'tests/data/bad_input.tsv', encoding='utf-8') as table:
    ROWS = list(csv.DictReader(table, delimiter='\t', quoting=csv.QUOTE_NONE))


@pytest.fixture(scope='module')
def places(shapes, tmp_path_factory) -> dict:
    """What the commands of the table name."""
    folder = tmp_path_factory.mktemp('places')
    (folder / 'file').write_text('no config, no split, no checkpoint')
    (folder / 'folder').mkdir()
    for name, text in CONFIGS.items():
        (folder / f'{name}.py').write_text(text)
    options = f'--data-root {shapes} --work-dir {folder / "work"}'
    return dict(
        config=f'{CONFIG} {options}',
        path=CONFIG,
        options=options,
        tiny=TINY_RN,
        file=folder / 'file',
        folder=folder / 'folder',
        **{name: folder / f'{name}.py' for name in CONFIGS},
    )


@pytest.mark.parametrize('row', ROWS, ids=lambda row: row['command'])
def test_table(row, places, capsys):
    """One line and no traceback, before anything is trained."""
    if torch.cuda.is_available() and '--launcher' in row['command']:
        pytest.skip('there is a GPU')
    with pytest.raises(SystemExit) as end:
        run_tool(*shlex.split(row['command'].format(**places)))
    code, line = end.value.code, capsys.readouterr().err.strip().splitlines()[-1:]
    if isinstance(code, str):
        code, line = 1, code.splitlines()
    assert code == int(row['code'])
    assert len(line) == 1 and 'error: ' in line[0] and row['line'] in line[0]
    assert not list(Path(places['folder']).parent.rglob('*.pth'))


def test_metric_that_is_not_measured(shapes, tmp_path):
    fails(
        "save_best='accuracy/top9' is not a metric of this run, which has accuracy/top1",
        *training(shapes, tmp_path),
        *short(8, 'train_cfg.val_interval=2', 'default_hooks.checkpoint.save_best=accuracy/top9'),
    )
