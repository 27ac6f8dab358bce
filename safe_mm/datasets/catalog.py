"""What each data set is: its published size, and where its files come from.

Paths are those of the configs in ``configs/_base_/datasets``.
"""

from typing import Dict, NamedTuple, Tuple

VGG = 'https://www.robots.ox.ac.uk/~vgg/data'
COOP = 'https://github.com/KaiyangZhou/CoOp/blob/main/DATASETS.md'
CROSS_MODAL = 'https://github.com/linzhiqiu/cross_modal_adaptation/blob/main/DATASETS.md'
IMAGENET = 'https://image-net.org/download.php'
AIRCRAFT = f'fgvc-aircraft-2013b.tar.gz of {VGG}/fgvc-aircraft/'


class Need(NamedTuple):
    """A file or folder of a data set.

    Attributes:
        path (str): Where it belongs, below the data root.
        source (str): Where it is from: a page, and the archive there.
        made (str): Where torchvision's class puts it, below the folder it downloads to. Empty if it
            has to be fetched by hand.
        optional (bool): Whether the data set can be used without it.
    """

    path: str
    source: str
    made: str = ''
    optional: bool = False


class DataSet(NamedTuple):
    """A data set as it was published.

    Attributes:
        classes (int): Of which there are images.
        sizes (tuple): Images of train, val and test, all that there are.
        divided (tuple): The same where an optional split file divides train into train and val.
        needs (tuple): Files and folders.
        torchvision (str): The class that downloads it, if there is one.
        unfinished (str): What that class takes for a finished download as soon as it exists, below
            the folder it downloads to. For archives that it does not verify, the folder itself.
        requires (str): A package that this class needs beside torchvision.
    """

    classes: int
    sizes: Tuple[int, int, int]
    needs: Tuple[Need, ...]
    torchvision: str = ''
    unfinished: str = ''
    requires: str = ''
    divided: Tuple[int, ...] = ()


CLASSNAMES = Need('imagenet/classnames.txt', COOP)
CATALOG: Dict[str, DataSet] = dict(
    imagenet=DataSet(
        1000,
        (1281167, 0, 50000),
        (
            Need(
                'imagenet/images/train',
                f'ILSVRC2012_img_train.tar of {IMAGENET}, a folder WNID for each class',
            ),
            Need(
                'imagenet/images/val',
                f'ILSVRC2012_img_val.tar of {IMAGENET}, sorted into folders WNID',
            ),
            CLASSNAMES,
            Need('imagenet/split_ImageNet.json', CROSS_MODAL, optional=True),
        ),
        divided=(1024936, 256231, 50000),
    ),
    caltech101=DataSet(
        100,
        (4128, 1649, 2465),
        (
            Need(
                'caltech-101/101_ObjectCategories',
                'caltech-101.zip of https://data.caltech.edu/records/mzrjq-6wc02',
                'caltech101/101_ObjectCategories',
            ),
            Need('caltech-101/split_zhou_Caltech101.json', COOP),
        ),
        torchvision='Caltech101',
        unfinished='caltech101/101_ObjectCategories',
    ),
    oxfordpets=DataSet(
        37,
        (2944, 736, 3669),
        (
            Need('oxford_pets/images', f'images.tar.gz of {VGG}/pets/', 'oxford-iiit-pet/images'),
            Need('oxford_pets/split_zhou_OxfordPets.json', COOP),
        ),
        torchvision='OxfordIIITPet',
        unfinished='oxford-iiit-pet/images',
    ),
    stanfordcars=DataSet(
        196,
        (6509, 1635, 8041),
        (
            Need('stanford_cars/cars_train', COOP),
            Need('stanford_cars/cars_test', COOP),
            Need('stanford_cars/split_zhou_StanfordCars.json', COOP),
        ),
    ),
    flowers102=DataSet(
        102,
        (4093, 1633, 2463),
        (
            Need('oxford_flowers/jpg', f'102flowers.tgz of {VGG}/flowers/102/', 'flowers-102/jpg'),
            Need('oxford_flowers/split_zhou_OxfordFlowers.json', COOP),
        ),
        torchvision='Flowers102',
        unfinished='flowers-102/jpg',
        requires='scipy',
    ),
    food101=DataSet(
        101,
        (50500, 20200, 30300),
        (
            Need(
                'food-101/images',
                'food-101.tar.gz of https://data.vision.ee.ethz.ch/cvl/datasets_extra/food-101/',
                'food-101/images',
            ),
            Need('food-101/split_zhou_Food101.json', COOP),
        ),
        torchvision='Food101',
        unfinished='food-101/images',
    ),
    fgvcaircraft=DataSet(
        100,
        (3334, 3333, 3333),
        tuple(
            Need(f'fgvc_aircraft/{name}', AIRCRAFT, f'fgvc-aircraft-2013b/data/{name}')
            for name in (
                'images',
                'variants.txt',
                'images_variant_train.txt',
                'images_variant_val.txt',
                'images_variant_test.txt',
            )
        ),
        torchvision='FGVCAircraft',
        unfinished='.',
    ),
    sun397=DataSet(
        397,
        (15880, 3970, 19850),
        (
            Need(
                'sun397/SUN397',
                'SUN397.tar.gz of https://vision.princeton.edu/projects/2010/SUN/',
                'SUN397',
            ),
            Need('sun397/split_zhou_SUN397.json', COOP),
        ),
        torchvision='SUN397',
        unfinished='SUN397',
    ),
    dtd=DataSet(
        47,
        (2820, 1128, 1692),
        (
            Need('dtd/images', f'dtd-r1.0.1.tar.gz of {VGG}/dtd/', 'dtd/dtd/images'),
            Need('dtd/split_zhou_DescribableTextures.json', COOP),
        ),
        torchvision='DTD',
        unfinished='dtd/dtd',
    ),
    eurosat=DataSet(
        10,
        (13500, 5400, 8100),
        (
            Need(
                'eurosat/2750', 'EuroSAT.zip of https://github.com/phelber/EuroSAT', 'eurosat/2750'
            ),
            Need('eurosat/split_zhou_EuroSAT.json', COOP),
        ),
        torchvision='EuroSAT',
        unfinished='eurosat/2750',
    ),
    ucf101=DataSet(
        101,
        (7639, 1898, 3783),
        (
            Need('ucf101/UCF-101-midframes', f'UCF-101-midframes.zip of {COOP}'),
            Need('ucf101/split_zhou_UCF101.json', COOP),
        ),
    ),
    imagenetv2=DataSet(
        1000,
        (0, 0, 10000),
        (
            Need(
                'imagenetv2/imagenetv2-matched-frequency-format-val',
                'https://github.com/modestyachts/ImageNetV2',
            ),
            CLASSNAMES,
        ),
    ),
    imagenet_sketch=DataSet(
        1000,
        (0, 0, 50889),
        (
            Need(
                'imagenet-sketch/images',
                'https://github.com/HaohanWang/ImageNet-Sketch, the folder of the folders WNID',
            ),
            CLASSNAMES,
        ),
    ),
    imagenet_a=DataSet(
        200,
        (0, 0, 7500),
        (
            Need(
                'imagenet-adversarial/imagenet-a',
                'https://github.com/hendrycks/natural-adv-examples',
            ),
            CLASSNAMES,
        ),
    ),
    imagenet_r=DataSet(
        200,
        (0, 0, 30000),
        (
            Need('imagenet-rendition/imagenet-r', 'https://github.com/hendrycks/imagenet-r'),
            CLASSNAMES,
        ),
    ),
)
