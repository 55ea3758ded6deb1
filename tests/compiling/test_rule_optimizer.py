"""What every torch optimizer must do, for rules."""

from __future__ import annotations

import copy
import io
import pickle
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import Optimizer, lr_scheduler

from neuropt.compiling.rule_optimizer import RuleOptimizer
from search_space import parse_rule

POWERSIGN = "beta = 0.9; base = 2.718281828459045; m = ema(g, beta); u = base ** (sign(g) * sign(m)) * g"
RULES = {
    "powersign": POWERSIGN,
    "adam": "adam",
    "reducing": "s = 0.9 * prev(s) + norm(g); u = m / s",
    "numbers": "b = 0.9 * prev(b, 1); u = drop(g, 0.2) * (1 - b)",
}
PATTERN = [1.0, -0.5, 0.25, 1.0, 1.0, -1.0]


@pytest.fixture(params=RULES.values(), ids=list(RULES))
def rule(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def parameter(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.ones(shape, dtype=dtype, requires_grad=True)


def steps(optimizer: Optimizer, count: int, start: int = 0) -> None:
    """Step along gradients that are a function of the step number alone."""
    for step in range(start, start + count):
        for group in optimizer.param_groups:
            for w in group["params"]:
                w.grad = torch.full_like(w, PATTERN[step % len(PATTERN)])
        optimizer.step()


def weights(optimizer: Optimizer) -> list[Tensor]:
    return [w.detach().clone() for group in optimizer.param_groups for w in group["params"]]


def test_a_parabola_is_minimised() -> None:
    w = torch.tensor([2.0, -3.0], requires_grad=True)
    optimizer = RuleOptimizer([w], POWERSIGN, lr=0.05)
    for _ in range(200):
        optimizer.zero_grad()
        torch.autograd.backward((w**2).sum())
        optimizer.step()
    assert w.abs().max() < 0.1


def test_a_step_writes_into_the_users_tensor(rule: str) -> None:
    w = parameter(3)
    place, identity = w.data_ptr(), id(w)
    optimizer = RuleOptimizer([w], rule)
    steps(optimizer, 3)
    assert (w.data_ptr(), id(optimizer.param_groups[0]["params"][0])) == (place, identity)


def test_the_gradient_is_not_written() -> None:
    w = parameter(3)
    optimizer = RuleOptimizer([w], "d = g; e = w; u = g - prev(d) + prev(e)", maximize=True)
    for value in (1.0, 2.0):
        w.grad = torch.full_like(w, value)
        optimizer.step()
        assert torch.equal(w.grad, torch.full_like(w, value))


def test_hyperparameters_are_in_the_groups_and_read_at_every_step() -> None:
    a, b, expected = parameter(2), parameter(2), parameter(2)
    groups: list[dict[str, Any]] = [{"params": [a]}, {"params": [b], "base": 10.0, "lr": 0.02}]
    optimizer = RuleOptimizer(groups, POWERSIGN, lr=0.01, beta=0.5)
    assert [(group["beta"], group["base"], group["lr"]) for group in optimizer.param_groups] == [
        (0.5, 2.718281828459045, 0.01),
        (0.5, 10.0, 0.02),
    ]
    optimizer.param_groups[0]["base"] = 10.0
    optimizer.param_groups[0]["lr"] = 0.02
    steps(optimizer, 1)
    steps(RuleOptimizer([expected], POWERSIGN, lr=0.02, base=10.0), 1)
    assert torch.equal(a, b)
    assert torch.equal(a, expected)


def test_nothing_is_kept_outside_groups_and_state(rule: str) -> None:
    assert set(vars(RuleOptimizer([parameter(2)], rule))) == set(vars(torch.optim.SGD([parameter(2)])))


def test_the_state_is_named_after_the_rule() -> None:
    w = parameter(2, 3)
    rule = "step = prev(step) + g; b = 0.9 * prev(b, 1); s = prev(s) + norm(g); u = m * b / s + step"
    optimizer = RuleOptimizer([w], rule)
    steps(optimizer, 2)
    state = optimizer.state[w]
    assert state["step"] == 2
    assert {name: getattr(value, "shape", value) for name, value in state.items() if name != "step"} == {
        "m": (2, 3),
        "b": 0.9 * 0.9,
        "s": (1,),
        "step (remembered)": (2, 3),
    }


def test_step_is_kept_per_parameter_as_a_float32_cpu_tensor(rule: str) -> None:
    w = parameter(2, dtype=torch.float64)
    optimizer = RuleOptimizer([w], rule)
    steps(optimizer, 3)
    step = optimizer.state[w]["step"]
    assert (step.dtype, step.device.type, step.item()) == (torch.float32, "cpu", 3)


def test_a_late_first_gradient_is_a_first_gradient() -> None:
    early, late, after_first = parameter(2), parameter(2), torch.empty(0)
    optimizer = RuleOptimizer([early, late], "b = 0.9 * prev(b, 1); u = adam * b * ld", decay_steps=10)
    for step in range(5):
        early.grad = torch.ones(2)
        late.grad = torch.ones(2) if step == 4 else None
        optimizer.step()
        if step == 0:
            after_first = early.detach().clone()
    assert torch.equal(late, after_first)
    assert (optimizer.state[late]["step"], optimizer.state[early]["step"]) == (1, 5)


def test_parameters_without_gradient_are_skipped(rule: str) -> None:
    w = parameter(2)
    optimizer = RuleOptimizer([w, torch.ones(2)], rule)
    optimizer.step()
    assert torch.equal(w, torch.ones(2))
    assert not optimizer.state


def test_add_param_group_in_the_middle(rule: str) -> None:
    w, added = parameter(2), parameter(3)
    optimizer = RuleOptimizer([w], rule, lr=0.01)
    steps(optimizer, 2)
    optimizer.add_param_group({"params": [added], "lr": 0.5})
    steps(optimizer, 1)
    assert optimizer.state[added]["step"] == 1
    assert optimizer.param_groups[1]["lr"] == 0.5


def test_a_parameter_that_is_listed_twice_takes_two_steps_as_in_torch() -> None:
    ours, torchs = parameter(3), parameter(3)
    makers: list[tuple[Any, Tensor]] = [(partial(RuleOptimizer, rule="adam"), ours), (torch.optim.Adam, torchs)]
    for make, w in makers:
        with pytest.warns(UserWarning, match="duplicate parameters"):
            optimizer = make([w, w], lr=0.1)
        steps(optimizer, 2)
        assert optimizer.state[w]["step"] == 4
    assert torch.allclose(ours, torchs)


def test_a_closure_runs_with_gradients_and_returns_its_loss(rule: str) -> None:
    w = parameter(2)
    optimizer = RuleOptimizer([w], rule, lr=0.1)

    def closure() -> float:
        assert torch.is_grad_enabled()
        optimizer.zero_grad()
        loss = (w**2).sum()
        torch.autograd.backward(loss)
        return loss.item()

    with torch.no_grad():
        assert optimizer.step(closure) == 2.0
        assert not torch.is_grad_enabled()
    assert w.grad is not None


def test_step_hooks_run(rule: str) -> None:
    optimizer, seen = RuleOptimizer([parameter(2)], rule), []
    optimizer.register_step_pre_hook(lambda *_: seen.append("before"))
    optimizer.register_step_post_hook(lambda *_: seen.append("after"))
    steps(optimizer, 1)
    assert seen == ["before", "after"]


def test_named_parameters(rule: str) -> None:
    optimizer = RuleOptimizer(nn.Linear(2, 1).named_parameters(), rule)
    steps(optimizer, 1)
    assert optimizer.state_dict()["param_groups"][0]["param_names"] == ["weight", "bias"]


DTYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.complex64]


def saved_and_loaded(state: dict[str, Any]) -> dict[str, Any]:
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    loaded: dict[str, Any] = torch.load(file, weights_only=True)
    return loaded


def assert_states_equal(a: RuleOptimizer, b: RuleOptimizer) -> None:
    for one, other in zip(a.state_dict()["state"].values(), b.state_dict()["state"].values(), strict=True):
        assert one.keys() == other.keys()
        for x, y in zip(one.values(), other.values(), strict=True):
            assert type(x) is type(y)
            assert getattr(x, "dtype", None) == getattr(y, "dtype", None)
            assert torch.equal(x, y) if isinstance(x, Tensor) else x == y


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_state_dict_goes_round_bit_exactly_and_loads_as_weights_only(rule: str, dtype: torch.dtype) -> None:
    optimizer = RuleOptimizer([parameter(3, dtype=dtype), parameter(dtype=dtype)], rule, lr=0.03)
    steps(optimizer, 3)
    other = RuleOptimizer([w.clone().requires_grad_() for w in weights(optimizer)], rule, lr=0.5)
    other.load_state_dict(saved_and_loaded(optimizer.state_dict()))
    assert_states_equal(optimizer, other)
    for one in (optimizer, other):
        steps(one, 3, start=3)
    assert all(torch.equal(a, b) for a, b in zip(weights(optimizer), weights(other), strict=True))


def test_the_state_of_another_rule_is_refused() -> None:
    optimizer, other = (RuleOptimizer([parameter(3)], text) for text in ("m", "v"))
    steps(other, 1)
    with pytest.raises(ValueError, match="the state is of rule 'v', but this one is 'm'"):
        optimizer.load_state_dict(other.state_dict())


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))], ids=["deepcopy", "pickle"])
@pytest.mark.parametrize("before", [0, 3])
def test_a_copy_goes_on_as_the_original_would(rule: str, copied: Any, before: int) -> None:
    optimizer = RuleOptimizer([parameter(3)], rule, lr=0.03)
    steps(optimizer, before)
    other = copied(optimizer)
    for one in (optimizer, other):
        steps(one, 3, start=before)
    assert torch.equal(weights(optimizer)[0], weights(other)[0])
    assert_states_equal(optimizer, other)
    other.add_param_group({"params": [parameter(2)]})
    assert other.rule == optimizer.rule


