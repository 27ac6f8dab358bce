"""The equations of LP++, TaskRes, CLAP, ProLIP and Cross-Modal, against independent references."""

import json
from functools import partial

import pytest
import torch
from mmpretrain.structures import DataSample
from torch import nn
from torch.nn import functional as F

from safe_mm.clip import SplitCLIP
from safe_mm.errors import InputError
from safe_mm.methods.clap import CLAPHead, constraint, constraint_weights
from safe_mm.methods.cross_modal import CrossModalHead, draw
from safe_mm.methods.lp_plus_plus import LPPlusPlusHead, step_sizes, train
from safe_mm.methods.prolip import ProLIPPool
from safe_mm.methods.task_res import TaskResHead, add_residual
from safe_mm.models import CLIPClassifier

from .conftest import TINY_VIT, fails, run_tool, weights
from .methods import METHODS, options, write_config

CLASSES = ['ant', 'bee', 'cow']
CLIP = dict(model_name=TINY_VIT, pretrained=None)


def samples(views=8, width=6):
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(3).repeat(views)
    features = torch.randn(len(labels), width, generator=generator, dtype=torch.float64)
    texts = F.normalize(torch.randn(3, width, generator=generator, dtype=torch.float64), dim=-1)
    return F.normalize(features + F.one_hot(labels, width), dim=-1), labels, texts


