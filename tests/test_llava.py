"""The last vision layer of a LLaVA, with random weights."""

from argparse import ArgumentParser

import pytest
import torch

from safe_mm.config import load_config
from safe_mm.deploy.llava import last_read_layer, train_last_layer, write_last_layer
from safe_mm.deploy.stock import hugging_face_clip
from safe_mm.deploy.trained import Trained
from safe_mm.errors import InputError
from safe_mm.options import add_common_options
from safe_mm.registry import MODELS

from .methods import METHODS, VIT, write_config

transformers = pytest.importorskip('transformers')
VOCABULARY, IMAGE = 64, 63


def make_llava(read=-2, side=112, width=192, layers=6, heads=6):
    """A LLaVA whose vision tower has the architecture of creatures-vit."""
    torch.manual_seed(0)
    vision = transformers.CLIPVisionConfig(
        hidden_size=width,
        intermediate_size=4 * width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        image_size=side,
        patch_size=16,
        projection_dim=16,
        hidden_act='gelu',
    )
    text = transformers.LlamaConfig(
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        vocab_size=VOCABULARY,
        bos_token_id=1,
        eos_token_id=2,
    )
    config = transformers.LlavaConfig(
        vision_config=vision, text_config=text, image_token_index=IMAGE, vision_feature_layer=read
    )
    return transformers.LlavaForConditionalGeneration(config)


def make_batch():
    """Two sentences about two images."""
    torch.manual_seed(0)
    patches = 7 * 7
    words = torch.randint(3, IMAGE, (2, 8))
    tokens = torch.cat([torch.full((2, patches), IMAGE), words], 1)
    labels = tokens.masked_fill(tokens == IMAGE, -100)
    return dict(input_ids=tokens, pixel_values=torch.randn(2, 3, 112, 112), labels=labels)


def loss_of(model):
    return model(**make_batch()).loss


@pytest.mark.parametrize('read', [-2, -1])
@pytest.mark.parametrize('language', [False, True])
def test_a_step_changes_what_is_trained(read, language):
    """Images and texts; the layer that is read learns, and the loss falls."""
    model = make_llava(read)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    names = train_last_layer(model, language_model=language)
    number = 6 + read  # the last layer has number 5
    own = [n for n in names if 'vision_tower' in n]
    assert own and all(f'layers.{number}.' in name for name in own)
    assert any('multi_modal_projector' in name for name in names)
    assert any('language_model' in name or 'lm_head' in name for name in names) == language
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    losses = []
    for _ in range(3):
        optimizer.zero_grad()
        loss = loss_of(model)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    changed = {n for n, p in model.named_parameters() if not torch.equal(p, before[n])}
    # A key bias has no effect in a softmax
    assert set(names) - {n for n in names if n.endswith('k_proj.bias')} <= changed <= set(names)


def test_vision_layer_alone():
    names = train_last_layer(make_llava(), projector=False)
    assert names and all('vision_tower' in name for name in names)


def tuned(folder, shapes, name='safe', clip=VIT):
    """A model whose pooling layer differs from CLIP's."""
    (method,) = [m for m in METHODS if m.id == name]
    parser = ArgumentParser()
    add_common_options(parser)
    file = write_config(method, folder, shapes)
    more = ['--clip', clip, '--cfg-options', 'model.neck.beta=0']
    cfg = load_config(parser.parse_args([str(file), *more]))
    model = MODELS.build(cfg.model).eval()
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in model.neck.attn_pool_f.parameters():
            if parameter.requires_grad:
                parameter.add_(0.1 * torch.randn_like(parameter))
    return Trained(model, cfg)


def test_tuned_layer_is_written(tmp_path, shapes):
    """A tower with CLIP's weights then pools as the tuned model does."""
    trained = tuned(tmp_path, shapes)
    original = tuned(tmp_path, shapes)
    original.model.neck.attn_pool_f.load_state_dict(original.model.neck.attn_pool_o.state_dict())
    clip = hugging_face_clip(original)
    images = torch.randn(2, 3, 112, 112)
    with torch.no_grad():
        before = clip.visual_projection(clip.vision_model(images).pooler_output)
        write_last_layer(trained, clip.vision_model)
        after = clip.visual_projection(clip.vision_model(images).pooler_output)
        expected = trained.model.neck(trained.model.backbone(images))[0]
    torch.testing.assert_close(after, expected, rtol=0, atol=1e-4)
    assert (before - after).abs().max() > 1e-2
    llava = make_llava(read=-1)
    with torch.no_grad():
        start = loss_of(llava)
        write_last_layer(trained, llava.model.vision_tower)
        assert loss_of(llava) != start


def test_what_does_not_fit(tmp_path, shapes):
    with pytest.raises(InputError, match='several layers'):
        last_read_layer(make_llava(read=[-2, -1]))
    with pytest.raises(InputError, match='is no layer of 6'):
        last_read_layer(make_llava(read=-7))
    small = make_llava(width=64, heads=2)
    with pytest.raises(InputError, match='of another size'):
        write_last_layer(tuned(tmp_path, shapes), small.model.vision_tower)