def test_sparse_gradients_are_refused() -> None:
    w = parameter(3)
    w.grad = torch.tensor([0.0, 2.0, 0.0]).to_sparse()
    with pytest.raises(RuntimeError, match=r"dense gradients, but got torch.sparse_coo"):
        RuleOptimizer([w], "g").step()


@pytest.mark.parametrize("shape", [(), (0,), (1,), (2, 0), (2, 3)], ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_shapes_and_dtypes(rule: str, shape: tuple[int, ...], dtype: torch.dtype) -> None:
    w = parameter(*shape, dtype=dtype)
    optimizer = RuleOptimizer([w], rule, lr=0.1)
    steps(optimizer, 2)
    assert (w.shape, w.dtype) == (shape, dtype)
    assert torch.isfinite(torch.view_as_real(w.detach()) if dtype.is_complex else w).all()


def test_half_precision_is_computed_in_single() -> None:
    half, single = parameter(4, dtype=torch.float16), parameter(4)
    for w in (half, single):
        optimizer = RuleOptimizer([w], "adam", lr=0.125)
        w.grad = torch.full_like(w, 2.0**-14)
        optimizer.step()
    # g^2 = 2^-28 is 0 in float16, where this step would be a division by 1e-8
    torch.testing.assert_close(half.detach().float(), single.detach(), rtol=1e-3, atol=0)


def test_complex_parameters_are_pairs_of_real_ones() -> None:
    w = torch.tensor([1 + 2j, -3 + 0.5j], requires_grad=True)
    pairs = torch.view_as_real(w.detach()).clone().requires_grad_()
    optimizers = [RuleOptimizer([x], "drop(adam, 0.3) / norm(g)", lr=0.1) for x in (w, pairs)]
    for _ in range(3):
        w.grad = torch.tensor([0.3 - 1j, 2 + 1j]).conj()
        pairs.grad = torch.view_as_real(w.grad.resolve_conj())
        for optimizer in optimizers:
            optimizer.step()
    assert torch.equal(torch.view_as_real(w.detach()), pairs.detach())


def test_maximize_is_descent_on_the_negative(rule: str) -> None:
    up, down = parameter(2), parameter(2)
    steps(RuleOptimizer([up], rule, maximize=True), 2)
    optimizer = RuleOptimizer([down], rule)
    for step in range(2):
        down.grad = torch.full_like(down, -PATTERN[step])
        optimizer.step()
    assert torch.equal(up, down)


@pytest.mark.parametrize("dtype", DTYPES[:4], ids=str)
@pytest.mark.parametrize("text", [*RULES.values(), "g / g", "m / sqrt(v)", "1 / t * g", "log(g)"])
def test_lr_0_and_gradient_0_leave_parameters_untouched(text: str, dtype: torch.dtype) -> None:
    w = torch.tensor([1.5, -0.0, 3.25], dtype=dtype, requires_grad=True)
    before = w.detach().clone()
    w.grad = torch.zeros_like(w)
    RuleOptimizer([w], text, lr=0.0).step()
    assert torch.equal(w, before)


def test_a_tensor_lr_is_read_at_every_step() -> None:
    a, b, lr = parameter(2), parameter(2), torch.tensor(0.1)
    optimizer = RuleOptimizer([a], "g", lr=lr)
    steps(optimizer, 1)
    lr.fill_(0.5)
    steps(optimizer, 1)
    steps(RuleOptimizer([b], "g", lr=float(torch.tensor(0.1))), 1)
    steps(RuleOptimizer([b], "g", lr=0.5), 1)
    torch.testing.assert_close(a, b)


SCHEDULERS: dict[str, Any] = {
    "lambda": lambda o: lr_scheduler.LambdaLR(o, lambda step: 0.9**step),
    "multiplicative": lambda o: lr_scheduler.MultiplicativeLR(o, lambda _: 0.9),
    "step": lambda o: lr_scheduler.StepLR(o, 2),
    "multi-step": lambda o: lr_scheduler.MultiStepLR(o, [2]),
    "constant": lr_scheduler.ConstantLR,
    "linear": lr_scheduler.LinearLR,
    "exponential": lambda o: lr_scheduler.ExponentialLR(o, 0.9),
    "sequential": lambda o: lr_scheduler.SequentialLR(
        o, [lr_scheduler.LinearLR(o), lr_scheduler.ExponentialLR(o, 0.9)], milestones=[2]
    ),
    "chained": lambda o: lr_scheduler.ChainedScheduler([lr_scheduler.ExponentialLR(o, 0.9)]),
    "polynomial": lambda o: lr_scheduler.PolynomialLR(o, 5),
    "cosine": lambda o: lr_scheduler.CosineAnnealingLR(o, 5),
    "warm restarts": lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 2),
    "one cycle": lambda o: lr_scheduler.OneCycleLR(o, max_lr=0.1, total_steps=10),
    "cyclic": lambda o: lr_scheduler.CyclicLR(o, base_lr=0.01, max_lr=0.1),
}


