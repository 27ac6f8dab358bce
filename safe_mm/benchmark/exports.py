"""What tools/export.py writes, against open_clip's own encoder with a text classifier."""

import tempfile
from functools import partial
from pathlib import Path
from typing import Any, Callable, Dict, Iterator

import torch
from torch.nn import functional as F

from ..deploy.formats import onnx_program
from ..deploy.predictor import Predictor
from ..deploy.program import Program
from ..deploy.trace import export, to_program
from ..models import CLIPClassifier
from .encoders import CLASSES, Baseline, parts, random_images
from .timing import DEVICE, Row, compare_seconds

BATCHES = (1, 8)


def measure(name: str, turns: int) -> Iterator[Row]:
    """Rows of a model: latency of SAFE's blend by batch, and sizes of the files."""
    model = CLIPClassifier(
        clip=dict(model_name=name, pretrained=None),
        neck=dict(type='safe_mm.BlendedAttentionPool'),
        head=dict(type='safe_mm.TextClsHead'),
    ).eval()
    weights = F.normalize(torch.randn(CLASSES, parts(name).embed_dim), dim=-1)
    model.head.class_weights = weights
    exported = export(model)
    program = to_program(exported)
    stock = Baseline(name)
    with tempfile.TemporaryDirectory() as folder:
        file, onnx = Path(folder, 'x.safetensors'), Path(folder, 'x.onnx')
        Predictor(program, [str(i) for i in range(CLASSES)], {}, {}).save(file)
        onnx_program(exported).save(str(onnx))
        sizes = {'classifier': file.stat().st_size, 'ONNX': onnx.stat().st_size}
        runs: Dict[str, Callable] = {
            'classifier': run_program(program.to(DEVICE)),
            'ONNX': run_onnx(onnx),
        }
    weights = weights.to(DEVICE)

    @torch.no_grad()
    def baseline(x: torch.Tensor) -> torch.Tensor:
        return F.normalize(stock(x), dim=-1) @ weights.T

    for batch in BATCHES:
        x = random_images(name, batch)
        for title, run in runs.items():
            sides = dict(baseline=partial(baseline, x), candidate=partial(run, x))
            yield f'{title} file, batch {batch}', compare_seconds(sides, turns), []
    own = sum(t.numel() * t.element_size() for t in stock.visual.state_dict().values())
    for title, size in sizes.items():
        figures = dict(baseline=own / 1e9, candidate=size / 1e9, ratio=own / size)
        yield f'{title} file, GB', figures, []


def run_program(program: Program) -> Callable[[torch.Tensor], Any]:
    return lambda x: program.run(x, ['logits'])


def run_onnx(path: Path) -> Callable[[torch.Tensor], Any]:
    """By onnxruntime on the CPU, with as many threads as torch."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    content = path.read_bytes()
    session = onnxruntime.InferenceSession(content, options, providers=['CPUExecutionProvider'])
    return lambda x: session.run(['logits'], dict(images=x.cpu().numpy()))
