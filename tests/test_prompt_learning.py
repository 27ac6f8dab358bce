"""Prompt learning and the text encoder, against open_clip's own and literal equations."""

import open_clip
import pytest
import torch
from mmpretrain.structures import DataSample
from torch.nn import functional as F

from safe_mm.clip import SplitCLIP
from safe_mm.errors import InputError
from safe_mm.methods.cocoop import CoCoOpHead
from safe_mm.methods.coop import CoOpHead, assemble, find_slots, word_ids
from safe_mm.methods.prograd import ProGradHead, divergence, project
from safe_mm.methods.text_tower import TextTowerHead
from safe_mm.models.text_encoder import TextEncoder

from .conftest import TINY_RN, TINY_VIT

CLASSES = ['ant', 'red_bee', 'cow']
CLIP = dict(model_name=TINY_VIT, pretrained=None)


@pytest.fixture(scope='module')
def clip():
    return SplitCLIP(**CLIP)


def samples_of(labels):
    return [DataSample().set_gt_label(label) for label in labels]


def literal_features(clip, tokens, embeddings):
    """CLIP's text tower from token embeddings, step by step as published."""
    text = clip.text
    x = embeddings + text.positional_embedding
    for block in text.transformer.resblocks:
        normed = block.ln_1(x)
        attended, _ = block.attn(normed, normed, normed, attn_mask=text.attn_mask)
        x = x + attended
        x = x + block.mlp(block.ln_2(x))
    x = text.ln_final(x)
    ends = tokens.argmax(-1)
    return F.normalize(x[torch.arange(len(x)), ends] @ text.text_projection, dim=-1)


@pytest.mark.parametrize('model', [TINY_RN, 'creatures-rn', 'ViT-B-16-SigLIP', 'coca_ViT-B-32'])
def test_shorter_context_changes_nothing(model, request):
    """In float64, and its gradient with respect to the embeddings."""
    if model.startswith(('ViT', 'coca')):
        model = request.getfixturevalue('shallow')(model)
    clip = SplitCLIP(model, None)
    clip.text.double()
    encoder = TextEncoder(clip)
    if 'SigLIP' in model:  # whose own tokenizer is a download
        clip.tokenize = open_clip.SimpleTokenizer(context_length=64)
    tokens = clip.tokenize(['a cat.', 'a photo of a bird'])
    expected = clip.text.encode_text(tokens, normalize=True)
    torch.testing.assert_close(encoder.encode(tokens), expected)
    embeddings = encoder.embed(tokens).detach().requires_grad_()
    found = encoder.encode(tokens, 1.5 * embeddings)
    whole = encoder(tokens, 1.5 * embeddings)
    torch.testing.assert_close(found, whole)
    assert not torch.allclose(found, expected)
    weight = torch.randn_like(found)
    (one,) = torch.autograd.grad((weight * found).sum(), embeddings)
    (two,) = torch.autograd.grad((weight * whole).sum(), embeddings)
    torch.testing.assert_close(one, two)


def test_encode_computes_only_the_positions_in_use(clip):
    encoder, lengths = TextEncoder(clip), []
    handle = encoder._tower.embedding.register_forward_hook(
        lambda m, x, out: lengths.append(x[0].shape)
    )
    encoder.encode(clip.tokenize(['a cat.']))
    handle.remove()
    assert lengths == [(1, 5)]


def literal_prompts(clip, length, context, position):
    """[start] v v v name . [end], token by token, and the positions of [end]."""
    table = clip.text.token_embedding.weight
    start, end = (int(x) for x in clip.tokenize(['']).unique()[-2:])
    prompts, lengths = [], []
    for n, name in enumerate(CLASSES):
        ids = [table[i][None] for i in word_ids(clip, name.replace('_', ' '))]
        own = context[n] if context.dim() == 3 else context
        before = dict(end=3, middle=1, front=0)[position]
        point = table[word_ids(clip, '.')]
        rows = [table[start][None], own[:before], *ids, own[before:], point, table[end][None]]
        prompt = torch.cat(rows)
        lengths.append(len(prompt))
        prompts.append(torch.cat([prompt, table[0].expand(length - len(prompt), -1)]))
    return torch.stack(prompts), lengths


PLACES = pytest.mark.parametrize('position', ['end', 'middle', 'front'])
SHARED = pytest.mark.parametrize('specific', [False, True])


