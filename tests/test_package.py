"""The wheel, away from the repository, and what README says."""

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from mmengine.config import Config
from modelindex.load_model_index import load as load_model_index
from packaging.metadata import Metadata

from safe_mm.datasets.splits import read_folders

from .conftest import CONFIG, ROOT, run_tool, short


@pytest.fixture(scope='module')
def sdist(tmp_path_factory):
    source = tmp_path_factory.mktemp('source') / 'safe_mm'
    shutil.copytree(
        ROOT,
        source,
        ignore=shutil.ignore_patterns('.*', 'work_dirs', 'build', '*.egg-info', '__pycache__'),
    )
    build = 'from setuptools import build_meta; build_meta.build_sdist("..")'
    subprocess.run([sys.executable, '-c', build], cwd=source, check=True, stdout=subprocess.DEVNULL)
    return next(source.parent.glob('*.tar.gz'))


@pytest.fixture(scope='module')
def wheel(sdist):
    """From the sdist, as on a machine without a wheel."""
    options = ['--no-deps', '--no-build-isolation', '-q', '-w', sdist.parent]
    subprocess.run([sys.executable, '-m', 'pip', 'wheel', *options, sdist], check=True)
    return next(sdist.parent.glob('*.whl'))


def test_metadata(sdist, wheel):
    """An index accepts both files; tests stay behind, as they need data beside them."""
    with tarfile.open(sdist) as archive:
        names = [name.partition('/')[2] for name in archive.getnames()]
        in_sdist = archive.extractfile(f'{sdist.name[: -len(".tar.gz")]}/PKG-INFO').read()
    assert 'setup.py' in names and not [name for name in names if name.startswith('tests')]
    with zipfile.ZipFile(wheel) as archive:
        (file,) = (name for name in archive.namelist() if name.endswith('.dist-info/METADATA'))
        in_wheel = archive.read(file)
    for text in (in_sdist, in_wheel):
        metadata = Metadata.from_email(text)  # refuses what is not valid
        assert metadata.description.strip() == README.strip()
        assert metadata.description_content_type == 'text/markdown'


def test_wheel_carries_configs_tools_and_data(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    for folder in ('configs', 'tools'):
        for path in (ROOT / folder).rglob('*'):
            if path.is_file() and '__pycache__' not in str(path):
                assert f'safe_mm/.mim/{path.relative_to(ROOT)}' in names
    carried = {'.mim/model-index.yml', 'datasets/catalog.json', 'report/paper.csv'}
    assert {f'safe_mm/{name}' for name in carried} <= names


def test_model_index_has_all_configs():
    """As mim reads it."""
    index = load_model_index(str(ROOT / 'model-index.yml'))
    index.build_models_with_collections()
    configs = [Path(model.config).stem for model in index.models]
    assert sorted(configs) == sorted(path.stem for path in (ROOT / 'configs').glob('*.py'))
    assert all((ROOT / c.readme).is_file() for c in index.collections)


def test_wheel_works_away_from_the_repository(wheel, shapes, tmp_path):
    site = tmp_path / 'site'
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)

    def safe_mm(*words):
        result = subprocess.run(
            [sys.executable, '-m', 'safe_mm', *words],
            cwd=tmp_path,
            env=dict(os.environ, PYTHONPATH=str(site)),
            capture_output=True,
            text=True,
        )
        assert result.returncode == 0, result.stderr[-2000:]
        return result.stdout

    assert '{analyze,' in safe_mm('--help')
    safe_mm(
        *('train', 'safe.py', '--dataset', 'folder', '--data-root', f'{shapes}/shapes'),
        *('--clip', 'creatures-rn:seed1', '--shots', '4', '--seed', '1'),
        *short(8),
    )
    work_dir = tmp_path / 'work_dirs/safe/folder_shots4_seed1'
    assert list(work_dir.glob('best_*.pth'))


README = (ROOT / 'README.md').read_text()
OWN_DATA = (ROOT / 'docs' / 'own_data.md').read_text()


def block(text: str) -> str:
    """The Python code in README or docs/own_data.md that has this text."""
    (code,) = (
        code
        for code in re.findall(r'```python\n(.*?)```', README + OWN_DATA, re.DOTALL)
        if text in code
    )
    return code


def test_readme_shows_the_config_as_it_is():
    shown, path = block('safe_12800i.py'), 'configs/safe.py'
    code = (ROOT / path).read_text()
    assert code.endswith(shown) and f'`{path}`' in README
    assert all(line.startswith('#') for line in code[: -len(shown)].splitlines())


def test_readme_config_for_own_data(shapes, tmp_path, capsys):
    own, picture = block('my_images'), block('Predictor')
    assert "'configs/safe.py'" in own
    code = own.replace('configs/safe.py', CONFIG) + block('feature_cache')
    config = tmp_path / 'mine.py'
    config.write_text(code)
    images = Path(shapes, 'shapes')
    (tmp_path / 'my_images').symlink_to(images)
    (tmp_path / 'my_split.json').write_text(json.dumps(read_folders(images)))
    assert Config.fromfile(config).val_dataloader.dataset.split == 'val'
    run_tool(
        'train',
        config,
        '--data-root',
        tmp_path,
        '--work-dir',
        tmp_path,
        *short(8, f'default_hooks.feature_cache.root={tmp_path}/cache'),
    )
    assert list(tmp_path.glob('cache/*/*.safetensors'))

    file = tmp_path / 'mine.safetensors'
    pytest.importorskip('torch', '2.6')
    run_tool('export', 'classifier', tmp_path, file)
    for theirs, mine in (
        ('mine.safetensors', str(file)),
        ('cat.jpg', f'{shapes}/shapes/red_shape/000.png'),
    ):
        assert theirs in picture
        picture = picture.replace(theirs, mine)
    exec(picture, {})
    assert 'shape' in capsys.readouterr().out


def test_readme_links_exist():
    for target in re.findall(r'\]\((?!http)(.*?)\)', README):
        path, _, anchor = target.partition('#')
        assert (ROOT / path).exists(), target
        headings = re.findall(r'^#+ (.*)', (ROOT / path).read_text(), re.M) if anchor else []
        assert not anchor or anchor in [
            re.sub(r'[^\w\- ]', '', heading).lower().replace(' ', '-') for heading in headings
        ], target
