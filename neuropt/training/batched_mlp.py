"""Forward and backward passes of many multilayer perceptrons at once, one row of weights each.

Child c has its weights in row c of a flat buffer, laid out as `nn.Sequential(Linear, activation, Linear, ...)` lists its parameters. One
product a layer serves all children: in the first layer, where all read the same examples, one matrix product over the units of all
children; above it one `bmm`. Products go to memory of their own and are copied to the rows, since torch loops over the children of a
`bmm` whose result has gaps. Everything is held with the examples last, (children, units, examples), so that sums over classes and over
examples run along contiguous memory:

    a_0 = x^T,   z_l = W_l a_(l-1) + b_l,   a_l = f(z_l),   loss = mean over examples of logsumexp(z_L) - z_L[target]
    d_L = (softmax(z_L) - onehot) / B,   d_(l-1) = (W_l^T d_l) * f'(a_(l-1)),   dW_l = d_l a_(l-1)^T,   db_l = d_l 1
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import assert_never

import torch
from torch import Tensor

from neuropt.tasks.task import MLP, Split

EVALUATION_EXAMPLES = 512
"""Examples a forward pass of an evaluation takes; the activations of all children stay in the cache."""


@dataclass(frozen=True, slots=True)
class Batch:
    """One batch, in the forms that the passes need.

    inputs (B, D), targets (1, B), onehot (O, B)
    """

    inputs: Tensor
    targets: Tensor
    onehot: Tensor

    @staticmethod
    def of(inputs: Tensor, targets: Tensor, classes: int) -> Batch:
        """Prepare examples: inputs (B, ...), targets (B,) with class numbers."""
        flat = inputs.reshape(len(inputs), -1)
        onehot = (targets == torch.arange(classes, device=targets.device).unsqueeze(1)).to(flat.dtype)
        return Batch(flat, targets.unsqueeze(0), onehot)


class BatchedMLP:
    """The passes of C children whose weights are the rows of `weights`.

    Args:
        mlp: layer sizes and activation.
        weights: (C, P), read.
        gradients: (C, P), written by `loss_and_gradient`.
        batch_size: B of every training batch.
    """

    def __init__(self, mlp: MLP, weights: Tensor, gradients: Tensor, batch_size: int) -> None:
        self.mlp, self.children = mlp, len(weights)
        self.weights = _layers(weights, mlp.sizes)
        self.gradients = _layers(gradients, mlp.sizes)
        new = weights.new_empty
        shapes = [(self.children, width, batch_size) for width in mlp.sizes[1:]]
        self.activations = [new(shape) for shape in shapes]
        self.errors = [new(shape) for shape in shapes]
        self.products = [new(weight.shape) for weight, _ in self.weights]  # gradients of weights, without gaps
        self.highest, self.total = new(self.children, 1, batch_size), new(self.children, 1, batch_size)
        self.batch_size = batch_size

    def loss_and_gradient(self, batch: Batch) -> Tensor:
        """Return each child's mean cross-entropy on the batch, (C,), and write its gradients."""
        logits = self._forward(batch.inputs, self.activations)
        loss = self._cross_entropy(logits, batch)
        error = self.errors[-1]
        error.mul_(self.total.reciprocal_().mul_(1 / self.batch_size)).sub_(batch.onehot, alpha=1 / self.batch_size)
        for layer in reversed(range(len(self.weights))):
            self._weight_gradient(layer, batch)
            if layer:
                weight, below = self.weights[layer][0], self.errors[layer - 1]
                torch.bmm(weight.transpose(1, 2), self.errors[layer], out=below)
                self._through_activation(below, self.activations[layer - 1])
        return loss

    def _weight_gradient(self, layer: int, batch: Batch) -> None:
        weight, bias = self.gradients[layer]
        error, product = self.errors[layer], self.products[layer]
        if layer:
            torch.bmm(error, self.activations[layer - 1].transpose(1, 2), out=product)
        else:
            torch.mm(error.flatten(0, 1), batch.inputs, out=product.view(-1, product.shape[2]))
        weight.copy_(product)
        torch.sum(error, 2, out=bias)

    def _forward(self, inputs: Tensor, activations: list[Tensor]) -> Tensor:
        """Return the logits of examples (B, D), and leave the activations of every layer, (C, units, B)."""
        last = len(self.weights) - 1
        for layer, (weight, bias) in enumerate(self.weights):
            out = activations[layer]
            if layer:
                torch.baddbmm(bias.unsqueeze(2), weight, activations[layer - 1], out=out)
            else:
                # between two backward passes the memory of this layer's product is free
                units = self.products[0].copy_(weight).flatten(0, 1)  # (C * units, D)
                torch.addmm(bias.reshape(-1, 1), units, inputs.t(), out=out.view(-1, out.shape[2]))
            if layer < last:
                self._activate(out)
        return activations[last]

    def _cross_entropy(self, logits: Tensor, batch: Batch) -> Tensor:
        """mean(log sum exp(z - max) - (z - max)[target]); leaves exp(z - max) in the last error and its sum in `total`."""
        torch.amax(logits, 1, keepdim=True, out=self.highest)
        logits.sub_(self.highest)
        torch.exp(logits, out=self.errors[-1])
        torch.sum(self.errors[-1], 1, keepdim=True, out=self.total)
        index = batch.targets.expand(self.children, 1, self.batch_size)
        return self.total.log().sub_(logits.gather(1, index)).mean((1, 2))

    def _activate(self, z: Tensor) -> None:
        match self.mlp.activation:
            case "relu":
                z.relu_()
            case "sigmoid":
                z.sigmoid_()
            case "tanh":
                z.tanh_()
            case _:
                assert_never(self.mlp.activation)

    def _through_activation(self, error: Tensor, a: Tensor) -> None:
        """Multiply the error by f'(z), which all three activations know from a = f(z)."""
        aten = torch.ops.aten
        match self.mlp.activation:
            case "relu":  # 1 where a > 0
                aten.threshold_backward.grad_input(error, a, 0, grad_input=error)
            case "sigmoid":  # a (1 - a)
                aten.sigmoid_backward.grad_input(error, a, grad_input=error)
            case "tanh":  # 1 - a^2
                aten.tanh_backward.grad_input(error, a, grad_input=error)
            case _:
                assert_never(self.mlp.activation)

    def evaluate(self, split: Split, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
        """Return each child's mean cross-entropy and accuracy on a split, two tensors (C,)."""
        loss = torch.zeros(self.children, dtype=torch.float64, device=self.activations[0].device)
        correct = torch.zeros_like(loss)
        for first in range(0, len(split), EVALUATION_EXAMPLES):
            inputs = split.inputs[first : first + EVALUATION_EXAMPLES].flatten(1).to(dtype)
            targets = split.targets[first : first + EVALUATION_EXAMPLES].expand(self.children, 1, len(inputs))
            buffers = [inputs.new_empty(self.children, width, len(inputs)) for width in self.mlp.sizes[1:]]
            logits = self._forward(inputs, buffers)
            picked = logits.gather(1, targets)
            loss += (logits.logsumexp(1, keepdim=True) - picked).sum((1, 2), dtype=torch.float64)
            correct += (logits.argmax(1, keepdim=True) == targets).sum((1, 2))
        return loss / len(split), correct / len(split)


def _layers(rows: Tensor, sizes: tuple[int, ...]) -> list[tuple[Tensor, Tensor]]:
    """View flat rows (C, P) as (weight (C, out, in), bias (C, out)) for each layer."""
    views, position = [], 0
    for inputs, outputs in pairwise(sizes):
        weight = rows[:, position : position + outputs * inputs].view(len(rows), outputs, inputs)
        position += outputs * inputs
        views.append((weight, rows[:, position : position + outputs]))
        position += outputs
    return views
