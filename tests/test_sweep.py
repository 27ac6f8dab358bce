"""Sweeps over few-shot tasks, their records and reports."""
import json

import numpy as np
import pytest
from PIL import Image

from safe_mm import experiment
from safe_mm.creatures import world
from safe_mm.records import append_record, read_records

from .conftest import ROOT, fails, run_tool

CONFIG = ROOT / 'configs' / 'safe' / 'safe_creatures-rn.py'


def sweep(folder, *args) -> list:
    run_tool(
        'sweep', CONFIG, '--data-root', folder / 'world', '--records',
        folder / 'sweep' / 'records.jsonl', '--shots', 1, 2, *args,
        '--cfg-options', 'train_cfg.max_iters=2', 'train_cfg.val_interval=1',
        'param_scheduler.0.end=1', 'param_scheduler.1.begin=1',
        'param_scheduler.1.end=2', f'default_hooks.store.root={folder}/store')
    return read_records(folder / 'sweep' / 'records.jsonl')


@pytest.fixture
def few(monkeypatch):
    monkeypatch.setattr(world, 'COUNTS', dict(train=2, val=1, test=2))


def test_sweep_and_report(few, tmp_path, capsys, monkeypatch):
    records = sweep(tmp_path, '--grid', '--seeds', 1, 2, '--tasks', 'tail')
    assert [tuple(r['key'][k] for k in ('clip', 'task', 'shots', 'seed'))
            for r in records] == [
        ('creatures-rn seed1', 'tail', shots, seed)
        for shots in (1, 2) for seed in (1, 2)
    ]
    for record in records:
        assert len(record['grid']) == 4
        best = max(s['validation'] for s in record['grid'])
        assert record['validation'] == best
        assert record['setting']['lr'] in {s['lr'] for s in record['grid']}
        assert set(record['test']) == {'seen', 'grounds', 'rendering'}
        for by_beta in record['test'].values():
            assert {'0.0', '0.5', 'zero-shot'} < set(by_beta)
            assert all(0 <= value <= 100 for value in by_beta.values())
        assert set(record['attention']) == {'original', 'finetuned', 'blend'}

    # A sweep that was killed while it wrote goes on where it was
    path = tmp_path / 'sweep' / 'records.jsonl'
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    ran = []
    train = experiment.train
    monkeypatch.setattr(experiment, 'train', lambda cfg, bar: ran.append(
        (cfg.shots, cfg.seed)) or train(cfg, bar))
    again = sweep(tmp_path, '--grid', '--seeds', 1, 2, '--tasks', 'tail')
    assert ran == [(2, 2)]
    assert again == records

    capsys.readouterr()
    run_tool('report', path)
    text = capsys.readouterr().out
    assert '## safe_creatures-rn, creatures-rn seed1' in text
    shot = [f"{r['test']['grounds']['0.5']:.1f}" for r in records]
    mean = (float(shot[0]) + float(shot[1])) / 2
    row = text.split("'grounds', beta 0.5")[1].split('| tail |')[1]
    zero = f"{records[0]['test']['grounds']['zero-shot']:.1f}"
    assert row.split('|')[0].strip() == zero
    assert float(row.split('|')[1].split('±')[0]) == pytest.approx(
        mean, abs=0.11)
    assert 'lr=0.003 weight_decay=0.001' in text
    assert np.array(Image.open(path.with_name('beta.png'))).std() > 10


def test_without_a_grid_the_rate_is_the_configs(few, tmp_path):
    one, two = sweep(tmp_path, '--seeds', 1, '--tasks', 'tail')
    assert one['grid'] == two['grid'] == []
    assert one['setting']['lr'] > 0


def test_records_survive_a_cut_line(tmp_path):
    path = tmp_path / 'records.jsonl'
    assert read_records(path) == []
    append_record(path, dict(a=1))
    with path.open('a') as file:
        file.write('{"a": 2')
    append_record(path, dict(a=3))
    assert read_records(path) == [dict(a=1), dict(a=3)]
    assert len(path.read_text().splitlines()) == 3
    assert json.loads(path.read_text().splitlines()[0]) == dict(a=1)


def test_report_of_nothing(tmp_path):
    fails('has no records', 'report', tmp_path / 'none.jsonl')
