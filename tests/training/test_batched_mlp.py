"""Hand-written passes of many networks equal autograd on each."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from neuropt.tasks import accuracy, cross_entropy
from neuropt.tasks.task import MLP, Activation, Split
from neuropt.training.batched_mlp import EVALUATION_EXAMPLES, Batch, BatchedMLP

CHILDREN = 3
SIZES = [(5, 3), (5, 7, 3), (6, 5, 4, 3), (4, 1, 2)]


def weights_of(mlp: MLP) -> Tensor:
    return torch.randn(CHILDREN, mlp.parameter_count, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def examples(mlp: MLP, count: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(count, mlp.sizes[0], dtype=torch.float64, generator=generator)
    return inputs, torch.randint(mlp.sizes[-1], (count,), generator=generator)


@pytest.mark.parametrize("activation", ["relu", "sigmoid", "tanh"])
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_loss_and_gradient_equal_autograd(sizes: tuple[int, ...], activation: Activation) -> None:
    mlp = MLP(sizes, activation)
    weights, (inputs, targets) = weights_of(mlp), examples(mlp, 8)
    gradients = torch.full_like(weights, torch.nan)
    passes = BatchedMLP(mlp, weights, gradients, batch_size=8)
    passes.loss_and_gradient(Batch.of(inputs, targets, sizes[-1]))
    losses = passes.loss_and_gradient(Batch.of(inputs, targets, sizes[-1]))  # nothing is left over from the first
    for child in range(CHILDREN):
        model = mlp.build().double()
        vector_to_parameters(weights[child], model.parameters())
        loss = cross_entropy(model(inputs), targets)
        torch.autograd.backward(loss)
        wanted = parameters_to_vector([p.grad for p in model.parameters() if p.grad is not None])
        torch.testing.assert_close(losses[child], loss.detach(), rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(gradients[child], wanted, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize("count", [1, 7, EVALUATION_EXAMPLES + 3])
def test_evaluation_equals_the_module(sizes: tuple[int, ...], count: int) -> None:
    mlp = MLP(sizes, "tanh")
    weights, (inputs, targets) = weights_of(mlp), examples(mlp, count)
    passes = BatchedMLP(mlp, weights, torch.empty_like(weights), batch_size=4)
    split = Split(inputs.float(), targets)
    losses, shares = passes.evaluate(split, torch.float64)
    for child in range(CHILDREN):
        model = mlp.build().double()
        vector_to_parameters(weights[child], model.parameters())
        logits = model(split.inputs.double()).detach()
        assert float(losses[child]) == pytest.approx(float(cross_entropy(logits, targets)), rel=1e-12)
        assert float(shares[child]) == pytest.approx(float(accuracy(logits, targets)), abs=1e-7)


def test_a_child_with_infinite_weights_spoils_only_itself() -> None:
    mlp = MLP((5, 7, 3))
    weights, (inputs, targets) = weights_of(mlp), examples(mlp, 8)
    weights[1] = torch.inf
    passes = BatchedMLP(mlp, weights, torch.empty_like(weights), batch_size=8)
    losses = passes.loss_and_gradient(Batch.of(inputs, targets, 3))
    assert torch.isfinite(losses).tolist() == [True, False, True]
    evaluated, _ = passes.evaluate(Split(inputs.float(), targets), torch.float64)
    assert torch.isfinite(evaluated).tolist() == [True, False, True]
