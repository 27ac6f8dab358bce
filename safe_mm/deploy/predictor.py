"""Predictions of a trained classifier, without a config, a data set or a training framework."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Callable, Iterable, Iterator, List, Optional, Sequence, Union

import numpy as np
import torch
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch.nn import functional as F
from tqdm import tqdm

from ..device import find_device
from ..errors import InputError, first_line
from ..files import new_file
from ..photos import find_photos, read_photo, to_rgb
from .program import Program

KEY = 'safe_mm.classifier'  # of the metadata in a file
VERSION = 1
Photo = Union[str, Path, Image.Image, np.ndarray]


@dataclass
class Prediction:
    """What a classifier says of an image.

    Attributes:
        label (int): Of the class with the highest score.
        name (str): Of that class.
        scores (ndarray): Probabilities of all classes, shape (N, ).
        attention (ndarray, optional): How the pooling layer spreads its attention over the crop
            that the model sees, shape (h, w), which sums to one. None unless asked for.
        path (Path, optional): The file, if the image came from one.
    """

    label: int
    name: str
    scores: np.ndarray
    attention: Optional[np.ndarray] = None
    path: Optional[Path] = None

    @property
    def score(self) -> float:
        """Probability of the predicted class."""
        return float(self.scores[self.label])


class Predictor:
    """A classifier for photos.

    Args:
        program (Program): Normalised images -> ``'logits'``, and ``'attention'`` of some methods.
        classes (Sequence[str]): Class names.
        preprocess (dict): Settings of open_clip's ``PreprocessCfg``.
        about (dict): What else is known: method, CLIP, versions.

    Attributes:
        device (torch.device): Where it runs.
        crop (Callable): Image -> what the model sees of it, normalised, shape (3, H, W).
    """

    def __init__(
        self, program: Program, classes: Sequence[str], preprocess: dict, about: dict
    ) -> None:
        self.program, self.classes, self.about = program, tuple(classes), about
        self.preprocess = PreprocessCfg(**preprocess)
        self.crop = image_transform_v2(self.preprocess, is_train=False)
        self.device = torch.device('cpu')

    @classmethod
    def from_checkpoint(
        cls, path: Union[str, Path], config: Optional[str] = None, device: Any = None
    ) -> 'Predictor':
        """Loads a self-contained file, the best weights of a work dir, or a checkpoint.

        Args:
            path (str | Path): A file of :meth:`save`, which needs nothing else, a work dir, or a
                ``.pth`` file; the latter two need OpenMMLab, and their CLIP.
            config (str, optional): Of a work dir or checkpoint. Defaults to the one in its folder.
            device (torch.device | str, optional): Defaults to the GPU if there is one.

        Raises:
            InputError: The file does not exist, is damaged, of another kind or a newer version, or
                there is no such device.
        """
        if Path(path).suffix == '.safetensors':
            found = cls.load(Path(path))
        else:
            from .trained import load_trained, predictor_of  # needs OpenMMLab

            found = predictor_of(load_trained(path, config))
        return found.to(device)

    def to(self, device: Any) -> 'Predictor':
        """Moves it to a device, see :func:`safe_mm.device.find_device`."""
        self.device = find_device(device)
        self.program.to(self.device)
        return self

    def __call__(
        self,
        photos: Union[Photo, Iterable[Photo]],
        batch_size: int = 32,
        attention: bool = False,
        progress: bool = False,
        on_error: Optional[Callable[[InputError], None]] = None,
    ) -> List[Prediction]:
        """Classifies photos.

        Args:
            photos (str | Path | Image | ndarray | Iterable): Files, folders, of which all image
                files are taken, Pillow's images, or RGB arrays of 8 bits, shape (H, W, 3).
            batch_size (int): How many images are computed at a time. Defaults to 32.
            attention (bool): Whether to return attention, too. Defaults to False.
            progress (bool): Whether to show a progress bar. Defaults to False.
            on_error (Callable, optional): Takes the error of a file that is no image, which is
                then left out. If None, the error is raised. Defaults to None.

        Returns:
            list[Prediction]: One for each image, in order; those of a folder sorted by name.

        Raises:
            InputError: What is given is no image, a folder has none, or there is no attention.
        """
        if batch_size < 1:
            raise InputError(f'batch_size={batch_size} should be at least 1.')
        if attention and 'attention' not in self.program.outputs:
            raise InputError('this classifier pools without attention. Use attention=False.')
        found = list(expanded(photos))
        starts = range(0, len(found), batch_size)
        predictions: List[Prediction] = []
        with ThreadPoolExecutor() as threads:
            for i in tqdm(starts, 'images', unit='batch', disable=not progress):
                part = found[i : i + batch_size]
                crops = {}
                for number, crop in enumerate(threads.map(self._crop, part)):
                    if not isinstance(crop, InputError):
                        crops[number] = crop
                    elif on_error is None:
                        raise crop
                    else:
                        on_error(crop)
                if crops:
                    kept = [part[number] for number in crops]
                    predictions += self._predict(kept, torch.stack([*crops.values()]), attention)
        return predictions

    def picture(self, photo: Photo) -> np.ndarray:
        """What the model sees of a photo, RGB, uint8, shape (H, W, 3)."""
        own = self.preprocess
        mean, std = (torch.tensor(values)[:, None, None] for values in (own.mean, own.std))
        pixels = (self.crop(to_image(photo)) * std + mean).clamp(0, 1)
        return (255 * pixels).round().byte().permute(1, 2, 0).numpy()

    def _crop(self, photo: Photo) -> Union[torch.Tensor, InputError]:
        try:
            return self.crop(to_image(photo))
        except InputError as error:
            return error

    def _predict(
        self, photos: Sequence[Photo], images: torch.Tensor, attention: bool
    ) -> Iterator[Prediction]:
        wanted = ('logits', 'attention') if attention else ('logits',)
        results = self.program.run(images.to(self.device), wanted)
        scores = F.softmax(results['logits'].float(), dim=-1).cpu().numpy()
        maps = results['attention'].float().cpu().numpy() if attention else [None] * len(photos)
        for photo, own, spread in zip(photos, scores, maps):
            label = int(own.argmax())
            path = Path(photo) if isinstance(photo, (str, Path)) else None
            yield Prediction(label, self.classes[label], own, spread, path)

    def save(self, path: Union[str, Path]) -> None:
        """Writes a self-contained file: weights, computation, class names and preprocessing.

        Args:
            path (str | Path): Ends in ``.safetensors``.

        Raises:
            InputError: The name has another ending, or the file cannot be written.
        """
        if Path(path).suffix != '.safetensors':
            raise InputError(f'{path} should end in .safetensors.')
        described = dict(
            version=VERSION,
            classes=self.classes,
            preprocess=asdict(self.preprocess),
            about=self.about,
            program=self.program.to_data(),
        )
        tensors = {  # without views of one storage
            key: value.cpu().clone(memory_format=torch.contiguous_format)
            for key, value in self.program.tensors.items()
        }
        with new_file(Path(path)) as draft:
            save_file(tensors, draft, {KEY: json.dumps(described)})

    @classmethod
    def load(cls, path: Path) -> 'Predictor':
        """Reads a file of :meth:`save`; no code of it is run.

        Raises:
            InputError: See :meth:`from_checkpoint`.
        """
        if not path.is_file():
            raise InputError(f'{path} does not exist; it should be a file of Predictor.save.')
        try:
            with safe_open(path, 'pt') as file:
                described = json.loads((file.metadata() or {}).get(KEY, 'null'))
            tensors = load_file(path)
        except Exception as error:
            raise InputError(
                f'{path} cannot be read; it may be truncated. Export it again. '
                f'({first_line(error)})'
            ) from None
        if described is None:
            raise InputError(
                f'{path} has weights alone. A self-contained classifier is written by '
                'tools/export.py.'
            )
        try:
            if described.pop('version') > VERSION:
                raise InputError(f'{path} is of a newer version. Install a newer safe_mm.')
            program = Program.from_data(described.pop('program'), tensors)
            return cls(program, **described)
        except InputError:
            raise
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise InputError(
                f'{path} has a damaged description. Export it again. ({first_line(error)})'
            ) from None


def expanded(photos: Union[Photo, Iterable[Photo]]) -> Iterator[Photo]:
    """One photo after the other, with those of folders."""
    several = isinstance(photos, Iterable) and not isinstance(
        photos, (str, np.ndarray, torch.Tensor)
    )
    each: Any = photos if several else [photos]
    for photo in each:
        if not isinstance(photo, (str, Path)) or not Path(photo).is_dir():
            yield photo
            continue
        files = find_photos(Path(photo))
        if not files:
            raise InputError(f'the folder {photo} has no image files.')
        yield from files


def to_image(photo: Photo) -> Image.Image:
    """A photo as an RGB image of Pillow.

    Raises:
        InputError: A file is no image, an array has another shape or type, or it is neither.
    """
    if isinstance(photo, np.ndarray):
        if photo.dtype != np.uint8 or photo.ndim != 3 or photo.shape[2] != 3 or not photo.size:
            raise InputError(
                f'an array of shape {photo.shape} and type {photo.dtype} is no image: it should '
                'be RGB, of shape (height, width, 3) and type uint8.'
            )
        return Image.fromarray(photo)
    if not isinstance(photo, (str, Path, Image.Image)):
        raise InputError(
            f"{type(photo).__name__} is no image: it should be a path, Pillow's image or an RGB "
            'array.'
        )
    try:
        return to_rgb(photo) if isinstance(photo, Image.Image) else read_photo(photo)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise InputError(f'{photo} cannot be read as an image: {first_line(error)}') from None
