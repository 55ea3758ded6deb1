"""PowerSign and AddSign with sparse gradients: the average of all rows moves, the weights of the given rows do."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from neuropt.optimizers import AddSign, PowerSign

BOTH: list[Any] = [PowerSign, AddSign]


def sparse(rows: list[int], values: Tensor, shape: tuple[int, ...]) -> Tensor:
    return torch.sparse_coo_tensor(torch.tensor([rows]), values, shape, check_invariants=True)


@pytest.mark.parametrize("factory", BOTH)
@pytest.mark.parametrize(
    "dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.complex64], ids=str
)
def test_sparse_rows_equal_dense_rows_with_zeros_elsewhere(factory: Any, dtype: torch.dtype) -> None:
    w, v = (torch.arange(6).reshape(3, 2).to(dtype).requires_grad_() for _ in range(2))
    optimizers = factory([w], lr=0.125), factory([v], lr=0.125)
    for rows, scale in (([0, 2], 1.0), ([1], -1.0), ([0], -1.0), ([2, 2], 1.0)):  # the last names a row twice
        values = torch.tensor([[1.0, -2.0]] * len(rows), dtype=dtype) * scale
        w.grad = sparse(rows, values, (3, 2))
        v.grad = w.grad.to_dense()
        for optimizer in optimizers:
            optimizer.step()
    torch.testing.assert_close(w, v, rtol=0, atol=0)
    torch.testing.assert_close(optimizers[0].state[w], optimizers[1].state[v], rtol=0, atol=0)


def test_averages_of_absent_rows_decay_and_their_weights_stay() -> None:
    w = torch.ones(2, 1, requires_grad=True)
    optimizer = PowerSign([w], lr=0.1, beta=0.5)
    w.grad = sparse([0, 1], torch.tensor([[1.0], [1.0]]), (2, 1))
    optimizer.step()
    before = w.detach().clone()
    w.grad = sparse([0], torch.tensor([[1.0]]), (2, 1))
    optimizer.step()
    # m = 0.5 after the first step; then 0.75 for the given row and 0.25 for the other
    torch.testing.assert_close(optimizer.state[w]["momentum_buffer"], torch.tensor([[0.75], [0.25]]))
    assert w[1] == before[1]
    assert w[0] != before[0]


@pytest.mark.parametrize("factory", BOTH)
def test_an_embedding_learns(factory: Any) -> None:
    torch.manual_seed(0)
    embedding = nn.Embedding(5, 2, sparse=True)
    optimizer = factory(embedding.parameters(), lr=0.1, maximize=True)
    for _ in range(2):
        optimizer.zero_grad()
        before = embedding(torch.tensor([1, 3])).sum()
        before.backward()
        optimizer.step()
        assert embedding(torch.tensor([1, 3])).sum() > before


@pytest.mark.parametrize("factory", BOTH)
def test_weight_decay_with_a_sparse_gradient_is_refused(factory: Any) -> None:
    w = torch.zeros(3, 2, requires_grad=True)
    w.grad = sparse([0], torch.ones(1, 2), (3, 2))
    with pytest.raises(RuntimeError, match=r"weight_decay=0.1\) needs dense gradients"):
        factory([w], weight_decay=0.1).step()
