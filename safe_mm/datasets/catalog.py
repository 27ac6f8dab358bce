"""Published sizes and sources of the datasets, as catalog.json has them.

Paths are those of the configs in ``configs/_base_/datasets``.
"""

import json
from pathlib import Path
from typing import Dict, NamedTuple, Sequence


class Need(NamedTuple):
    """A file or folder of a dataset.

    Attributes:
        path (str): Where it belongs, below the data root.
        source (str): Where it comes from: a page, and the archive there.
        made (str): Where torchvision's class puts it, below the folder it downloads to. Empty if it
            has to be fetched by hand.
        optional (bool): Whether the dataset can be used without it.
    """

    path: str
    source: str
    made: str = ''
    optional: bool = False


class DatasetInfo(NamedTuple):
    """A dataset as it was published.

    Attributes:
        classes (int): Number of classes with images.
        sizes (Sequence[int]): Numbers of images in train, val and test.
        needs (Sequence[Need]): Files and folders.
        torchvision (str): The class that downloads it, if there is one.
        unfinished (str): What that class takes for a finished download as soon as it exists, below
            the folder it downloads to. For archives that it does not verify, the folder itself.
        requires (str): A package that this class needs beside torchvision.
        divided (Sequence[int]): Sizes where an optional split file divides train into train and
            val.
    """

    classes: int
    sizes: Sequence[int]
    needs: Sequence[Need]
    torchvision: str = ''
    unfinished: str = ''
    requires: str = ''
    divided: Sequence[int] = ()


CATALOG: Dict[str, DatasetInfo] = {
    name: DatasetInfo(**{**info, 'needs': [Need(**need) for need in info['needs']]})
    for name, info in json.loads(Path(__file__).with_suffix('.json').read_text('utf-8')).items()
}
