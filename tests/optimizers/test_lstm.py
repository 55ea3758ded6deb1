"""The learned LSTM optimizer: its inputs, its network, its step, and the networks that ship."""

from __future__ import annotations

import copy
import io
import math
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import Optimizer, lr_scheduler

from neuropt.optimizers import LSTMOptimizer
from neuropt.optimizers.lstm_network import LAYERS, SHAPES, UNITS, fresh_network, preprocess, run_network
from neuropt.optimizers.lstm_weights import load_network, network_text, save_network, shipped_weights
from neuropt.training.optimizees import Quadratics

EXACT = 1e-12
"""Of float64: a few products and sums of numbers near 1, in another order."""
HELD_OUT = 3 * 2**30
"""Meta-training draws seeds under 2^31, and chooses by those from 2^31 on."""


def network(seed: int = 0, p: float = 10.0) -> dict[str, Tensor]:
    return fresh_network(p, torch.Generator().manual_seed(seed))


def parameter(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.ones(shape, dtype=dtype, requires_grad=True)


def step_along(optimizer: Optimizer, count: int, first: int = 0) -> None:
    """Step along gradients that depend on the step and the element alone, some of them tiny or 0."""
    for t in range(first, first + count):
        for group in optimizer.param_groups:
            for w in group["params"]:
                ramp = torch.arange(w.numel(), dtype=torch.float64).reshape(w.shape) + t
                w.grad = (torch.sin(ramp) * 10.0 ** (-2.0 * (t % 4))).to(w.dtype)
        optimizer.step()


# --- inputs -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("p", [10.0, 5.0])
def test_inputs_by_hand(p: float) -> None:
    e = math.e
    # log|e| = 1;  log|e^-3| = -3;  e^(-p-1) is tiny: e^p e^(-p-1) = 1/e
    g = torch.tensor([e, -(e**-3), e ** (-p - 1), -(e ** (-p - 1)), 0.0], dtype=torch.float64)
    expected = [[1 / p, -3 / p, -1.0, -1.0, -1.0], [1.0, -1.0, 1 / e, -1 / e, 0.0]]
    torch.testing.assert_close(preprocess(g, p), torch.tensor(expected, dtype=torch.float64), rtol=EXACT, atol=0)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_inputs_are_continuous_where_gradients_become_tiny(sign: float) -> None:
    edge = sign * math.exp(-10)
    below, above = preprocess(torch.tensor([edge * (1 - 1e-9), edge * (1 + 1e-9)], dtype=torch.float64), 10.0).unbind(1)
    torch.testing.assert_close(below, torch.tensor([-1.0, sign], dtype=torch.float64), rtol=1e-8, atol=0)
    torch.testing.assert_close(above, below, rtol=1e-8, atol=0)


def test_a_gradient_of_zero_does_not_make_autograd_nan() -> None:
    g = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    torch.autograd.backward(preprocess(g, 10.0).sum())
    torch.testing.assert_close(g.grad, torch.full((1,), math.exp(10.0), dtype=torch.float64))


# --- the network ------------------------------------------------------------------------------------------------------


def test_the_network_is_torchs_lstm() -> None:
    ours = {name: x.double() for name, x in network().items()}
    theirs, output = nn.LSTM(2, UNITS, LAYERS).double(), nn.Linear(UNITS, 1).double()
    theirs.load_state_dict({name: x for name, x in ours.items() if name.endswith(("l0", "l1"))})
    output.load_state_dict({"weight": ours["weight_output"], "bias": ours["bias_output"]})
    x = torch.randn(
        6, 5, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1)
    )  # steps, coordinates, inputs
    expected, (last_h, last_c) = theirs(x)
    h = c = torch.zeros(LAYERS, UNITS, 5, dtype=torch.float64)
    for t in range(6):
        y, h, c = run_network(ours, x[t].T, h, c)
        torch.testing.assert_close(y, output(expected[t]).squeeze(1), rtol=0, atol=EXACT)
    torch.testing.assert_close(h.transpose(1, 2), last_h, rtol=0, atol=EXACT)
    torch.testing.assert_close(c.transpose(1, 2), last_c, rtol=0, atol=EXACT)


def test_the_number_of_weights_that_is_said() -> None:
    assert sum(math.prod(shape) for name, shape in SHAPES.items() if name != "p") == 5301


