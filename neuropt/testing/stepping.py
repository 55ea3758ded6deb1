"""Checks of `step`: whose turn it is, what it counts, and what it leaves alone."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from neuropt.testing.subject import NotApplicable, Subject, Unmet
from neuropt.testing.trajectories import (
    distance,
    expect_moved,
    expect_same,
    gradient,
    parameters,
    placed,
    take_steps,
    weights,
)

DESCENT_STEPS = 50
LR_FACTORS = (1.0, 0.1, 10.0, 0.01, 100.0, 0.001, 1000.0)


def loss_goes_down(subject: Subject) -> str:
    """Fifty steps end lower on a parabola than they began, at the default lr or at one up to a thousand times smaller or larger."""
    start = _parabola(parameters([(4,)])[0])
    ends: list[float] = []
    for factor in LR_FACTORS:
        ends.append(_end_of_descent(subject, factor))
        if ends[-1] < start:
            lr = "the default lr" if factor == 1 else f"{factor:g} times the default lr"
            return f"sum(w^2) went from {start:.4g} to {ends[-1]:.4g} in {DESCENT_STEPS} steps at {lr}"
    if all(end == start for end in ends):
        raise NotApplicable("no step moves: the update vanishes along the steady gradients of a parabola")
    raise Unmet(f"{DESCENT_STEPS} steps on sum(w^2): expected less than {start:.6g}, but ended at {ends[0]:.6g}")


def late_first_gradient(subject: Subject) -> str:
    """A parameter whose first gradient comes after four steps of another takes a first step: counts are its own."""
    late = take_steps(subject.make(parameters()), range(4), only={0})
    fresh = subject.make(parameters())
    expected, got = (weights(take_steps(optimizer, range(4, 5), only={1}))[1:] for optimizer in (fresh, late))
    expect_same(expected, got, "a first gradient after 4 steps of another parameter should be taken as a first step")
    return "a first gradient at step 5 was taken as a first step"


def step_count(subject: Subject) -> str:
    """`state[w]["step"]`, where it is kept, is a float32 tensor on the CPU that counts the parameter's own gradients."""
    optimizer = take_steps(subject.make(parameters()), range(2), only={0})
    take_steps(optimizer, range(2, 3))
    counts = [
        (optimizer.state[w]["step"], n) for w, n in zip(placed(optimizer), (3, 1), strict=True) if _counts(optimizer, w)
    ]
    # torch's own keep it in float64 where that is the default type
    dtypes = {torch.float32, torch.get_default_dtype()} & {torch.float32, torch.float64}
    for count, expected in counts:
        if not isinstance(count, Tensor) or count.dtype not in dtypes or count.device.type != "cpu":
            form = f"{count.dtype} on {count.device}" if isinstance(count, Tensor) else type(count).__name__
            raise Unmet(f"expected state['step'] to be a float32 tensor on the CPU, but got {form}")
        if count.numel() != 1 or count.item() != expected:
            raise Unmet(f"expected state['step'] to be {expected}, the parameter's own gradients, but got {count}")
    return "a float32 tensor on the CPU for each parameter" if counts else "no state['step'] is kept"


def added_group(subject: Subject) -> str:
    """A group that is added in the middle steps as if it had been there from the start, without gradients so far."""
    first, second = parameters()
    added = take_steps(subject.make([first]), range(2))
    added.add_param_group({"params": [second]})
    whole = take_steps(subject.make([{"params": [x]} for x in parameters()]), range(2), only={0})
    before = weights(whole)[1:]
    expected, got = (weights(take_steps(optimizer, range(2, 5)))[1:] for optimizer in (whole, added))
    expect_same(expected, got, "a group added after 2 steps should step as one that waited")
    expect_moved(before, got, "3 steps of an added group")
    return "a group added after 2 steps was updated"


def parameters_without_gradients(subject: Subject) -> str:
    """A parameter without a gradient is skipped, and a step without any gradient does nothing."""
    optimizer = subject.make(parameters())
    before = weights(optimizer)
    expect_same(before, weights(take_steps(optimizer, range(1), only=())), "a step without gradients should do nothing")
    after = weights(take_steps(optimizer, range(1, 3), only={0}))
    expect_same(before[1:], after[1:], "a parameter without a gradient should stay as it is")
    expect_moved(before[:1], after[:1], "a parameter with a gradient beside one without")
    return "skipped"


