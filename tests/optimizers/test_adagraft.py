"""AdaGraft: the length of one optimizer's step, the direction of another's."""

from __future__ import annotations

import copy
import io
import math
import pickle
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn, optim
from torch.optim import Optimizer, lr_scheduler

from neuropt import create_optimizer
from neuropt.compiling.rule_optimizer import RuleOptimizer
from neuropt.optimizers import AdaGraft
from search_space import zoo
from tests.compiling.comparison import assert_same
from tests.compiling.problems import PROBLEMS, Problem, path, start

SGD, ADAM = ("sgd", {"lr": 1e-3}), ("adam", {"lr": 1e-2})


def parameters(dtype: torch.dtype = torch.float64) -> list[Tensor]:
    return [torch.ones(2, dtype=dtype, requires_grad=True), torch.full((2, 3), -0.5, dtype=dtype, requires_grad=True)]


def steps(optimizer: Optimizer, count: int, first: int = 0) -> None:
    for step in range(first, first + count):
        for group in optimizer.param_groups:
            for w in group["params"]:
                w.grad = torch.linspace(-1, 2, w.numel(), dtype=w.dtype).reshape(w.shape) * math.cos(1.7 * step)
        optimizer.step()


def weights(optimizer: Optimizer) -> list[Tensor]:
    return [w.detach().clone() for group in optimizer.param_groups for w in group["params"]]


def assert_close(one: Optimizer, other: Optimizer, rtol: float = 1e-12) -> None:
    torch.testing.assert_close(weights(one), weights(other), rtol=rtol, atol=rtol)


PAIRS: list[tuple[str, Any, Any]] = [
    ("adagraft-sgd-adam", SGD, ADAM),
    ("adagraft-adam-sgd", ("adam", {"lr": 1e-3}), ("sgd", {"lr": 1e-3})),
]


@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda problem: problem.name)
@pytest.mark.parametrize(("name", "magnitude", "direction"), PAIRS, ids=[name for name, _, _ in PAIRS])
def test_a_hundred_steps_equal_the_rule_of_the_zoo(name: str, magnitude: Any, direction: Any, problem: Problem) -> None:
    lr = 0.05
    graft = AdaGraft(start(problem), magnitude, direction, lr=lr)
    assert_same(path(RuleOptimizer(start(problem), zoo()[name], lr), problem, 100), path(graft, problem, 100))


@pytest.mark.parametrize("child", [SGD, ADAM, ("adamw", {"weight_decay": 0.5}), ("sgdw", {}), ("adagrad", {})], ids=str)
def test_an_optimizer_grafted_on_itself_is_itself(child: Any) -> None:
    graft, plain = AdaGraft(parameters(), child, child), create_optimizer(child[0], parameters(), **child[1])
    for optimizer in (graft, plain):
        steps(optimizer, 10)
    assert_close(graft, plain)


def test_norms_of_each_tensor_by_hand() -> None:
    # the first step of Adam is lr sign(g): along (1, 1), its length that of 0.1 (3, 4), so 0.5 / sqrt(2) each
    w = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    optimizer = AdaGraft([w], ("sgd", {"lr": 0.1}), ("adam", {"eps": 0.0}), lr=2.0)
    w.grad = torch.tensor([3.0, -4.0], dtype=torch.float64)
    optimizer.step()
    torch.testing.assert_close(w.detach(), torch.tensor([-1.0, 1.0], dtype=torch.float64) / math.sqrt(2))


def test_global_norms_by_hand() -> None:
    # norms over both tensors: 0.1 sqrt(9 + 16) for SGD, 1e-3 sqrt(2) for Adam's signs
    w, v = (torch.zeros(1, dtype=torch.float64, requires_grad=True) for _ in range(2))
    groups: list[dict[str, Any]] = [{"params": [w]}, {"params": [v], "lr": 2.0}]
    optimizer = AdaGraft(groups, ("sgd", {"lr": 0.1}), ("adam", {"eps": 0.0}), global_norm=True)
    w.grad, v.grad = torch.full((1,), 3.0, dtype=torch.float64), torch.full((1,), 4.0, dtype=torch.float64)
    optimizer.step()
    assert (w.item(), v.item()) == pytest.approx((-0.5 / math.sqrt(2), -1.0 / math.sqrt(2)))