# --- the step ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
@pytest.mark.parametrize("p", [10.0, 5.0])
def test_steps_are_those_of_a_loop_over_elements(p: float, weight_decay: float) -> None:
    weights = {name: x.double() for name, x in network(p=p).items()}
    lstm, output = nn.LSTM(2, UNITS, LAYERS).double(), nn.Linear(UNITS, 1).double()
    lstm.load_state_dict({name: x for name, x in weights.items() if name.endswith(("l0", "l1"))})
    output.load_state_dict({"weight": weights["weight_output"], "bias": weights["bias_output"]})
    w = torch.tensor([[1.0, -2.0], [0.5, 0.0]], dtype=torch.float64, requires_grad=True)
    by_hand = w.detach().flatten().tolist()
    states: list[tuple[Tensor, Tensor] | None] = [None] * 4
    optimizer = LSTMOptimizer([w], lr=0.3, weights=weights, weight_decay=weight_decay)
    for t in range(7):
        gradient = torch.tensor([[1.0, -1e-3], [1e-7, 0.0]], dtype=torch.float64) * (-1) ** t * (t + 1)
        w.grad = gradient
        for k, g in enumerate(gradient.flatten().tolist()):
            big = abs(g) >= math.exp(-p)
            x = [math.log(abs(g)) / p, math.copysign(1, g)] if big else [-1.0, math.exp(p) * g]
            with torch.no_grad():
                y, states[k] = lstm(torch.tensor([x], dtype=torch.float64), states[k])
                by_hand[k] += 0.3 * (output(y).item() - weight_decay * by_hand[k])
        optimizer.step()
        torch.testing.assert_close(w.detach().flatten().tolist(), by_hand, rtol=0, atol=EXACT)


def test_elements_do_not_see_each_other() -> None:
    both, alone = parameter(2), parameter(1)
    optimizers = LSTMOptimizer([both]), LSTMOptimizer([alone])
    for t in range(5):
        both.grad, alone.grad = torch.tensor([0.3 * t, -7.0]), torch.tensor([0.3 * t])
        for optimizer in optimizers:
            optimizer.step()
    torch.testing.assert_close(both[:1], alone)


# --- a torch optimizer ------------------------------------------------------------------------------------------------


def test_the_group_holds_the_network_and_nothing_else_is_kept() -> None:
    optimizer = LSTMOptimizer([parameter(2)], weights=network())
    assert set(optimizer.param_groups[0]) == {"params", "lr", "weights", "weight_decay", "maximize", "differentiable"}
    assert optimizer.param_groups[0]["weights"] == network_text(network())
    assert set(vars(optimizer)) == set(vars(torch.optim.SGD([parameter(2)])))
    assert len(repr(optimizer)) < 500


def test_state_is_tensors_and_step_a_float32_one() -> None:
    w = parameter(3, 2, dtype=torch.float64)
    optimizer = LSTMOptimizer([w])
    step_along(optimizer, 3)
    state = optimizer.state[w]
    assert (state["step"].dtype, state["step"].item(), state["step"].device.type) == (torch.float32, 3, "cpu")
    assert state["hidden"].shape == state["cell"].shape == (LAYERS, UNITS, 3, 2)
    assert state["cell"].dtype == torch.float64


@pytest.mark.parametrize(
    "dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.complex64], ids=str
)
def test_a_state_dict_carries_the_network(dtype: torch.dtype) -> None:
    first = LSTMOptimizer([parameter(3, dtype=dtype)], weights=network(seed=1))
    step_along(first, 3)
    file = io.BytesIO()
    torch.save(first.state_dict(), file)
    file.seek(0)
    w = first.param_groups[0]["params"][0].detach().clone().requires_grad_()
    second = LSTMOptimizer([w], lr=0.5, weights=network(seed=2))
    second.load_state_dict(torch.load(file, weights_only=True))
    torch.testing.assert_close(second.state_dict()["state"], first.state_dict()["state"], rtol=0, atol=0)
    assert second.state_dict()["param_groups"] == first.state_dict()["param_groups"]
    for optimizer in (first, second):
        step_along(optimizer, 3, first=3)
    assert torch.equal(w, first.param_groups[0]["params"][0])


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))], ids=["deepcopy", "pickle"])
def test_a_copy_goes_on_alone_without_the_file(copied: Any, tmp_path: Path) -> None:
    file = tmp_path / "network.pt"
    save_network(network(), file)
    original = LSTMOptimizer([parameter(3)], weights=file)
    step_along(original, 2)
    file.unlink()
    other = copied(original)
    other.add_param_group({"params": [parameter(1)]})
    assert other.param_groups[1]["weights"] == network_text(network())
    for optimizer in (original, other):
        step_along(optimizer, 2, first=2)
    assert torch.equal(other.param_groups[0]["params"][0], original.param_groups[0]["params"][0])


