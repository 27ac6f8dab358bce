"""The equations of Tip-Adapter's cache, and the search of its settings."""
import pytest
import torch
from torch.nn import functional as F

from safe_mm.models import CacheHead, TextClsHead
from safe_mm.models.cache_head import affinity, cache_keys, cache_logits
from safe_mm.models.neck import blend
from safe_mm.pooled import Pooled
from safe_mm.search import check_space, flatness, report, search

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
    ours = alpha * cache_logits(affinity(3 * f, keys), labels, 5,
                                gamma) + 100 * f @ w.T
    torch.testing.assert_close(ours, expected, rtol=1e-12, atol=1e-12)

    their_beta, near = gamma, f @ keys.T
    published = ((-1) * (their_beta - their_beta * near)).exp() @ one_hot
    torch.testing.assert_close(
        ours, 100. * f @ w.T + published * alpha, rtol=1e-12, atol=1e-12)


def test_gradients_in_float64():
    f, keys, labels, _ = random_cache()
    assert torch.autograd.gradcheck(
        lambda f, keys: cache_logits(affinity(f, keys), labels, 5, 3.),
        (f.requires_grad_(), keys.requires_grad_()))


def test_keys_are_means_of_views():
    views = torch.tensor([[2., 0], [0, 4], [0, 0], [6, 8]])
    keys = cache_keys(views, torch.tensor([0, 1, 0, 1]))
    torch.testing.assert_close(
        keys, torch.tensor([[1., 0], [3 / 45**0.5, 6 / 45**0.5]]))


def test_without_weight_it_is_safe():
    """With alpha 0, and with an empty cache, logits are SAFE's."""
    head = CacheHead(CLIP, alpha=0, classes=NAMES)
    safe = TextClsHead(CLIP, classes=NAMES)
    feats = (torch.randn(4, safe.class_weights.shape[1]), )
    assert torch.equal(head(feats), safe(feats))
    width = head.keys.shape[1]
    head.set_cache(F.normalize(torch.randn(6, width), dim=-1),
                   torch.arange(6) % 3)
    assert torch.equal(head(feats), safe(feats))
    head.alpha.fill_(2.)
    assert not torch.allclose(head(feats), safe(feats), atol=0.01)
    again = CacheHead(CLIP)
    again.load_state_dict(head.state_dict())
    assert torch.equal(again(feats), head(feats))


@pytest.mark.parametrize('beta', [0.5, None])
def test_search_finds_what_was_planted(beta):
    """Keys tell the classes where texts do not, and only for one beta."""
    f, keys, labels, w = random_cache(width=64)
    noise = torch.randn(20, 64).double()
    target = keys + 0.02 * noise
    # blend(o, f, 0.5) is the target; other betas add noise
    validation = Pooled([2 * noise, target - noise], labels)
    torch.testing.assert_close(validation.merged(0.5), target)
    space = dict(alpha=[0, 200.], gamma=[5., 0.001])
    if beta is None:
        space['beta'] = [0, 0.5, 1]
    choice = search(space, lambda beta: keys, labels, validation, w,
                    torch.tensor(100.).double(), 0.5)
    assert choice.accuracy.max() == 100
    assert (choice.alpha, choice.gamma) == (200., 5.)
    assert choice.beta == (0.5 if beta is None else None)
    assert choice.accuracy.shape == (3 if beta is None else 1, 2, 2)
    # The table says what a direct evaluation says
    logits = 100 * F.normalize(target, dim=-1) @ w.T
    index = 1 if beta is None else 0
    assert choice.accuracy[index, 0, 0] == pytest.approx(
        100 * (logits.argmax(-1) == labels).double().mean().item())


def test_ties_go_to_the_least_loss_and_are_told():
    f, keys, labels, w = random_cache()
    validation = Pooled([keys], labels)  # found by any positive alpha
    space = dict(alpha=[2., 20., 10.], gamma=[20.])
    choice = search(space, lambda beta: keys, labels, validation, w,
                    torch.tensor(1.).double(), 0.)
    assert choice.alpha == 20. and choice.accuracy.min() == 100
    assert choice.flatness == (
        '3 of 3 settings are best on 20 validation images, 3 within one image '
        'of it')
    assert 'The largest alpha won' in ' '.join(report(choice, space))


def test_without_a_cache_gamma_does_not_count():
    accuracy = torch.tensor([[[50., 50, 50], [60, 50, 60]]])
    assert flatness(accuracy, [0, 1], 10).startswith('2 of 4 settings')


@pytest.mark.parametrize('space', [
    None, dict(), dict(alpha=[1]), dict(alpha=[], gamma=[1]),
    dict(alpha=1, gamma=[1]), dict(alpha=[-1], gamma=[1]),
    dict(alpha=[1], gamma=[1], delta=[1]),
    dict(alpha=[1], gamma=[1], beta=[-1]),
    dict(alpha=[1], gamma=[1], beta=['x'])
])
def test_bad_search_space(space):
    with pytest.raises(ValueError, match='search'):
        check_space(space)


def test_cache_of_a_blend_is_of_the_blend():
    """The head behind SAFE's neck gets F_blend, as Eq. 9 asks for."""
    pooled = Pooled([torch.randn(3, 4), torch.randn(3, 4)], torch.arange(3))
    expected = F.normalize(0.7 * pooled.poolings[0] + pooled.poolings[1],
                           dim=-1)
    keys = cache_keys(pooled.merged(0.7), torch.arange(3))
    torch.testing.assert_close(keys, expected)
    torch.testing.assert_close(pooled.merged(0.7), blend(*pooled.poolings,
                                                         0.7))
