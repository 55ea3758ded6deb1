"""Forward and backward passes of many children of one model, whose weights are the rows of a buffer.

`RowPasses` does one child after the other, each with its own module, whose parameters are views of its row. `BatchedPasses` does all at
once: torch.func.vmap over rows and buffers, so that convolutions of many children become a grouped convolution, and their products a bmm.
`CompiledPasses` is `RowPasses` with one compiled function for the forward and the backward pass of every child.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value, stack_module_state, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.utils import parameters_to_vector

from neuropt.tasks import build_model
from neuropt.tasks.metrics import Loss
from neuropt.tasks.task import Task
from neuropt.training.forms import Form
from neuropt.training.precision import Precision, logits_of

Shapes = Sequence[torch.Size]


def row_views(rows: Tensor, shapes: Shapes) -> list[Tensor]:
    """View flat rows (C, P) as one tensor (C, *shape) a parameter.

    >>> [x.shape for x in row_views(torch.zeros(2, 7), [torch.Size([2, 3]), torch.Size([1])])]
    [torch.Size([2, 2, 3]), torch.Size([2, 1])]
    """
    parts = rows.split([shape.numel() for shape in shapes], dim=1)
    return [part.view(len(rows), *shape) for part, shape in zip(parts, shapes, strict=True)]


class RowPasses:
    """The passes of C children, one child after the other.

    Args:
        models: one a child, in training mode; their buffers are theirs, their parameters become views.
        precision: of the passes.
        loss: of the task.
    """

    def __init__(self, models: Sequence[nn.Module], precision: Precision, loss: Loss) -> None:
        self.models, self.loss = list(models), loss
        self.precision: Precision = precision
        self.names = [name for name, _ in self.models[0].named_parameters()]
        self.shapes = [p.shape for p in self.models[0].parameters()]

    def first_row(self) -> Tensor:
        """Return the first child's parameters as one row (P,), in the order of `parameters()`."""
        return parameters_to_vector(self.models[0].parameters()).detach()

    def bind(self, weights: Tensor, gradients: Tensor) -> None:
        """Read weights from the rows of one buffer (C, P), and write gradients to those of another."""
        self.gradients = [list(views) for views in zip(*row_views(gradients, self.shapes), strict=True)]
        self.parameters = [list(model.parameters()) for model in self.models]
        for parameters, views in zip(self.parameters, zip(*row_views(weights, self.shapes), strict=True), strict=True):
            for parameter, view in zip(parameters, views, strict=True):
                parameter.data = view

    def keep(self, columns: Sequence[int]) -> None:
        """Forget all children but these; `bind` follows."""
        self.models = [self.models[c] for c in columns]

    def loss_and_gradient(self, inputs: Tensor, targets: Tensor) -> Tensor:
        """Return each child's loss on a batch, (C,), and write its gradients."""
        losses = []
        for child in range(len(self.models)):
            loss = self._loss(child, inputs, targets)
            found = torch.autograd.grad(loss, self.parameters[child], allow_unused=True)
            for view, gradient in zip(self.gradients[child], self._complete(found), strict=True):
                view.copy_(gradient)
            losses.append(loss.detach())
        return torch.stack(losses)

    def _loss(self, child: int, inputs: Tensor, targets: Tensor) -> Tensor:
        return self.loss(logits_of(self.models[child], inputs, self.precision), targets)

    def _complete(self, found: Sequence[Tensor | None]) -> list[Tensor]:
        """Refuse a pass that leaves a parameter out, where a plain optimizer would leave it as it is."""
        missing = [name for name, gradient in zip(self.names, found, strict=True) if gradient is None]
        if missing:
            raise ValueError(f"parameter {missing[0]} got no gradient in one step; form plain trains such a model")
        return [gradient for gradient in found if gradient is not None]

    @torch.no_grad()
    def logits(self, inputs: Tensor) -> Tensor:
        """Return what each child says in evaluation mode, (C, examples, ...)."""
        found = [logits_of(model.eval(), inputs, self.precision) for model in self.models]
        for model in self.models:
            model.train()
        return torch.stack(found)


class CompiledPasses(RowPasses):
    """The passes of C children, one after the other, through one compiled function of weights, buffers and batch."""

    def __init__(self, models: Sequence[nn.Module], precision: Precision, task: Task) -> None:
        super().__init__(models, precision, task.loss)
        with _quiet():
            self.function = compiled_loss(task, precision)

    def loss_and_gradient(self, inputs: Tensor, targets: Tensor) -> Tensor:
        """Return each child's loss on a batch, (C,), and write its gradients; the first call compiles both."""
        with _quiet():
            return super().loss_and_gradient(inputs, targets)

    def _loss(self, child: int, inputs: Tensor, targets: Tensor) -> Tensor:
        model = self.models[child]
        given = dict(model.named_parameters()) | dict(model.named_buffers())
        return self.function(given, inputs, targets)