@PLACES
@SHARED
def test_prompts_equal_hand_built_embeddings(clip, position, specific):
    """With names of one and two tokens."""
    head = CoOpHead(CLIP, 3, position=position, class_specific=specific, classes=CLASSES)
    expected, lengths = literal_prompts(clip, head.tokens.shape[1], head.context, position)
    torch.testing.assert_close(head.embeddings(head.context), expected)
    assert head.tokens.argmax(-1).tolist() == [length - 1 for length in lengths]
    assert all((head.tokens[n, length:] == 0).all() for n, length in enumerate(lengths))


def test_context_starts_as_told(clip):
    words = clip.text.token_embedding(word_ids(clip, 'a photo of a'))
    assert len(words) == 4
    torch.testing.assert_close(CoOpHead(CLIP, None, 'a photo of a', classes=CLASSES).context, words)
    padded = CoOpHead(CLIP, 6, 'a photo of a', classes=CLASSES).context
    torch.testing.assert_close(padded, F.pad(words, (0, 0, 2, 0)))
    drawn = CoOpHead(CLIP, 64, classes=CLASSES).context
    assert drawn.std().item() == pytest.approx(0.02, rel=0.1)
    assert torch.equal(drawn, CoOpHead(CLIP, 64, classes=CLASSES).context)


def test_prompt_of_words_is_the_sentence(clip):
    """CoOp that starts from words gives the text features of the sentences."""
    head = CoOpHead(CLIP, None, 'a photo of a', classes=CLASSES).eval()
    sentences = ['a photo of a ant.', 'a photo of a red bee.', 'a photo of a cow.']
    torch.testing.assert_close(head.current_weights(), clip.encode_text(sentences))


@PLACES
@SHARED
def test_coop_gradient_equals_a_literal_evaluation(clip, position, specific):
    """Cross-entropy of 100 f t^T in float64, with the published text tower."""
    head = CoOpHead(CLIP, 3, position=position, class_specific=specific, classes=CLASSES).double()
    features, data = torch.randn(5, clip.embed_dim, dtype=torch.float64), [0, 1, 2, 1, 0]
    loss = head.loss((features,), samples_of(data))['loss']
    (found,) = torch.autograd.grad(loss, head.context)
    context = head.context.detach().clone().requires_grad_()
    reference = SplitCLIP(**CLIP)
    reference.text.double()
    prompts, _ = literal_prompts(reference, head.tokens.shape[1], context, position)
    texts = literal_features(reference, head.tokens, prompts)
    logits = clip.logit_scale * F.normalize(features, dim=-1) @ texts.T
    expected = F.cross_entropy(logits, torch.tensor(data))
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(found, torch.autograd.grad(expected, context)[0])


