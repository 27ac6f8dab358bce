"""Feature cache: features of a frozen stage, computed once and kept on disk.

The stages before it are frozen and the training views are fixed, so a run that reads its features
from disk learns the same as one that computes them.
"""

import hashlib
import os
from functools import lru_cache
from pathlib import Path
from typing import Any, Dict, List, Sequence

import torch
from mmengine.dataset import default_collate
from mmengine.dist import barrier, get_rank, get_world_size, is_main_process
from mmpretrain.datasets import BaseDataset, PackInputs
from mmpretrain.structures import DataSample
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from .errors import InputError
from .files import new_file
from .models.slim import digest

CHUNK = 64  # images of one file
SAMPLES = 2**14  # labels that stay in memory as what models take
CPU_BATCH = 8  # images whose feature maps stay in a processor's cache
VERSION = 3  # of the files
ROOT = '~/.cache/safe_mm/features'


def cache_key(model: Any, dataset: BaseDataset, stage: str, dtype: torch.dtype) -> str:
    """SHA-256 of all that the features depend on.

    That is the weights before the stage, the preprocessing, the view, and path, size and
    modification time of each image.

    Raises:
        InputError: The repr of a transform does not show its settings.
    """
    preprocessor, extractor = model.data_preprocessor, model.extractor(stage)
    # The repr of a module distinguishes GELU from QuickGELU; its weights do not
    weights = digest({**dict(extractor.named_parameters()), **dict(extractor.named_buffers())})
    parts = [VERSION, stage, extractor, weights, dtype, *dataset.pipeline.transforms, preprocessor]
    parts.append(preprocessor.to_rgb)
    parts += [value.flatten().tolist() for value in (preprocessor.mean, preprocessor.std)]
    sha = hashlib.sha256()
    for part in parts:
        if ' object at 0x' in str(part):
            raise InputError(
                f'features cannot be cached: {type(part).__name__} has no '
                '__repr__ that shows its settings.'
            )
        sha.update(f'{part}\n'.encode())
    for i in range(len(dataset)):
        info = dataset.get_data_info(i)
        path, file = info['img_path'], os.stat(info['img_path'])
        view = info.get('mirror', False), info.get('exif', True)
        sha.update(f'{path} {file.st_size} {file.st_mtime_ns} {view}\n'.encode())
    if getattr(dataset, 'views', None):  # drawn by the dataset's seed
        sha.update(f'{dataset.views} views, seed {dataset.seed}'.encode())
    return sha.hexdigest()


def check_cacheable(model: Any, dataset: BaseDataset) -> None:
    """Raises an InputError if the features would not be the same each time, or cannot be packed."""
    transforms = getattr(getattr(dataset, 'pipeline', None), 'transforms', [])
    if not transforms or not isinstance(transforms[-1], PackInputs):
        raise InputError(
            f'features of {type(dataset).__name__} cannot be cached: it needs '
            'a pipeline of its own that ends in PackInputs.'
        )
    remedy = (
        'and cached features would be those of one draw. Remove it, or the hook '
        'safe_mm.FeatureCacheHook.'
    )
    for transform in () if getattr(dataset, 'views', None) else transforms:
        if getattr(transform, '_methods_with_randomness', ()):
            raise InputError(f'{type(transform).__name__} in the pipeline is random, {remedy}')
    with torch.random.fork_rng(devices=[]):  # of the CPU
        images = [dataset[0]['inputs'] for _ in range(8)]
    if not all(torch.equal(image, images[0]) for image in images):
        raise InputError(f'the pipeline is random, {remedy}')
    if not hasattr(model.data_preprocessor, 'to_rgb'):
        raise InputError('features cannot be cached without a CLIPDataPreprocessor.')
    if getattr(model.data_preprocessor, 'batch_augments', None):
        raise InputError(f'data_preprocessor.batch_augments is random, {remedy}')


