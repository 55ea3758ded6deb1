"""Every primitive in torch means what it means in numpy."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from neuropt.compiling.torch_primitives import TORCH_PRIMITIVES, fitting
from search_space.primitives import PRIMITIVES
from tests.compiling.comparison import EDGES, assert_same


def test_every_primitive_has_a_row() -> None:
    assert TORCH_PRIMITIVES.keys() == PRIMITIVES.keys()


def cases(name: str) -> Iterator[list[Any]]:
    """All combinations of edge values: as arrays, and with floats in the place of some of the arguments."""
    row = PRIMITIVES[name]
    count = row.arity + (row.kind == "drawing")
    for floats in itertools.product([False, True], repeat=count):
        if all(floats) or (row.kind == "drawing" and floats[-1]):
            continue
        grid = np.array(list(itertools.product(EDGES, repeat=count - sum(floats)))).T
        for numbers in itertools.product(EDGES, repeat=sum(floats)):
            given, columns = iter(numbers), iter(grid)
            yield [next(given) if is_float else next(columns) for is_float in floats]


def comparable(name: str, arguments: list[Any]) -> Any:
    """All but `mod` with a quotient that overflows, where torch gives nan."""
    if name != "mod":
        return slice(None)
    with np.errstate(all="ignore"):
        quotient = np.divide(*arguments)
        return ~(np.isinf(quotient) & np.isfinite(arguments[0]) & (np.asarray(arguments[1]) != 0))


@pytest.mark.parametrize("name", PRIMITIVES)
def test_equals_numpy(name: str) -> None:
    row, reduces = TORCH_PRIMITIVES[name], PRIMITIVES[name].kind == "reducing"
    for arguments in cases(name):
        with np.errstate(all="ignore"):
            expected = np.asarray(PRIMITIVES[name].numpy(*arguments))
        compared = slice(None) if reduces else comparable(name, arguments)
        tensors = [torch.tensor(x) if isinstance(x, np.ndarray) else x for x in arguments]
        results = {"new": row.function(*tensors)}
        if row.into:
            results["out"] = row.into(*tensors, out=torch.empty(expected.shape, dtype=torch.float64))
        for position in row.reusable:
            copies = [x.clone() if isinstance(x, Tensor) else x for x in tensors]
            if row.into and isinstance(copies[position], Tensor):
                results[f"over {position}"] = row.into(*copies, out=copies[position])
        for form, got in results.items():
            assert got.dtype == torch.float64
            assert got.shape == expected.shape
            assert_same(got.numpy()[compared], expected[compared], f"{name} {form}")


@pytest.mark.parametrize("name", ["norm", "mean", "dot"])
def test_reductions_keep_rows_apart(name: str) -> None:
    x, y = np.arange(12.0).reshape(3, 4), np.linspace(-1, 1, 12).reshape(3, 4)
    arguments = (x, y)[: PRIMITIVES[name].arity]
    got = TORCH_PRIMITIVES[name].function(*map(torch.from_numpy, arguments))
    assert_same(got.numpy(), PRIMITIVES[name].numpy(*arguments))
    assert got.shape == (3, 1)


@pytest.mark.parametrize(
    "name", [name for name, row in PRIMITIVES.items() if row.arity > 1 and row.kind == "pointwise"]
)
@pytest.mark.parametrize("full", [0, 1, 2])
def test_arguments_broadcast(name: str, full: int) -> None:
    arity = PRIMITIVES[name].arity
    if full >= arity:
        return
    arguments = [np.linspace(-2.0, 2.0, 7) if i == full else np.array([0.5 * i - 0.3]) for i in range(arity)]
    with np.errstate(all="ignore"):
        expected = PRIMITIVES[name].numpy(*arguments)
    row, tensors = TORCH_PRIMITIVES[name], [torch.from_numpy(x) for x in arguments]
    assert row.into is not None
    assert_same(row.function(*tensors).numpy(), expected, name)
    assert_same(row.into(*tensors, out=torch.empty(7, dtype=torch.float64)).numpy(), expected, name)
    if full in row.reusable:
        assert_same(row.into(*tensors, out=tensors[full]).numpy(), expected, name)


@pytest.mark.parametrize("name", ["+", "-", "/", "min", "where", "clip", "clamp", "<", "**"])
def test_the_dtype_of_the_tensor_is_kept(name: str) -> None:
    g = torch.tensor([1.0, -2.0], dtype=torch.float32)
    arguments: list[Any] = [g, 0.1, 0.2][: PRIMITIVES[name].arity]
    assert TORCH_PRIMITIVES[name].function(*arguments).dtype == torch.float32
    if len(arguments) == 2:
        assert TORCH_PRIMITIVES[name].function(*reversed(arguments)).dtype == torch.float32


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64], ids=str)
def test_sign_of_the_least_and_the_greatest(dtype: torch.dtype) -> None:
    info = torch.finfo(dtype)
    x = torch.tensor([info.smallest_normal, -info.max, 0.0, torch.nan, torch.inf], dtype=dtype)
    got = TORCH_PRIMITIVES["sign"].function(x)
    assert torch.equal(got[[0, 1, 2, 4]], torch.tensor([1.0, -1.0, 0.0, 1.0], dtype=dtype))
    assert got[3].isnan()


def test_a_number_beyond_the_dtype_becomes_infinity() -> None:
    assert fitting(-1e39, torch.float32) == -np.inf
    assert fitting(1e39, torch.float64) == 1e39
    assert np.isnan(fitting(np.nan, torch.float32))
