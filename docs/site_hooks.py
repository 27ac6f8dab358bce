"""Puts files of the repository's root into the documentation site, and mends links to them."""

import os
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
# File of the repository -> place in the site
PLACES = {
    'README.md': 'index.md',
    'CONTRIBUTING.md': 'contributing.md',
    'CHANGELOG.md': 'changelog.md',
    'LICENSE': 'LICENSE.txt',
    'CITATION.cff': 'CITATION.txt',
    'safe_mm/small_clip/MODEL_CARD.md': 'model_cards/creatures.md',
    'safe_mm/small_clip/MODEL_CARD_photos.md': 'model_cards/photos.md',
}
SOURCES = {place: source for source, place in PLACES.items()}
LINK = re.compile(r'(\]\()((?!https?:|#|mailto:)[^)#\s]+)')


def on_files(files: Files, config: Any, **kwargs: Any) -> Files:
    """Adds the files."""
    for source, place in PLACES.items():
        files.append(File.generated(config, place, content=(ROOT / source).read_text('utf-8')))
    return files


def on_page_markdown(markdown: str, page: Any, **kwargs: Any) -> str:
    """Links between files of the repository -> links between pages."""
    place = page.file.src_uri
    folder = Path(SOURCES.get(place, f'docs/{place}')).parent

    def mended(match: re.Match) -> str:
        target = os.path.normpath(folder / match[2])
        if target == 'docs':
            return match[1] + os.path.relpath('methods.md', Path(place).parent)
        found = PLACES.get(target) or target.partition('docs/')[2]
        return match[1] + os.path.relpath(found, Path(place).parent) if found else match[0]

    return LINK.sub(mended, markdown)
