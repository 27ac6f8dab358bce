"""From photos in named classes to a trained model, for one user at a time."""

import random
import re
import shutil
import tempfile
from argparse import ArgumentParser
from functools import cache
from pathlib import Path
from typing import Callable, Dict, List, Mapping, NamedTuple, Optional, Sequence

import numpy as np
import torch
from mmengine.config import Config
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image

from ..clip import preprocess_cfg
from ..config import load_config
from ..creatures import anatomy
from ..creatures.captions import TEMPLATES
from ..creatures.draw import GROUNDS, draw
from ..deploy.trained import Trained, predictor_of
from ..errors import InputError, counted, first_line
from ..options import add_common_options
from ..overlay import overlay
from ..photos import read_photo
from ..runs.execute import build_runner, train

MAX_PHOTOS = 32  # of a class, and of those to classify
MAX_PIXELS = 50_000_000
SIDE = 512  # to which larger photos are made smaller, in pixels
NAME = re.compile(r"[\w][\w '-]{0,49}")
PHOTOS, CREATURES = 'photos', 'creatures-rn'
ITERATIONS = 60
# Method -> config, and settings for so few photos
GRADIENT = [
    f'train_cfg.max_iters={ITERATIONS}',
    f'train_cfg.val_interval={ITERATIONS}',  # a few photos cannot choose
    'train_cfg.val_begin=2',  # the start is no candidate
    'train_dataloader.batch_size=16',
    'param_scheduler.0.end=10',
    'param_scheduler.1.begin=10',
    f'param_scheduler.1.end={ITERATIONS}',
    'optim_wrapper.optimizer.lr=1e-3',
]
METHODS = {
    'SAFE': ('safe.py', GRADIENT),
    'SAFE-A': ('safe-a.py', GRADIENT),
    'Tip-Adapter': ('tip-adapter.py', []),
    'GDA': ('gda.py', []),
    'linear probe': ('linear-probe.py', []),
}
EXAMPLE = ('pointed', 'round', 'long', 'square', 'floppy')  # kinds of ears


@cache
def process_folder() -> tempfile.TemporaryDirectory:
    """Parent of all users' folders, deleted when the process ends."""
    return tempfile.TemporaryDirectory(prefix='safe_mm-')


def new_folder() -> Path:
    return Path(tempfile.mkdtemp(dir=process_folder().name))


class Progress:
    """What the training loop takes for a progress bar.

    Args:
        total (int): Iterations.
        tell (Callable): Takes the share that is done.
    """

    def __init__(self, total: int, tell: Callable[[float], None]) -> None:
        self.total, self.tell, self.done = max(total, 1), tell, 0

    def update(self) -> None:
        self.done += 1
        self.tell(self.done / self.total)


class Verdict(NamedTuple):
    """What is said of a photo.

    Attributes:
        picture (ndarray): The crop with attention, RGB, uint8.
        adapted (str): Class and probability by the trained model.
        zero_shot (str): The same by zero-shot CLIP; '' where the model has no texts.
    """

    picture: np.ndarray
    adapted: str
    zero_shot: str


class Adaptation:
    """A trained model, and the folder of its user.

    Args:
        classes (dict[str, Sequence]): Class name -> paths of photos.
        method (str): One of ``METHODS``.
        clip (str): 'photos' or 'creatures-rn'.
        tell (Callable): Takes the share of the training that is done. Defaults to none.

    Raises:
        InputError: There are too few classes or photos, too many, or one cannot be read.
    """

    def __init__(
        self,
        classes: Mapping[str, Sequence[str]],
        method: str = 'SAFE',
        clip: str = PHOTOS,
        tell: Callable[[float], None] = lambda share: None,
    ) -> None:
        check_classes(classes)
        self.folder = new_folder()
        try:
            write_photos(classes, self.folder / 'data')
            most = max(map(len, classes.values()))
            cfg = make_config(self.folder, method, clip, most)
            runner = build_runner(cfg)
            train(runner, Progress(cfg.train_cfg.max_iters, tell))  # type: ignore[arg-type]
        except BaseException:
            self.close()
            raise
        self.trained = Trained(runner.model.eval(), cfg)
        preprocess = PreprocessCfg(**vars(preprocess_cfg(**cfg.model.clip)))
        self.crop = image_transform_v2(preprocess, is_train=False)
        self.preprocess = preprocess

    def close(self) -> None:
        """Deletes the user's photos."""
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def beta(self) -> Optional[float]:
        """Weight of the original pooling; None of a method without it."""
        part = self.trained.model.hyperparameters.get('beta')
        return None if part is None else float(part.get_buffer('beta'))

    def blend(self, beta: Optional[float]) -> None:
        """Sets beta of a method that has it, unless None."""
        if beta is not None and self.beta is not None:
            self.trained.model.hyperparameters['beta'].choose('beta', beta)

    @torch.no_grad()
    def classify(self, photos: Sequence[str], beta: Optional[float] = None) -> List[Verdict]:
        """What the model says of photos.

        Raises:
            InputError: A file is no image, or there are too many.
        """
        if len(photos) > MAX_PHOTOS:
            raise InputError(f'{len(photos)} photos are too many; up to {MAX_PHOTOS} at a time.')
        if not photos:
            return []
        self.blend(beta)
        model = self.trained.model
        images = torch.stack([self.crop(decode(photo)) for photo in photos])
        dense = model.dense(images.to(next(model.parameters()).device))
        branches = model.neck.pool(dense)
        scores = model.head((model.neck.combine(branches),)).softmax(-1).cpu()
        plain = model.head.text_logits(model.neck.figures(branches)['zero-shot'])
        maps = model.neck.attention_maps(dense)['combined'].cpu().numpy()
        zero = None if plain is None else plain.softmax(-1).cpu()
        return [
            Verdict(
                overlay(self.shown(image), heat),
                self.named(scores[i]),
                '' if zero is None else self.named(zero[i]),
            )
            for i, (image, heat) in enumerate(zip(images, maps))
        ]

    def named(self, scores: torch.Tensor) -> str:
        """'llama 93 %'."""
        label = int(scores.argmax())
        return f'{self.trained.model.classes[label].replace("_", " ")} {100 * scores[label]:.0f} %'

    def shown(self, image: torch.Tensor) -> np.ndarray:
        """A normalised image for people."""
        own = self.preprocess
        mean, std = (torch.tensor(values)[:, None, None] for values in (own.mean, own.std))
        return (255 * (image * std + mean).clamp(0, 1)).byte().permute(1, 2, 0).numpy()

    def save(self, beta: Optional[float] = None) -> Path:
        """Writes the self-contained classifier into the user's folder."""
        self.blend(beta)
        path = self.folder / 'classifier.safetensors'
        predictor_of(self.trained).save(path)
        return path


