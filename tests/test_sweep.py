"""Sweeps over few-shot tasks, and their records."""
from argparse import ArgumentParser

import pytest
import torch
from safetensors.torch import load_file, save_file

from safe_mm.config import add_common_options
from safe_mm.creatures import world
from safe_mm.report.paper import VARIANTS
from safe_mm.sweep import sweep
from safe_mm.sweep.records import append_record, read_records
from safe_mm.sweep.task import Task, record_key, task_config

from .conftest import ROOT, TINY_RN, fails, run_tool
from .layouts import draw_imagenet, draw_split
from .sweeps import (
    CONFIGS,
    FEW,
    PHOTOS,
    SAFE,
    SAFE_A,
    TIP_F,
    ZERO,
    names,
    options,
    run,
)


@pytest.fixture(autouse=True)
def few(monkeypatch):
    monkeypatch.setattr(world, 'COUNTS', FEW)


def test_methods_tasks_shots_and_seeds(tmp_path):
    configs = SAFE, SAFE_A, TIP_F, ZERO
    records = run(tmp_path, *configs, '--grid', '--tasks', 'tail', 'crest',
                  '--shots', 2, '--seeds', 3)
    assert names(records) == [
        (config.stem, task, *((0, 0) if config == ZERO else (2, 3)))
        for config in configs for task in ('tail', 'crest')
    ]
    for record in records:
        method = record['key']['config'].split('_')[0]
        blended, trained = method in ('safe', 'safe-a'), method != 'zero-shot'
        assert set(record['test']) == {'seen', 'grounds', 'rendering'}
        for by in record['test'].values():
            assert ('deployed' in by) == (method != 'safe')
            assert ({'0.0', '0.5', 'zero-shot'} < set(by)) == blended
            assert all(0 <= value <= 100 for value in by.values())
        assert bool(record['attention']) == blended
        assert record['key']['clip'] == 'creatures-rn seed1'
        assert set(record['seconds']) == {'train', 'test'}
        assert record['made']['versions']['torch'] == torch.__version__.split(
            '+')[0]
        assert len(record['made']['weights']) == 64
        assert ('setting' in record) == trained
        assert len(record.get('grid', [])) == (4 if blended else 0)
        if blended:
            best = max(s['validation'] for s in record['grid'])
            assert record['validation'] >= best  # a search may add to it
            assert '0.5' in record['validation_by']

    # The same training, so the same pooling layer
    for safe, safe_a in zip(records[:2], records[2:4]):
        assert safe['key']['task'] == safe_a['key']['task']
        assert safe['grid'] == safe_a['grid']
        for variant, by in safe['test'].items():
            assert by.items() < safe_a['test'][variant].items()


def test_stopped_sweep_goes_on(tmp_path, monkeypatch):
    args = SAFE, '--tasks', 'tail', '--shots', 1, 2, '--seeds', 1, 2
    records = run(tmp_path, *args)
    path = tmp_path / 'sweep' / 'records.jsonl'
    path.write_bytes(path.read_bytes()[:-20])  # killed while it wrote
    claims = tmp_path / 'sweep' / 'claims'
    assert [file.name for file in claims.iterdir()] == ['records']
    for record in records:  # what a killed process leaves behind
        job = sweep.Job(None, None, record['key'])
        sweep.Sweep(None, path)._lock_file(job).touch()
    ran = []
    train = sweep.train
    monkeypatch.setattr(sweep, 'train', lambda cfg, bar: ran.append(
        (cfg.shots, cfg.seed)) or train(cfg, bar))
    again = run(tmp_path, *args)
    assert ran == [(2, 2)]
    assert [r['test'] for r in again] == [r['test'] for r in records]
    run(tmp_path, *args)
    assert ran == [(2, 2)]


def test_a_broken_process_stops(tmp_path, monkeypatch):
    """What goes wrong in each task is not recorded of all."""
    monkeypatch.setattr(sweep, 'train', lambda cfg, bar: 1 / 0)
    with pytest.raises(SystemExit, match='2 tasks failed'):
        run(tmp_path, SAFE, '--tasks', 'tail', '--shots', 1, 2)
    path = tmp_path / 'sweep' / 'records.jsonl'
    errors = [record['error'] for record in read_records(path)]
    assert errors == ['ZeroDivisionError: division by zero'] * 2


def photos(folder, *args) -> list:
    """Of a short sweep on photos with a small CLIP of random weights."""
    return [*options(folder, *args), f'clip.model_name={TINY_RN}',
            'clip.pretrained=None']


