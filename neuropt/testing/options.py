"""Checks of options that a constructor may declare: foreach, maximize, differentiable, a tensor as lr, torch.compile."""

from __future__ import annotations

import logging

import torch
from torch import Tensor
from torch.autograd.gradcheck import GradcheckError

from neuropt.testing.subject import NotApplicable, Subject, Unmet
from neuropt.testing.trajectories import CLOSE, SHAPES, expect_same, gradient, parameters, take_steps, weights

LR = 0.125
"""Exact in every type."""
ROUNDED = 1e-6
"""Beside numbers: a float32 lr makes its quotients float32; a compiler fuses products with sums and takes powers in its own way."""


def foreach(subject: Subject) -> str:
    """foreach=True and foreach=False take the same steps, also where a parameter has no gradient yet."""
    subject.require("foreach")
    grouped, looped = (subject.make(parameters([(4,), (2, 3), ()]), foreach=value) for value in (True, False))
    for optimizer in (grouped, looped):
        take_steps(optimizer, range(2), only={0, 2})
        take_steps(optimizer, range(2, 5))
    expect_same(weights(looped), weights(grouped), "foreach=True should step as foreach=False", CLOSE)
    return "foreach=True steps as foreach=False"


def maximize(subject: Subject) -> str:
    """maximize=True along g is descent along -g, with weight decay too where there is one."""
    subject.require("maximize")
    for hyper in ({}, {"weight_decay": 0.1}) if "weight_decay" in subject.names else ({},):
        up, down = subject.make(parameters(), maximize=True, **hyper), subject.make(parameters(), **hyper)
        take_steps(up, range(4))
        take_steps(down, range(4), gradient_of=lambda *at: -gradient(*at))
        said = "".join(f" with {name}={value}" for name, value in hyper.items())
        expect_same(weights(down), weights(up), f"maximize=True{said} should descend along -g", CLOSE)
    return "maximize=True descends along -g"


def differentiable(subject: Subject) -> str:
    """With differentiable=True autograd's derivative of a third step, by weights and gradient, is the numerical one.

    Strict: so is that of three steps together, where torch's momentum leaves its first gradient out and its Adamax raises.
    """
    subject.require("differentiable")
    (start,) = parameters([(3,)])

    def after_steps(w: Tensor, g: Tensor) -> Tensor:
        w = w.clone()
        optimizer = subject.make([w], differentiable=True)
        if not subject.strict:  # begin with the state of two steps that autograd does not see
            warm = subject.make([start.detach().clone()], differentiable=True)
            optimizer.load_state_dict(take_steps(warm, range(2)).state_dict())
        for step in range(3 if subject.strict else 1):
            w.grad = g * (1 + step)
            optimizer.step()
        return w

    g = gradient(start, 0, 0).requires_grad_()
    try:
        torch.autograd.gradcheck(after_steps, (start, g))
    except GradcheckError as error:
        said = " ".join(str(error).split())
        raise Unmet(f"expected the numerical derivative, but {said:.200}") from error
    return f"gradcheck agrees over {'three steps' if subject.strict else 'a third step'}"


def tensor_lr(subject: Subject) -> str:
    """A one-element tensor as lr is its number, and is read at every step.

    It applies where lr is annotated with Tensor, as torch's own is, or where a tensor is taken all the same.
    """
    subject.require("lr")
    lr = torch.tensor(LR)
    try:
        with_tensor = take_steps(subject.make(parameters(), lr=lr), range(3))
    except Exception as error:
        if subject.declares_tensor_lr:
            raise
        raise NotApplicable(f"lr is not annotated with Tensor, and one raises {type(error).__name__}") from error
    with_number = take_steps(subject.make(parameters(), lr=LR), range(3))
    expect_same(weights(with_number), weights(with_tensor), f"lr=torch.tensor({LR}) should step as lr={LR}", ROUNDED)
    kept = with_tensor.param_groups[0]["lr"]
    if not isinstance(kept, Tensor):
        return "taken as its number"
    kept.fill_(0.0)
    before = weights(with_tensor)
    after = weights(take_steps(with_tensor, range(3, 4)))
    expect_same(before, after, "a tensor lr that was filled with 0 should freeze the parameters")
    return "steps as its number, read at every step"


def compiled_step(subject: Subject) -> str:
    """torch.compile(optimizer.step) takes the steps of optimizer.step; on the backend "eager" unless another is asked for.

    One parameter only: where `.item()` stands in a function that `step` calls, torch 2.13 may run what it compiled for one parameter's
    state for another's. What torch cannot trace is not applicable.
    """
    if subject.backend is None:
        raise NotApplicable("left out: backend=None")
    compiled, plain = (subject.make(parameters(SHAPES[:1])) for _ in range(2))
    torch.compiler.reset()
    loud = logging.root.manager.disable
    logging.disable(logging.ERROR)  # torch tells what its compiler leaves out of a trace
    try:
        # several steps: a fault of compiled optimizers once showed at the third only
        take_steps(compiled, range(4), step=torch.compile(compiled.step, backend=subject.backend))
    except Exception as error:
        if type(error).__module__.startswith("torch._dynamo"):
            raise NotApplicable(f"torch cannot trace it: {' '.join(str(error).split()):.120}") from error
        raise
    finally:
        logging.disable(loud)
        torch.compiler.reset()
    expected = weights(take_steps(plain, range(4)))
    expect_same(expected, weights(compiled), "a compiled step should be the step", ROUNDED)
    return f"steps as the plain one (backend {subject.backend})"