def test_groups_may_have_networks_of_their_own() -> None:
    one, two, alone = parameter(2), parameter(2), parameter(2)
    groups: list[dict[str, Any]] = [{"params": [one]}, {"params": [two], "weights": network(seed=1)}]
    optimizer = LSTMOptimizer(groups, weights=network())
    step_along(optimizer, 2)
    step_along(LSTMOptimizer([alone], weights=network(seed=1)), 2)
    assert torch.equal(two, alone)
    assert not torch.equal(one, two)


@pytest.mark.parametrize("shape", [(), (0,), (3, 0), (1,), (2, 3)], ids=str)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32], ids=str)
def test_shapes_and_types_agree_with_float64(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    w, exact = parameter(*shape, dtype=dtype), parameter(*shape, dtype=torch.float64)
    for optimizer in (LSTMOptimizer([w], lr=0.01), LSTMOptimizer([exact], lr=0.01)):
        step_along(optimizer, 4)
    # state and weights are rounded once a step
    torch.testing.assert_close(w.detach().double(), exact.detach(), rtol=0, atol=20 * torch.finfo(dtype).eps)


def test_memory_order_does_not_matter() -> None:
    w, v = torch.zeros(3, 4).t().requires_grad_(), torch.zeros(4, 3, requires_grad=True)
    for one in (w, v):
        optimizer = LSTMOptimizer([one])
        for sign in (1, -1, 1):
            one.grad = torch.arange(-6.0, 6.0).reshape(4, 3) * sign
            optimizer.step()
    assert not w.is_contiguous()
    assert torch.equal(w, v)


def test_complex_parameters_are_pairs_of_real_ones() -> None:
    z = torch.tensor([1 + 2j, -1 + 0.5j], requires_grad=True)
    x = torch.view_as_real(z.detach().clone()).requires_grad_()
    pair = LSTMOptimizer([z], weight_decay=0.1), LSTMOptimizer([x], weight_decay=0.1)
    for g in (1 - 1j, -2 + 0.5j, 3 + 0j):
        z.grad = torch.full((2,), g)
        x.grad = torch.view_as_real(z.grad).clone()
        for optimizer in pair:
            optimizer.step()
    torch.testing.assert_close(torch.view_as_real(z.detach()), x.detach(), rtol=0, atol=0)


def test_maximize_is_descent_of_the_negative() -> None:
    up, down = parameter(2), parameter(2)
    optimizers = LSTMOptimizer([up], maximize=True), LSTMOptimizer([down])
    for g in (1.0, -0.5, 1e-8):
        up.grad, down.grad = torch.full((2,), g), torch.full((2,), -g)
        for optimizer in optimizers:
            optimizer.step()
        assert torch.equal(up.grad, torch.full((2,), g))
    assert torch.equal(up, down)


@pytest.mark.parametrize("lr", [torch.tensor(0.125), torch.tensor([0.125]), torch.tensor(0.125, dtype=torch.float64)])
def test_a_tensor_learning_rate_is_its_number(lr: Tensor) -> None:
    w, v = parameter(3), parameter(3)
    step_along(LSTMOptimizer([w], lr=lr), 4)
    step_along(LSTMOptimizer([v], lr=0.125), 4)
    torch.testing.assert_close(w, v)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32], ids=str)
def test_learning_rate_zero_leaves_parameters_untouched(dtype: torch.dtype) -> None:
    w = parameter(3, dtype=dtype)
    optimizer = LSTMOptimizer([w], lr=0.0, weight_decay=0.1)
    step_along(optimizer, 3)
    w.grad = torch.zeros_like(w)
    optimizer.step()
    assert torch.equal(w, torch.ones_like(w))


def test_schedulers_move_the_learning_rate() -> None:
    optimizer = LSTMOptimizer([parameter(2)], lr=0.1)
    scheduler = lr_scheduler.OneCycleLR(optimizer, max_lr=0.1, total_steps=10, cycle_momentum=False)
    seen = set()
    for t in range(4):
        step_along(optimizer, 1, first=t)
        scheduler.step()
        seen.add(optimizer.param_groups[0]["lr"])
    assert len(seen) == 4


def test_sparse_gradients_are_refused() -> None:
    w = parameter(3, 1)
    w.grad = torch.sparse_coo_tensor(torch.tensor([[1]]), torch.ones(1, 1), (3, 1), check_invariants=True)
    with pytest.raises(RuntimeError, match=r"LSTMOptimizer needs dense gradients.*\(3, 1\)"):
        LSTMOptimizer([w]).step()


