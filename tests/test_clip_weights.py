"""Weights in each of their real formats, good and bad."""

import json
import pickle
import time
import warnings
import zipfile
from typing import Tuple

import open_clip
import pytest
import torch
from safetensors.torch import save_file

from safe_mm.clip import SplitCLIP
from safe_mm.clip.architecture import choose_activation
from safe_mm.clip.torchscript import load_torchscript
from safe_mm.clip.weights import find_weights, read_state_dict
from safe_mm.errors import InputError

from .conftest import TINY, TINY_RN, TINY_VIT
from .test_clip_split import open_clip_model


@pytest.fixture(params=TINY)
def model(request):
    """open_clip's model with weights other than the random default."""
    clip = open_clip_model(TINY[request.param])
    clip.path = TINY[request.param]
    torch.manual_seed(3)
    with torch.no_grad():
        for parameter in clip.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
        clip.logit_scale.fill_(3.0)
    return clip


class Archive(torch.nn.Module):
    """What OpenAI published: half precision, and three settings."""

    def __init__(self, clip: open_clip.CLIP) -> None:
        super().__init__()
        for name, child in clip.named_children():
            setattr(self, name, child)
        for name, parameter in clip.named_parameters(recurse=False):
            self.register_parameter(name, parameter)
        for name in ('input_resolution', 'context_length', 'vocab_size'):
            self.register_buffer(name, torch.tensor(64))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.visual(images)


def save_torchscript(clip: open_clip.CLIP, path: str) -> None:
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter('ignore')
        archive = Archive(clip.requires_grad_(False))
        torch.jit.trace(archive, torch.rand(1, 3, 64, 64)).half().save(path)


FORMATS = {
    'clip.safetensors': lambda m, p: save_file(
        {k: v.contiguous() for k, v in m.state_dict().items()}, p
    ),
    'state_dict.pt': lambda m, p: torch.save(m.state_dict(), p),
    'training.pt': lambda m, p: torch.save(
        dict(epoch=3, name='run', state_dict={f'module.{k}': v for k, v in m.state_dict().items()}),
        p,
    ),
    'torchscript.pt': save_torchscript,
}


@pytest.mark.parametrize('name', FORMATS)
def test_formats(model, name, tmp_path):
    path = str(tmp_path / name)
    images = torch.rand(2, 3, 64, 64)
    openai = name == 'torchscript.pt'
    if openai:  # published weights are in half precision, with QuickGELU
        state = {k: v.half().float() for k, v in model.state_dict().items()}
        with open(model.path) as file:
            quick = open_clip.CLIP(**json.load(file), quick_gelu=True).eval()
        quick.load_state_dict(state)
        reference = quick
    else:
        reference = model
    with torch.no_grad():
        expected = reference.encode_image(images)
        FORMATS[name](model, path)
        split = SplitCLIP(model.path, path)
        pooled = split.pool.eval()(split.trunk.eval()(images))
    torch.testing.assert_close(pooled, expected, rtol=1e-5, atol=1e-5)
    assert split.logit_scale == pytest.approx(20.0855, rel=1e-3)