@contextmanager
def _quiet() -> Iterator[None]:
    """Leave out what torch's compiler warns about in torch itself."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@lru_cache(maxsize=4)
def compiled_loss(task: Task, precision: Precision) -> Callable[[dict[str, Tensor], Tensor, Tensor], Tensor]:
    """Return the loss of a task's model as a function of (parameters and buffers, inputs, targets); once a process."""
    template = build_model(task, seed=0).train()

    def loss(given: dict[str, Tensor], inputs: Tensor, targets: Tensor) -> Tensor:
        return task.loss(logits_of(lambda x: functional_call(template, given, (x,)), inputs, precision), targets)

    return torch.compile(loss, dynamic=False)


class BatchedPasses:
    """The passes of C children at once: arguments and methods are those of `RowPasses`."""

    def __init__(self, models: Sequence[nn.Module], precision: Precision, loss: Loss) -> None:
        self.template, self.loss = models[0], loss
        self.precision: Precision = precision
        self.names = [name for name, _ in self.template.named_parameters()]
        self.shapes = [p.shape for p in self.template.parameters()]
        self.buffers = {name: buffer.clone() for name, buffer in stack_module_state(list(models))[1].items()}
        self.losses = vmap(grad_and_value(self._loss), in_dims=(0, 0, None, None))
        self.forward = vmap(self._logits, in_dims=(0, 0, None))

    def first_row(self) -> Tensor:
        """Return the parameters that all children begin with as one row (P,), in the order of `parameters()`."""
        return parameters_to_vector(self.template.parameters()).detach()

    def bind(self, weights: Tensor, gradients: Tensor) -> None:
        """Read weights from the rows of one buffer (C, P), and write gradients to those of another."""
        self.weights = dict(zip(self.names, row_views(weights, self.shapes), strict=True))
        self.gradients = row_views(gradients, self.shapes)

    def keep(self, columns: Sequence[int]) -> None:
        """Forget all children but these; `bind` follows."""
        self.buffers = {name: buffer[list(columns)] for name, buffer in self.buffers.items()}

    def loss_and_gradient(self, inputs: Tensor, targets: Tensor) -> Tensor:
        """Return each child's loss on a batch, (C,), and write its gradients."""
        with _vmapped_attention(inputs.device):
            found, losses = self.losses(self.weights, self.buffers, inputs, targets)
        one_each: Tensor = losses
        for view, name in zip(self.gradients, self.names, strict=True):
            view.copy_(found[name])
        return one_each

    @torch.no_grad()
    def logits(self, inputs: Tensor) -> Tensor:
        """Return what each child says in evaluation mode, (C, examples, ...)."""
        self.template.eval()
        with _vmapped_attention(inputs.device):
            logits: Tensor = self.forward(self.weights, self.buffers, inputs)
        self.template.train()
        return logits

    def _logits(self, weights: dict[str, Tensor], buffers: dict[str, Tensor], inputs: Tensor) -> Tensor:
        return logits_of(lambda x: functional_call(self.template, (weights, buffers), (x,)), inputs, self.precision)

    def _loss(self, weights: dict[str, Tensor], buffers: dict[str, Tensor], inputs: Tensor, targets: Tensor) -> Tensor:
        return self.loss(self._logits(weights, buffers, inputs), targets)


@contextmanager
def _vmapped_attention(device: torch.device) -> Iterator[None]:
    """Have attention computed by products and softmax: vmap would take the fused kernels child by child, and warn about it."""
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # of whole encoder layers, in evaluation mode
    try:
        with sdpa_kernel(SDPBackend.MATH) if device.type == "cpu" else nullcontext():
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)


def passes_of(
    form: Form, task: Task, seed: int, children: int, device: torch.device, precision: Precision
) -> RowPasses | BatchedPasses:
    """Return the passes of children of one seed in a row form; `bind` gives them their rows."""
    models = [build_model(task, seed).train().to(device) for _ in range(children)]
    if form == "batched":
        return BatchedPasses(models, precision, task.loss)
    return CompiledPasses(models, precision, task) if form == "compiled" else RowPasses(models, precision, task.loss)