def test_factories_are_children_too() -> None:
    by_factory = AdaGraft(parameters(), partial(optim.SGD, lr=1e-3), lambda p: optim.Adam(p, lr=1e-2))
    by_name = AdaGraft(parameters(), SGD, ADAM)
    for optimizer in (by_factory, by_name):
        steps(optimizer, 5)
    assert_close(by_factory, by_name)
    assert_close(copy.deepcopy(by_factory), by_name)


def test_rules_are_children_too() -> None:
    by_rule = AdaGraft(parameters(), ("g", {"lr": 1e-3}), ("signum", {"lr": 1.0}))
    by_hand = AdaGraft(parameters(), SGD, ("sign(ema(g, 0.9))", {"lr": 1.0}))
    for optimizer in (by_rule, by_hand):
        steps(optimizer, 5)
    assert_close(by_rule, by_hand)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))], ids=["deepcopy", "pickle"])
def test_a_copy_goes_on_alone(copied: Any) -> None:
    original = AdaGraft(parameters(), SGD, ADAM)
    steps(original, 3)
    other, before = copied(original), weights(original)
    steps(other, 3, first=3)
    torch.testing.assert_close(weights(original), before, rtol=0, atol=0)
    steps(original, 3, first=3)
    assert_close(other, original, rtol=0)
    other.add_param_group({"params": [torch.ones(1, requires_grad=True)]})
    steps(other, 1)


@pytest.mark.parametrize("direction", [ADAM, ("adagrad", {}), ("m", {})], ids=str)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64], ids=str)
def test_state_dict_goes_round_bit_exactly_and_loads_as_weights_only(direction: Any, dtype: torch.dtype) -> None:
    first, second = (AdaGraft(parameters(dtype), ("momentum", {}), direction) for _ in range(2))
    steps(first, 3)
    first.param_groups[0]["magnitude"]["lr"] = 0.25
    file = io.BytesIO()
    torch.save(first.state_dict(), file)
    file.seek(0)
    with torch.no_grad():
        for w, trained in zip(second.param_groups[0]["params"], weights(first), strict=True):
            w.copy_(trained)
    second.load_state_dict(torch.load(file, weights_only=True))
    assert second.state_dict()["param_groups"] == first.state_dict()["param_groups"]
    for optimizer in (first, second):
        steps(optimizer, 3, first=3)
    assert_close(second, first, rtol=0)
    torch.testing.assert_close(second.state_dict()["state"], first.state_dict()["state"], rtol=0, atol=0)


def test_gradients_are_left_as_they_are_and_maximize_is_descent_of_the_negative() -> None:
    up, down = AdaGraft(parameters(), SGD, ADAM, maximize=True), AdaGraft(parameters(), SGD, ADAM)
    for sign, optimizer in ((1.0, up), (-1.0, down)):
        for w in optimizer.param_groups[0]["params"]:
            w.grad = torch.full_like(w, 0.5 * sign)
        given = [w.grad for w in optimizer.param_groups[0]["params"]]
        optimizer.step()
        for w, g in zip(optimizer.param_groups[0]["params"], given, strict=True):
            assert w.grad is g
            assert torch.equal(g, torch.full_like(w, 0.5 * sign))
    assert_close(up, down, rtol=0)


def test_a_late_first_gradient_is_a_first_gradient_and_none_is_none() -> None:
    early, late = (torch.ones(2, requires_grad=True) for _ in range(2))
    optimizer, after_first = AdaGraft([early, late], SGD, ADAM), torch.empty(0)
    for step in range(4):
        early.grad = torch.ones(2)
        late.grad = torch.ones(2) if step == 3 else None
        assert (step > 0) == (early in optimizer.state)
        optimizer.step()
        after_first = early.detach().clone() if step == 0 else after_first
    assert torch.equal(late, after_first)
    assert (optimizer.state[early]["step"].item(), optimizer.state[late]["step"].item()) == (4, 1)