def test_cocoop_equals_an_image_at_a_time(clip):
    """Prompts v + pi(f) of each image, and their gradient."""
    head = CoCoOpHead(CLIP, classes=CLASSES).double()
    features = torch.randn(4, clip.embed_dim, dtype=torch.float64)
    reference = SplitCLIP(**CLIP)
    reference.text.double()
    rows = []
    for unit in F.normalize(features, dim=-1):
        first, _, second = head.meta_net
        hidden = torch.relu(first.weight @ unit + first.bias)
        own = head.context + second.weight @ hidden + second.bias
        embeddings = assemble(reference.text.token_embedding(head.tokens), own, head.slots)
        texts = literal_features(reference, head.tokens, embeddings)
        rows.append(clip.logit_scale * texts @ unit)
    found, expected = head.logits(features), torch.stack(rows)
    torch.testing.assert_close(found, expected)
    trained = [head.context, *head.meta_net.parameters()]
    for one, two in zip(
        torch.autograd.grad(found.square().sum(), trained),
        torch.autograd.grad(expected.square().sum(), trained),
    ):
        torch.testing.assert_close(one, two)
    weights = dict(head.named_parameters())
    assert weights['meta_net.0.weight'].shape == (clip.embed_dim // 16, clip.embed_dim)


def test_cocoop_splits_large_batches(clip, monkeypatch):
    head = CoCoOpHead(CLIP, classes=CLASSES).eval()
    features = torch.randn(5, clip.embed_dim)
    whole = head.logits(features)
    monkeypatch.setattr('safe_mm.methods.cocoop.PROMPTS_PER_BATCH', 6)
    torch.testing.assert_close(head.logits(features), whole)


def test_prograd_projects_made_up_gradients():
    """Along h nothing is left of what opposes it; agreeing gradients stay."""
    h = torch.tensor([2.0, 0.0])
    assert torch.equal(project(torch.tensor([1.0, 3.0]), h), torch.tensor([1.0, 3.0]))
    assert torch.equal(project(torch.tensor([-1.0, 3.0]), h), torch.tensor([0.0, 3.0]))
    torch.testing.assert_close(
        project(torch.tensor([-1.0, 3.0]), h, 0.8), torch.tensor([-0.2, 3.0])
    )
    assert torch.equal(project(torch.tensor([0.0, 3.0]), 0 * h), torch.tensor([0.0, 3.0]))


def test_divergence_is_from_teacher_to_student():
    teacher, student = torch.randn(2, 4, 3, dtype=torch.float64)
    p, q = teacher.softmax(-1), student.softmax(-1)
    expected = (p * (p / q).log()).sum(-1).mean()
    torch.testing.assert_close(divergence(student, teacher), expected)


@pytest.mark.parametrize('strength', [0, 1])
def test_prograd_steps_along_the_projected_gradient(clip, strength):
    """Its loss is CoOp's; with strength 0 so is its gradient."""
    options = dict(num_tokens=3, init='a photo', classes=CLASSES)
    head = ProGradHead(CLIP, strength, **options).double()
    coop = CoOpHead(CLIP, **options).double()
    torch.manual_seed(0)
    features = torch.randn(6, clip.embed_dim, dtype=torch.float64)
    excess = coop.logits(features).softmax(-1) - coop.text_logits(features).softmax(-1)
    projected = []
    for labels in (excess.argmax(-1).tolist(), excess.argmin(-1).tolist()):
        data = samples_of(labels)
        plain, loss = coop.loss((features,), data)['loss'], head.loss((features,), data)['loss']
        torch.testing.assert_close(plain, loss)
        (g,) = torch.autograd.grad(plain, coop.context)
        p, q = (x.softmax(-1) for x in (coop.text_logits(features), coop.logits(features)))
        (h,) = torch.autograd.grad((p * (p / q).log()).sum(-1).mean(), coop.context)
        opposed = (g * h).sum().clamp(max=0) / h.square().sum()
        (3 * loss).backward()
        torch.testing.assert_close(head.context.grad / 3, g - strength * opposed * h)
        projected.append(not torch.allclose(head.context.grad / 3, g))
        head.context.grad = None
    assert projected == [strength == 1, False]  # against the teacher, and with it


def test_prograd_leaves_other_gradients_alone(clip):
    """Those of a pooling layer that is trained with it are of the cross-entropy."""
    options = dict(num_tokens=3, init='a photo', classes=CLASSES)
    heads = ProGradHead(CLIP, 1, **options), CoOpHead(CLIP, **options)
    features = torch.randn(4, clip.embed_dim, requires_grad=True)
    losses = [head.loss((features,), samples_of([0, 1, 2, 0]))['loss'] for head in heads]
    own, plain = (torch.autograd.grad(loss, features)[0] for loss in losses)
    assert plain.abs().max() > 0
    torch.testing.assert_close(own, plain)


def test_weights_of_a_trained_tower_follow_its_parameters(clip):
    """In eval mode they are computed once for the same parameters."""
    head, calls = TextTowerHead(CLIP, classes=CLASSES).eval(), []
    head.text.register_forward_hook(lambda *_: calls.append(1))
    torch.testing.assert_close(head.current_weights(), head.class_weights)
    first = head.current_weights()
    assert len(calls) == 1
    with torch.no_grad():
        head.text.clip.text_projection.mul_(torch.rand_like(head.text.clip.text_projection))
    assert not torch.allclose(head.current_weights(), first)
    assert len(calls) == 2
    frozen = CoOpHead(CLIP, classes=CLASSES).requires_grad_(False).eval()
    first = frozen.current_weights()
    frozen.load_state_dict(dict(frozen.state_dict(), context=torch.ones_like(frozen.context)))
    assert not torch.allclose(frozen.current_weights(), first)
    assert frozen.double().current_weights().dtype == torch.float64


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(position='left'), 'should be one of'),
        (dict(num_tokens=0), 'should be at least 1'),
        (dict(num_tokens=None), 'should be at least 1'),
        (dict(num_tokens=-1), 'should be at least 1'),
        (dict(num_tokens=2, init='a photo of a'), 'has 4 tokens'),
        (dict(num_tokens=73), 'the class .red bee. and 73 context vectors do not fit'),
    ],
)
def test_wrong_options_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        CoOpHead(CLIP, classes=CLASSES, **options)


def test_a_prompt_that_fits_is_not_refused(clip):
    """Start, context, name of one token, period and end fill 77 tokens."""
    tokens, slots = find_slots(clip, ['ant'], 73, 'end')
    assert slots.max() == 72
    assert (tokens != 0).all()


def test_classes_are_needed():
    with pytest.raises(InputError, match='CoOpHead has no classes'):
        CoOpHead(CLIP).eval().logits(torch.randn(1, 64))
