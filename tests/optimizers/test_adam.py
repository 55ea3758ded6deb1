"""Adam equals torch's, bit for bit."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from neuropt.optimizers import Adam

SETTINGS: list[dict[str, Any]] = [
    {},
    {"lr": 0.1},
    {"lr": 0.0},
    {"betas": (0.5, 0.9)},
    {"betas": (0.0, 0.0)},
    {"eps": 1e-2},
    {"eps": 0.0},
    {"weight_decay": 0.1},
    {"maximize": True, "weight_decay": 0.1},
]
DTYPES = [torch.bfloat16, torch.float32, torch.float64, torch.complex64, torch.complex128]


def gradients(dtype: torch.dtype, shape: tuple[int, ...], steps: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    scales = 10.0 ** torch.randint(-6, 4, (steps, *shape), generator=generator)
    return [(torch.randn(shape, dtype=dtype, generator=generator) * s).to(dtype) for s in scales]


def trajectory(factory: Any, dtype: torch.dtype, **hyper: Any) -> list[Tensor]:
    w = torch.linspace(-1, 1, 6).reshape(2, 3).to(dtype).requires_grad_()
    optimizer = factory([w], **hyper)
    seen = []
    for g in gradients(dtype, (2, 3), steps=10):
        w.grad = g
        optimizer.step()
        seen.append(w.detach().clone())
    return seen


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("hyper", SETTINGS, ids=str)
def test_adam_is_torch_adam(hyper: dict[str, Any], dtype: torch.dtype) -> None:
    for ours, expected in zip(
        trajectory(Adam, dtype, **hyper), trajectory(torch.optim.Adam, dtype, foreach=False, **hyper), strict=True
    ):
        torch.testing.assert_close(ours, expected, rtol=0, atol=0, equal_nan=True)


def test_adam_with_a_tensor_learning_rate_is_adam_with_a_number() -> None:
    for ours, expected in zip(
        trajectory(Adam, torch.float64, lr=torch.tensor(0.125)), trajectory(Adam, torch.float64, lr=0.125), strict=True
    ):
        torch.testing.assert_close(ours, expected)


def test_two_adams_agree_in_float16_where_torch_is_finite() -> None:
    # eps = 1e-8 is 0 in torch's float16 quotient; with large gradients it does not matter
    w, v = (torch.ones(3, dtype=torch.float16, requires_grad=True) for _ in range(2))
    ours, theirs = Adam([w], lr=0.1), torch.optim.Adam([v], lr=0.1, foreach=False)
    for _ in range(5):
        w.grad = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float16)
        v.grad = w.grad.clone()
        ours.step()
        theirs.step()
    torch.testing.assert_close(w, v, rtol=2e-3, atol=0)  # two units of float16's last place


def test_adam_refuses_sparse_gradients() -> None:
    w = torch.zeros(3, requires_grad=True)
    w.grad = torch.sparse_coo_tensor(torch.tensor([[1]]), torch.ones(1), (3,), check_invariants=True)
    with pytest.raises(RuntimeError, match=r"Adam needs dense gradients, but got torch.sparse_coo"):
        Adam([w]).step()
