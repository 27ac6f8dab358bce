"""tools/check.py: what a config would train, on which data."""

import sys
from argparse import Namespace
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any, Dict, List

import pandas as pd
from mmengine.config import Config

from ..clip import get_tokenizer
from ..clip.tokenizer import token_counts
from ..config import load_config
from ..datasets.build import Datasets, paths_of, test_datasets, training_datasets
from ..datasets.check import equal_images, find_faults
from ..datasets.classes import class_sentences
from ..errors import counted
from ..models import CLIPClassifier
from ..registry import MODELS


def run(args: Namespace) -> None:
    """Prints data, prompts and trained parameters; exits with 1 if an image is broken."""
    cfg = load_config(args)
    datasets = {**training_datasets(cfg), **test_datasets(cfg)}
    print(class_table(cfg, datasets).to_string(), '\n')
    print(model_table(MODELS.build(cfg.model)).to_string(header=False), '\n')
    broken = undecodable(datasets) if args.decode else []
    if args.decode:
        print('\n'.join(['', *copies(datasets), *broken]))
    if broken:
        sys.exit(f'error: {counted(len(broken), "image")} cannot be read')


def class_table(cfg: Config, datasets: Datasets) -> pd.DataFrame:
    """A row for each class: images of each part, prompts and the tokens of the longest."""
    sentences = class_sentences(cfg.model.classes, cfg.model.get('templates'))
    tokenize = get_tokenizer(cfg.model.clip.model_name)
    rows: List[Dict[str, Any]] = [dict(name=str(name)) for name in sentences.names]
    for part, dataset in datasets.items():
        samples = (dataset.get_data_info(i) for i in range(len(dataset)))
        counts = Counter(label for _, label in {(s['img_path'], s['gt_label']) for s in samples})
        for label, row in enumerate(rows):
            row[part] = counts[label]
    for label, row in enumerate(rows):
        longest = max(zip(token_counts(tokenize, sentences[label]), sentences[label]))
        row.update(prompts=len(sentences[label]), tokens=longest[0], longest=longest[1])
    return pd.DataFrame(rows).rename_axis('label')


def model_table(model: CLIPClassifier) -> pd.Series:
    """Number of trained parameters of each part, of all trained, and of all."""
    numbers: Dict[str, int] = defaultdict(int)
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            numbers['.'.join(name.split('.')[:2])] += parameter.numel()
    total = sum(parameter.numel() for parameter in model.parameters())
    rows = {**numbers, 'trained': sum(numbers.values()), 'of all parameters': total}
    return pd.Series(rows).map('{:,}'.format)


def undecodable(datasets: Datasets) -> List[str]:
    """Images that cannot be decoded, with the reason."""
    paths = sorted(set().union(*map(paths_of, datasets.values())))
    faults = find_faults(Path('/'), [str(Path(path).resolve()) for path in paths])
    return [text for texts in faults.values() for text in texts]


def copies(datasets: Datasets) -> List[str]:
    """Images of equal content, a line for each group."""
    parts = defaultdict(list)
    for part, dataset in datasets.items():
        for path in sorted(paths_of(dataset)):
            parts[path].append(part)
    return [
        f'equal: {", ".join(f"{path} ({part})" for path in group for part in parts[path])}'
        for group in equal_images(parts)
    ]
