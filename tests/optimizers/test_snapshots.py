"""The cycles of snapshot ensembles, and the ensembles."""

from __future__ import annotations

import io
import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

from neuropt.optimizers import SnapshotEnsemble, SnapshotLR


def cycling(total_steps: int, cycles: int, lr: float = 1.0) -> SnapshotLR:
    return SnapshotLR(torch.optim.SGD([torch.ones(1, requires_grad=True)], lr=lr), total_steps, cycles)


def rates_and_ends(schedule: SnapshotLR, count: int) -> tuple[list[float], list[int]]:
    """The rate of each of the next steps, and the steps, from 1, after which a cycle has ended."""
    rates, ends = [], []
    for t in range(1, count + 1):
        rates.append(schedule.optimizer.param_groups[0]["lr"])
        schedule.optimizer.step()
        schedule.step()
        ends += [t] if schedule.cycle_ended else []
    return rates, ends


def test_the_rate_is_the_formula() -> None:
    # T = 10, M = 3: cycles of ceil(10/3) = 4 steps, at 1, cos^2(pi/8), 1/2, sin^2(pi/8) of the first rate; the third has two steps left
    cycle = [1.0, math.cos(math.pi / 8) ** 2, 0.5, math.sin(math.pi / 8) ** 2]
    schedule = cycling(10, 3, lr=0.2)
    assert not schedule.cycle_ended
    rates, ends = rates_and_ends(schedule, 10)
    assert rates == pytest.approx([0.2 * x for x in (cycle * 3)[:10]], rel=1e-14)
    assert ends == [4, 8, 10]


@given(total_steps=st.integers(1, 60), cycles=st.integers(1, 60))
@settings(max_examples=60, deadline=None)
def test_there_are_as_many_snapshots_as_cycles_or_a_refusal(total_steps: int, cycles: int) -> None:
    length = math.ceil(total_steps / cycles)
    if (cycles - 1) * length >= total_steps:  # the last cycle would start after the end
        with pytest.raises(ValueError, match=rf"SnapshotLR\(cycles=...\).*{cycles} for {total_steps} steps"):
            cycling(total_steps, cycles)
        return
    rates, ends = rates_and_ends(cycling(total_steps, cycles), total_steps)
    assert len(ends) == cycles
    assert ends[-1] == total_steps
    t = range(1, total_steps + 1)
    assert rates == pytest.approx([0.5 * (math.cos(math.pi * ((x - 1) % length) / length) + 1) for x in t], rel=1e-12)


def test_the_steps_beyond_go_on() -> None:
    rates, ends = rates_and_ends(cycling(4, 2), 8)
    assert rates == pytest.approx([1.0, 0.5] * 4)
    assert ends == [2, 4, 6, 8]


FAULTS: list[tuple[tuple[Any, ...], type[Exception], str]] = [
    ((0, 1), ValueError, r"SnapshotLR\(total_steps=...\).*0"),
    ((10, 0), ValueError, r"SnapshotLR\(cycles=...\).*0"),
    ((10.0, 2), TypeError, r"total_steps=...\).*10.0"),
    ((10, "2"), TypeError, r"cycles=...\).*'2'"),
    ((10, 6), ValueError, r"cycles of ceil\(10/6\) = 2 are 5"),
]


@pytest.mark.parametrize(("arguments", "error", "message"), FAULTS, ids=str)
def test_a_bad_argument_is_refused(arguments: tuple[Any, ...], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        cycling(*arguments)


def odds_model() -> nn.Linear:
    return nn.Linear(1, 2, bias=False)


def set_odds(model: nn.Linear, odds: float) -> None:
    """Make the input 1 a second class of so many times the first one's probability."""
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[0.0], [math.log(odds)]]))


def collected(*odds: float, last: int | None = None) -> SnapshotEnsemble:
    ensemble = SnapshotEnsemble(odds_model(), last)
    for x in odds:
        set_odds(ensemble.model, x)  # type: ignore[arg-type]  # the Linear of the line above
        ensemble.collect()
    return ensemble


