"""Dense features on disk: G(x) is computed once for each image and view.

The trunk is frozen and the training views are fixed, so a run that reads its
features from disk learns the same as one that computes them each time.
"""
import hashlib
import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Dict, List

import torch
from mmengine.dist import barrier, is_main_process
from mmpretrain.datasets import BaseDataset, PackInputs
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from .checkpoint import digest
from .claims import Claims
from .errors import InputError
from .models.dense import last

CHUNK = 64  # images of one file
CPU_BATCH = 8  # images whose feature maps stay in a processor's cache
VERSION = 2  # of the files
ROOT = '~/.cache/safe_mm/features'


def store_key(model: nn.Module, trunk: nn.Module, dataset: BaseDataset,
              dtype: torch.dtype) -> str:
    """SHA-256 of all that dense features depend on.

    That is the trunk's weights, the preprocessing, the view, and path, size
    and time of change of each image.

    Args:
        model (nn.Module): Has the ``data_preprocessor``.
        trunk (nn.Module): G.
        dataset (BaseDataset): Images.
        dtype (torch.dtype): In which features are kept.

    Raises:
        InputError: A transform cannot be told from another of its class.
    """
    state = trunk.state_dict()
    sha = hashlib.sha256()
    preprocessor = model.data_preprocessor
    # The text of a trunk tells GELU from QuickGELU, which its weights do not
    for part in (VERSION, trunk, digest(state, list(state)), dtype,
                 *dataset.pipeline.transforms, preprocessor,
                 preprocessor.to_rgb, preprocessor.mean.flatten().tolist(),
                 preprocessor.std.flatten().tolist()):
        if ' object at 0x' in str(part):
            raise InputError(
                f'features cannot be stored: {type(part).__name__} has no '
                '__repr__ that tells how it is set.')
        sha.update(f'{part}\n'.encode())
    for i in range(len(dataset)):
        info = dataset.get_data_info(i)
        file = os.stat(info['img_path'])
        sha.update(f'{info["img_path"]} {file.st_size} {file.st_mtime_ns} '
                   f'{info.get("mirror", False)}\n'.encode())
    return sha.hexdigest()


def check_storable(model: nn.Module, dataset: BaseDataset) -> None:
    """Refuses data whose features would not be the same each time.

    Raises:
        InputError: The pipeline draws at random or does not end in
            ``PackInputs``, or batches are augmented.
    """
    transforms = getattr(getattr(dataset, 'pipeline', None), 'transforms', [])
    if not transforms or not isinstance(transforms[-1], PackInputs):
        raise InputError(
            f'features of {type(dataset).__name__} cannot be stored: it needs '
            'a pipeline of its own that ends in PackInputs.')
    remedy = ('and stored features would be those of one draw. Take it out, '
              'or the hook safe_mm.StoredFeaturesHook.')
    for transform in transforms:
        if getattr(transform, '_methods_with_randomness', ()):
            raise InputError(f'{type(transform).__name__} in the pipeline '
                             f'draws at random, {remedy}')
    with torch.random.fork_rng(devices=[]):  # of a processor
        images = [dataset[0]['inputs'] for _ in range(8)]
    if not all(torch.equal(image, images[0]) for image in images):
        raise InputError(f'the pipeline draws at random, {remedy}')
    if not hasattr(model.data_preprocessor, 'to_rgb'):
        raise InputError('features cannot be stored without a '
                         'CLIPDataPreprocessor.')
    if getattr(model.data_preprocessor, 'batch_augments', None):
        raise InputError(f'data_preprocessor.batch_augments draws at random, '
                         f'{remedy}')