def check_classes(classes: Mapping[str, Sequence[str]]) -> None:
    """Raises an InputError unless the photos make a task."""
    if len(classes) < 2:
        raise InputError('Name at least two classes, and add photos of each.')
    known: Dict[str, str] = {}
    for name, photos in classes.items():
        if not NAME.fullmatch(name):
            raise InputError(
                f'{name[:60]!r} cannot be the name of a class. Use letters, digits, spaces, '
                'hyphens and apostrophes, at most 50.'
            )
        other = known.setdefault(folder_name(name).casefold(), name)
        if other != name:
            raise InputError(
                f'The names {other!r} and {name!r} differ only in case or underscores. '
                'Rename one of the classes.'
            )
        if not 2 <= len(photos) <= MAX_PHOTOS:
            raise InputError(
                f'The class {name!r} has {counted(len(photos), "photo")}; it should have 2 to '
                f'{MAX_PHOTOS}.'
            )


def folder_name(name: str) -> str:
    return name.replace(' ', '_')


def write_photos(classes: Mapping[str, Sequence[str]], root: Path) -> None:
    """Copies of decoded photos, a fourth of them for validation.

    Raises:
        InputError: One is no image.
    """
    for name, photos in classes.items():
        for number, photo in enumerate(photos):
            last_of_four = number % 4 == 3 or (len(photos) < 4 and number == len(photos) - 1)
            part = 'val' if last_of_four else 'train'
            folder = root / part / folder_name(name)
            folder.mkdir(parents=True, exist_ok=True)
            image = decode(photo)
            image.thumbnail((SIDE, SIDE))
            image.save(folder / f'{number:03}.png', compress_level=1)


def decode(photo: str) -> Image.Image:
    """A photo of a user, RGB.

    Raises:
        InputError: It is no image, or has too many pixels.
    """
    try:
        with Image.open(photo) as opened:
            width, height = opened.size  # from the header, before anything is decoded
        if width * height > MAX_PIXELS:
            raise InputError(
                f'{Path(photo).name} has {width} x {height} pixels. Make it smaller, to at most '
                f'{MAX_PIXELS / 1e6:.0f} million.'
            )
        return read_photo(photo)
    except InputError:
        raise
    except Exception as error:  # damaged bytes make decoders raise anything
        raise InputError(
            f'{Path(photo).name} cannot be read as an image: {first_line(error)}'
        ) from None


def make_config(folder: Path, method: str, clip: str, photos: int) -> Config:
    """The config of a training on a user's folder.

    Args:
        folder (Path): With ``data``.
        method (str): One of ``METHODS``.
        clip (str): 'photos' or 'creatures-rn'.
        photos (int): The most photos of a class.
    """
    file, settings = METHODS[method]
    parser = ArgumentParser()
    add_common_options(parser)
    args = [file, '--clip', f'{clip}:seed1', '--dataset', 'folder', '--data-root']
    args += [str(folder / 'data'), '--work-dir', str(folder / 'run'), '--shots', str(photos)]
    args += ['--seed', '1', '--cfg-options', *settings]
    args += [f'{part}_dataloader.num_workers=0' for part in ('train', 'val', 'test')]
    args += [f'{part}_dataloader.persistent_workers=False' for part in ('train', 'val', 'test')]
    cfg = load_config(parser.parse_args(args))
    if cfg.train_dataloader.dataset.get('views'):
        cfg.train_dataloader.dataset.views = 2
    if clip == CREATURES:
        cfg.model.templates = TEMPLATES['ears']
    cfg.experiment_name, cfg.log_level = folder.name, 'ERROR'
    cfg.default_hooks.checkpoint.interval = 0
    cache = dict(type='safe_mm.FeatureCacheHook', root=str(folder / 'features'))
    cfg.default_hooks.feature_cache = cache
    return cfg


def draw_example(folder: Path, count: int = 6) -> Dict[str, List[str]]:
    """Class -> paths of drawn creatures; the classes differ in their ears alone."""
    rng = random.Random(0)
    found: Dict[str, List[str]] = {}
    for kind in EXAMPLE:
        for number in range(count):
            other = {name: rng.choice(kinds) for name, kinds in anatomy.KINDS.items()}
            picture = draw({**other, 'ears': kind}, rng.choice(GROUNDS), rng)
            path = folder / f'{kind}_{number}.png'
            Image.fromarray(picture.image).save(path)
            found.setdefault(kind, []).append(str(path))
    return found
