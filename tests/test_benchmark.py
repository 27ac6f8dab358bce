"""The benchmark runs, and compares what computes the same."""

import json
from functools import lru_cache
from types import SimpleNamespace

import pytest
import torch

from safe_mm.benchmark import methods, runs
from safe_mm.benchmark.encoders import Baseline, operations, random_images, tuned_pool
from safe_mm.benchmark.layers import Factored, LowRank
from safe_mm.benchmark.plain import PLAIN
from safe_mm.benchmark.timing import Machine
from safe_mm.clip import SplitCLIP

from .conftest import ROOT, TINY, run_tool
from .methods import METHODS, write_config
from .two_processes import CONTEXT

CREATURES = ('creatures-rn', 'creatures-vit')
MEASURED = CREATURES[:1]


def test_benchmark(tmp_path, shapes, capsys, monkeypatch):
    pytest.importorskip('torch', '2.6')  # to export
    monkeypatch.setattr(Machine, 'measure', lru_cache(Machine.measure))
    # Without starts of Python
    in_process = SimpleNamespace(run=lambda args, **_: run_tool(*args[3:]), DEVNULL=None)
    monkeypatch.setattr(runs, 'subprocess', in_process)
    monkeypatch.setattr(runs, 'get_context', lambda method: CONTEXT)
    file = write_config(next(m for m in METHODS if m.name == 'safe'), tmp_path, shapes)
    short = ['--repeats', 1, '--iterations', 1, '--config', file]
    run_tool('benchmark', *short, '--models', *MEASURED, '--out', tmp_path / 'benchmark.json')
    table = capsys.readouterr().out
    figures = json.loads((tmp_path / 'benchmark.json').read_text())
    for name in MEASURED:
        for what in (
            'pooling, forward',
            'training step on given features',
            'iteration, images against cached features',
            'step of 12 settings, alone against joint',
            'step of 3 seeds, alone against joint',
            'encoder, batch 32',
            'peak memory of training, GB',
            'iteration of train.py on cached features',
            'the same step, without data and Runner',
            'run of 12800 iterations, 16 shots, extrapolated',
            'train.py of one iteration, images against cached features',
            'step of coop on 32 pooled features',
            'step of cocoop on 1 pooled features',
            'step of prograd on 32 pooled features',
            'step of clip-lora on 32 dense features',
            'step of clip-svd on 32 dense features',
            'step of clip-cite on 8 images',
            'classifier file, batch 1',
            'ONNX file, batch 8',
            'classifier file, GB',
        ):
            row = figures['rows'][f'{name} {what}']
            assert all(value > 0 for value in row.values()) and row['candidate']
            assert 'floor' in row or 'train.py of one' in what or ' file, ' in what
            assert f'| {name} {what} ' in table
    assert figures['matmul_gflops'] > 0 and figures['copy_gb_per_s'] > 0


def test_operations_of_attention_are_counted():
    """A block of 4 heads: 12 d^2 products a token, 2 of length d a pair."""
    length, width = 7, 8
    block = torch.nn.TransformerEncoderLayer(
        width, 4, 4 * width, dropout=0.0, batch_first=True
    ).eval()
    x = torch.randn(1, length, width).requires_grad_()
    assert operations(lambda: block(x)) == 2 * length * (12 * width**2 + 2 * length * width)


@pytest.mark.parametrize('name', CREATURES)
def test_both_sides_compute_the_same(name):
    baseline, candidate, x = Baseline(name), tuned_pool(name), random_images(name)
    with torch.no_grad():
        features = SplitCLIP(name, None).trunk.eval().to(x.device)(x)
        torch.testing.assert_close(candidate(features), baseline.pool(features))
        torch.testing.assert_close(candidate(features), baseline(x))


def layer_parameters(model, plain):
    """Of the same frozen weight: a classifier's parameter, its block, and the plain one."""
    blocks = {}
    for module in model.modules():
        for chain in getattr(module, 'parametrizations', {}).values():
            own = [getattr(chain[0], name) for name in chain[0].trainable]
            for number, weight in enumerate(chain.original.unflatten(0, (len(own[0]), -1))):
                blocks[weight.cpu().numpy().tobytes()] = [(one, number) for one in own]
    for layer in plain.modules():
        if isinstance(layer, (LowRank, Factored)):
            names = ('down', 'up') if isinstance(layer, LowRank) else ('sigma',)
            for name, (own, number) in zip(names, blocks.pop(layer.weight.cpu().numpy().tobytes())):
                yield own, number, getattr(layer, name)
    assert not blocks


def named_parameters(model, plain):
    """The same of parameters that both sides have as a whole."""
    twins, visual = dict(plain.named_parameters()), plain.clip.visual
    is_resnet = hasattr(visual, 'attnpool')
    blocks = 0 if is_resnet else visual.transformer.layers
    last = 'attnpool' if is_resnet else f'transformer.resblocks.{blocks - 1}'
    before = 'layer4' if is_resnet else f'transformer.resblocks.{blocks - 2}'
    for name, own in model.named_parameters():
        twin = name.replace('backbone.trunk.', 'clip.visual.').replace('head.', '')
        twin = twin.replace('backbone.tuned.0', f'clip.visual.{before}')
        twin = twin.replace('text.clip.', 'clip.')
        twin = twin.replace('neck.attn_pool_f.block', f'clip.visual.{last}')
        twin = twin.replace('neck.attn_pool_f', f'clip.visual{".attnpool" * is_resnet}')
        if own.requires_grad:
            yield own, ..., twins[twin]


@pytest.mark.parametrize('method', PLAIN)
@pytest.mark.parametrize('name', [*CREATURES, *TINY.values()])
def test_a_plain_method_computes_the_same(method, name, monkeypatch):
    """Loss and gradients, without dropout, in float64; factors are those of float32."""
    monkeypatch.setattr(methods, 'NAMES', methods.NAMES[:5])
    cfg = methods.method_config(ROOT / 'configs' / f'{method}.py', name)
    reparametrized = bool(cfg.model.get('reparametrize'))
    if method == 'clip-lora':
        cfg.model.reparametrize.dropout = 0.0
    torch.manual_seed(0)
    model = methods.build(cfg)
    plain = PLAIN[method](cfg, model).to(methods.DEVICE)
    inputs, labels = methods.batch(cfg, model)
    model, plain, inputs = model.double(), plain.double(), inputs.double()
    pairs = list((layer_parameters if reparametrized else named_parameters)(model, plain))
    with torch.no_grad():
        for own, block, twin in pairs:
            own[block] += 0.1 * torch.randn_like(own[block])
            twin.copy_(own[block])
    loss = methods.candidate_loss(model, inputs, methods.samples_of(labels))
    loss.backward()
    torch.testing.assert_close(plain.backward(inputs, labels), loss, rtol=1e-5, atol=1e-6)
    assert pairs and all(twin.grad.abs().max() > 1e-6 for _, _, twin in pairs)
    for own, block, twin in pairs:
        tolerance = 1e-4 * twin.grad.abs().max().item()
        torch.testing.assert_close(own.grad[block], twin.grad, rtol=0, atol=tolerance)
