"""The code of README and docs runs: on small data, with a small CLIP and few iterations."""

import json
import os
import re
import subprocess
import sys

import pytest
import torch

from safe_mm.checkpoint import checkpoint_file
from safe_mm.creatures import world

from .conftest import ROOT, run_tool
from .layouts import SPLITS, draw_aircraft, draw_imagenet, draw_split, write_imagenet_split
from .methods import VIT
from .shapes import draw_shapes
from .test_llava import make_batch, make_llava

pytest.importorskip('torch', '2.6')  # to export
DOCS = sorted((ROOT / 'docs').rglob('*.md'))
FILES = ['README.md', 'CONTRIBUTING.md', *(str(path.relative_to(ROOT)) for path in DOCS)]
CLIP = 'creatures-rn:seed1'
WORK_DIR = 'work_dirs/safe/caltech101_shots16_seed1'  # of README's training
# What a reader replaces, or has
MINE = {
    'CHECKPOINT': WORK_DIR,
    'WORK_DIR': WORK_DIR,
    'CONFIG': 'configs/safe.py',
    'FOLDER': 'shapes',
    'OTHER_FOLDER': 'shapes',
    'OTHER_FOLDER/test/llama': 'photos',
    'PHOTOS': 'photos',
    'RESULTS': 'docs/results/creatures.jsonl',
    'FILE.safetensors': 'mine.safetensors',
    'configs/METHOD.py': 'configs/gda.py',
    'FILE.json:WEIGHTS': CLIP,
    '/shared/data': 'data',
}
TRAINING = ('train_cfg.max_iters=2', 'train_cfg.val_interval=2', 'param_scheduler=None')
LOADING = ('test_dataloader.num_workers=0', 'test_dataloader.persistent_workers=False')
SHORT = (*TRAINING, *LOADING)
# Records what it is called with
SHIM = f"""#!{sys.executable}
import json, os, sys
with open(os.environ['COMMANDS'], 'a') as file:
    print(json.dumps([os.path.basename(sys.argv[0]), *sys.argv[1:]]), file=file)
"""


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """A checkout, data sets in the layout that they are published in, and a trained model."""
    root = tmp_path_factory.mktemp('checkout')
    for name in ('configs', 'tools', 'docs'):
        (root / name).symlink_to(ROOT / name)
    for name in SPLITS:
        draw_split(name, root / 'data')
    draw_imagenet(root / 'data')
    write_imagenet_split(root / 'data')
    draw_aircraft(root / 'data')
    draw_shapes(root, images=8)
    (root / 'photos').symlink_to(root / 'shapes' / 'red_shape')
    (root / 'cat.jpg').symlink_to(root / 'photos' / '000.png')
    for name in ('bin/python', 'bin/pip', 'bin/make', 'bin/ray', 'bin/sbatch', '.ci/run'):
        path = root / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(SHIM)
        path.chmod(0o755)
    patch = pytest.MonkeyPatch()
    patch.setattr(world, 'COUNTS', dict(train=1, val=1, test=1))
    patch.chdir(root)
    train(CLIP)
    run_tool('export', 'classifier', WORK_DIR, 'mine.safetensors')
    yield root
    patch.undo()


def train(clip, *more):
    task = ['--dataset', 'caltech101', '--data-root', 'data', '--seed', 1]
    run_tool('train', 'configs/safe.py', *task, '--clip', clip, *more, '--cfg-options', *SHORT)


def blocks(file, language):
    return re.findall(rf'```{language}\n(.*?)```', (ROOT / file).read_text(), re.DOTALL)


def commands(block, folder):
    """Each command of a block as a list of words, as bash sees it."""
    log = folder / 'commands.jsonl'
    log.write_text('')
    env = dict(os.environ, COMMANDS=str(log), PATH=f'{folder / "bin"}:{os.environ["PATH"]}')
    env.pop('PYTHON', None)
    subprocess.run(['bash', '-euc', block], cwd=folder, env=env, check=True)
    return [json.loads(line) for line in log.read_text().splitlines()]


def mine(words):
    """The words of a command with what a reader would put in."""
    names = dict(NAME='accuracy' if 'RESULTS' in words else 'attention', FORMAT='classifier')
    names.update(MINE, OUT='out.safetensors')
    names['load_from=CHECKPOINT'] = f'load_from={checkpoint_file(WORK_DIR)}'
    return [names.get(w, w) for w in words if w not in ('[PHOTOS', '...]')]  # optional ones


def run(tool, words):
    """Runs a tool as the docs say, but for what makes it short."""
    words = mine(words)
    creatures = 'creatures' in ' '.join(words)
    more = ['--data-root', 'world'] if creatures and '--data-root' not in words else []
    if tool == 'sweep':  # some configs are read with their data
        more += ['--clips', CLIP, '--shots', '1', '--seeds', '1', '--shard', '1/4', '--dry-run']
    elif tool == 'analyze' and words[1].startswith('configs'):
        more += ['--limit', '2', '--clip', CLIP]
        more += [] if creatures else ['--dataset', 'caltech101', '--data-root', 'data']
    elif tool == 'report':
        results = {w: 'docs/results/photos_new.jsonl' for w in words if w.startswith('work_dirs/')}
        words, more = [results.get(w, w) for w in words], ['--out', 'report']
    elif tool in ('train', 'demo', 'check'):
        more += ['--clip', CLIP, '--cfg-options', *SHORT]
    elif tool == 'test':
        more += ['--clip', CLIP, '--cfg-options', *LOADING]
    run_tool(tool, *words, *more)


def check(name, *words):
    """Runs a command, or what of it can be run here."""
    if name == 'make':
        targets = re.findall(r'^(\w+):', (ROOT / 'Makefile').read_text(), re.M)
        assert set(words) <= set(targets)
    elif name == 'pip':
        (extras,) = re.findall(r'^-e \.\[(.*)\]$', ' '.join(words[1:]))
        known = re.findall(r"^        '(\w+)': \[", (ROOT / 'setup.py').read_text(), re.M)
        assert words[0] == 'install' and set(extras.split(',')) <= set(known)
    elif name == 'python' and words[0] == '-m':
        assert words == ('-m', 'safe_mm', 'demo')  # see test_webpage.py
    elif name == 'python':
        tool = re.fullmatch(r'tools/(\w+)\.py', words[0]).group(1)
        if tool != 'prepare_dataset':  # which downloads
            run(tool, words[1:])


@pytest.mark.parametrize('file', [file for file in FILES if blocks(file, 'bash')])
def test_commands(file, folder):
    found = commands('\n'.join(blocks(file, 'bash')), folder)
    assert found
    for command in found:
        check(*command)


@pytest.mark.parametrize('file', [file for file in FILES if blocks(file, 'python')])
def test_python(file, folder):
    """Configs and the example of a method have tests of their own."""
    known = dict(CONFIG=f'{WORK_DIR}/safe.py', CHECKPOINT=checkpoint_file(WORK_DIR))
    for block in blocks(file, 'python'):
        if not re.search('_base_|prototype|llava', block):
            exec(block, known)


def test_llava(folder):
    train(VIT, '--work-dir', 'vit')
    known = dict(WORK_DIR='vit', llava=make_llava(), batches=[make_batch()] * 3)
    before = {name: p.detach().clone() for name, p in known['llava'].named_parameters()}
    training, writing = (b for b in blocks('docs/export.md', 'python') if 'llava' in b)
    exec(training, known)
    changed = {n for n, p in known['llava'].named_parameters() if not torch.equal(p, before[n])}
    assert changed <= set(known['names']) and any('vision_tower' in name for name in changed)
    exec(writing, known)
