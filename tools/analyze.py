"""Draws what a model does, with numbers:
python tools/analyze.py ANALYSIS CONFIG CHECKPOINT PHOTOS ...
python tools/analyze.py ANALYSIS RESULTS

ANALYSIS is one of correspondence, parts, heat_maps, attention and confusions, of a model; or of
accuracy, beta and prompts, of the results of a sweep. Without PHOTOS, they are test images.
"""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from safe_mm.errors import exit_cleanly
from safe_mm.options import add_common_options, positive


def parse_args() -> Namespace:
    parser = ArgumentParser(description='Draw what a model does, with numbers')
    parser.add_argument('analysis', metavar='ANALYSIS', help='see docs/analyses.md')
    add_common_options(parser)
    parser.add_argument('checkpoint', nargs='?', help='of the config, or the work dir')
    parser.add_argument('photos', nargs='*', help='image files or folders')
    parser.add_argument('--out', type=Path, help='folder. Defaults to work_dirs/analyses/ANALYSIS')
    parser.add_argument('--device', help='cpu, cuda, ... Defaults to the GPU if there is one')
    parser.add_argument('--limit', type=positive, help='of test images. Defaults to 40, or to all')
    parser.add_argument(
        '--point', type=float, nargs=2, metavar=('X', 'Y'), help='in pixels of the first image'
    )
    parser.add_argument('--layers', nargs='+', help='modules of the trunk, for correspondence')
    parser.add_argument('--masks', help='folder of PNG files, whose grey values are parts')
    parser.add_argument(
        '--class',
        dest='class_name',
        metavar='CLASS',
        help='whose probability parts explain. Defaults to the true class of test images, and to '
        'the predicted one of photos',
    )
    return parser.parse_args()


if __name__ == '__main__':
    with exit_cleanly():
        args = parse_args()
        from safe_mm.commands.analyze import run  # --help answers without it

        run(args)
