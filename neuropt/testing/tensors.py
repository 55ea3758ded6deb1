"""Checks of the tensors that an optimizer meets: their types, shapes, memory and layouts."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.optim import Optimizer

from neuropt.testing.subject import NotApplicable, Subject, Unmet
from neuropt.testing.trajectories import (
    CLOSE,
    Gradient,
    distance,
    expect_moved,
    expect_same,
    gradient,
    parameters,
    take_steps,
    weights,
)

DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
ODD_SHAPES: tuple[tuple[int, ...], ...] = ((), (0,), (3, 0), (1,), (2, 3))
MOVE = 0.25
"""How far the fastest element goes in the checks of types: well above the resolution of bfloat16, 0.004 near 1."""


def dtypes(subject: Subject) -> str:
    """In float16, bfloat16, float32 and float64 parameters keep their type and go where float64 goes.

    They end within a fifth of the way and 16 units in the last place of float64's end: a float16 average of squares has few digits.
    """
    lr = _visible_lr(subject)
    expected = weights(_at_lr(subject, parameters(), lr))
    for dtype in DTYPES:
        optimizer = _at_lr(subject, parameters(dtype=dtype), lr)
        got = weights(optimizer)
        for x in got:
            if x.dtype != dtype:
                raise Unmet(f"expected {dtype} parameters to keep their type, but got {x.dtype}")
        tolerance = MOVE / 5 + 16 * torch.finfo(dtype).eps
        expect_same(expected, [x.double() for x in got], f"4 steps in {dtype}, compared with float64", tolerance)
    return "float16, bfloat16, float32 and float64 agree"


def double_precision(subject: Subject) -> str:
    """Float64 parameters and gradients are computed in float64: a change of 1e-10 counts as much as one of 1e-5, in proportion."""
    lr = _visible_lr(subject)

    def end(weight: float = 0.0, first: float = 0.0) -> list[Tensor]:
        """Change one element of each parameter, or of each first gradient."""

        def changed(w: Tensor, step: int, place: int) -> Tensor:
            g = gradient(w, step, place)
            return _with_first_changed(g, first if step == 0 else 0.0)

        leaves = [_with_first_changed(w.detach(), weight).requires_grad_() for w in parameters()]
        return weights(_at_lr(subject, leaves, lr, changed))

    base = end()
    moved = distance(base, end(weight=1e-10))
    if not 1e-12 < moved < 1e-8:
        raise Unmet(
            f"a change of 1e-10 in a float64 parameter: expected about as much after 4 steps, but got {moved:.2g}"
        )
    coarse, fine = distance(base, end(first=1e-5)), distance(base, end(first=1e-10))
    # signs jump, and equal gradients may give equal steps: only a smooth, visible response has a proportion
    if 1e-9 < coarse < 1e-3 and not 1e-6 * coarse < fine < 1e-4 * coarse:
        raise Unmet(
            f"a change of a first float64 gradient by 1e-5 moved the weights by {coarse:.2g}; expected 1e-10 to move them "
            f"by about {1e-5 * coarse:.2g}, but it was {fine:.2g}"
        )
    return "a change of 1e-10 is seen"


def odd_shapes(subject: Subject) -> str:
    """0-d and empty tensors step like others: one element is one element, and nothing is nothing."""
    optimizer = subject.make(parameters(ODD_SHAPES))
    before = weights(optimizer)
    take_steps(optimizer, range(3))
    expect_moved(before, weights(optimizer), f"3 steps of parameters of shapes {', '.join(map(str, ODD_SHAPES))}")
    scalar, vector = (
        weights(take_steps(subject.make(parameters([shape])), range(3)))[0].reshape(1) for shape in ((), (1,))
    )
    expect_same([vector], [scalar], "a 0-d parameter should step as one of shape (1,)", CLOSE)
    return "0-d and empty tensors step like others"


def non_contiguous(subject: Subject) -> str:
    """Parameters and gradients that are not contiguous, such as transposed ones, step like contiguous ones."""
    (w,) = parameters([(3, 4)])
    expected = weights(take_steps(subject.make([w]), range(3)))
    cases: dict[str, tuple[Callable[[Tensor], Tensor], Gradient]] = {
        "a transposed parameter": (_column_major, gradient),
        "a transposed gradient": (Tensor.contiguous, lambda *at: _column_major(gradient(*at))),
        "both transposed": (_column_major, lambda *at: _column_major(gradient(*at))),
    }
    for what, (form, gradient_of) in cases.items():
        leaf = form(parameters([(3, 4)])[0].detach()).requires_grad_()
        got = weights(take_steps(subject.make([leaf]), range(3), gradient_of=gradient_of))
        expect_same(expected, got, f"{what}, compared with contiguous ones", CLOSE)
    return "transposed tensors step like contiguous ones"


def sparse_gradients(subject: Subject) -> str:
    """A sparse gradient is stepped along as its dense form where it has entries, or refused by a message that says so."""
    sparse, dense = subject.make(parameters([(4, 2)])), subject.make(parameters([(4, 2)]))
    before = weights(sparse)
    rows = torch.tensor([[0, 2]])

    def filled(w: Tensor, step: int, place: int) -> Tensor:
        values = gradient(w, step, place)
        return torch.sparse_coo_tensor(rows, values[rows[0]], tuple(w.shape), check_invariants=True)

    try:
        after = weights(take_steps(sparse, range(1), gradient_of=filled))
    except Exception as error:
        if not _is_clear(error, ("sparse", "dense", "layout")):
            raise Unmet(
                f"expected sparse gradients to work or to be refused clearly, but got {type(error).__name__}: {error}"
            ) from error
        expect_same(before, weights(sparse), "a refused gradient should leave its parameter alone")
        return f"refused: {str(error).splitlines()[0]}"
    expected = weights(take_steps(dense, range(1), gradient_of=lambda *at: filled(*at).to_dense()))
    expect_same([expected[0][rows[0]]], [after[0][rows[0]]], "a sparse gradient should step as its dense form", CLOSE)
    return "stepped along as the dense form"


def complex_parameters(subject: Subject) -> str:
    """A complex parameter steps as the pair of its real and imaginary part, with weight decay too where there is one.

    Where complex parameters raise, it does not apply.
    """
    hyper = {"weight_decay": 0.1} if "weight_decay" in subject.names else {}
    pairs = subject.make([torch.view_as_real(z.detach()).clone().requires_grad_() for z in _complex()], **hyper)
    try:
        complexes = take_steps(subject.make(_complex(), **hyper), range(3))
    except Exception as error:
        raise NotApplicable(f"complex parameters raise {type(error).__name__}: {str(error).splitlines()[0]}") from error

    def pair(w: Tensor, step: int, place: int) -> Tensor:
        return torch.view_as_real(gradient(torch.view_as_complex(w.detach()), step, place))

    expected = weights(take_steps(pairs, range(3), gradient_of=pair))
    got = [torch.view_as_real(z) for z in weights(complexes)]
    expect_same(expected, got, "a complex parameter should step as its view_as_real", CLOSE)
    return "step as pairs of real ones"


def zero_lr_and_gradients(subject: Subject) -> str:
    """With lr 0 and gradients of 0 a step leaves parameters as they are, at the start and later: distributed checkpointing relies on it."""
    _rests(subject, torch.float32)
    return "untouched, at the start and after 3 steps"


def float16_zero_gradients(subject: Subject) -> str:
    """The same in float16. It applies where the default eps is not 0 there, or where there is none; strict: always."""
    eps = subject.defaults.get("eps")
    if not subject.strict and isinstance(eps, float) and float(torch.tensor(eps, dtype=torch.float16)) == 0:
        raise NotApplicable(f"eps={eps:g} is 0 in float16, where 0 / 0 is NaN")
    _rests(subject, torch.float16)
    return "untouched, at the start and after 3 steps"


def _rests(subject: Subject, dtype: torch.dtype) -> None:
    for warm in (0, 3):
        optimizer = take_steps(subject.make(parameters(dtype=dtype)), range(warm))
        for group in optimizer.param_groups:
            group["lr"] = 0.0
        before = weights(optimizer)
        take_steps(optimizer, range(warm, warm + 2), gradient_of=lambda w, step, place: torch.zeros_like(w))
        claim = f"lr = 0 and gradients of 0 after {warm} steps in {dtype} should leave parameters as they are"
        expect_same(before, weights(optimizer), claim)


def _visible_lr(subject: Subject) -> float:
    """Return the lr at which the fastest element goes MOVE in four steps, by proportion."""
    optimizer = subject.make(parameters())
    before, lr = weights(optimizer), float(optimizer.param_groups[0]["lr"])
    moved = distance(before, weights(take_steps(optimizer, range(4))))
    if not 0 < moved < float("inf"):
        raise Unmet(f"4 steps with lr={lr:g}: expected an update, but the largest was {moved}")
    return lr * MOVE / moved


def _at_lr(subject: Subject, leaves: Sequence[Tensor], lr: float, gradient_of: Gradient | None = None) -> Optimizer:
    """Take four steps at a learning rate, from gradients that are the same numbers in every type, as far as it holds them."""
    optimizer = subject.make(leaves)
    optimizer.param_groups[0]["lr"] = lr

    def rounded(w: Tensor, step: int, place: int) -> Tensor:
        return gradient(w.detach().double(), step, place).to(w.dtype)

    return take_steps(optimizer, range(4), gradient_of=gradient_of or rounded)


def _with_first_changed(x: Tensor, by: float) -> Tensor:
    changed = x.clone()
    changed.view(-1)[0] += by
    return changed


def _column_major(x: Tensor) -> Tensor:
    """Return the same matrix, with its columns in order in memory."""
    return x.t().contiguous().t()


def _complex() -> list[Tensor]:
    return parameters(dtype=torch.complex128)


def _is_clear(error: Exception, words: tuple[str, ...]) -> bool:
    """Whether it was raised on purpose and says why; what torch's kernels say of a missing operation is neither."""
    message = str(error).lower()
    on_purpose = isinstance(error, RuntimeError | ValueError | TypeError) and not isinstance(error, NotImplementedError)
    return on_purpose and "aten::" not in message and any(word in message for word in words)
