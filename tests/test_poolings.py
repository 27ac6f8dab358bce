"""Every pooling against the tower of open_clip that it was split from."""

import copy

import open_clip
import pytest
import torch
from torch.nn import functional as F

from safe_mm.clip import SplitCLIP
from safe_mm.clip.split import split_visual
from safe_mm.errors import InputError
from safe_mm.methods import CALIPPool
from safe_mm.poolings import POOLINGS, AttentionPool, LastBlockPool, Pooling
from safe_mm.registry import MODELS

from .towers import OPEN_CLIP, VISION, WIDE, make_tower

CASES = [
    (name, wide)
    for name in [*OPEN_CLIP, *VISION]
    for wide in (False, True)
    if not wide or name in WIDE
]


@pytest.fixture(scope='module', params=CASES, ids=lambda case: f'{case[0]}{" wide" * case[1]}')
def tower(request, tmp_path_factory):
    return make_tower(*request.param, tmp_path_factory.mktemp('tower'))


@pytest.fixture(scope='module')
def split(tower):
    return SplitCLIP(**tower.clip)


@pytest.fixture(scope='module')
def dense(tower, split):
    with torch.no_grad():
        return split.trunk(tower.images())


def relative(a: torch.Tensor, b: torch.Tensor) -> float:
    return ((a - b).abs().max() / b.abs().max()).item()


def test_parts_equal_encode_image(tower, split, dense):
    with torch.no_grad():
        expected = tower.reference.encode_image(tower.images(), normalize=False)
        pooled = split.pool(dense)
    assert pooled.shape == expected.shape == (2, split.embed_dim)
    assert relative(pooled, expected) < 1e-5
    # Images differ by more than what is tolerated
    assert relative(expected[:1], expected[1:]) > 1e-3


def test_gradients_equal_autograd(tower):
    """In double precision, for every parameter of the pooling layer."""
    reference = copy.deepcopy(tower.reference).double().requires_grad_(False)
    own = copy.deepcopy(reference)
    names = {id(p): n for n, p in own.visual.named_parameters()}
    trunk, pool = split_visual(own.visual, 'test')
    theirs = {
        name: reference.visual.get_parameter(names[id(parameter)])
        for name, parameter in pool.named_parameters()
    }
    images = tower.images().double()
    target = torch.randn(2, len(pool(trunk(images))[0])).double()
    for name, parameter in pool.named_parameters():
        parameter.requires_grad_(name not in pool.without_effect)
        theirs[name].requires_grad_()
    (pool(trunk(images)) * target).sum().backward()
    encoded = reference.encode_image(images, normalize=False)
    (encoded * target).sum().backward()
    scale = max(p.grad.abs().max() for p in theirs.values())
    for name, parameter in pool.named_parameters():
        if name in pool.without_effect:
            assert theirs[name].grad.abs().max() < 1e-12 * scale
            continue
        difference = (parameter.grad - theirs[name].grad).abs().max()
        assert difference < 1e-10 * scale, name


