"""What holds for every task that needs no download."""

from __future__ import annotations

import json
import pickle
from itertools import combinations
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from neuropt.evaluating.contenders import named
from neuropt.evaluating.protocol import Protocol, run_protocol
from neuropt.searching.executor import InProcessExecutor
from neuropt.tasks import build_model, get_task, hash_tensors, initial_weights, load_task_data, measure
from neuropt.tasks.registry import SHIPPED
from neuropt.tasks.task import Split, Task, TaskData
from neuropt.training.children import Child
from neuropt.training.forms import possible_forms
from neuropt.training.train import train_rules
from search_space import zoo

NAMES = [task.name for task in SHIPPED if task.download is None]
SPEC = {
    "breast-cancer-logistic", "wine-mlp", "digits-mlp", "digits-wide", "digits-conv", "digits-autoencoder", "signals-mlp", "signals-conv",
    "quadratic-ill", "quadratic-noisy", "rosenbrock", "matrix-factorisation", "char-gru", "char-transformer", "picture-fourier",
}  # fmt: skip
DATA = {
    "mnist-mlp", "mnist-lenet", "fashion-mnist-lenet", "cifar10-convnet", "cifar10-wideresnet", "shakespeare-transformer",
}  # fmt: skip
HASHES: dict[str, dict[str, str]] = json.loads((Path(__file__).parent / "hashes.json").read_text(encoding="utf-8"))
"""Written down once, by other processes: `data`, and `weights` of the seeds 0 and 1."""
SOONEST = {"char-transformer": ("adam", "constant"), "digits-autoencoder": ("sgd", "linear")}
"""Who reaches the target of a task where it is neither the first that is tried nor cheap to try others."""
SAME = 1e-4
"""Relative, of losses after a few steps in two forms: sums in another order, in float32, magnified by Adam's quotients."""


@pytest.fixture(params=NAMES)
def task(request: pytest.FixtureRequest) -> Task:
    return get_task(request.param)


def splits(data: TaskData) -> dict[str, Split]:
    return {"train": data.train, "validation": data.validation, "test": data.test}


def test_all_that_were_planned_are_there() -> None:
    assert set(NAMES) >= SPEC
    assert {task.name for task in SHIPPED if task.download is not None} >= DATA
    assert {task.family for task in SHIPPED} == {"vision", "text", "tabular", "autoencoding", "synthetic"}


def test_data_and_first_weights_are_those_that_were_written_down(task: Task) -> None:
    # another machine's libraries could move last bits of a random number; then the first weights differ and this says which
    found = {"data": load_task_data(task).sha256}
    found["weights"] = hash_tensors(*(initial_weights(task, seed) for seed in (0, 1)))
    assert found == HASHES[task.name]


def test_data_are_made_the_same_each_time(task: Task) -> None:
    assert task.load(None).sha256 == load_task_data(task).sha256


def test_no_example_is_in_two_splits(task: Task) -> None:
    rows = {
        name: {(x.numpy().tobytes(), y.numpy().tobytes()) for x, y in zip(split.inputs, split.targets, strict=True)}
        for name, split in splits(load_task_data(task)).items()
    }
    for one, other in combinations(rows, 2):
        assert not rows[one] & rows[other], (one, other)


def test_first_weights_are_the_seeds(task: Task) -> None:
    first = initial_weights(task, seed=3)
    assert torch.equal(initial_weights(task, seed=3), first)
    assert not torch.equal(initial_weights(task, seed=4), first)


def test_it_survives_pickling(task: Task) -> None:
    assert pickle.loads(pickle.dumps(task)) == task


def test_a_few_small_steps_of_gradient_descent_lower_the_training_loss(task: Task) -> None:
    data = load_task_data(task)
    model = build_model(task, seed=0).train()
    inputs, targets = data.train.inputs[:256], data.train.targets[:256]
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    losses = []
    for _ in range(5):
        optimizer.zero_grad()
        loss = task.loss(model(inputs), targets)
        torch.autograd.backward(loss)
        optimizer.step()
        losses.append(loss.item())
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < losses[0] <= task.loss_bound


def short_children(task: Task, form: str) -> list[Child]:
    rates = [[1e-4, 1e-3]]
    found = train_rules(
        task.with_budget(4), load_task_data(task), [zoo()["adam"]], rates, [7], halving=False, form=form  # type: ignore[arg-type]  # text
    )  # fmt: skip
    return [child for row in found[0] for child in row]


def assert_same_in(task: Task, forms: list[str]) -> None:
    expected = short_children(task, "plain")
    assert all(child.status == "trained" for child in expected)
    for form in forms:
        for one, other in zip(short_children(task, form), expected, strict=True):
            assert (one.train_loss, one.loss) == pytest.approx((other.train_loss, other.loss), rel=SAME), form
            assert (one.accuracy is None) == (other.accuracy is None) == (task.metric == "loss"), form
            if other.accuracy is not None:
                assert one.accuracy == pytest.approx(other.accuracy, abs=0.01), form