class StoredFeatures(Dataset):
    """A dataset of images, with dense features in place of the images.

    Args:
        folder (Path): Files of features, see :func:`store_features`.
        key (str): Of the features, see :func:`store_key`.
        dataset (BaseDataset): The images.
    """

    def __init__(self, folder: Path, key: str, dataset: BaseDataset) -> None:
        self.folder, self.key, self.dataset = folder, key, dataset
        self._chunks: Dict[int, safe_open] = {}

    @property
    def metainfo(self) -> dict:
        """The dataset's."""
        return self.dataset.metainfo

    def get_data_info(self, index: int) -> dict:
        """The dataset's, with its path and label."""
        return self.dataset.get_data_info(index)

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> dict:
        chunk, row = divmod(index, CHUNK)
        if chunk not in self._chunks:
            self._chunks[chunk] = safe_open(self.file(chunk), 'pt')
        features = self._chunks[chunk].get_slice('features')[row]
        pack = self.dataset.pipeline.transforms[-1]
        return pack(dict(self.get_data_info(index), img=features))

    def file(self, chunk: int) -> Path:
        return self.folder / f'{chunk:06}.safetensors'

    def lock_file(self, chunk: int) -> Path:
        """Held by the process that computes a chunk."""
        return self.folder / f'{chunk:06}.lock'

    def images(self, chunk: int) -> range:
        """Which images a chunk has."""
        return range(chunk * CHUNK, min((chunk + 1) * CHUNK, len(self)))

    def missing(self) -> List[int]:
        """Chunks that are not there, cut short, or of another store."""
        chunks = range(-(-len(self) // CHUNK))
        return [chunk for chunk in chunks if not self.is_whole(chunk)]

    def is_whole(self, chunk: int) -> bool:
        """Whether a chunk is there, as it should be."""
        with suppress(OSError, SafetensorError), safe_open(
                self.file(chunk), 'pt') as file:  # refuses what is cut short
            shape = file.get_slice('features').get_shape()
            return file.metadata() == self.stamp(chunk) and (
                shape[0] == len(self.images(chunk)))
        return False

    def stamp(self, chunk: int) -> Dict[str, str]:
        """By which a file is known to belong here."""
        return dict(key=self.key, chunk=str(chunk))


def stack_images(samples: List[dict]) -> Dict[str, torch.Tensor]:
    """A batch for the trunk; named, so that worker processes can load it."""
    return dict(inputs=torch.stack([sample['inputs'] for sample in samples]))


@torch.no_grad()
def store_features(model: nn.Module,
                   trunk: nn.Module,
                   dataset: BaseDataset,
                   root: Path,
                   dtype: torch.dtype = torch.float32,
                   num_workers: int = 0,
                   desc: str = 'dense features') -> StoredFeatures:
    """Dense features of a dataset, computed unless they are on disk already.

    All processes that want them share the work. A run that was killed goes on
    where it was, since each file is written whole or not at all.

    Args:
        model (nn.Module): Has the ``data_preprocessor``.
        trunk (nn.Module): G, a frozen part of ``model``.
        dataset (BaseDataset): Images; its pipeline ends in ``PackInputs``.
        root (Path): Where to keep features of all kinds.
        dtype (torch.dtype): In which they are kept; in torch.bfloat16, they
            are computed so, too. Defaults to torch.float32.
        num_workers (int): Processes that load images. Defaults to 0.
        desc (str): For the progress bar. Defaults to 'dense features'.

    Raises:
        InputError: See :func:`check_storable`; the disk is full; or
            processes do not share ``root``.
    """
    check_storable(model, dataset)
    key = store_key(model, trunk, dataset, dtype)
    stored = StoredFeatures(root / key[:32], key, dataset)
    try:
        stored.folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _no_room(stored, error) from None
    was_training = model.training
    model.eval()
    missing = len(stored.missing())
    with tqdm(desc=desc, total=missing, unit=f'x{CHUNK}',
              disable=not (missing and is_main_process())) as bar:
        for wait in (False, True):  # at last, for what others are at work on
            _store_missing(stored, model, trunk, dtype, num_workers, wait, bar)
    model.train(was_training)
    barrier()
    if stored.missing():
        raise InputError(f'{stored.folder} lacks features that another '
                         'process should have written. Give the hook safe_mm.'
                         'StoredFeaturesHook a root that all processes share.')
    return stored


def _store_missing(stored: StoredFeatures, model: nn.Module, trunk: nn.Module,
                   dtype: torch.dtype, num_workers: int, wait: bool,
                   bar: tqdm) -> None:
    """Computes the chunks that no other process is at work on."""
    missing = stored.missing()
    if not missing:
        return  # without starting workers
    claims = Claims(missing, stored.lock_file, stored.is_whole, wait)
    loader = DataLoader(
        stored.dataset,
        batch_sampler=map(stored.images, claims),
        num_workers=num_workers,
        collate_fn=stack_images)
    try:
        for batch in loader:
            images = model.data_preprocessor(batch)['inputs']
            with torch.autocast(images.device.type, torch.bfloat16,
                                enabled=dtype == torch.bfloat16):
                features = torch.cat([
                    last(trunk(part)) for part in images.split(
                        CHUNK if images.is_cuda else CPU_BATCH)
                ]).to('cpu', dtype)
            _save(stored, claims.current, features.contiguous())
            claims.end()
            bar.update()
    finally:
        claims.end_all()


def _save(stored: StoredFeatures, chunk: int, features: torch.Tensor) -> None:
    """Writes one file whole or not at all."""
    if not features.isfinite().all():
        raise InputError(
            f'dense features do not fit {features.dtype}. Give the hook '
            'safe_mm.StoredFeaturesHook dtype="float32".')
    size = features.numel() * features.element_size()
    file = stored.file(chunk)
    draft = file.with_suffix(f'.{os.getpid()}')
    try:
        if shutil.disk_usage(stored.folder).free < size:
            raise OSError('No space left on device')
        save_file(dict(features=features), draft, stored.stamp(chunk))
        os.replace(draft, file)
    except (OSError, SafetensorError) as error:
        raise _no_room(stored, error, size) from None
    finally:
        with suppress(OSError):
            draft.unlink()


def _no_room(stored: StoredFeatures, error: Exception,
             size: int = 0) -> InputError:
    """What to say when a file of ``size`` bytes cannot be written."""
    left = size * len(stored.missing()) / 1e9
    more = f', of which about {left:.1f} GB are to come' if size else ''
    return InputError(
        f'{stored.folder} cannot take the dense features{more}: {error}. What '
        'is there already is kept. Make room, or give the hook safe_mm.'
        'StoredFeaturesHook another root or dtype="float16".')