def test_groups_read_their_hyperparameters_at_every_step() -> None:
    (w, v), added = parameters(), torch.ones(3, dtype=torch.float64, requires_grad=True)
    groups: list[dict[str, Any]] = [{"params": [w], "lr": 0.0}, {"params": [v]}]
    optimizer = AdaGraft(groups, SGD, ADAM)
    steps(optimizer, 2)
    assert torch.equal(w, torch.ones_like(w))
    assert not torch.equal(v, torch.full_like(v, -0.5))
    optimizer.add_param_group({"params": [added], "magnitude": {"lr": 0.5}})
    assert [group["magnitude"]["lr"] for group in optimizer.param_groups] == [1e-3, 1e-3, 0.5]
    optimizer.param_groups[1]["magnitude"]["lr"] = 0.0
    before = v.detach().clone()
    steps(optimizer, 1)
    assert torch.equal(v, before)
    # as long as half the gradient (-1, .5, 2)
    assert (added.detach() - 1).norm().item() == pytest.approx(0.5 * math.sqrt(5.25))


# torch's Adam makes NaN of zero gradients in float16, as magnitude and as direction
@pytest.mark.parametrize(("magnitude", "lr"), [(SGD, 0.0), (SGD, 1.0), (ADAM, 0.0), (ADAM, torch.tensor(0.0))], ids=str)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32], ids=str)
def test_learning_rate_zero_and_zero_gradients_leave_parameters_untouched(
    dtype: torch.dtype, magnitude: Any, lr: Any
) -> None:
    optimizer = AdaGraft(parameters(dtype), magnitude, ADAM, lr=lr)
    before = weights(optimizer)
    for w in optimizer.param_groups[0]["params"]:
        w.grad = torch.zeros_like(w)
    for _ in range(3):
        optimizer.step()
    torch.testing.assert_close(weights(optimizer), before, rtol=0, atol=0)


@pytest.mark.parametrize("shape", [(), (0,), (2, 3)], ids=str)
def test_scalars_and_empty_tensors(shape: tuple[int, ...]) -> None:
    w = torch.ones(shape, requires_grad=True)
    optimizer = AdaGraft([w, *parameters(torch.float32)], SGD, ADAM)
    steps(optimizer, 3)
    assert all(torch.isfinite(x).all() for x in weights(optimizer))


def test_complex_parameters_named_parameters_closures_and_tensor_rates() -> None:
    z = torch.tensor([1 + 2j, -1 + 0.5j], requires_grad=True)
    x = torch.view_as_real(z.detach().clone()).requires_grad_()
    pair = AdaGraft([z], SGD, ADAM, lr=torch.tensor(0.5)), AdaGraft([x], SGD, ADAM, lr=0.5)
    for g in (1 - 1j, -2 + 0.5j):
        z.grad = torch.full((2,), g)
        x.grad = torch.view_as_real(z.grad).clone()
        for optimizer in pair:
            optimizer.step()
    torch.testing.assert_close(torch.view_as_real(z.detach()), x.detach())
    named = AdaGraft(nn.Linear(2, 1).named_parameters())
    assert named.state_dict()["param_groups"][0]["param_names"] == ["weight", "bias"]
    assert named.step(lambda: 2.0) == 2.0


SCHEDULERS: list[Any] = [
    lambda o: lr_scheduler.StepLR(o, 2),
    lambda o: lr_scheduler.OneCycleLR(o, max_lr=0.1, total_steps=10),
    lambda o: lr_scheduler.CyclicLR(o, base_lr=0.01, max_lr=0.1, step_size_up=2),
]


@pytest.mark.parametrize("schedule", SCHEDULERS, ids=["step", "one-cycle", "cyclic"])
def test_schedulers_move_the_learning_rate(schedule: Any) -> None:
    optimizer = AdaGraft(parameters(), ("momentum", {}), ADAM)
    scheduler, seen = schedule(optimizer), set()
    for step in range(5):
        steps(optimizer, 1, first=step)
        scheduler.step()
        seen.add(optimizer.param_groups[0]["lr"])
    assert len(seen) > 1


def test_cyclic_schedulers_move_the_momentum_of_the_children() -> None:
    cycled = AdaGraft(parameters(), ("momentum", {}), ADAM)
    cycled.param_groups[0]["momentum"] = 0.5
    given = AdaGraft(parameters(), ("sgd", {"momentum": 0.5}), ("adam", {"lr": 1e-2, "betas": (0.5, 0.999)}))
    for optimizer in (cycled, given):
        steps(optimizer, 4)
    assert_close(cycled, given, rtol=0)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")  # torch's own, while tracing
