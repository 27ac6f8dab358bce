"""From a trained model to a program."""

from typing import Any, Dict

import torch
from torch import nn

from ..errors import InputError, first_line
from .program import WHOLE, Program, Step, encode, find_operator

TRACED_BATCH = 2  # sizes 0 and 1 are constants to torch.export


class LogitsAndAttention(nn.Module):
    """What is traced of a classifier.

    Args:
        model (CLIPClassifier): In eval mode.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: torch.Tensor) -> Dict[str, torch.Tensor]:
        """Images, shape (B, 3, H, W) -> logits (B, N), and attention (B, h, w) of some models."""
        neck, head = self.model.neck, self.model.head
        dense = self.model.dense(images)
        features = neck.combine(neck.pool(dense))
        found = dict(logits=head.logits(*head.prepare(features)))
        maps = neck.attention_maps(dense)
        return dict(found, attention=maps['combined']) if maps else found


def export(model: Any) -> torch.export.ExportedProgram:
    """The model by ``torch.export``, for batches of any size.

    Args:
        model (CLIPClassifier): Is merged, see :meth:`safe_mm.models.CLIPClassifier.merge`.

    Raises:
        InputError: It computes what cannot be exported.
    """
    model = model.eval().merge()
    model.head.check_finished()
    device = next(model.parameters()).device
    images = torch.zeros(TRACED_BATCH, 3, *model.backbone.image_size, device=device)
    try:
        batch = {0: torch.export.Dim('batch', min=1, max=4096)}
        with torch.no_grad():
            return torch.export.export(
                LogitsAndAttention(model), (images,), dynamic_shapes=dict(images=batch)
            )
    except Exception as error:  # torch.export raises errors of many types
        raise InputError(
            f'torch {torch.__version__} cannot export this model: {first_line(error)} '
            'Install torch 2.6 or newer, or predict with tools/test.py.'
        ) from error


def to_program(exported: torch.export.ExportedProgram) -> Program:
    """The same computation as a :class:`Program`.

    Raises:
        InputError: It has an operator that is no core operator of torch.
    """
    rules = torch.export.default_decompositions()
    for name in WHOLE:
        rules.pop(find_operator(name), None)
    exported = exported.run_decompositions(rules)
    graph, signature = exported.graph, exported.graph_signature
    held = {
        **signature.inputs_to_parameters,
        **signature.inputs_to_buffers,
        **signature.inputs_to_lifted_tensor_constants,
    }
    values = {**exported.state_dict, **exported.constants}
    (images,) = signature.user_inputs
    names = {images: 'images'}
    steps, tensors = [], {}
    for node in graph.nodes:
        if node.op == 'placeholder' and node.name in held and node.users:
            names[node.name] = held[node.name]
            tensors[held[node.name]] = values[held[node.name]].detach()
        elif node.op == 'call_function' and node.users:  # others assert something
            steps.append(step_of(node, names))
    (results,) = graph.output_node().args
    keys = exported.call_spec.out_spec.context
    return Program(steps, tensors, dict(zip(keys, (result.name for result in results))))


def step_of(node: torch.fx.Node, names: Dict[str, str]) -> Step:
    """A node of the graph, with the names of constants in the place of their placeholders."""

    def renamed(value: Any) -> Any:
        if isinstance(value, list):
            return [renamed(each) for each in value]
        if isinstance(value, dict) and 'step' in value:
            return {'step': names.get(value['step'], value['step'])}
        return value

    target: Any = node.target
    name = str(target) if isinstance(target, torch._ops.OpOverload) else target.__name__
    try:
        args = renamed(encode(node.args))
        kwargs = {key: renamed(encode(value)) for key, value in node.kwargs.items()}
    except TypeError as error:
        raise InputError(f'the operator {name} takes {error}, which cannot be written.') from None
    return Step(node.name, name, args, kwargs)
