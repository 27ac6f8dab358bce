"""Time and memory of SAFE against open_clip's modules, trained on images in each iteration:
python tools/benchmark.py --out benchmark.json

The baseline is open_clip's own forward pass with torch.optim.AdamW. Weights are random; speed does
not depend on them. Both sides run on the GPU if there is one.
"""

import json
import os
import platform
import tempfile
import time
from argparse import ArgumentParser
from itertools import chain
from pathlib import Path

import torch
from tqdm import tqdm

from safe_mm.benchmark import exports, methods, modules, runs
from safe_mm.benchmark.encoders import Costs
from safe_mm.benchmark.timing import DEVICE, Machine, table
from safe_mm.errors import exit_cleanly
from safe_mm.files import write_text
from safe_mm.options import positive

CONFIGS = Path(__file__).parents[1] / 'configs'
PARTS = ('modules', 'runs', 'methods', 'exports')


def main() -> None:
    parser = ArgumentParser(description='Measure speed and memory')
    parser.add_argument(
        '--models', nargs='+', default=['RN50', 'ViT-B-16'], help='names of open_clip architectures'
    )
    parser.add_argument('--out', type=Path, help='JSON file to write')
    parser.add_argument('--repeats', type=positive, default=15)
    parser.add_argument(
        '--iterations',
        type=positive,
        default=200,
        help='of whole iterations, images against features',
    )
    parser.add_argument(
        '--config',
        default=str(CONFIGS / 'safe_creatures.py'),
        help='for pictures and training; its CLIP is replaced',
    )
    parser.add_argument(
        '--parts', nargs='+', choices=PARTS, default=PARTS, help='groups of rows to measure'
    )
    args = parser.parse_args()
    machine, found = Machine(), {}
    for name in args.models:
        costs = Costs(name)
        with tempfile.TemporaryDirectory() as folder:
            parts = dict(
                modules=modules.measure(name, costs, args.repeats),
                runs=runs.measure(name, costs, args.config, folder, args.iterations),
                methods=methods.measure(name, CONFIGS, args.repeats),
                exports=exports.measure(name, args.repeats),
            )
            chosen = chain.from_iterable(parts[part] for part in args.parts)
            for title, figures, work in tqdm(chosen, name):
                machine.measure()
                found[f'{name} {title}'] = figures, work
    rows = {
        title: dict(figures, floor=machine.floor(work)) if work else figures
        for title, (figures, work) in found.items()
    }
    about = dict(
        date=time.strftime('%Y-%m-%d'),
        torch=torch.__version__,
        machine=torch.cuda.get_device_name()
        if DEVICE == 'cuda'
        else f'{platform.machine()}, {torch.get_num_threads()} threads of {os.cpu_count()} cores',
        matmul_gflops=machine.flops / 1e9,
        copy_gb_per_s=machine.bandwidth / 1e9,
    )
    print(json.dumps(about, indent=1))
    print(table(rows))
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        write_text(args.out, json.dumps(dict(about, rows=rows), indent=1))


if __name__ == '__main__':
    with exit_cleanly():
        main()