def test_every_form_gives_the_numbers_of_the_plain_one(task: Task) -> None:
    assert_same_in(
        task, [form for form in possible_forms(task, load_task_data(task)) if form not in ("plain", "compiled")]
    )


@pytest.mark.slow
def test_compiled_passes_give_the_numbers_of_plain_ones(task: Task) -> None:
    assert "compiled" in possible_forms(task, load_task_data(task))
    assert_same_in(task, ["compiled"])


def test_children_are_deterministic(task: Task) -> None:
    assert short_children(task, "plain") == short_children(task, "plain")


@torch.no_grad()
def test_first_weights_do_not_reach_the_target(task: Task) -> None:
    validation = load_task_data(task).validation
    outputs: Tensor = build_model(task, seed=0).eval()(validation.inputs)
    loss, share = measure(task.loss, task.metric, outputs[None, None], validation.targets)
    assert not task.reaches((share if task.metric == "accuracy" else loss).item())


@pytest.mark.slow
def test_a_tuned_optimizer_reaches_the_target(task: Task) -> None:
    data = load_task_data(task)
    executor = InProcessExecutor(task, data)

    def reaches(name: str, schedule: str) -> bool:
        protocol = Protocol((1,), (11, 12, 13, 14, 15), schedules=(schedule,))
        (study,) = run_protocol([named(name)], task, data, executor, protocol)
        validation = study.row(task, protocol).validation
        return validation is not None and task.reaches(validation.median)

    pairs = [(name, schedule) for schedule in ("linear", "constant") for name in ("adam", "momentum", "sgd")]
    pairs.sort(key=lambda pair: pair != SOONEST.get(task.name))
    assert any(reaches(*pair) for pair in pairs), "one after the other, until one does"


def test_the_gru_says_why_its_children_are_not_batched() -> None:
    task = get_task("char-gru")
    with pytest.raises(
        ValueError, match=r"form batched cannot train char-gru: torch.func.vmap has no rule for its GRU"
    ):
        short_children(task, "batched")


def test_quadratics_have_their_minimum_and_their_condition() -> None:
    # f(1) = 0 without noise, and 0, where decay leads, is no better than the start
    # the Hessian H^T D H has the curvatures as eigenvalues, since H is orthogonal
    for name, condition in (("quadratic-ill", 1e4), ("quadratic-noisy", 1e2)):
        model = build_model(get_task(name), seed=0)
        (w,) = model.parameters()
        hessian = torch.autograd.functional.hessian(lambda v, m=model: _at(m, v), torch.zeros_like(w))
        values = torch.linalg.eigvalsh(hessian.double())
        assert values.max().item() == pytest.approx(1, rel=1e-4)
        assert values.min().item() == pytest.approx(1 / condition, rel=1e-2)
        assert (
            _at(model, torch.ones_like(w)).item() == 0 < _at(model, w).item() < _at(model, torch.zeros_like(w)).item()
        )


def _at(model: nn.Module, w: Tensor) -> Tensor:
    found: Tensor = torch.func.functional_call(model, {"w": w}, (torch.zeros(1, len(w)),))
    return found.sum()


def test_rosenbrocks_minimum_is_at_one() -> None:
    model = build_model(get_task("rosenbrock"), seed=0)
    (w,) = model.parameters()
    at = [
        torch.func.functional_call(model, {"w": x}, (torch.zeros(1, 64),)).item() for x in (torch.ones_like(w), 0 * w)
    ]
    assert at == [0, 1]  # 100 (1 - 1)^2 + (1 - 1)^2, and 100 (0 - 0)^2 + (1 - 0)^2


def test_the_noise_of_the_quadratic_has_mean_zero_and_its_measure_has_none() -> None:
    data = load_task_data(get_task("quadratic-noisy"))
    assert data.train.inputs.mean(0).abs().max() == 0
    assert data.train.inputs.std().item() == pytest.approx(0.5, rel=0.02)
    assert not data.validation.inputs.any()
    assert not data.test.inputs.any()


def test_characters_are_followed_by_their_neighbours() -> None:
    data = load_task_data(get_task("char-gru"))
    assert torch.equal(data.train.inputs[:, 1:], data.train.targets[:, :-1])
    assert data.train.inputs.max() < 60


def test_the_transformer_does_not_look_ahead() -> None:
    model = build_model(get_task("char-transformer"), seed=0).eval()
    text = load_task_data(get_task("char-transformer")).train.inputs[:2]
    changed = text.clone()
    changed[:, 20:] = (changed[:, 20:] + 1) % 60
    before, after = model(text), model(changed)
    torch.testing.assert_close(before[:, :20], after[:, :20])
    assert not torch.allclose(before[:, 20:], after[:, 20:])