def test_lp_plus_plus_is_sgd_on_its_logits():
    """Against torch's optimizer and autograd; alpha steps by its own gradient."""
    features, labels, texts = samples()
    found = train(features, labels, texts, 25)
    rate, alpha_rate = step_sizes(features, features @ texts.T)
    weight = torch.stack([features[labels == k].sum(0) for k in range(3)]).requires_grad_()
    bias = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    own = torch.stack([(features[labels == k] @ texts[k]).mean() for k in range(3)])
    alpha = torch.full((3,), 250 * own.mean().item(), dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.SGD([weight, bias], lr=rate, momentum=0.9)
    for epoch in range(1, 26):
        logits = features @ weight.T + bias + alpha * (features @ texts.T)
        optimizer.zero_grad()
        alpha.grad = None
        F.cross_entropy(logits, labels).backward()
        optimizer.step()
        if epoch % 10 == 0:
            alpha.data -= alpha_rate * alpha.grad
    for one, two in zip(found, (weight, bias, alpha)):
        torch.testing.assert_close(one, two.detach())


def test_lp_plus_plus_steps_are_one_over_the_curvature():
    """By the bounds of the paper."""
    features, labels, texts = samples()
    rate, alpha_rate = step_sizes(features, features @ texts.T)
    assert rate == pytest.approx(4 * len(features) / torch.linalg.matrix_norm(features, 2) ** 2)
    largest = max(sum((f @ text).item() ** 2 for f in features) for text in texts)
    assert alpha_rate == pytest.approx(len(features) / (4 * largest))


def test_lp_plus_plus_predicts_what_it_fitted():
    head = LPPlusPlusHead(CLIP, epochs=20, classes=CLASSES)
    features, labels, _ = samples(width=head.class_weights.shape[1])
    features = 5 * features.float()
    head.fit(features, labels, torch.arange(len(labels)))
    unit = F.normalize(features, dim=-1)
    weight, bias, alpha = train(unit, labels, head.class_weights, 20)
    expected = unit @ weight.T + bias + alpha * (unit @ head.class_weights.T)
    torch.testing.assert_close(head.logits(features), expected)
    head.in_training = True
    assert torch.equal(head.logits(features), head.text_logits(features))


def test_task_res_adds_to_texts_that_are_not_normalised():
    head = TaskResHead(CLIP, alpha=0.5, classes=CLASSES)
    clip = SplitCLIP(**CLIP)
    raw = clip.encode_text([f'a photo of a {name}.' for name in CLASSES], normalize=False)
    torch.testing.assert_close(head.texts, raw)
    assert not torch.allclose(raw.norm(dim=-1), torch.ones(3))
    features = torch.randn(4, raw.shape[1])
    torch.testing.assert_close(head.logits(features), head.text_logits(features))
    head.residual.data.normal_()
    weights = raw + 0.5 * head.residual
    expected = head.logit_scale * F.cosine_similarity(features[:, None], weights[None], dim=-1)
    torch.testing.assert_close(head.logits(features), expected)
    assert torch.equal(add_residual(raw, head.residual, 0), F.normalize(raw, dim=-1))


def test_clap_weighs_the_constraint_by_zero_shot_probability():
    head = CLAPHead(CLIP, classes=CLASSES)
    features, labels, _ = samples(width=head.class_weights.shape[1])
    features = features.float()
    head.fit(features, labels, torch.arange(len(labels)))
    probabilities = head.text_logits(features).softmax(-1)
    for k in range(3):
        expected = probabilities[labels == k, k].mean()
        torch.testing.assert_close(head.constraint_weights[k], expected)
    assert head.penalties()['loss_clap'] == 0
    head.prototypes.data += 0.1
    distance = 0.1**2 * head.texts.shape[1]
    expected = (distance * head.constraint_weights).mean()
    torch.testing.assert_close(head.penalties()['loss_clap'], expected)
    assert CLAPHead(CLIP, constrained=False, classes=CLASSES).penalties() == {}
    logits = torch.tensor([[2.0, 0.0], [0.0, 0.0], [1.0, 3.0]])
    found = constraint_weights(logits, torch.tensor([0, 1, 1]))
    torch.testing.assert_close(found[1], (0.5 + logits[2].softmax(-1)[1]) / 2)
    assert constraint(torch.ones(2, 3), torch.zeros(2, 3), torch.tensor([1.0, 3.0])) == 6


def test_prolip_is_the_pooling_with_its_own_projection(tiny_clip):
    clip = SplitCLIP(**tiny_clip)
    neck = ProLIPPool(tiny_clip, shots=4)
    dense = clip.trunk(torch.randn(2, 3, clip.image_size, clip.image_size))
    branches = neck.pool(dense)
    torch.testing.assert_close(neck.combine(branches), clip.pool(dense))
    torch.testing.assert_close(neck.figures(branches)['zero-shot'], clip.pool(dense))
    assert neck.penalties()['loss_prolip'] == 0
    neck.proj.weight.data += 0.5
    expected = 0.25 * neck.proj.weight.numel() / 4
    assert neck.penalties()['loss_prolip'].item() == pytest.approx(expected)
    assert torch.equal(neck.figures(branches)['zero-shot'], neck.proj_o(branches[0]))


def test_prolip_needs_a_projection(monkeypatch):
    monkeypatch.setattr('safe_mm.poolings.vit.LastBlockPool.take_projection', no_projection)
    with pytest.raises(InputError, match='no linear projection'):
        ProLIPPool(CLIP)


def no_projection(self) -> nn.Linear:
    from safe_mm.poolings import Pooling

    return Pooling.take_projection(self)


def test_interpolation_is_the_mean_of_weights_before_and_after(tmp_path, shapes):
    """WiSE-FT: alpha 0 gives the start, 0.5 the mean of start and best weights."""
    method = next(m for m in METHODS if m.name == 'wise-head')
    found, trained, validated = {}, {}, {}
    for alpha in (0, 0.5, 1):
        hooks = f'[dict(type="safe_mm.FitHook", interpolate={alpha})]'
        file = write_config(method, tmp_path / str(alpha), shapes, f'custom_hooks = {hooks}')
        run_tool('train', file, *options('--work-dir', file.parent / 'run'))
        state = weights(next((file.parent / 'run').glob('best_fitted*.pth')))
        found[alpha] = state['head.weight']
        (best,) = (file.parent / 'run').glob('best_accuracy*.pth')
        trained[alpha] = weights(best)['head.weight']
        (log,) = file.parent.glob('run/*/vis_data/scalars.json')
        lines = [json.loads(line) for line in log.read_text().splitlines()]
        validated[alpha] = {line['accuracy/top1'] for line in lines if 'accuracy/top1' in line}
    assert len(validated[0]) == 1 and validated[0] != validated[1]  # what is saved is validated
    assert torch.equal(found[0], state['head.class_weights'])
    assert not torch.equal(found[0], found[1])
    torch.testing.assert_close(found[0.5], (found[0] + trained[0.5]) / 2)
    fails(
        'interpolate=2 should be between 0 and 1',
        'train',
        file,
        *options('--work-dir', tmp_path / 'bad', '--cfg-options', 'custom_hooks.0.interpolate=2'),
    )


def test_texts_are_drawn_once_each_in_new_orders():
    drawn = torch.cat([draw(step, 4, 6) for step in range(6)])
    epochs = drawn.view(4, 6)
    assert all(sorted(epoch) == list(range(6)) for epoch in epochs.tolist())
    assert len({tuple(epoch) for epoch in epochs.tolist()}) > 1
    assert torch.equal(draw(3, 4, 6), draw(3, 4, 6))


def test_half_a_batch_is_texts():
    head = CrossModalHead(CLIP, classes={'ant': ['an ant', 'one ant'], 'bee': ['a bee']})
    assert head.text_labels.tolist() == [0, 0, 1]
    features = torch.randn(2, head.weight.shape[1])
    images = [DataSample().set_gt_label(1), DataSample().set_gt_label(0)]
    picked = draw(0, 2, 3)
    loss = head.loss((features,), images)['loss']
    logits = head.scale * torch.cat([F.normalize(features, dim=-1), head.texts[picked]])
    target = torch.cat([torch.tensor([1, 0]), head.text_labels[picked]])
    torch.testing.assert_close(loss, F.cross_entropy(logits @ head.weight.T, target))
    assert head.step == 1


def test_cross_modal_starts_as_zero_shot_up_to_its_scale():
    head = CrossModalHead(CLIP, scale=54.598, classes=CLASSES)
    features = torch.randn(3, head.weight.shape[1])
    expected = head.text_logits(features) * (54.598 / head.logit_scale)
    torch.testing.assert_close(head.logits(features), expected)


def test_features_that_match_no_text():
    """A neck of the trunk's own features goes with a head that needs no text."""
    build = partial(CLIPClassifier, CLIP, neck=dict(type='safe_mm.MeanPool'), classes=CLASSES)
    with pytest.raises(InputError, match='TextClsHead compares features with texts, which those'):
        build(head=dict(type='safe_mm.TextClsHead'))
    head = build(head=dict(type='safe_mm.LinearProbeHead')).head
    head.fit(torch.randn(6, 8), torch.arange(6) % 3, torch.arange(6))
    assert head.logits(torch.randn(1, 8)).shape == (1, 3)
    with pytest.raises(InputError, match='fitted to features of 8 numbers, and these have 9'):
        head.logits(torch.randn(1, 9))
