"""The equations of Tip-Adapter's cache, and the search of its settings."""

import pytest
import torch
from torch.nn import functional as F

from safe_mm.errors import InputError
from safe_mm.methods import CacheHead, TextClsHead
from safe_mm.methods.tip_adapter import affinity, cache_keys, cache_logits
from safe_mm.models import CLIPClassifier
from safe_mm.pooled import Pooled
from safe_mm.search import fit, search, search_space, summary, tie_summary

from .conftest import TINY_VIT

CLIP = dict(model_name=TINY_VIT, pretrained=None)
NAMES = ('circle', 'square', 'star')


def random_cache(classes: int = 5, width: int = 16, shots: int = 4):
    """Features of a batch, keys, labels and class weights, in float64."""
    torch.manual_seed(0)
    f = F.normalize(torch.randn(7, width).double(), dim=-1)
    keys = F.normalize(torch.randn(classes * shots, width).double(), dim=-1)
    labels = torch.arange(classes).repeat(shots)
    w = F.normalize(torch.randn(classes, width).double(), dim=-1)
    return f, keys, labels, w


def build(
    class_weights: torch.Tensor,
    logit_scale: float = 100,
    neck: str = 'BlendedAttentionPool',
    **head,
) -> CLIPClassifier:
    """A classifier in float64 whose texts are the given features."""
    model = (
        CLIPClassifier(
            clip=CLIP,
            neck=dict(type=f'safe_mm.{neck}'),
            head=dict(type='safe_mm.CacheHead', **head),
            classes=list('abcdefgh')[: len(class_weights)],
        )
        .double()
        .eval()
    )
    model.head.class_weights.copy_(class_weights)
    model.head.logit_scale.fill_(logit_scale)
    return model


def pooled(branches: list, labels: torch.Tensor) -> Pooled:
    """Features of images with one view each."""
    return Pooled(torch.stack(branches), labels, torch.arange(len(labels)))


def test_equations_in_float64():
    """Eq. 8-10 term by term, and the arithmetic that Tip-Adapter published."""
    f, keys, labels, w = random_cache()
    alpha, gamma = 1.7, 3.2
    one_hot = F.one_hot(labels).double()
    expected = torch.zeros(7, 5).double()
    for b in range(7):
        for j, key in enumerate(keys):
            phi = torch.exp(-gamma * (1 - f[b].dot(key)))
            expected[b] += alpha * phi * one_hot[j]
    expected += 100 * f @ w.T
    ours = alpha * cache_logits(affinity(3 * f, keys), labels, 5, gamma) + 100 * f @ w.T
    torch.testing.assert_close(ours, expected, rtol=1e-12, atol=1e-12)

    their_beta, near = gamma, f @ keys.T
    published = ((-1) * (their_beta - their_beta * near)).exp() @ one_hot
    torch.testing.assert_close(ours, 100.0 * f @ w.T + published * alpha, rtol=1e-12, atol=1e-12)


def test_the_head_computes_the_equations():
    f, keys, labels, w = random_cache(width=64)
    head = build(w, alpha=1.7, gamma=3.2).head
    head.fit(keys, labels, torch.arange(20))
    head.finished.fill_(True)
    expected = 100 * f @ w.T + 1.7 * (
        torch.exp(-3.2 * (1 - f @ keys.T)) @ F.one_hot(labels).double()
    )
    torch.testing.assert_close(head((3 * f,)), expected, rtol=1e-6, atol=0)


def test_gradients_in_float64():
    f, keys, labels, _ = random_cache()
    assert torch.autograd.gradcheck(
        lambda f, keys: cache_logits(affinity(f, keys), labels, 5, 3.0),
        (f.requires_grad_(), keys.requires_grad_()),
    )


def test_keys_are_means_of_views():
    views = torch.tensor([[2.0, 0], [0, 4], [0, 0], [6, 8]])
    keys = cache_keys(views, torch.tensor([0, 1, 0, 1]))
    torch.testing.assert_close(keys, torch.tensor([[1.0, 0], [3 / 45**0.5, 6 / 45**0.5]]))


def test_without_weight_it_is_safe():
    """With alpha 0, and with an empty cache, logits are SAFE's."""
    head = CacheHead(CLIP, alpha=0, classes=NAMES)
    safe = TextClsHead(CLIP, classes=NAMES)
    feats = (torch.randn(4, safe.class_weights.shape[1]),)
    with pytest.raises(InputError, match='CacheHead has not been fitted'):
        head(feats)
    head.in_training = True
    assert torch.equal(head(feats), safe(feats))
    head.in_training = False
    width = head.keys.shape[1]
    head.fit(torch.randn(6, width), torch.arange(6) % 3, torch.arange(6))
    head.finished.fill_(True)
    assert torch.equal(head(feats), safe(feats))
    head.choose('alpha', 2.0)
    assert not torch.allclose(head(feats), safe(feats), atol=0.01)
    again = CacheHead(CLIP)
    again.load_state_dict(head.state_dict())
    assert torch.equal(again(feats), head(feats))