@pytest.mark.parametrize("schedule", SCHEDULERS.values(), ids=list(SCHEDULERS))
def test_torch_schedulers(rule: str, schedule: Any) -> None:
    optimizer = RuleOptimizer([parameter(2)], rule, lr=0.05)
    scheduler, seen = schedule(optimizer), []
    for step in range(4):
        steps(optimizer, 1, start=step)
        scheduler.step()
        seen.append(optimizer.param_groups[0]["lr"])
    assert len(set(seen)) > 1 or schedule is lr_scheduler.ConstantLR
    assert torch.isfinite(weights(optimizer)[0]).all()


def test_the_plateau_scheduler() -> None:
    optimizer = RuleOptimizer([parameter(2)], "g", lr=0.05)
    scheduler = lr_scheduler.ReduceLROnPlateau(optimizer, patience=0)
    for _ in range(3):
        scheduler.step(1.0)
    assert optimizer.param_groups[0]["lr"] < 0.05


def test_cyclic_schedulers_move_beta() -> None:
    cycled, expected = parameter(2), parameter(2)
    optimizer = RuleOptimizer([cycled], "beta = 0.9; u = ema(g, beta)", lr=0.1)
    optimizer.param_groups[0]["momentum"] = 0.5
    steps(optimizer, 2)
    steps(RuleOptimizer([expected], "beta = 0.5; u = ema(g, beta)", lr=0.1), 2)
    assert torch.equal(cycled, expected)


