"""Each fault of the input gets one short message."""
import pytest
import torch

from safe_mm.checkpoint import read_checkpoint

from .conftest import CONFIG, TINY_RN, fails, short
from .shapes import draw_shapes
from .test_clip_weights import Payload

RN = f'clip.model_name={TINY_RN}'


def test_payload_in_a_checkpoint(shapes, tmp_path):
    marker, path = tmp_path / 'marker', tmp_path / 'evil.pth'
    torch.save(dict(state_dict={}, evil=Payload(marker)), path)
    fails('evil.pth is refused', 'test', CONFIG, path, '--data-root', shapes,
          '--work-dir', tmp_path)
    fails('evil.pth is refused', 'train', CONFIG, '--resume', path,
          '--data-root', shapes, '--work-dir', tmp_path)
    assert not marker.exists()


def test_payload_in_load_from(shapes, tmp_path):
    marker, path = tmp_path / 'marker', tmp_path / 'evil.pth'
    torch.save(dict(state_dict={}, evil=Payload(marker)), path)
    fails('evil.pth is refused', 'train', CONFIG, '--data-root', shapes,
          '--work-dir', tmp_path, '--cfg-options', f'load_from={path}')
    fails('evil.pth does not exist; it should be a local file', 'train',
          CONFIG, '--data-root', shapes, '--work-dir', tmp_path,
          '--cfg-options', 'load_from=http://127.0.0.1/evil.pth')
    assert not marker.exists()


def test_names_of_results(trained, shapes, tmp_path):
    options = ['--data-root', shapes, '--work-dir', tmp_path, '--out']
    fails('ends in .pkl', 'test', CONFIG, trained, *options, 'x.json')
    fails('ends in .json', 'test', CONFIG, trained, *options, 'x.txt',
          '--out-item', 'metrics')


def test_bad_checkpoints(trained, shapes, tmp_path):
    options = ['--data-root', shapes, '--work-dir', tmp_path]
    fails('gone.pth does not exist', 'test', CONFIG, tmp_path / 'gone.pth',
          *options)
    torn = tmp_path / 'torn.pth'
    torn.write_bytes((trained / 'iter_120.pth').read_bytes()[:-5000])
    fails('torn.pth cannot be read; it may be truncated', 'test', CONFIG,
          torn, *options)
    fails('no best_', 'test', CONFIG, tmp_path, *options)
    fails('does not fit the model: neck.*tiny-vit.*tiny-rn', 'test', CONFIG,
          trained, *options, '--cfg-options', RN)


def test_checkpoint_on_other_frozen_weights(trained, shapes, tmp_path):
    path = tmp_path / 'changed.pth'
    checkpoint = read_checkpoint(str(next(trained.glob('best_*.pth'))))
    checkpoint['meta']['frozen_sha256'] = '0' * 64
    torch.save(checkpoint, path)
    fails('not those of this model', 'test', CONFIG, path,
          '--data-root', shapes, '--work-dir', tmp_path)


def test_data_with_other_classes(trained, tmp_path):
    """A checkpoint of six classes against data with five."""
    draw_shapes(tmp_path, images=10)
    for file in (tmp_path / 'shapes' / 'red_shape').glob('*'):
        file.unlink()
    (tmp_path / 'shapes' / 'red_shape').rmdir()
    fails('trained on 6 classes, and the data has 5; .*yellow_shape', 'test',
          CONFIG, trained, '--data-root', tmp_path, '--work-dir', tmp_path)


def test_head_with_other_classes(shapes, tmp_path):
    fails('dataset has 6 classes, but the classifier 2', 'train', CONFIG,
          '--data-root', shapes, '--work-dir', tmp_path,
          *short(8, 'model.head.classes=[a,b]'))


@pytest.mark.parametrize('args,message', [
    (['--data-root', '/nowhere'], 'nowhere/shapes does not exist'),
    (['--shots', '0'], 'shots=0'),
    (['--cfg-options', 'clip.pretrained=gone.pt'], 'gone.pt'),
    (['--launcher', 'slurm'], 'needs GPUs'),
    (['--amp'], '--amp needs a GPU'),
    (['--cfg-options', 'lr=1'], "no 'lr'.*optim_wrapper.optimizer.lr"),
    (['--cfg-options', 'optim_wraper.optimizer.lr=1'],
     "no 'optim_wraper'.*optim_wrapper"),
    (['--cfg-options', 'model.neck.beta=-1'], 'beta=-1'),
    (['--cfg-options', 'train_dataloader.dataset.templates=a photo of {}.'],
     "'aphotoof{}.' has no space"),
    (['--cfg-options', 'param_scheduler.0.start_lr=0'], 'start_lr=0'),
])
def test_bad_options(shapes, tmp_path, args, message):
    if torch.cuda.is_available() and args[0] in ('--launcher', '--amp'):
        pytest.skip('there is a GPU')
    fails(message, 'train', CONFIG, '--data-root', shapes, '--work-dir',
          tmp_path, *args)


def test_metric_that_is_not_measured(shapes, tmp_path):
    fails("save_best='accuracy/top9' is not among what is measured: "
          'accuracy/top1', 'train', CONFIG, '--data-root', shapes,
          '--work-dir', tmp_path,
          *short(8, 'train_cfg.val_interval=2',
                 'default_hooks.checkpoint.save_best=accuracy/top9'))


def test_missing_config():
    fails('nothing.py does not exist', 'train', 'nothing.py')


def test_resume_from_an_empty_folder(shapes, tmp_path):
    fails('has no iter_', 'train', CONFIG, '--data-root', shapes,
          '--work-dir', tmp_path / 'work', '--resume', tmp_path)