def test_the_softmax_outputs_are_averaged() -> None:
    # odds 1, 3, 9: second class 1/2, 3/4, 9/10; mean 43/60. Averaged logits would be odds 27^(1/3) = 3, so 3/4
    ensemble = collected(1.0, 3.0, 9.0)
    torch.testing.assert_close(ensemble(torch.ones(1, 1)), torch.tensor([[17 / 60, 43 / 60]]))
    loss, accuracy = ensemble.evaluate(torch.ones(4, 1), torch.tensor([1, 1, 0, 1]))
    assert loss == pytest.approx(-(3 * math.log(43 / 60) + math.log(17 / 60)) / 4, rel=1e-6)
    assert accuracy == 0.75


def test_only_the_last_are_kept() -> None:
    ensemble = collected(1.0, 3.0, 9.0, last=2)
    assert (len(ensemble), ensemble.last) == (2, 2)
    torch.testing.assert_close(ensemble(torch.ones(1, 1))[0, 1], torch.tensor((3 / 4 + 9 / 10) / 2))


def test_one_snapshot_is_the_model() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 5))
    ensemble = SnapshotEnsemble(model)
    model(torch.randn(8, 3))  # moves the running averages
    ensemble.collect()
    inputs, targets = torch.randn(6, 3), torch.tensor([0, 1, 2, 3, 4, 0])
    expected = model.eval()(inputs)
    torch.testing.assert_close(ensemble(inputs), expected.softmax(-1))
    assert ensemble.evaluate(inputs, targets)[0] == pytest.approx(functional.cross_entropy(expected, targets).item())


def test_the_loss_is_finite_where_a_probability_underflows() -> None:
    # both snapshots give the first class e^-200, which is 0 in float32
    ensemble = collected(math.exp(200), math.exp(200))
    assert ensemble(torch.ones(1, 1))[0, 0] == 0
    assert ensemble.evaluate(torch.ones(1, 1), torch.tensor([0]))[0] == pytest.approx(200)