def gradients_untouched(subject: Subject) -> str:
    """`step` leaves gradients as they are, with weight decay and maximize too; strict: with foreach, as torch's Nesterov does not."""
    options = {"weight_decay": 0.1, "maximize": True} | ({"foreach": True} if subject.strict else {})
    tried = [{}, *({name: value} for name, value in options.items() if name in subject.names)]
    for hyper in tried:
        optimizer = subject.make(parameters(), **hyper)
        for step in range(2):
            take_steps(optimizer, [step])
            for place, w in enumerate(placed(optimizer)):
                said = f"a gradient after step {step + 1}{' with ' if hyper else ''}{_shown(hyper)}"
                if w.grad is None:
                    raise Unmet(f"{said}: expected the one that was given, but got None")
                expect_same([gradient(w, step, place)], [w.grad], f"{said} should be what it was")
    return "; ".join(["as they were", *(f"also with {_shown(hyper)}" for hyper in tried[1:])])


def closure(subject: Subject) -> str:
    """A closure runs once with gradients enabled, under no_grad too; `step` uses its gradients and returns its loss."""
    optimizer, plain = subject.make(parameters()), subject.make(parameters())
    seen: list[bool] = []

    def closure() -> Tensor:
        seen.append(torch.is_grad_enabled())
        optimizer.zero_grad()
        loss = sum(((w**2).sum() for w in placed(optimizer)), torch.zeros(()))
        if loss.requires_grad:
            torch.autograd.backward(loss)
        return loss

    for place, w in enumerate(placed(optimizer)):
        w.grad = gradient(w, 0, place)  # stale: the closure makes new ones
    expected = float(sum((w.detach() ** 2).sum() for w in placed(optimizer)))
    with torch.no_grad():
        torch.default_generator.manual_seed(0)
        returned = optimizer.step(closure)  # type: ignore[arg-type]  # torch's own may return tensors
        if torch.is_grad_enabled():
            raise Unmet("expected gradients to be disabled again after the closure, but they are enabled")
    if seen != [True]:
        raise Unmet(f"expected the closure to run once with gradients enabled, but they were {seen}")
    if returned is None or abs(float(returned) - expected) > 1e-6:
        raise Unmet(f"expected the closure's loss, {expected:.6g}, but step returned {returned}")
    take_steps(plain, range(1), gradient_of=lambda w, step, place: 2 * w.detach())
    expect_same(weights(plain), weights(optimizer), "a step with a closure should use its gradients")
    return "ran once with gradients, its loss was returned"


def step_hooks(subject: Subject) -> str:
    """Hooks of `register_step_pre_hook` and `register_step_post_hook` run around the update of every step.

    They may run twice: torch does so for a class that calls `super().step()`.
    """
    optimizer, seen = subject.make(parameters()), list[tuple[str, list[Tensor]]]()
    optimizer.register_step_pre_hook(lambda *_: seen.append(("before", weights(optimizer))))
    optimizer.register_step_post_hook(lambda *_: seen.append(("after", weights(optimizer))))
    moved = 0.0
    for step in range(2):
        start = weights(optimizer)
        take_steps(optimizer, [step])
        before, after = ([w for when, w in seen if when == wanted] for wanted in ("before", "after"))
        if not before or not after:
            raise Unmet(
                f"expected a hook before and one after the update, but {[when for when, _ in seen] or 'none'} ran"
            )
        if distance(start, before[-1]) or distance(after[0], weights(optimizer)):
            raise Unmet("expected the update between the hooks, but weights moved before the first or after the second")
        moved += distance(before[-1], after[0])
        seen.clear()
    if not moved:
        raise Unmet("expected an update in 2 steps, but none happened between the hooks")
    return "ran before and after each update"


def named_parameters(subject: Subject) -> str:
    """`model.named_parameters()` is taken; the names are in `state_dict`, and the steps are those of the bare parameters."""
    model = nn.Linear(2, 1, dtype=torch.float64)
    bare = subject.make([w.detach().clone().requires_grad_() for w in model.parameters()])
    named = subject.make(model.named_parameters())
    names = named.state_dict()["param_groups"][0].get("param_names")
    if names != ["weight", "bias"]:
        raise Unmet(f"expected param_names ['weight', 'bias'] in the state_dict, but got {names}")
    expected, got = (weights(take_steps(optimizer, range(2))) for optimizer in (bare, named))
    expect_same(expected, got, "named parameters should step as bare ones")
    return "taken, names kept"


def _parabola(w: Tensor) -> float:
    return float((w.detach() ** 2).sum())


def _end_of_descent(subject: Subject, factor: float) -> float:
    (w,) = parameters([(4,)])
    optimizer = subject.make([w])
    optimizer.param_groups[0]["lr"] *= factor
    take_steps(optimizer, range(DESCENT_STEPS), gradient_of=lambda w, step, place: 2 * w.detach())
    return _parabola(w)


def _counts(optimizer: Optimizer, w: Tensor) -> bool:
    return "step" in optimizer.state.get(w, {})


def _shown(hyper: dict[str, float]) -> str:
    return ", ".join(f"{name}={value}" for name, value in hyper.items())
