"""Meta-training: what gradients it follows, that it learns, and that it can be repeated."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import neuropt
from neuropt.optimizers import LSTMOptimizer
from neuropt.optimizers.lstm_network import Network, fresh_network, preprocess, run_network, start_state
from neuropt.optimizers.lstm_weights import load_network
from neuropt.tasks import batch_order, build_model, cross_entropy, get_task, load_task_data
from neuropt.training.optimizees import Optimizees, Quadratics, TaskLosses
from neuropt.training.unrolling import OUTPUT_SCALE, trajectory, unroll
from tests.cli.running import run_here

DIGITS = get_task("digits-mlp")
TRAIN = load_task_data(DIGITS).train
TINY: dict[str, Any] = {"trajectories": 3, "steps": 6, "unroll": 3, "meta_lr": 0.01}


def network(requires_grad: bool = True) -> dict[str, Tensor]:
    fresh = fresh_network(10.0, torch.Generator().manual_seed(0))
    return {name: x.double().requires_grad_(requires_grad and name != "p") for name, x in fresh.items()}


def linear(slope: Tensor) -> Optimizees:
    return Optimizees(torch.zeros_like(slope), lambda theta, step: (slope * theta).sum(1) * (step + 1))


def cubic(start: Tensor) -> Optimizees:
    return Optimizees(start, lambda theta, step: (theta**3).sum(1) + (theta**2).sum(1))


def meta_gradient(net: Network, optimizees: Optimizees, steps: int) -> list[Tensor]:
    weights = [x for name, x in net.items() if name != "p"]
    h = start_state((optimizees.start.numel(),), optimizees.start)
    part = unroll(net, optimizees, optimizees.start, h, h, 0, steps)
    return list(torch.autograd.grad(part.surrogate, weights))


def by_definition(net: Network, optimizees: Optimizees, steps: int, dropped: bool) -> list[Tensor]:
    """The gradient, by autograd, of the meta-loss as it is written, with or without gradients of gradients."""
    weights = [x for name, x in net.items() if name != "p"]
    theta = optimizees.start.clone().requires_grad_()
    h = c = start_state((theta.numel(),), theta)
    total = torch.zeros((), dtype=theta.dtype)
    for step in range(steps + 1):
        loss = optimizees.losses(theta, step)
        total = total + loss.mean()
        (g,) = torch.autograd.grad(loss.sum(), theta, create_graph=True)
        g = g.detach() if dropped else g
        y, h, c = run_network(net, preprocess(g.reshape(-1), 10.0), h, c)
        theta = theta + OUTPUT_SCALE * y.reshape(theta.shape)
    return list(torch.autograd.grad(total, weights))


def test_the_gradient_is_that_of_the_summed_losses_without_gradients_of_gradients() -> None:
    # near the minimum, where a step changes the gradient, and so the network's next input, by much
    optimizees = cubic(torch.tensor([[1e-3, -2e-3, 5e-4], [3e-4, 2e-3, -1e-3]], dtype=torch.float64))
    net = network()
    net["weight_output"] = (100 * net["weight_output"]).detach().requires_grad_()  # steps as large as after training
    found = meta_gradient(net, optimizees, steps=5)
    dropped = by_definition(net, optimizees, 5, dropped=True)
    kept = by_definition(net, optimizees, 5, dropped=False)
    torch.testing.assert_close(found, dropped, rtol=1e-10, atol=1e-12)
    assert all((x - y).abs().max() > 5e-4 * y.abs().max() for x, y in zip(found, kept, strict=True))


def test_where_no_gradient_depends_on_theta_it_is_the_whole_gradient() -> None:
    optimizees = linear(torch.tensor([[1.0, -1e-3, 2.0]], dtype=torch.float64))
    found = meta_gradient(network(), optimizees, steps=4)
    nudged = network(requires_grad=False)
    for name, gradient in zip([name for name in nudged if name != "p"], found, strict=True):
        direction = torch.randn(gradient.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
        ends = [
            trajectory(nudged | {name: nudged[name] + sign * 1e-6 * direction}, optimizees, 4, 4).sum()
            for sign in (1, -1)
        ]
        torch.testing.assert_close((gradient * direction).sum(), (ends[0] - ends[1]) / 2e-6, rtol=1e-6, atol=1e-9)


def test_a_trajectory_in_parts_is_the_trajectory() -> None:
    net, optimizees = network(requires_grad=False), cubic(torch.ones(1, 4, dtype=torch.float64))
    torch.testing.assert_close(trajectory(net, optimizees, 10, 3), trajectory(net, optimizees, 10, 10), rtol=0, atol=0)


def test_gradients_stop_where_a_part_begins() -> None:
    net, optimizees = network(), cubic(torch.ones(1, 2, dtype=torch.float64))
    seen = []
    trajectory(net, optimizees, 6, 3, lambda part: seen.append(torch.autograd.grad(part.surrogate, net["bias_output"])))
    assert len(seen) == 2  # a graph through both would be gone at the second


@pytest.mark.parametrize("family", [Quadratics(count=2), TaskLosses(DIGITS, TRAIN)], ids=["quadratics", "digits-mlp"])
def test_meta_training_steps_as_the_optimizer_does(family: Any) -> None:
    fresh = fresh_network(10.0, torch.Generator().manual_seed(0))
    optimizees = family.draw(seed=5, steps=8)
    losses = trajectory(fresh, optimizees, steps=8, length=4)
    w = optimizees.start.clone().requires_grad_()
    optimizer = LSTMOptimizer([w], weights=fresh)
    for step in range(8):
        optimizer.zero_grad()
        torch.autograd.backward(optimizees.losses(w, step).sum())
        optimizer.step()
    torch.testing.assert_close(optimizees.losses(w.detach(), 8), losses[-1])


def test_the_losses_of_a_task_are_its_models_on_its_training_batches() -> None:
    optimizees = TaskLosses(DIGITS, TRAIN).draw(seed=7, steps=2)
    model = build_model(DIGITS, seed=7)
    batch = batch_order(len(TRAIN), DIGITS.batch_size, 3, seed=7)[1]
    expected = cross_entropy(model(TRAIN.inputs[batch]), TRAIN.targets[batch])
    torch.testing.assert_close(optimizees.losses(optimizees.start, 1), expected.detach().unsqueeze(0))


def test_quadratics_are_a_function_of_the_seed() -> None:
    one, same, other = (Quadratics().draw(seed, 100) for seed in (1, 1, 2))
    assert torch.equal(one.losses(one.start, 0), same.losses(same.start, 0))
    assert not torch.equal(one.start, other.start)
    # E|W theta - y|^2 = 10 (|theta|^2 + 1) for W and y of unit variance
    at_zero = one.losses(torch.zeros(64, 10), 0)
    assert 8.5 < at_zero.mean() < 11.5


# --- meta_train -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", ["quadratics", "digits-mlp"])
def test_equal_arguments_give_equal_weights(task: str, tmp_path: Path) -> None:
    for name in ("one", "same"):
        torch.manual_seed(len(name))  # the global generator has no say, and is put back
        before = torch.get_rng_state()
        neuropt.meta_train(task, tmp_path / name, **TINY)
        assert torch.equal(torch.get_rng_state(), before)
    neuropt.meta_train(task, tmp_path / "other", **TINY, seed=1)
    one, same, other = (load_network(tmp_path / name) for name in ("one", "same", "other"))
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(one["weight_hh_l0"], other["weight_hh_l0"])


def held_out_loss(file: Path) -> float:
    """The mean loss of 20 steps on the optimizees that choose."""
    held_out = [Quadratics().draw(2**31 + i, 20) for i in range(4)]
    return float(torch.stack([trajectory(load_network(file), some, 20, 20).mean() for some in held_out]).mean())


def test_it_learns(tmp_path: Path) -> None:
    file = tmp_path / "network.pt"
    done = neuropt.meta_train("quadratics", file, trajectories=20, steps=20, meta_lr=0.05)
    assert done.best < 0.5 * done.before
    assert held_out_loss(file) == pytest.approx(done.best, rel=1e-6)


def test_the_file_holds_the_best_weights_not_the_last(tmp_path: Path) -> None:
    said: list[str] = []
    file = tmp_path / "network.pt"
    # a rate at which meta-training leaps about
    done = neuropt.meta_train("quadratics", file, trajectories=3, steps=20, meta_lr=0.5, progress=said.append)
    losses = [float(line.split("held-out loss ")[1].split(" ")[0]) for line in said]
    assert [line.split(",")[0] for line in said] == [f"quadratics: {n}/3 trajectories" for n in (1, 2, 3)]
    assert done.best < losses[-1]
    assert done.best == pytest.approx(min([done.before, *losses]), rel=1e-3)
    assert held_out_loss(file) == pytest.approx(done.best, rel=1e-6)


def test_p_travels_with_the_weights(tmp_path: Path) -> None:
    neuropt.meta_train("quadratics", tmp_path / "p5.pt", **TINY, p=5.0)
    assert load_network(tmp_path / "p5.pt")["p"] == 5.0


WRONG: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"task": "digits"}, ValueError, "unknown task 'digits'; choose one of quadratics, digits-mlp"),
    ({"trajectories": 0}, ValueError, "trajectories must be a whole number from 1"),
    ({"steps": 1.5}, TypeError, "steps must be a whole number, but got 1.5"),
    ({"unroll": -1}, ValueError, "unroll must be .* -1"),
    ({"meta_lr": 0.0}, ValueError, "meta_lr must be a number > 0"),
    ({"p": float("nan")}, ValueError, "p must be .* nan"),
    ({"p": 81.0}, ValueError, "p must be .* 81"),
    ({"seed": -1}, ValueError, "seed must be .* -1"),
    ({"out": "there.pt"}, FileExistsError, "there.pt exists; choose another name, or ask to overwrite"),
    ({"out": "no/folder.pt"}, FileNotFoundError, "there is no folder no to write folder.pt to"),
    ({"out": "."}, IsADirectoryError, "is a folder; name a file in it"),
]


@pytest.mark.parametrize(("arguments", "error", "message"), WRONG, ids=[str(a) for a, _, _ in WRONG])
def test_what_is_wrong_is_said_before_anything_is_trained(
    arguments: dict[str, Any], error: type[Exception], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("there.pt").write_text("mine", encoding="utf-8")
    with pytest.raises(error, match=message):
        neuropt.meta_train(**{"task": "quadratics", "out": "new.pt", **arguments})
    assert [path.name for path in tmp_path.iterdir()] == ["there.pt"]
    assert Path("there.pt").read_text(encoding="utf-8") == "mine"


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "network.pt"
    flags = ["--trajectories", "3", "--steps", "6", "--unroll", "3", "--meta-lr", "0.01"]
    ended = run_here(capsys, "meta-train", "--task", "quadratics", "-o", str(file), *flags)
    assert ended.code == 0
    assert ended.out.startswith(f"wrote {file}; held-out loss ")
    assert len(ended.err.splitlines()) == 3
    neuropt.meta_train("quadratics", tmp_path / "python.pt", **TINY)
    python = load_network(tmp_path / "python.pt")
    assert all(torch.equal(x, python[name]) for name, x in load_network(file).items())
    again = run_here(capsys, "meta-train", "--task", "quadratics", "-o", str(file), *flags)
    assert (again.code, again.out) == (2, "")
    assert again.err == f"neuropt meta-train: error: {file} exists; choose another name, or ask to overwrite it.\n"


@pytest.mark.parametrize("module", ["meta_training", "optimizees", "unrolling"])
def test_docstring_examples_run(module: str) -> None:
    assert doctest.testmod(importlib.import_module(f"neuropt.training.{module}")).failed == 0