def test_a_compiled_step_is_the_step() -> None:
    torch._dynamo.reset()
    compiled, plain = AdaGraft(parameters(), SGD, ADAM), AdaGraft(parameters(), SGD, ADAM)
    go = torch.compile(compiled.step, backend="eager")
    for step in range(4):
        for optimizer, run in ((compiled, go), (plain, plain.step)):
            for w in optimizer.param_groups[0]["params"]:
                w.grad = torch.full_like(w, math.cos(1.7 * step))
            run()
    assert_close(compiled, plain)


FAULTS: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"lr": -1.0}, ValueError, r"AdaGraft\(lr=...\).*-1.0"),
    ({"lr": math.nan}, ValueError, r"AdaGraft\(lr=...\).*nan"),
    ({"eps": -1.0}, ValueError, r"AdaGraft\(eps=...\).*-1.0"),
    ({"eps": math.nan}, ValueError, r"AdaGraft\(eps=...\).*nan"),
    ({"global_norm": 1}, TypeError, r"AdaGraft\(global_norm=...\).*1"),
    ({"maximize": 1}, TypeError, r"AdaGraft\(maximize=...\).*1"),
    ({"magnitude": "sgd"}, TypeError, r"AdaGraft\(magnitude=...\).*'sgd'"),
    ({"direction": ("adamm", {})}, ValueError, r"adamm"),
    ({"direction": ("adam", {"lr": -1.0})}, ValueError, r"lr.*-1.0"),
    ({"direction": len}, TypeError, r"AdaGraft\(direction=...\) must make an optimizer"),
    ({"learning_rate": 1.0}, TypeError, "learning_rate"),
]


@pytest.mark.parametrize(("hyper", "error", "message"), FAULTS, ids=str)
def test_a_bad_value_is_refused(hyper: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        AdaGraft(parameters(), **hyper)


def test_bad_groups_are_refused_and_not_added() -> None:
    with pytest.raises(ValueError, match="empty parameter list"):
        AdaGraft([])
    optimizer = AdaGraft(parameters(), SGD, ADAM)
    faults: list[tuple[dict[str, Any], str]] = [
        ({"lr": -1.0}, r"AdaGraft\(lr=...\)"),
        ({"global_norm": True}, "global_norm"),
        ({"momentum": 1.0}, "momentum"),
        ({"direction": {"lr": -1.0}}, r"AdaGraft\(direction=...\): Adam\(lr=...\).*-1.0"),
    ]
    for group, message in faults:
        with pytest.raises(ValueError, match=message):
            optimizer.add_param_group({"params": [torch.ones(1, requires_grad=True)], **group})
    assert len(optimizer.param_groups) == 1
    steps(optimizer, 1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_steps_far_smaller_than_the_weights_are_exact(dtype: torch.dtype) -> None:
    """M = Adam's first step is lr g / (|g| + eps) and D's is lr g; a difference of weights near 1 would leave nothing of 1e-15."""
    w = torch.ones(3, dtype=dtype, requires_grad=True)
    optimizer = create_optimizer(
        "adagraft", [w], magnitude=("adam", {"lr": 0.01, "eps": 0.0}), direction=("sgd", {"lr": 1e-3}), eps=0.0
    )
    g = torch.tensor([1e-12, 2e-12, -2e-12], dtype=dtype)
    w.grad = g.clone()
    optimizer.step()
    expected = 1 - 0.01 * math.sqrt(3) * g.double() / 3e-12  # norm(s_M) = 0.01 sqrt(3), norm(g) = 3e-12
    torch.testing.assert_close(w.detach().double(), expected, rtol=10 * torch.finfo(dtype).eps, atol=0)


@pytest.mark.parametrize(("name", "m", "d"), PAIRS)
def test_a_pair_equals_its_rule_where_all_gradients_are_tiny(name: str, m: Any, d: Any) -> None:
    pair = create_optimizer("adagraft", parameters(), magnitude=m, direction=d, lr=0.1)
    rule = create_optimizer(zoo()[name], parameters(), lr=0.1)
    for step in range(40):
        for optimizer in (pair, rule):
            for w in optimizer.param_groups[0]["params"]:
                w.grad = torch.linspace(-1, 2, w.numel(), dtype=w.dtype).reshape(w.shape) * (
                    1e-12 if step % 7 == 3 else 1.0
                )
            optimizer.step()
    assert_close(pair, rule)
