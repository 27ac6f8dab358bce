"""Trained models outside of the framework: predictor, self-contained file, other formats."""

import json
import subprocess
import sys
from copy import copy
from pathlib import Path

import numpy as np
import open_clip
import pandas as pd
import pytest
import torch
from mmengine import load
from PIL import ExifTags, Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from safe_mm import Predictor
from safe_mm.clip import get_tokenizer
from safe_mm.deploy.predictor import KEY, to_image
from safe_mm.deploy.program import Program, Step, decode
from safe_mm.deploy.trained import load_trained, predictor_of
from safe_mm.errors import InputError

from .conftest import ROOT, fails, run_tool
from .methods import METHODS, VIT, write_config

pytest.importorskip('torch', '2.6')  # to export
pytestmark = pytest.mark.filterwarnings('ignore::DeprecationWarning', 'ignore::FutureWarning')
# Each head and neck, low rank, and prompts of the class and of the image
EXPORTED = {
    *('zero-shot', 'safe', 'safe-a', 'linear-probe_trunk', 'prolip', 'calip-fs', 'cocoop'),
    f'clip-lora {VIT}',
}
ONNX = ('safe', 'safe-a', 'gda', 'coop')
ALONE = """
import runpy, sys

def refuse(event, args):
    what = str(args[0]) if args else ''
    if event == 'import' and what.split('.')[0] in ('mmengine', 'mmcv', 'mmpretrain'):
        raise ModuleNotFoundError(what)
    if event in ('socket.connect', 'socket.getaddrinfo') or 'small_clip' in what:
        raise PermissionError(f'{event} {what}')

sys.addaudithook(refuse)
del sys.argv[0]
runpy.run_path(sys.argv[0], run_name='__main__')
"""


def method(name):
    (found,) = [m for m in METHODS if m.id == name]
    return found


@pytest.fixture(scope='module')
def work_dir(shapes, tmp_path_factory):
    """The work dir of a method, made once."""
    known = {}

    def make(name):
        if name not in known:
            own, folder = method(name), tmp_path_factory.mktemp('run')
            file = write_config(own, folder, shapes)
            args = [file, '--clip', own.clip, '--work-dir', folder / 'run']
            tool = 'test' if name == 'zero-shot' else 'train'
            run_tool(tool, *args, *(() if name == 'zero-shot' else ('--shots', 4)))
            known[name] = folder / 'run'
        return known[name]

    return make


@pytest.fixture(scope='module')
def predictor(work_dir):
    """Of a method, made once."""
    known = {}

    def make(name):
        if name not in known:
            known[name] = Predictor.from_checkpoint(work_dir(name), device='cpu')
        return known[name]

    return make


@pytest.fixture(scope='module')
def photos(shapes):
    return sorted(Path(shapes, 'shapes').rglob('*.png'))[::3]


@pytest.mark.parametrize('name', sorted(EXPORTED))
def test_program_is_the_model(name, work_dir, predictor, photos, tmp_path):
    """The scores of a file are those of the model, and attention is that of its neck."""
    own = predictor(name)
    own.save(tmp_path / 'file.safetensors')
    loaded = Predictor.from_checkpoint(tmp_path / 'file.safetensors', device='cpu')
    model = load_trained(work_dir(name)).model
    images = torch.stack([own.crop(Image.open(photo).convert('RGB')) for photo in photos[:5]])
    has_attention = name != 'linear-probe_trunk'
    with torch.no_grad():
        scores = model(images).softmax(-1).numpy()
        maps = model.neck.attention_maps(model.dense(images)) if has_attention else {}
    found = loaded(photos[:5], batch_size=2, attention=has_attention)
    np.testing.assert_allclose([p.scores for p in found], scores, rtol=1e-3, atol=1e-5)
    assert [p.name for p in found] == [model.classes[i] for i in scores.argmax(-1)]
    if has_attention:
        expected = maps['combined'].numpy()
        np.testing.assert_allclose([p.attention for p in found], expected, atol=1e-6)
    else:
        with pytest.raises(InputError, match='without attention'):
            loaded(photos[:1], attention=True)