class Payload:
    """Runs code when unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), 'w')


@pytest.mark.parametrize('legacy', [True, False])
def test_payload_is_refused_and_not_run(tmp_path, legacy):
    marker, path = tmp_path / 'marker', tmp_path / 'evil.pt'
    torch.save(
        dict(state_dict={'a': torch.zeros(1)}, evil=Payload(marker)),
        path,
        _use_new_zipfile_serialization=not legacy,
    )
    with pytest.raises(InputError, match='refusing to load .* no code was run.*state dict.$'):
        SplitCLIP(TINY_RN, str(path))
    assert not marker.exists()


def test_payload_in_torchscript_clothes(tmp_path):
    marker, path = tmp_path / 'marker', tmp_path / 'evil.pt'
    torch.save(dict(evil=Payload(marker)), path)
    with zipfile.ZipFile(path, 'a') as archive:
        archive.writestr('evil/constants.pkl', pickle.dumps(()))
    with pytest.raises(InputError):
        SplitCLIP(TINY_RN, str(path))
    assert not marker.exists()


class RunsWhenLoaded(torch.nn.Module):
    """TorchScript that writes a file from its ``__setstate__``."""

    path: str

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path

    @torch.jit.export
    def __getstate__(self) -> Tuple[str, bool]:
        return self.path, self.training

    @torch.jit.export
    def __setstate__(self, state: Tuple[str, bool]) -> None:
        self.path, self.training = state
        print(torch.from_file(self.path, shared=True, size=4).sum())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


def test_torchscript_that_runs_when_loaded(tmp_path):
    marker, path = tmp_path / 'marker', tmp_path / 'evil.pt'
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        torch.jit.script(RunsWhenLoaded(str(marker))).save(str(path))
        with pytest.raises(InputError, match='holds no tensors'):
            SplitCLIP(TINY_RN, str(path))
        assert not marker.exists()
        torch.jit.load(str(path))
    assert marker.exists()  # so the test can fail


@pytest.mark.parametrize('name', FORMATS)
def test_truncated_file(name, tmp_path):
    path = tmp_path / name
    FORMATS[name](open_clip_model(TINY_VIT), str(path))
    path.write_bytes(path.read_bytes()[:-100000])
    with pytest.raises(InputError, match=f'{name}.*(truncated|damaged)'):
        read_state_dict(path)


@pytest.mark.parametrize('content', [b'', b'hello\n', b'PK\x03\x04'])
def test_not_a_checkpoint(content, tmp_path):
    path = tmp_path / 'weights.pt'
    path.write_bytes(content)
    with pytest.raises(InputError, match='weights.pt'):
        read_state_dict(path)


@pytest.mark.parametrize('name', ['state_dict.pt', 'torchscript.pt'])
def test_damaged_directory(name, tmp_path):
    """One byte of the zip directory, whose end is as it was."""
    path = tmp_path / name
    FORMATS[name](open_clip_model(TINY_VIT), str(path))
    content = bytearray(path.read_bytes())
    content[content.rfind(b'PK\x01\x02')] = 0
    path.write_bytes(content)
    with pytest.raises(InputError, match=name):
        read_state_dict(path)


class Several(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = torch.nn.BatchNorm1d(3)
        self.again = self.inner
        self.empty = torch.nn.Parameter(torch.zeros(0, 3))
        for dtype in (
            torch.uint8,
            torch.int8,
            torch.int16,
            torch.float16,
            torch.bfloat16,
            torch.float64,
            torch.bool,
        ):
            self.register_buffer(f'x_{dtype}'.replace('.', '_'), torch.ones(2, 3, dtype=dtype).T)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.inner(x)


def test_torchscript_equals_its_own_loader(tmp_path):
    path = tmp_path / 'several.pt'
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        torch.jit.script(Several()).save(str(path))
        expected = torch.jit.load(str(path)).state_dict()
    actual = load_torchscript(path)
    assert actual.keys() == expected.keys()
    for name, value in expected.items():
        assert actual[name].dtype == value.dtype
        assert torch.equal(actual[name], value)


def test_wrong_architecture(tmp_path):
    path = tmp_path / 'rn.pt'
    torch.save(open_clip_model(TINY_RN).state_dict(), path)
    with pytest.raises(
        InputError, match='rn.pt does not hold the weights of.*tiny-vit.*model_name'
    ):
        SplitCLIP(TINY_VIT, str(path))


def test_other_resolution_is_not_interpolated(tmp_path, shallow):
    """ViT-L-14 and its 336 px version differ in the position alone."""
    low, high = shallow('ViT-L-14'), shallow('ViT-L-14-336')
    torch.save(open_clip_model(low).state_dict(), tmp_path / 'low.pt')
    with pytest.raises(InputError, match='positional_embedding'):
        SplitCLIP(high, str(tmp_path / 'low.pt'))


def test_unknown_tag_lists_tags():
    with pytest.raises(InputError, match='opnai.*openai, yfcc15m, cc12m'):
        SplitCLIP('RN50', 'opnai')


@pytest.mark.parametrize(
    'model_name,tag,quick', [('RN50', 'openai', True), ('ViT-B-16', 'laion2b_s34b_b88k', False)]
)
def test_no_network(monkeypatch, tmp_path, model_name, tag, quick):
    """One short message, at once, that says which file to fetch."""
    import urllib.request

    monkeypatch.setattr(
        urllib.request,
        'urlopen',
        lambda *args, **kwargs: (_ for _ in ()).throw(urllib.error.URLError(OSError('no route'))),
    )
    monkeypatch.setattr('safe_mm.clip.weights._cached', lambda cfg: None)
    start = time.time()
    with pytest.raises(InputError) as error:
        SplitCLIP(model_name, tag)
    assert time.time() - start < 5
    message = str(error.value)
    assert 'huggingface.co' in message
    # The file alone does not tell its activation
    name = f'{model_name}-quickgelu' if quick else model_name
    assert f'--clip {name}:PATH' in message
    assert len(message) < 500


def test_cache_of_openai_package(monkeypatch, tmp_path):
    monkeypatch.setenv('HOME', str(tmp_path))
    (tmp_path / '.cache' / 'clip').mkdir(parents=True)
    (tmp_path / '.cache' / 'clip' / 'RN50.pt').touch()
    assert find_weights('RN50', 'openai').name == 'RN50.pt'


@pytest.mark.parametrize(
    'content,message',
    [
        ({0: torch.zeros(1)}, 'does not hold the weights'),
        (dict(state_dict=torch.zeros(1)), 'a Tensor, not a state dict'),
        (dict(state_dict=None), 'a NoneType, not a state dict'),
        (dict(epoch=3), 'no tensors'),
        ([1, 2], 'a list, not a state dict'),
        (dict(logit_scale=torch.zeros(3)), 'does not hold the weights'),
    ],
)
def test_other_content(content, message, tmp_path):
    torch.save(content, tmp_path / 'weights.pt')
    with pytest.raises(InputError, match=f'weights.pt.*{message}'):
        SplitCLIP(TINY_VIT, str(tmp_path / 'weights.pt'))


def test_bad_sidecar(tmp_path):
    path = tmp_path / 'weights.pt'
    torch.save(open_clip_model(TINY_VIT).state_dict(), path)
    (tmp_path / 'open_clip_config.json').write_text('{')
    with pytest.raises(InputError, match='open_clip_config.json'):
        SplitCLIP(TINY_VIT, str(path))


@pytest.mark.parametrize(
    'model_name,needed,quick',
    [
        ('RN50', True, True),
        ('RN50', False, False),
        ('RN50', None, False),
        ('RN50-quickgelu', True, True),
        ('RN50-quickgelu', None, True),
    ],
)
def test_activation_follows_the_weights(model_name, needed, quick):
    assert choose_activation(model_name, needed, 'weights') is quick


def test_activation_mismatch_is_refused():
    with pytest.raises(InputError, match="model_name='RN50'"):
        choose_activation('RN50-quickgelu', False, 'laion')


def test_sidecar_tells_the_activation(tmp_path):
    path = tmp_path / 'open_clip_model.safetensors'
    FORMATS['clip.safetensors'](open_clip_model(TINY_VIT), str(path))
    (tmp_path / 'open_clip_config.json').write_text(
        '{"model_cfg": {"quick_gelu": true}, "preprocess_cfg": {}}'
    )
    split = SplitCLIP(TINY_VIT, str(path))
    assert type(split.pool.block.mlp.gelu).__name__ == 'QuickGELU'