def test_gradients_flow_through_a_differentiable_step() -> None:
    def loss_after_three_steps(lr: Tensor, scale: Tensor) -> Tensor:
        w = torch.tensor([1.0, -2.0], dtype=torch.float64, requires_grad=True).clone()
        w.retain_grad()
        optimizer = LSTMOptimizer([w], lr=lr, differentiable=True)
        for factor in (1.0, 0.5, -2.0):
            w.grad = torch.tensor([3.0, -1.0], dtype=torch.float64) * factor * scale
            optimizer.step()
        return (w**2).sum()

    lr, scale = (torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in (0.1, 0.7))
    assert torch.autograd.gradcheck(loss_after_three_steps, (lr, scale))


def test_a_step_in_inference_mode_does_not_spoil_later_ones() -> None:
    weights = network(seed=3)
    with torch.inference_mode():
        w = torch.ones(2)
        w.grad = torch.ones(2)
        LSTMOptimizer([w], weights=weights).step()
    scale = torch.ones((), requires_grad=True)
    v = parameter(2).clone()
    v.retain_grad()
    v.grad = torch.ones(2) * scale
    LSTMOptimizer([v], weights=weights, differentiable=True).step()
    torch.autograd.backward(v.sum())
    assert scale.grad is not None


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")  # torch's own, while tracing
def test_a_compiled_step_is_the_step() -> None:
    torch._dynamo.reset()
    w, v = parameter(3), parameter(3)
    compiled, plain = LSTMOptimizer([w]), LSTMOptimizer([v])
    step = torch.compile(compiled.step, backend="eager")
    for g in (1.0, -0.5, 1e-6):
        for one, go in ((w, step), (v, plain.step)):
            one.grad = torch.full((3,), g)
            go()
    torch.testing.assert_close(w, v)


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("lr", -0.1, ValueError),
        ("lr", math.nan, ValueError),
        ("lr", "0.1", TypeError),
        ("weight_decay", math.nan, ValueError),
        ("maximize", 1, TypeError),
        ("weights", "quadratic", ValueError),
        ("weights", 3, TypeError),
        ("weights", {}, ValueError),
        ("weights", "lstm:AAAA", ValueError),
        ("weights", "lstm:?", ValueError),
    ],
    ids=str,
)
def test_a_bad_argument_is_refused_by_name(name: str, value: Any, error: type[Exception]) -> None:
    message = rf"LSTMOptimizer\({name}="
    with pytest.raises(error, match=message):
        LSTMOptimizer([parameter(2)], **{name: value})
    with pytest.raises(error, match=message):
        LSTMOptimizer([{"params": [parameter(2)], name: value}])
    with pytest.raises(error, match=message):
        LSTMOptimizer([parameter(2)]).add_param_group({"params": [parameter(2)], name: value})


def test_unknown_keywords_and_empty_lists_are_refused() -> None:
    with pytest.raises(TypeError, match="betas"):
        LSTMOptimizer([parameter(2)], betas=(0.9, 0.999))  # type: ignore[call-arg]  # on purpose
    with pytest.raises(ValueError, match="empty parameter list"):
        LSTMOptimizer([])


# --- networks that ship -----------------------------------------------------------------------------------------------


def last_loss(optimizer_of: Any) -> float:
    """Return the mean loss of 64 quadratics after 100 steps, none of which meta-training has seen."""
    optimizees = Quadratics().draw(HELD_OUT, 100)
    theta = optimizees.start.clone().requires_grad_()
    optimizer = optimizer_of([theta])
    for step in range(100):
        optimizer.zero_grad()
        torch.autograd.backward(optimizees.losses(theta, step).sum())
        optimizer.step()
    return float(optimizees.losses(theta.detach(), 100).mean())


def test_quadratics_are_minimised_better_than_by_tuned_sgd_and_adam() -> None:
    learned = last_loss(lambda w: LSTMOptimizer(w, weights="quadratics"))
    sgd = min(last_loss(lambda w, lr=lr: torch.optim.SGD(w, lr=lr)) for lr in (0.005, 0.01, 0.015, 0.02))
    adam = min(last_loss(lambda w, lr=lr: torch.optim.Adam(w, lr=lr)) for lr in (0.2, 0.5, 0.7, 1.0, 1.5))
    assert learned < 0.75 * min(sgd, adam)


@pytest.mark.parametrize("name", shipped_weights())
def test_shipped_networks_can_be_loaded_and_are_described(name: str) -> None:
    assert set(load_network(name)) == set(SHAPES)
    import neuropt.optimizers

    notes = Path(neuropt.optimizers.__file__).parent / "weights" / "README.md"
    assert f"neuropt meta-train --task {name} " in notes.read_text(encoding="utf-8")