def test_gradient_scaler() -> None:
    w = parameter(2)
    optimizer = RuleOptimizer([w], "g", lr=0.5)
    scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
    torch.autograd.backward(scaler.scale((3 * w).sum()))
    scaler.step(optimizer)
    scaler.update()
    assert torch.equal(w, torch.full((2,), -0.5))


@pytest.mark.filterwarnings("ignore")  # torch's compiler warns about torch itself
def test_a_compiled_step_is_the_step(rule: str) -> None:
    a, b = parameter(2), parameter(2)
    compiled, plain = (RuleOptimizer([w], rule, lr=0.1) for w in (a, b))
    step = torch.compile(compiled.step, backend="eager")
    for value in PATTERN[:3]:
        for w in (a, b):
            w.grad = torch.full_like(w, value)
        step()
        plain.step()
    assert torch.equal(a, b)


def test_pointwise_and_reducing_rules_say_so() -> None:
    assert RuleOptimizer([parameter(2)], "adam").pointwise
    assert not RuleOptimizer([parameter(2)], "g / norm(g)").pointwise


def test_the_rule_is_known() -> None:
    rule = parse_rule("beta = 0.9; u = ema(g, beta)")
    optimizer = RuleOptimizer([parameter(2)], rule, beta=0.5)
    assert optimizer.rule == rule
    assert optimizer.param_groups[0]["rule"] == rule.text