def attention_of_open_clip(tower, monkeypatch) -> torch.Tensor:
    """Of the first query in the last attention, shape (B, H, L)."""
    calls = []
    attend = F.scaled_dot_product_attention

    def spy(query, key, *args, **kwargs):
        calls.append((query, key))
        return attend(query, key, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(F, 'scaled_dot_product_attention', spy)
        tower.reference.visual(tower.images())
    query, key = calls[-1]
    scores = query[:, :, 0:1] @ key.transpose(-2, -1)
    return (scores * query.shape[-1] ** -0.5).softmax(-1)[:, :, 0].detach()


def test_attention_is_open_clips(tower, split, dense, monkeypatch):
    expected = attention_of_open_clip(tower, monkeypatch)
    with torch.no_grad():
        weights = split.pool.attend(dense)[0]
        on_grid = split.pool.attention(dense)
    h, w = tower.grid
    assert on_grid.shape[-2:] == (h, w) == split.pool.grid(dense)
    assert weights.shape[-1] == tower.leading + h * w
    torch.testing.assert_close(weights, expected, rtol=1e-4, atol=1e-7)
    torch.testing.assert_close(
        on_grid, expected[..., tower.leading :].unflatten(-1, (h, w)), rtol=1e-4, atol=1e-7
    )
    assert on_grid.min() >= 0
    elsewhere = weights[..., : tower.leading].sum(-1)
    torch.testing.assert_close(on_grid.sum((-2, -1)) + elsewhere, torch.ones(on_grid.shape[:2]))
    assert on_grid.flatten(2).std(-1).min() > 0  # not the same everywhere


def test_attention_map(tower, split, dense):
    with torch.no_grad():
        on_grid = split.pool.attention(dense)
        spread = split.pool.attention_map(dense)
    assert spread.shape == (2, *tower.grid)
    torch.testing.assert_close(spread.sum((1, 2)), torch.ones(2))
    mean = on_grid.mean(1)
    torch.testing.assert_close(spread / spread.amax((1, 2), True), mean / mean.amax((1, 2), True))


def test_patch_features(tower, split, dense):
    """In the order of the attention: a patch's features, row by row."""
    features, (h, w) = split.pool.patch_features(dense), tower.grid
    assert features.shape == (2, h * w, split.pool.width)
    if dense.dim() == 4:
        assert torch.equal(features[:, w + 2], dense[:, :, 1, 2])
    else:
        assert torch.equal(features, dense[:, -h * w :])


def positions_of_open_clip(tower, monkeypatch) -> torch.Tensor:
    """What open_clip's tower computes of all tokens and drops, shape (B, h*w, embed_dim)."""
    visual, kept = tower.reference.visual, []
    if hasattr(visual, 'attnpool'):
        forward = F.multi_head_attention_forward

        def spy(*args, **kwargs):
            kept.append(forward(*args, **kwargs))
            return kept[-1]

        with monkeypatch.context() as patch:
            patch.setattr(F, 'multi_head_attention_forward', spy)
            visual(tower.images())
        return kept[0][0][1:].transpose(0, 1)
    handle = visual.ln_post.register_forward_hook(lambda *args: kept.append(args[-1]))
    visual(tower.images())
    handle.remove()
    return kept[0][:, 1:] @ visual.proj


@torch.no_grad()
def test_positions_are_open_clips(tower, split, dense, monkeypatch):
    if not split.pool.gives_positions:
        assert type(split.pool) not in (AttentionPool, LastBlockPool)
        with pytest.raises(InputError, match=f'{type(split.pool).__name__} gives no features of'):
            CALIPPool(split)
        return
    found, (h, w) = split.pool.positions(dense), tower.grid
    assert found.shape == (2, h * w, split.embed_dim)
    assert relative(found, positions_of_open_clip(tower, monkeypatch)) < 1e-5
    # Positions differ by more than what is tolerated
    assert relative(found[:, :1], found[:, 1:2]) > 1e-4


def test_classifier_starts_as_zero_shot(tower):
    """Its logits are those of open_clip; SigLIP's with their bias."""
    model, reference = (
        MODELS.build(
            dict(
                type='safe_mm.CLIPClassifier',
                clip=tower.clip,
                neck=dict(type='safe_mm.BlendedAttentionPool', beta=0.7),
                head=dict(type='safe_mm.TextClsHead'),
                classes=['cat', 'red dog'],
            )
        ).eval(),
        tower.reference,
    )
    tokens = open_clip.tokenize(
        ['a photo of a cat.', 'a photo of a red dog.'],
        context_length=76 if hasattr(reference, 'text_decoder') else 77,
    )
    with torch.no_grad():
        expected = (
            reference.logit_scale.exp()
            * reference.encode_image(tower.images(), normalize=True)
            @ reference.encode_text(tokens, normalize=True).T
        )
        if reference.logit_bias is not None:
            expected += reference.logit_bias
        logits = model(tower.images())
    torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-4)
    biased = 'head.logit_bias' in model.state_dict()
    assert biased == (reference.logit_bias is not None)


def test_projection_is_taken_off(tower, dense):
    """Pooling, then the projection, as before; refused where the last layer is not linear."""
    split, untouched = SplitCLIP(**tower.clip), SplitCLIP(**tower.clip)
    inherited = type(split.pool).take_projection is Pooling.take_projection
    if inherited or len(getattr(split.pool, 'head', ())):
        with pytest.raises(InputError, match='ends in no linear projection'):
            split.pool.take_projection()
        return
    projection = split.pool.take_projection()
    with torch.no_grad():
        torch.testing.assert_close(projection(split.pool(dense)), untouched.pool(dense))


@pytest.mark.parametrize('tune', [False, True])
def test_projection_stays_frozen(tower, split, tune):
    """Unless it is to be tuned: then all but what has no effect is."""
    pool = split.pool
    frozen = pool.without_effect + (() if tune else pool.projection)
    expected = {name: not name.startswith(tuple(frozen)) for name, _ in pool.named_parameters()}
    neck = MODELS.build(
        dict(type='safe_mm.BlendedAttentionPool', clip=tower.clip, tune_projection=tune)
    )
    assert {
        name: parameter.requires_grad for name, parameter in neck.attn_pool_f.named_parameters()
    } == expected
    assert not any(p.requires_grad for p in neck.attn_pool_o.parameters())


@pytest.mark.parametrize('name', ['convnext_base', 'ViT-L-14-CLIPA', 'EVA02-B-16'])
def test_other_poolings_are_refused(name, monkeypatch):
    cfg = open_clip.get_model_config(name)
    vision, shallow = cfg['vision_cfg'], dict(layers=1)
    if 'timm_model_name' in vision:
        monkeypatch.setattr('timm.create_model', _lean(vision))
        shallow = {}
    visual = open_clip.model._build_vision_tower(cfg['embed_dim'], dict(vision, **shallow))
    modules = [key for key, _ in visual.named_modules()]
    with pytest.raises(InputError) as error:
        split_visual(visual, name)
    assert name in str(error.value)
    for kind in POOLINGS:
        assert kind.supports in str(error.value)
    assert modules == [key for key, _ in visual.named_modules()]


def _lean(vision: dict):
    """Makes timm build fewer layers."""
    import timm

    create = timm.create_model
    convnext = 'convnext' in vision['timm_model_name']
    fewer = dict(depths=(1,) * 4) if convnext else dict(depth=1)
    return lambda *args, **kwargs: create(*args, **kwargs, **fewer)