def test_scores_are_those_of_the_test_tool(work_dir, predictor, shapes, tmp_path):
    file = work_dir('safe') / 'safe.py'
    run_tool('test', file, work_dir('safe'), '--out', tmp_path / 'out.pkl', '--work-dir', tmp_path)
    samples = load(tmp_path / 'out.pkl')
    found = predictor('safe')([sample['img_path'] for sample in samples])
    expected = np.stack([sample['pred_score'].numpy() for sample in samples])
    np.testing.assert_allclose([p.scores for p in found], expected, rtol=1e-3, atol=1e-5)
    assert found[0].path == Path(samples[0]['img_path'])
    assert found[0].score == pytest.approx(expected[0].max(), rel=1e-3)


def test_file_needs_nothing_else(predictor, photos, tmp_path):
    """Neither OpenMMLab, nor the CLIP, nor a network."""
    predictor('safe').save(tmp_path / 'file.safetensors')
    tool = [sys.executable, '-c', ALONE, ROOT / 'tools' / 'predict.py']
    args = [tmp_path / 'file.safetensors', photos[0], '--out', 'out.csv']
    done = subprocess.run([*tool, *args], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (found,) = pd.read_csv(tmp_path / 'out.csv')['class']
    assert found == predictor('safe')(photos[0])[0].name


def shapes_of(program):
    return sorted(tuple(tensor.shape) for tensor in program.tensors.values())


def test_merged_models_have_no_more_steps(work_dir, predictor):
    """Low rank goes into the weights, trained prompts become class weights."""
    name, weights = VIT.split(':')
    options = {'model.clip.model_name': name, 'model.clip.pretrained': weights}
    rn = predictor('zero-shot').program
    vit = predictor_of(load_trained(work_dir('zero-shot'), options=options)).program
    for tuned, plain in (('coop', rn), (f'clip-lora {VIT}', vit), (f'clip-svd {VIT}', vit)):
        program = predictor(tuned).program
        assert len(program.steps) == len(plain.steps)
        assert shapes_of(program) == shapes_of(plain)


def test_kinds_of_photos(predictor, photos, tmp_path):
    array = np.array(Image.open(photos[0]).convert('RGB'))
    Image.fromarray(array).save(tmp_path / 'photo.png')
    kinds = [str(photos[0]), Image.open(photos[0]), array, tmp_path]
    expected, *found = [predictor('safe')(photo)[0].scores for photo in (photos[0], *kinds)]
    for scores in found:
        np.testing.assert_array_equal(scores, expected)


def test_pillow_reads_as_a_file(tmp_path):
    """Rotation and grey values of 16 bits."""
    grey = np.linspace(0, 65535, 8 * 6).reshape(8, 6).astype(np.uint16)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6  # a quarter turn
    Image.fromarray(grey).save(tmp_path / 'photo.png', exif=exif)
    expected = np.rot90(grey // 257, -1)
    for photo in (tmp_path / 'photo.png', Image.open(tmp_path / 'photo.png')):
        found = np.array(to_image(photo))
        assert np.abs(found.astype(int) - expected[..., None]).max() <= 1


def test_onnx(work_dir, predictor, shapes, tmp_path):
    """Onnxruntime gives the same predictions of 240 pictures, for batches of any size."""
    onnxruntime = pytest.importorskip('onnxruntime')
    for name in ONNX:
        run_tool('export', 'onnx', work_dir(name), tmp_path / f'{name}.onnx')
        session = onnxruntime.InferenceSession(tmp_path / f'{name}.onnx')
        own = predictor(name)
        described = json.loads(session.get_modelmeta().custom_metadata_map[KEY])
        assert tuple(described['classes']) == own.classes
        assert session.get_inputs()[0].shape[0] == 'batch'
        photos = [Image.open(p).convert('RGB') for p in Path(shapes, 'shapes').rglob('*.png')]
        images = torch.stack([own.crop(photo) for photo in photos])
        images = torch.cat([images, images.flip(-1)])
        expected = own.program.run(images, ['logits', 'attention'])
        for size in (1, 240):
            logits, maps = session.run(None, dict(images=images[:size].numpy()))
            assert (logits.argmax(1) == expected['logits'][:size].argmax(1).numpy()).all()
            np.testing.assert_allclose(logits, expected['logits'][:size], rtol=1e-4, atol=1e-4)
            np.testing.assert_allclose(maps, expected['attention'][:size], atol=1e-5)


@pytest.mark.filterwarnings('error:No complete tensor')
def test_torch_export(work_dir, predictor, photos, tmp_path):
    run_tool('export', 'torch', work_dir('safe'), tmp_path / 'safe.pt2')
    extra = {f'{KEY}.json': ''}
    module = torch.export.load(tmp_path / 'safe.pt2', extra_files=extra).module()
    own = predictor('safe')
    assert tuple(json.loads(extra[f'{KEY}.json'])['classes']) == own.classes
    images = torch.stack([own.crop(Image.open(photo).convert('RGB')) for photo in photos[:3]])
    expected = own.program.run(images, ['logits'])['logits']
    torch.testing.assert_close(module(images)['logits'], expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize('name', ['safe', 'prolip', 'clip-cite', f'clip-lora {VIT}'])
def test_back_to_open_clip(name, work_dir, photos, tmp_path):
    """open_clip loads the weights, and classifies as the model does."""
    more = ['--cfg-options', 'model.neck.beta=0'] if name == 'safe' else []
    out = tmp_path / 'clip.safetensors'
    run_tool('export', 'open_clip', work_dir(name), out, *more)
    arch = method(name).clip.split(':')[0]
    clip = open_clip.create_model(arch, pretrained=str(out)).eval()
    trained = load_trained(work_dir(name), options={'model.neck.beta': 0} if more else None)
    assert_same_logits(trained.model, lambda *inputs: clip.get_logits(*inputs)[0])


def test_back_to_hugging_face(work_dir, tmp_path):
    transformers = pytest.importorskip('transformers')
    name = f'clip-lora {VIT}'
    run_tool('export', 'hugging_face', work_dir(name), tmp_path / 'clip')
    clip = transformers.CLIPModel.from_pretrained(tmp_path / 'clip').eval()
    model = load_trained(work_dir(name)).model
    assert_same_logits(model, lambda images, texts: clip(texts, images).logits_per_image)
    processor = transformers.CLIPImageProcessor.from_pretrained(tmp_path / 'clip')
    assert processor.crop_size['height'] == model.backbone.image_size[0]


def assert_same_logits(model, clip):
    """Of a CLIP's two towers, as of the model."""
    images = torch.randn(3, 3, *model.backbone.image_size)
    texts = [f'a {c.replace("_", " ")}.' for c in model.classes]
    with torch.no_grad():
        logits = clip(images, get_tokenizer('creatures-rn')(texts))
        torch.testing.assert_close(logits, model(images), rtol=1e-4, atol=1e-4)


def test_what_a_clip_cannot_be(work_dir, tmp_path):
    out = tmp_path / 'out.safetensors'
    fails('beta 0.5 has two.*model.neck.beta=0', 'export', 'open_clip', work_dir('safe'), out)
    fails('classifies in another way', 'export', 'open_clip', work_dir('gda'), out)
    fails('no pooling layer of CLIP', 'export', 'open_clip', work_dir('clip-adapter'), out)
    beta = ['--cfg-options', 'model.neck.beta=0']
    folder = tmp_path / 'folder'
    fails('not of the architecture', 'export', 'hugging_face', work_dir('safe'), folder, *beta)
    fails('ends in .onnx', 'export', 'onnx', work_dir('safe'), tmp_path / 'x.pt2')
    fails('does not exist. Create', 'export', 'onnx', work_dir('safe'), tmp_path / 'no/x.onnx')
    fails('should be a work dir', 'export', 'onnx', tmp_path / 'none', tmp_path / 'x.onnx')
    fails('no config files', 'export', 'onnx', tmp_path, tmp_path / 'x.onnx')
    assert not list(tmp_path.iterdir())
    fails('folder with files in it', 'export', 'hugging_face', work_dir('safe'), work_dir('safe'))


def test_files_that_cannot_be_read(predictor, tmp_path):
    good, bad = tmp_path / 'good.safetensors', tmp_path / 'bad.safetensors'
    predictor('safe').save(good)

    def refused(message):
        with pytest.raises(InputError, match=message):
            Predictor.from_checkpoint(bad)

    refused('does not exist')
    bad.write_bytes(good.read_bytes()[:-1000])
    refused('may be truncated')
    tensors = load_file(good)
    save_file(tensors, bad)
    refused('weights alone')
    with safe_open(good, 'pt') as file:
        described = json.loads(file.metadata()[KEY])
    save_file(tensors, bad, {KEY: json.dumps(dict(described, version=99))})
    refused(r'bad.safetensors is of a newer version')
    for damaged in ([], dict(version=1), dict(described, preprocess=dict(no_such=1))):
        save_file(tensors, bad, {KEY: json.dumps(damaged)})
        refused('damaged description')
    first = described['program']['steps'][0]
    for op, message in (
        ('aten.from_file.default', '^the operator aten.from_file.default is no core operator'),
        ('aten.no_such.default', 'unknown to torch'),
        ('os.system', 'unknown to torch'),
    ):
        steps = [[first[0], op, *first[2:]], *described['program']['steps'][1:]]
        program = dict(described['program'], steps=steps)
        save_file(tensors, bad, {KEY: json.dumps(dict(described, program=program))})
        refused(message)
    for name in ('load', 'no_such'):
        with pytest.raises(InputError, match='no dtype'):
            decode({'torch': name}, {}, torch.device('cpu'))
    with pytest.raises(InputError, match='end in .safetensors'):
        predictor('safe').save(tmp_path / 'x.pth')


def test_photos_that_cannot_be_read(predictor, photos, tmp_path):
    own = predictor('safe')
    with pytest.raises(InputError, match='has no image files'):
        own(tmp_path)
    broken = tmp_path / 'broken.jpg'
    broken.write_bytes(photos[0].read_bytes()[:100])
    with pytest.raises(InputError, match=r'broken.jpg cannot be read as an image'):
        own([photos[0], broken])
    errors = []
    found = own([photos[0], broken, photos[1]], batch_size=1, on_error=errors.append)
    assert [p.path for p in found] == [photos[0], photos[1]] and len(errors) == 1
    for array in (np.zeros((8, 8), np.uint8), np.zeros((0, 8, 3), np.uint8)):
        with pytest.raises(InputError, match='is no image: it should be RGB'):
            own(array)
    for given in (5, [1, 2], torch.zeros(1, 3, 8, 8)):
        with pytest.raises(InputError, match='(int|Tensor) is no image: it should be a path'):
            own(given)
    with pytest.raises(InputError, match='batch_size=-1 should be at least 1'):
        own(photos[0], batch_size=-1)


def test_predict_tool(predictor, photos, tmp_path, capsys):
    """A table, and pictures; broken files are named at the end."""
    own = copy(predictor('safe'))
    own.classes = tuple(f'{name} C/V' for name in own.classes)
    own.save(tmp_path / 'file.safetensors')
    folder = tmp_path / 'photos'
    folder.mkdir()
    for photo in photos[:3]:
        Image.open(photo).save(folder / f'{photo.parent.name}.png')
    (folder / 'broken.png').write_text('no image')
    out = tmp_path / 'out.csv'
    args = [tmp_path / 'file.safetensors', folder, '--out', out, '--all-scores']
    with pytest.raises(SystemExit) as end:
        run_tool('predict', *args, '--attention', tmp_path / 'maps')
    assert end.value.code == 1 and 'broken.png cannot be read' in capsys.readouterr().err
    table = pd.read_csv(out)
    expected = own(sorted(folder.glob('*_*.png')))
    assert list(table['class']) == [p.name for p in expected]
    assert len(table.columns) == 3 + len(own.classes)
    pictures = sorted((tmp_path / 'maps').iterdir())
    assert len(pictures) == len(table) and Image.open(pictures[0]).size == (320, 160)
    assert pictures[0].name.endswith('C_V.png')
    fails('does not exist. Create', 'predict', *args[:2], '--out', tmp_path / 'no' / 'x.csv')
    fails('on the device foo here', 'predict', *args[:2], '--device', 'foo')
    fails('batch_size=0 should be', 'predict', *args[:2], '--batch-size', 0)
    fails('no photo could be read', 'predict', args[0], folder / 'broken.png', '--out', out)
    assert out.read_text() == 'file,class,score\n'


def test_program_computes_what_is_asked_for(photos):
    """And nothing else: a step that would fail is left out."""
    steps = [
        Step('good', 'aten.relu.default', [{'step': 'images'}], {}),
        Step('bad', 'aten.mm.default', [{'step': 'images'}, {'step': 'images'}], {}),
    ]
    program = Program(steps, {}, dict(a='good', b='bad'))
    images = torch.randn(2, 3, 4, 4)
    torch.testing.assert_close(program.run(images, ['a'])['a'], images.relu())
    with pytest.raises(RuntimeError):
        program.run(images, ['b'])
