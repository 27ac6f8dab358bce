"""Class names and templates travel from the dataset to the classifier."""
from mmengine.hooks import Hook
from torch.utils.data import Dataset

from ..errors import InputError
from ..models import TextClsHead
from ..registry import HOOKS
from .unwrap import unwrap


@HOOKS.register_module()
class ClassNamesHook(Hook):
    """Gives the head the class names of the dataset, after checkpoints load.

    Heads other than :class:`safe_mm.models.TextClsHead` need none.

    Raises:
        InputError: Dataset and classifier have different classes.
    """

    priority = 'HIGH'

    def __init__(self) -> None:
        self._trained_on = None

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        """Remembers the classes that the checkpoint was trained on."""
        meta = checkpoint.get('meta', {}).get('dataset_meta') or {}
        self._trained_on = meta.get('classes')

    def before_train(self, runner) -> None:
        self._match(runner, runner.train_dataloader.dataset)

    def before_val(self, runner) -> None:
        self._match(runner, runner.val_dataloader.dataset)

    def before_test(self, runner) -> None:
        self._match(runner, runner.test_dataloader.dataset)

    def _match(self, runner, dataset: Dataset) -> None:
        classes = tuple(dataset.metainfo['classes'])
        trained = tuple(self._trained_on or classes)
        if classes != trained:
            differ = [pair for pair in zip(trained, classes)
                      if pair[0] != pair[1]]
            first = ', first {!r} against {!r}'.format(
                *differ[0]) if differ else ''
            raise InputError(
                f'the checkpoint was trained on {len(trained)} classes, and '
                f'the data has {len(classes)}; they differ{first}. Test on '
                'data with the same classes.')
        head = unwrap(runner.model).head
        if isinstance(head, TextClsHead):
            head.set_classes(classes, dataset.metainfo.get('templates'))
            head.among = dataset.metainfo.get('subset')
