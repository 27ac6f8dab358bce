"""A computation as data: operators of torch and their tensors, without the code that led to them.

A program is what a model computes for a batch of images, as a list of core ATen operators
(https://pytorch.org/docs/stable/torch.compiler_ir.html). It is run by torch alone, so that it needs
neither the classes of the model nor their packages, and no code of a file is ever run.
"""

import operator
from typing import Any, Dict, List, NamedTuple, Sequence, Set

import torch

from ..errors import InputError

# Of sizes that depend on the batch
OF_NUMBERS = {
    function.__name__: function
    for function in (operator.add, operator.sub, operator.mul, operator.floordiv, operator.getitem)
}
# Composite operators that are faster as a whole
WHOLE = (
    *('aten.layer_norm.default', 'aten.linear.default'),
    'aten.scaled_dot_product_attention.default',
)
# Without a rule to be computed by core operators
RESIZING = ('aten._upsample_bicubic2d_aa.default', 'aten._upsample_bilinear2d_aa.default')
# Core operators that torch 2.8 does not call so
CORE = ('aten.linalg_vector_norm.default',)
OF_TORCH = (torch.dtype, torch.memory_format, torch.layout)


class Step(NamedTuple):
    """One operator.

    Attributes:
        name (str): Of its result.
        op (str): ``'aten.relu.default'``, or a name of :data:`OF_NUMBERS`.
        args (list): Values, see :func:`encode`; ``{'step': name}`` for the result of another.
        kwargs (dict): The same.
    """

    name: str
    op: str
    args: list
    kwargs: dict


class Program:
    """Operators from a batch of images to named results.

    Args:
        steps (list[Step]): In the order of their computation.
        tensors (dict[str, Tensor]): Constants by name.
        outputs (dict[str, str]): Results by name -> the step that computes them.

    Raises:
        InputError: An operator is unknown to this torch, or no core operator.
    """

    def __init__(
        self, steps: List[Step], tensors: Dict[str, torch.Tensor], outputs: Dict[str, str]
    ) -> None:
        self.steps, self.tensors, self.outputs = steps, tensors, outputs
        self._functions = {step.op: find_operator(step.op) for step in steps}

    def to(self, device: Any) -> 'Program':
        """Moves the constants; convolutions are faster with a pixel's channels side by side."""
        self.tensors = {
            name: tensor.to(device, memory_format=torch.channels_last)
            if tensor.ndim == 4
            else tensor.to(device)
            for name, tensor in self.tensors.items()
        }
        return self

    @torch.no_grad()
    def run(self, images: torch.Tensor, outputs: Sequence[str]) -> Dict[str, torch.Tensor]:
        """Computes results, and nothing that they do not need.

        Args:
            images (Tensor): Shape (B, 3, H, W), on the device of the constants.
            outputs (Sequence[str]): Names of the results.
        """
        wanted = {name: self.outputs[name] for name in outputs}
        steps = needed(self.steps, set(wanted.values()))
        last_use = {name: step.name for step in steps for name in references(step)}
        known: Dict[str, Any] = {**self.tensors, 'images': images}
        for step in steps:
            args = decode(step.args, known, images.device)
            kwargs = {k: decode(value, known, images.device) for k, value in step.kwargs.items()}
            known[step.name] = self._functions[step.op](*args, **kwargs)
            for name in references(step):
                if last_use[name] == step.name and name not in wanted.values():
                    known.pop(name, None)
        return {name: known[step] for name, step in wanted.items()}

    def to_data(self) -> dict:
        """Steps and outputs as plain values, for JSON."""
        return dict(steps=[list(step) for step in self.steps], outputs=self.outputs)

    @classmethod
    def from_data(cls, data: dict, tensors: Dict[str, torch.Tensor]) -> 'Program':
        """What :meth:`to_data` gave, with its tensors.

        Raises:
            InputError: See :class:`Program`.
        """
        return cls([Step(*step) for step in data['steps']], tensors, data['outputs'])


def find_operator(name: str) -> Any:
    """A core operator of ATen, which computes and does nothing else, or one of numbers.

    Raises:
        InputError: There is none of this name.
    """
    if name in OF_NUMBERS:
        return OF_NUMBERS[name]
    namespace, _, rest = name.partition('.')
    packet, _, overload = rest.partition('.')
    try:
        found = getattr(getattr(torch.ops.aten, packet), overload)
    except (AttributeError, RuntimeError):
        found = None
    if namespace != 'aten' or found is None:
        raise InputError(
            f'the operator {name} is unknown to torch {torch.__version__}. Install a newer torch.'
        )
    if torch.Tag.core not in found.tags and name not in (*WHOLE, *RESIZING, *CORE):
        raise InputError(f'the operator {name} is no core operator of torch, and refused.')
    return found


def needed(steps: Sequence[Step], wanted: Set[str]) -> List[Step]:
    """Those steps on which ``wanted`` ones depend, and they."""
    wanted, found = set(wanted), []
    for step in reversed(steps):
        if step.name in wanted:
            wanted.update(references(step))
            found.append(step)
    return found[::-1]


def references(step: Step) -> Set[str]:
    """Names of the steps and constants that a step takes."""
    found = set()

    def visit(value: Any) -> None:
        if isinstance(value, list):
            for each in value:
                visit(each)
        elif isinstance(value, dict) and 'step' in value:
            found.add(value['step'])

    visit(step.args)
    visit(list(step.kwargs.values()))
    return found


def encode(value: Any) -> Any:
    """An argument of an operator as plain values.

    Raises:
        TypeError: It is of a type that core operators do not take.
    """
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (list, tuple)):
        return [encode(each) for each in value]
    if isinstance(value, torch.device):
        return {'device': None}  # that of the images
    if isinstance(value, OF_TORCH):
        return {'torch': str(value).partition('.')[2]}
    if isinstance(value, torch.fx.Node):
        return {'step': value.name}
    raise TypeError(f'{value!r} of type {type(value).__name__}')


def decode(value: Any, known: Dict[str, Any], device: torch.device) -> Any:
    """The argument that :func:`encode` has encoded.

    Args:
        value (Any): Plain values.
        known (dict[str, Any]): Results of steps by name.
        device (torch.device): For new tensors.
    """
    if isinstance(value, list):
        return [decode(each, known, device) for each in value]
    if not isinstance(value, dict):
        return value
    if 'step' in value:
        return known[value['step']]
    if 'device' in value:
        return device
    found = getattr(torch, value['torch'], None)
    if not isinstance(found, OF_TORCH):
        raise InputError(f'{value["torch"]!r} is no dtype, layout or memory format of torch.')
    return found
