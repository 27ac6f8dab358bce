"""One check that the installed versions fit together."""

from importlib.metadata import PackageNotFoundError, version
from typing import Dict, Optional, Tuple

from packaging.specifiers import SpecifierSet

from .version import __version__

# module: (distributions that provide it, the one to recommend first; versions that fit)
REQUIREMENTS = {
    'torch': (('torch',), '>=2.1'),
    # A tag tells whether it needs QuickGELU from 2.29 on.
    'open_clip': (('open_clip_torch',), '>=2.29,<4'),
    # From 0.10.4 on, a resumed run skips the data it has seen, and the last iteration is validated.
    'mmengine': (('mmengine', 'mmengine-lite', 'onedl-mmengine'), '>=0.10.4,<1'),
    'mmcv': (('mmcv-lite', 'mmcv', 'onedl-mmcv'), '>=2.0,<2.4'),
    'mmpretrain': (('mmpretrain', 'onedl-mmpretrain'), '>=1.2,<2'),
}

OPENMMLAB = ('mmengine', 'mmcv', 'mmpretrain')


def installed(distributions: Tuple[str, ...]) -> dict:
    """Versions of those of ``distributions`` that are installed."""
    found = {}
    for name in distributions:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def versions() -> Dict[str, str]:
    """Of safe_mm and of all that it requires."""
    found = {'safe_mm': __version__}
    for module, (distributions, _) in REQUIREMENTS.items():
        found[module] = next(iter(installed(distributions).values()))
    return found


def find_problem(trains: bool) -> Optional[str]:
    """The first thing that does not fit, with its remedy, or None.

    Args:
        trains (bool): Whether OpenMMLab is needed.
    """
    for module, (distributions, fits) in REQUIREMENTS.items():
        found = installed(distributions)
        if not found and (trains or module not in OPENMMLAB):
            return (
                f'{module} is not installed. Install it by: pip install '
                f'"{distributions[0]}{fits}"; any of {", ".join(distributions)} will do.'
            )
        if len(found) > 1:
            return (
                f'{" and ".join(found)} are both installed and both provide the module {module}. '
                'Uninstall all of them, then install one.'
            )
        name, number = next(iter(found.items()), ('', ''))
        if found and not SpecifierSet(fits).contains(number, prereleases=True):
            return (
                f'{name} {number} is installed, but safe_mm needs {module} {fits}. Install it by: '
                f'pip install "{name}{fits}"'
            )

    # mmpretrain 1.2 replaces names by None when an import of its multimodal package fails, which
    # newer transformers make happen: no model can then be built at all.
    pair = installed(('pycocotools', 'transformers', 'mmpretrain'))
    if len(pair) == 3 and SpecifierSet('>=4.57').contains(pair['transformers'], prereleases=True):
        return (
            f'mmpretrain {pair["mmpretrain"]} cannot build models beside '
            f'pycocotools and transformers {pair["transformers"]}. Remedy:'
            ' pip install "transformers<4.57", or uninstall pycocotools.'
        )
    return None


def check_environment(trains: bool = True) -> None:
    """Raises an ImportError that names a missing or unfit package and the remedy.

    Args:
        trains (bool): Whether OpenMMLab is needed, which predictors do without. Defaults to True.
    """
    problem = find_problem(trains)
    if problem is not None:
        raise ImportError(f'safe_mm cannot start: {problem}')
