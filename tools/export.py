"""Writes a trained model for use elsewhere:
python tools/export.py classifier WORK_DIR mine.safetensors
python tools/export.py onnx WORK_DIR mine.onnx
"""

from argparse import ArgumentParser
from pathlib import Path

from safe_mm.deploy import FORMATS
from safe_mm.errors import exit_cleanly
from safe_mm.options import Settings


def main() -> None:
    parser = ArgumentParser(description='Export a trained model')
    parser.add_argument('format', choices=FORMATS, help='docs/export.md tells what each is for')
    parser.add_argument('checkpoint', help='work dir of a training, or a checkpoint in one')
    parser.add_argument('out', type=Path, help='file or folder to write')
    parser.add_argument('--config', help='config file. Defaults to the one in the work dir')
    parser.add_argument(
        '--cfg-options', nargs='+', action=Settings, default={}, help='as for tools/train.py'
    )
    args = parser.parse_args()
    from safe_mm.deploy.formats import WRITERS, check_path  # --help answers without it
    from safe_mm.deploy.trained import load_trained

    check_path(args.format, args.out)
    WRITERS[args.format](load_trained(args.checkpoint, args.config, args.cfg_options), args.out)
    size = sum(file.stat().st_size for file in [args.out, *args.out.rglob('*')] if file.is_file())
    print(f'{args.out}: {size / 1e6:.1f} MB')


if __name__ == '__main__':
    with exit_cleanly():
        main()
