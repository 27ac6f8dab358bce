"""What all analyses share."""

from argparse import Namespace
from pathlib import Path
from typing import Any, Dict, Sequence


class Analysis:
    """Base of analyses, which are registered in ``safe_mm.registry.ANALYSES`` by their names.

    Attributes:
        options (Sequence[str]): Those of the tool's own options that it knows.
        images (int): Test images, without ``--limit``. Defaults to 40.
        of_records (bool): Whether it draws results of a sweep, and takes no model.
    """

    options: Sequence[str] = ()
    images: int = 40
    of_records: bool = False

    def run(self, subject: Any, args: Namespace, folder: Path) -> Dict[str, Any]:
        """Draws a picture, and measures what it shows.

        Args:
            subject (Subject | list): The model and its pictures, or results of a sweep.
            args (Namespace): Options of the tool.
            folder (Path): For pictures.

        Returns:
            dict: Plain values, which are written as JSON.
        """
        raise NotImplementedError