class CachedFeatures(Dataset):
    """A dataset of images, with features of a stage in place of the images.

    They are in a folder of files whose metadata has the key, see :func:`cache_features`.
    """

    def __init__(self, folder: Path, key: str, stage: str, dataset: BaseDataset) -> None:
        self.folder, self.key, self.stage = folder, key, stage
        self.dataset = dataset
        self.metainfo = dataset.metainfo  # which mmengine copies each time
        self._chunks: Dict[int, torch.Tensor] = {}
        self._sample = lru_cache(SAMPLES)(self._pack)

    @classmethod
    def of(
        cls, model: Any, dataset: BaseDataset, stage: str, dtype: torch.dtype, root: Path
    ) -> 'CachedFeatures':
        """The features of a dataset below a folder, whether they are there or not."""
        key = cache_key(model, dataset, stage, dtype)
        return cls(root / key[:32], key, stage, dataset)

    def get_data_info(self, index: int) -> dict:
        return self.dataset.get_data_info(index)

    def __len__(self) -> int:
        return len(self.dataset)

    def features(self, indices: Sequence[int]) -> torch.Tensor:
        """Features of several images, stacked."""
        return torch.stack([self._read(index) for index in indices])

    def _read(self, index: int) -> torch.Tensor:
        chunk, row = divmod(index, CHUNK)
        if chunk not in self._chunks:
            with safe_open(self.file(chunk), 'pt') as file:
                self._chunks[chunk] = file.get_tensor('features')  # mapped, not read
        return self._chunks[chunk][row]

    def __getitem__(self, index: int) -> dict:
        return dict(inputs=self._read(index), data_samples=self._sample(index), start=self.stage)

    def _pack(self, index: int) -> DataSample:
        packed = self.dataset.pipeline.transforms[-1](dict(self.get_data_info(index)))
        if 'class_ids' in self.metainfo:
            packed = self.dataset.add_class_ids(packed)
        return packed['data_samples']

    def file(self, chunk: int) -> Path:
        return self.folder / f'{chunk:06}.safetensors'

    def images(self, chunk: int) -> range:
        """The indices of a chunk's images."""
        return range(chunk * CHUNK, min((chunk + 1) * CHUNK, len(self)))

    def missing(self) -> List[int]:
        """Chunks that do not exist, are truncated, or of another cache."""
        chunks = range(-(-len(self) // CHUNK))
        return [chunk for chunk in chunks if not self.is_complete(chunk)]

    def is_complete(self, chunk: int) -> bool:
        """Whether a chunk's file exists and is intact."""
        try:
            with safe_open(self.file(chunk), 'pt') as file:  # refuses truncated files
                rows = file.get_slice('features').get_shape()[0]
                return file.metadata() == self.stamp(chunk) and rows == len(self.images(chunk))
        except (OSError, SafetensorError):
            return False

    def stamp(self, chunk: int) -> Dict[str, str]:
        """Metadata of a chunk's file."""
        return dict(key=self.key, chunk=str(chunk))


@torch.no_grad()
def cache_features(
    model: Any,
    dataset: BaseDataset,
    stage: str,
    root: Path,
    dtype: torch.dtype = torch.float32,
    num_workers: int = 0,
    desc: str = 'features',
) -> CachedFeatures:
    """Features of a dataset, computed unless they are on disk already.

    The processes of a distributed run share the work. A run that was killed continues where it was,
    since each file is written completely or not. Pooled features are computed from the dense ones
    of the same images, where those are on disk in float32. The model needs ``extractor`` and
    ``data_preprocessor``. With torch.bfloat16, features are also computed in it.

    Raises:
        InputError: See :func:`check_cacheable`; the disk is full; or processes do not share
            ``root``.
    """
    check_cacheable(model, dataset)
    cached = CachedFeatures.of(model, dataset, stage, dtype, root)
    try:
        cached.folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f'{cached.folder} cannot be created ({error.strerror}). Set another root of '
            'safe_mm.FeatureCacheHook.'
        ) from None
    was_training = model.training
    model.eval()
    missing = cached.missing()
    barrier()  # all processes have the same list
    if missing:
        _compute(cached, missing[get_rank() :: get_world_size()], model, dtype, num_workers, desc)
    model.train(was_training)
    barrier()
    if missing and cached.missing():
        raise InputError(
            f'{cached.folder} lacks features that another process should have written. Set the '
            'root of safe_mm.FeatureCacheHook to a shared folder.'
        )
    return cached


def _compute(
    cached: CachedFeatures,
    chunks: List[int],
    model: Any,
    dtype: torch.dtype,
    num_workers: int,
    desc: str,
) -> None:
    """Computes and writes the features of some chunks."""
    extract = model.extractor(cached.stage)
    source = cached.dataset
    if cached.stage == 'pooled' and dtype == torch.float32:
        dense = CachedFeatures.of(model, cached.dataset, 'dense', dtype, cached.folder.parent)
        if not dense.missing():
            source, extract, num_workers = dense, extract.from_dense, 0
    loader = DataLoader(
        source,
        batch_sampler=[list(cached.images(c)) for c in chunks],
        num_workers=num_workers,
        collate_fn=default_collate,
    )
    bar = tqdm(loader, desc, unit=f'x{CHUNK}', disable=not is_main_process())
    for chunk, batch in zip(chunks, bar):
        images = model.data_preprocessor(batch)['inputs']
        with torch.autocast(images.device.type, torch.bfloat16, enabled=dtype == torch.bfloat16):
            features = torch.cat(
                [extract(part) for part in images.split(CHUNK if images.is_cuda else CPU_BATCH)]
            ).to('cpu', dtype)
        _save(cached, chunk, features.contiguous())


def _save(cached: CachedFeatures, chunk: int, features: torch.Tensor) -> None:
    """Writes one file completely or not at all."""
    if not features.isfinite().all():
        raise InputError(
            f'features exceed the range of {features.dtype}. Set dtype='
            '"float32" of safe_mm.FeatureCacheHook.'
        )
    size = features.numel() * features.element_size()
    total = size * (len(cached.dataset) / len(features))
    advice = (
        f' These features take {total / 1e9:.1f} GB in all: set another root, or dtype="float16", '
        'of safe_mm.FeatureCacheHook if that is too much.'
    )
    with new_file(cached.file(chunk), size, advice) as draft:
        save_file(dict(features=features), draft, cached.stamp(chunk))