def test_data_sets_in_place_of_the_configs(tmp_path, capsys):
    """A failure is recorded and does not stop the rest."""
    for name in ('dtd', 'eurosat'):
        draw_split(name, tmp_path / 'data')
    args = (PHOTOS, '--tasks', 'dtd', 'ucf101', 'eurosat', '--shots', 1,
            '--seeds', 1)
    argv = photos(tmp_path, *args)
    run_tool('sweep', *photos(tmp_path, *args, '--dry-run'))
    text = capsys.readouterr().out
    assert 'cannot run: safe_rn50_caltech101 ucf101: ' in text
    assert text.split('\nsum')[1].split()[0] == '2'

    with pytest.raises(SystemExit, match='1 tasks failed:\n.*split_zhou_UCF'):
        run_tool('sweep', *argv)
    path = tmp_path / 'sweep' / 'records.jsonl'
    records = read_records(path)
    assert names(records) == [('safe_rn50', task, 1, 1)
                              for task in ('dtd', 'ucf101', 'eurosat')]
    assert 'split_zhou_UCF101.json' in records[1]['error']
    assert 'error' not in records[0] and 'error' not in records[2]

    draw_split('ucf101', tmp_path / 'data')
    run_tool('sweep', *argv)
    records = read_records(path)
    assert names(records)[3:] == [('safe_rn50', 'ucf101', 1, 1)]
    assert 'error' not in records[3]


def test_out_of_distribution(tmp_path, capsys):
    """Trained on ImageNet once, tested on its variants, all betas."""
    draw_imagenet(tmp_path / 'data')
    config = CONFIGS / 'safe_a' / 'safe-a_rn50_imagenet.py'
    few = [f'{part}_dataloader.dataset.num_classes=3'
           for part in ('train', 'val', 'test')]
    few += [f'variants.imagenet_{v}.num_classes=2' for v in 'ar']
    run_tool('sweep', *photos(tmp_path, config, '--tasks', 'imagenet_variants',
                              '--shots', 2, '--seeds', 1), *few)
    path = tmp_path / 'sweep' / 'records.jsonl'
    record, = read_records(path)
    assert list(record['test']) == list(VARIANTS)
    for by in record['test'].values():
        assert {'deployed', 'zero-shot', '0.0', '0.5'} < set(by)
    run_tool('report', path)
    text = capsys.readouterr().out
    shown = ' | '.join(f"{by['deployed']:.1f}"
                       for by in record['test'].values())
    assert f'| SAFE-A | 2 | {shown} |' in text


def test_plan_counts_what_is_left(tmp_path, capsys):
    args = SAFE, TIP_F, ZERO, '--tasks', 'tail', '--shots', 1, 2
    run(tmp_path, SAFE, '--tasks', 'tail', '--shots', 1, '--seeds', 1, 2)
    capsys.readouterr()
    run(tmp_path, *args, '--dry-run')
    rows = {line.split(' ')[0]: line.split() for line in
            capsys.readouterr().out.splitlines() if line}
    assert rows['safe_creatures-rn'][2] == '4'
    assert rows['tip-adapter-f_creatures-rn'][2] == '6'
    assert rows['zero-shot_creatures-rn'][2] == '1'
    assert rows['sum'][1] == '11'
    assert len(rows['measured']) > 5


DTD = Task(str(PHOTOS), 'dtd', 1, 1)


def key(*args, task=DTD) -> dict:
    parser = ArgumentParser()
    add_common_options(parser, configs='+')
    args = parser.parse_args([str(PHOTOS), *map(str, args)])
    args.grid = False
    return record_key(task_config(args, ROOT, task), task)


def test_a_record_is_known_by_all_that_it_depends_on(tmp_path):
    weights = tmp_path / 'rn.safetensors'
    save_file(dict(a=torch.zeros(1)), weights)
    clip = f'clip.pretrained={weights}'
    first = key('--cfg-options', clip)
    same = key('--data-root', 'elsewhere', '--cfg-options', clip,
               'default_hooks.store.root=elsewhere',
               'train_dataloader.num_workers=0')
    assert same == first
    others = [
        key('--cfg-options', clip, option)
        for option in ('train_cfg.max_iters=5', 'model.neck.beta=1',
                       'optim_wrapper.optimizer.lr=1', 'randomness.seed=7',
                       'default_hooks.store.dtype=float16')
    ] + [key('--cfg-options', clip, task=DTD._replace(shots=2)),
         key('--cfg-options', clip, task=DTD._replace(data='ucf101'))]
    save_file({'a': load_file(weights)['a'] + 1}, weights)
    sweep.weights_hash.cache_clear()
    others.append(key('--cfg-options', clip))
    known = {str(k) for k in [first, *others]}
    assert len(known) == 1 + len(others)
    assert [k['recipe'] == first['recipe'] for k in others] == [
        False, False, False, True, False, True, True, False]


def test_records_survive_a_cut_line(tmp_path):
    path = tmp_path / 'records.jsonl'
    assert read_records(path) == []
    append_record(path, dict(key=1))
    with path.open('a') as file:
        file.write('{"key": 2')
    append_record(path, dict(key=3))
    assert read_records(path) == [dict(key=1), dict(key=3)]
    assert len(path.read_text().splitlines()) == 3


def test_bad_options(tmp_path):
    fails('clothes. is not known; there are caltech101', 'sweep',
          *options(tmp_path, PHOTOS, '--tasks', 'clothes'))
    fails('--seed has no effect', 'sweep',
          *options(tmp_path, SAFE, '--seed', 1))
    fails('--launcher and --amp', 'sweep',
          *options(tmp_path, SAFE, '--launcher', 'pytorch'))
    (tmp_path / 'file').touch()
    for path in (tmp_path / 'file' / 'records.jsonl', tmp_path):
        fails('--records: ', 'sweep', SAFE, '--records', path)