class Awkward(nn.Module):
    """Tied weights, dropout, batch norm, an LSTM, a count kept in a buffer, one frozen part."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: Tensor
        self.register_buffer("calls", torch.zeros(()), persistent=False)
        self.first, self.second = nn.Linear(3, 3), nn.Linear(3, 3)
        self.second.weight = self.first.weight
        self.norm, self.drop = nn.BatchNorm1d(3), nn.Dropout(0.5)
        self.lstm = nn.LSTM(3, 3, batch_first=True)
        self.norm.eval()

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        x = self.drop(self.norm(self.second(self.first(x).tanh())))
        outputs: Tensor = self.lstm(x.unsqueeze(1))[0]
        return outputs[:, -1] + self.calls


def test_the_model_is_left_as_it_was() -> None:
    torch.manual_seed(0)
    model = Awkward()
    inputs = torch.randn(5, 3)
    ensemble = SnapshotEnsemble(model)
    ensemble.collect()
    for w in model.parameters():
        w.data.add_(1.0)
    model(inputs).sum().backward()
    ensemble.collect()
    before = {name: (w, w.detach().clone(), w.grad, w._version) for name, w in model.named_parameters()}
    modes = [module.training for module in model.modules()]
    calls, drawn = model.calls.clone(), torch.get_rng_state()

    first = ensemble(inputs)
    assert torch.equal(ensemble(inputs), first)  # nor do the snapshots change
    assert not first.requires_grad
    assert not ensemble(inputs.clone().requires_grad_()).requires_grad
    assert [module.training for module in model.modules()] == modes
    assert modes.count(False) == 1
    assert torch.equal(model.calls, calls)
    assert torch.equal(torch.get_rng_state(), drawn)
    for name, w in model.named_parameters():
        was, value, grad, version = before[name]
        assert w is was
        assert torch.equal(w, value)
        assert (w.grad is grad, w._version) == (True, version)
    assert model.second.weight is model.first.weight
    model(inputs).sum().backward()


def test_the_first_snapshot_is_not_the_present_model() -> None:
    torch.manual_seed(0)
    model = Awkward()
    ensemble, inputs = SnapshotEnsemble(model, last=1), torch.randn(5, 3)
    ensemble.collect()
    first = ensemble(inputs)
    with torch.no_grad():
        for w in model.parameters():
            w.mul_(-2.0)
    assert torch.equal(ensemble(inputs), first)
    ensemble.collect()
    assert not torch.allclose(ensemble(inputs), first)


def test_the_mode_comes_back_after_an_error() -> None:
    ensemble = collected(1.0)
    with pytest.raises(RuntimeError):
        ensemble(torch.ones(1, 7))
    assert ensemble.model.training


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_averaged_in_float32(dtype: torch.dtype) -> None:
    ensemble = collected(1.0, 3.0)
    ensemble.model.to(dtype)  # the snapshots stay float32; the model's own are collected below
    ensemble.load_state_dict({"last": None, "snapshots": []})
    ensemble.collect()
    found = ensemble(torch.ones(1, 1, dtype=dtype))
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, torch.tensor([[0.25, 0.75]]), rtol=1e-2, atol=0.0)


def test_snapshots_go_through_a_file() -> None:
    ensemble = collected(1.0, 3.0, 9.0, last=2)
    file = io.BytesIO()
    torch.save(ensemble.state_dict(), file)
    file.seek(0)
    loaded = SnapshotEnsemble(odds_model(), last=7)
    loaded.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(loaded(torch.ones(1, 1)), ensemble(torch.ones(1, 1)))
    for each in (loaded, ensemble):
        set_odds(each.model, 1.0)  # type: ignore[arg-type]  # a Linear
        each.collect()
    assert (len(loaded), loaded.last) == (2, 2)
    assert torch.equal(loaded(torch.ones(1, 1)), ensemble(torch.ones(1, 1)))


def test_loading_copies() -> None:
    ensemble = collected(3.0)
    other = SnapshotEnsemble(odds_model())
    other.load_state_dict(ensemble.state_dict())
    other.state_dict()["snapshots"][0]["weight"].zero_()
    torch.testing.assert_close(ensemble(torch.ones(1, 1))[0, 1], torch.tensor(0.75))


def test_another_models_snapshots_are_refused() -> None:
    state = collected(1.0).state_dict()
    with pytest.raises(ValueError, match="snapshot 0 is of another model: only one of the two has bias"):
        SnapshotEnsemble(nn.Linear(1, 2)).load_state_dict(state)
    wide = SnapshotEnsemble(nn.Linear(3, 2, bias=False))
    with pytest.raises(ValueError, match=r"weight must have shape \(2, 3\), but got \(2, 1\)"):
        wide.load_state_dict(state)
    assert len(wide) == 0


def test_an_empty_ensemble_and_bad_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match=r"no snapshots; call collect\(\)"):
        SnapshotEnsemble(odds_model())(torch.ones(1, 1))
    with pytest.raises(ValueError, match=r"SnapshotEnsemble\(last=...\).*0"):
        SnapshotEnsemble(odds_model(), last=0)
    with pytest.raises(TypeError, match=r"last=...\).*1.5"):
        SnapshotEnsemble(odds_model(), last=1.5)  # type: ignore[arg-type]  # what is refused
    with pytest.raises(TypeError, match=r"SnapshotEnsemble\(model=...\) must be a torch module.*'model'"):
        SnapshotEnsemble("model")  # type: ignore[arg-type]  # what is refused


def test_a_training_collects_one_snapshot_a_cycle_and_the_ensemble_classifies() -> None:
    torch.manual_seed(0)
    inputs = torch.randn(200, 2)
    targets = (inputs[:, 0] * inputs[:, 1] > 0).long()
    model = nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 2))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5, momentum=0.9)
    schedule, ensemble = SnapshotLR(optimizer, total_steps=90, cycles=3), SnapshotEnsemble(model, last=3)
    members = []
    for _ in range(90):
        optimizer.zero_grad()
        functional.cross_entropy(model(inputs), targets).backward()
        optimizer.step()
        schedule.step()
        if schedule.cycle_ended:
            ensemble.collect()
            members.append(model(inputs).detach().softmax(-1))
    torch.testing.assert_close(ensemble(inputs), torch.stack(members).mean(0))
    assert len(members) == 3
    assert ensemble.evaluate(inputs, targets)[1] > 0.9
