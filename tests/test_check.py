"""tools/check.py, and what train and sweep check before anything is loaded."""

import json
import re
import shutil
from pathlib import Path

import pytest

from safe_mm.datasets.splits import read_folders

from .conftest import fails, run_tool
from .methods import METHODS, options, write_config
from .sweeps import results

SAFE = next(method for method in METHODS if method.name == 'safe')


@pytest.fixture
def own(tmp_path, data) -> Path:
    """A config of SAFE on the shapes, with a folder for each part."""
    return write_config(SAFE, tmp_path / 'config', data)


def test_data_prompts_and_trained_parameters(own, capsys):
    run_tool('check', own, *options())
    output = capsys.readouterr().out
    assert re.search(r'\n0 +blue_shape +4 +4 +6 +1 +\d+ +a blue shape\.\n', output)
    trained = re.search(r'neck.attn_pool_f +([\d,]+)', output)[1]
    assert re.search(rf'\ntrained +{trained}\n', output)


def test_every_broken_image_and_copy_is_named(own, data, capsys):
    first, second, third, *_ = sorted((data / 'shapes' / 'test').rglob('*.png'))
    first.write_bytes(first.read_bytes()[:-100])
    second.write_text('no picture')
    train = next((data / 'shapes' / 'train').rglob('*.png'))
    shutil.copy(third, train)
    with pytest.raises(SystemExit, match='2 images cannot be read'):
        run_tool('check', own, '--clip', SAFE.clip, '--shots', 10, '--decode')
    output = capsys.readouterr().out
    assert str(first) in output and str(second) in output
    assert f'equal: {train} (train), {third} (test)' in output


def split_of(data: Path, own: Path, **changes) -> None:
    """A split file of the data in place of its folders, some parts changed."""
    split = {**read_folders(data / 'shapes'), **changes}
    (data / 'split.json').write_text(json.dumps(split))
    own.write_text(own.read_text().replace("ann_file=''", "ann_file='split.json'"))


@pytest.mark.parametrize('part', ['train', 'val'])
def test_all_data_is_read_before_training(own, data, tmp_path, part):
    file = next((data / 'shapes' / part).rglob('*.png'))
    split_of(data, own)
    file.unlink()
    more = ('--cfg-options', f'{part}_dataloader.dataset.shots=None')
    args = own, *options('--work-dir', tmp_path / 'run', *more)
    fails(f'{file.name} does not exist', 'train', *args)
    assert not (tmp_path / 'run').exists()


@pytest.mark.parametrize('part', ['train', 'val'])
def test_copies_in_the_test_data_are_named(own, data, tmp_path, part, capsys):
    """The same content under another name, in a folder of another class."""
    known = next((data / 'shapes' / part).rglob('*.png'))
    _, copy, other = sorted((data / 'shapes' / 'test').rglob('*.png'))[-3:]
    other.write_bytes(copy.read_bytes())  # within the test data
    shutil.copy(known, copy)
    more = ('--work-dir', tmp_path / 'run', '--cfg-options', 'train_cfg.max_iters=1')
    run_tool('train', own, '--clip', SAFE.clip, '--shots', 10, *more)
    log = capsys.readouterr()
    line = (
        '1 test image with the content of a training or validation image, such as '
        f'{copy} = {known}'  # 'test' is before 'train' and 'val'
    )
    assert (log.out + log.err).count(line) == 1


def test_missing_test_data(own, data, tmp_path, monkeypatch):
    """Is a warning in a training, and refused where it would be tested."""
    lines = []
    monkeypatch.setattr('mmengine.logging.print_log', lambda line, *_, **__: lines.append(line))
    split_of(data, own, test=[])
    run_tool('train', own, *options('--work-dir', tmp_path / 'run'))
    (line,) = (line for line in lines if 'cannot be tested' in line)
    assert "split.json has no images for 'test'" in line
    sweep = ['sweep', own, '--clips', SAFE.clip, '--shots', 4, '--work-dir', tmp_path / 'sweep']
    fails("safe, .*4 shots, seed 1: .*no images for 'test'", *sweep)
    assert not results(tmp_path)


def test_prompts_that_are_cut(own, data, capsys, monkeypatch):
    """Are named with their tokens; classes that cannot be told apart are refused."""
    lines = []
    monkeypatch.setattr('mmengine.logging.print_log', lambda line, *_, **__: lines.append(line))
    own.write_text(own.read_text().replace("'a {}.'", f"'a {{}}, {'very ' * 40}fine.'"))
    run_tool('check', own, *options())
    (line,) = (line for line in lines if 'cut off' in line)
    assert re.match('6 prompts cut off after 32 tokens.*one has [0-9]+: .a blue shape, ver', line)
    own.write_text(own.read_text().replace("'a {}, ", "'a " + 'very ' * 40 + '{}, '))
    fails("'blue shape' and 'green shape' have the same text", 'check', own, *options())