@pytest.mark.parametrize('wrong', [dict(alpha=-1), dict(gamma=0), dict(gamma=-1)])
def test_bad_hyperparameters(wrong):
    with pytest.raises(InputError, match='CacheHead: [a-z]+='):
        CacheHead(CLIP, **wrong)


@pytest.mark.parametrize('beta', [0.5, None])
def test_search_finds_what_was_planted(beta):
    """Keys tell the classes where texts do not, and only for one beta."""
    _, keys, labels, w = random_cache(width=64)
    noise = torch.randn(20, 64).double()
    target = keys + 0.02 * noise
    # The blend is the target for beta 0.5; other betas add noise
    validation = pooled([2 * noise, target - noise], labels)
    training = pooled([torch.zeros_like(keys), keys], labels)
    space = dict(alpha=[0, 200.0], gamma=[5.0, 0.001])
    chosen = dict(alpha=200.0, gamma=5.0)
    if beta is None:
        space['beta'], chosen['beta'] = [0, 0.5, 1], 0.5
    model = build(w)
    fit(model, training)
    choice = search(model, search_space(model, space), validation, training)
    assert choice.accuracy.max() == 100
    assert choice.chosen == chosen
    assert [choice.tried[n] for n in choice.tried] == [
        space[n] for n in ('beta', 'alpha', 'gamma') if n in space
    ]
    assert choice.accuracy.shape == tuple(map(len, choice.tried.values()))
    # The model has the choice, and its keys are of it
    assert (model.head.alpha, model.head.gamma) == (200.0, 5.0)
    assert model.neck.beta == 0.5
    torch.testing.assert_close(model.head.keys, keys)
    # The table says what a direct evaluation says
    logits = 100 * F.normalize(target, dim=-1) @ w.T
    index = (1, 0, 0) if beta is None else (0, 0)
    assert choice.accuracy[index] == pytest.approx(
        100 * (logits.argmax(-1) == labels).double().mean().item()
    )


def test_ties_go_to_the_least_loss_and_are_told():
    _, keys, labels, w = random_cache(width=64)
    features = pooled([keys], labels)  # found by any positive alpha
    space = dict(alpha=[2.0, 20.0, 10.0], gamma=[20.0])
    model = build(w, 1, 'CLIPPool')
    fit(model, features)
    choice = search(model, space, features)
    assert choice.chosen['alpha'] == 20.0 and choice.accuracy.min() == 100
    assert choice.ties == (
        '3 of 3 settings are best on 20 validation images, 3 within one image of it'
    )
    text = ' '.join(summary(choice))
    assert 'The largest alpha was chosen' in text and choice.ties in text


def test_near_ties_are_counted():
    accuracy = torch.tensor([50.0, 40, 60, 50, 60])
    assert tie_summary(accuracy, 10) == (
        '2 of 5 settings are best on 10 validation images, 4 within one image of it'
    )


@pytest.mark.parametrize(
    'space',
    [
        None,
        dict(),
        dict(alpha=[1]),
        dict(alpha=[], gamma=[1]),
        dict(alpha=1, gamma=[1]),
        dict(alpha=[-1], gamma=[1]),
        dict(alpha=[1], gamma=[1], delta=[1]),
        dict(alpha=[1], gamma=[1], beta=[-1]),
        dict(alpha=[1], gamma=[1], beta=['x']),
    ],
)
@pytest.mark.parametrize('neck', ['BlendedAttentionPool', 'CLIPPool'])
def test_bad_search_space(space, neck):
    with pytest.raises(InputError, match=r'search[.=]'):
        search_space(build(torch.empty(2, 64), neck=neck), space)


def test_values_of_what_a_model_lacks_are_not_tried():
    """One search serves all methods."""
    space = dict(beta=[1], alpha=[1], gamma=[1])
    model = build(torch.empty(2, 64), neck='CLIPPool')
    assert list(search_space(model, space)) == ['alpha', 'gamma']
    trained = build(torch.empty(2, 64), train_keys=True)
    assert list(search_space(trained, space)) == ['alpha', 'gamma']


def test_cache_of_a_blend_is_of_the_blend():
    """The head behind SAFE's neck gets F_blend, as Eq. 9 asks for."""
    original, tuned = torch.randn(2, 3, 64).double()
    model = build(torch.empty(3, 64))
    model.neck.beta.fill_(0.7)
    fit(model, pooled([original, tuned], torch.arange(3)))
    torch.testing.assert_close(
        model.head.keys, F.normalize(0.7 * original + tuned, dim=-1), rtol=1e-6, atol=1e-6
    )
