import pytest

from safe_mm import environment

GOOD = {
    'torch': '2.4.0',
    'open_clip_torch': '3.3.0',
    'mmengine': '0.10.7',
    'mmcv': '2.1.0',
    'mmpretrain': '1.2.0',
}


@pytest.fixture
def pretend(monkeypatch):
    """Pretends that these versions are installed."""

    def install(found: dict) -> None:

        def version(name: str) -> str:
            if found.get(name) is None:
                raise environment.PackageNotFoundError(name)
            return found[name]

        monkeypatch.setattr(environment, 'version', version)

    return install


@pytest.mark.parametrize(
    'change,message',
    [
        ({'torch': '2.0.1'}, 'torch 2.0.1 .*>=2.1'),
        ({'mmcv': '1.7.0'}, r'mmcv 1.7.0 .*pip install "mmcv>=2.0'),
        ({'mmcv': None}, 'mmcv is not installed.*mmcv-lite'),
        ({'mmcv-lite': '2.1.0'}, 'mmcv-lite and mmcv are both installed'),
        ({'mmpretrain': None}, 'mmpretrain is not installed.*onedl-mmpretrain'),
        ({'pycocotools': '2.0', 'transformers': '5.0.0'}, 'transformers 5.0.0.*transformers<4.57'),
    ],
)
def test_misfits_are_named_with_the_remedy(pretend, change, message):
    pretend({**GOOD, **change})
    with pytest.raises(ImportError, match=message):
        environment.check_environment()


@pytest.mark.parametrize(
    'change',
    [
        {},
        {'mmcv': None, 'mmcv-lite': '2.1.0'},
        {
            'mmcv': None,
            'onedl-mmcv': '2.3.6',
            'mmengine': None,
            'onedl-mmengine': '0.10.12',
            'mmpretrain': None,
            'onedl-mmpretrain': '1.3.6',
        },
        {'torch': '2.14.1+cpu'},
        {'transformers': '5.0.0'},
    ],
)
def test_either_family_fits(pretend, change):
    pretend({**GOOD, **change})
    environment.check_environment()
