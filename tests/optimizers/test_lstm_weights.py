"""Networks of the learned optimizer as files, names, mappings and text."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from neuropt.optimizers import LSTMOptimizer
from neuropt.optimizers.lstm_network import SHAPES, fresh_network
from neuropt.optimizers.lstm_weights import load_network, network_of, network_text, save_network


def network() -> dict[str, Tensor]:
    return fresh_network(10.0, torch.Generator().manual_seed(0))


def same(one: Any, other: Any) -> bool:
    return list(one) == list(other) and all(torch.equal(one[name], other[name]) for name in one)


def test_file_mapping_and_text_are_one_network(tmp_path: Path) -> None:
    file = tmp_path / "network.pt"
    save_network(network(), file)
    assert same(load_network(file), network())
    assert same(torch.load(file, weights_only=True), network())
    text = network_text(file)
    assert text == network_text(str(file)) == network_text(network()) == network_text(text)
    assert same(network_of(text, torch.float32, torch.device("cpu")), network())
    assert [path.name for path in tmp_path.iterdir()] == ["network.pt"]


def test_a_mapping_may_be_of_another_type_or_need_gradients() -> None:
    double = {name: x.double().requires_grad_() for name, x in network().items()}
    assert network_text(double) == network_text(network())


def test_a_file_of_ones_own_hides_no_shipped_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    save_network(network(), Path("quadratics"))
    assert network_text("quadratics") != network_text(network())
    assert network_text(Path("quadratics")) == network_text(network())


def without(name: str) -> dict[str, Any]:
    return {key: x for key, x in network().items() if key != name}


FAULTS: list[tuple[Any, str]] = [
    (without("p"), "missing or unknown: p"),
    (network() | {"extra": torch.zeros(1)}, "missing or unknown: extra"),
    (network() | {"weight_output": torch.zeros(20)}, r"\['weight_output'\] must have shape \(1, 20\), but got \(20,\)"),
    (network() | {"bias_output": torch.tensor([math.nan])}, r"\['bias_output'\] must be finite"),
    (network() | {"bias_output": torch.tensor([1e300], dtype=torch.float64)}, r"\['bias_output'\] must be finite"),
    (
        network() | {"bias_output": torch.zeros(1, dtype=torch.int64)},
        r"\['bias_output'\] must be a dense .*torch.int64",
    ),
    (network() | {"bias_output": 0.0}, r"\['bias_output'\] must be a dense tensor of real numbers, but got float"),
    (network() | {"p": torch.tensor(0.0)}, r"\['p'\] must be > 0 and <= 80, but got 0"),
    (network() | {"p": torch.tensor(81.0)}, r"\['p'\] must be > 0 and <= 80, but got 81"),
]


@pytest.mark.parametrize(("bad", "message"), FAULTS, ids=[message[:40] for _, message in FAULTS])
def test_what_is_no_network_is_refused(bad: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        network_text(bad)
    file = tmp_path / "bad.pt"
    torch.save(bad, file)
    with pytest.raises(ValueError, match=f"bad.pt.*{message}"):
        LSTMOptimizer([torch.zeros(1, requires_grad=True)], weights=file)


class Harmful:
    def __reduce__(self) -> tuple[Any, ...]:
        return (print, ("unpickled",))


def test_damaged_and_foreign_files_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "file.pt"
    save_network(network(), file)
    whole = file.read_bytes()
    torch.save(Harmful(), tmp_path / "harmful.pt")
    harmful = (tmp_path / "harmful.pt").read_bytes()
    for data in (b"", b"no network", whole[:1000], whole[: len(whole) // 2], whole[200:], harmful):
        file.write_bytes(data)
        with pytest.raises(ValueError, match=r"file\.pt is not a file of tensors") as caught:
            load_network(file)
        assert "\n" not in str(caught.value)
    assert "unpickled" not in capsys.readouterr().out
    torch.save([1, 2], file)
    with pytest.raises(ValueError, match="must hold a mapping of tensors, but holds list"):
        load_network(file)
    file.write_bytes(bytes(2_000_000))
    with pytest.raises(ValueError, match="has 2000000 bytes, but a network has about 25,000"):
        load_network(file)
    with pytest.raises(ValueError, match=r"must be one of .*quadratics, or a file .* there is no file"):
        load_network(tmp_path)


def test_saving_is_all_or_nothing(tmp_path: Path) -> None:
    file = tmp_path / "network.pt"
    save_network(network(), file)
    with pytest.raises(ValueError, match="must be finite"):
        save_network(network() | {"p": torch.tensor(math.nan)}, file)
    assert same(load_network(file), network())


def test_the_order_of_names_does_not_matter() -> None:
    assert network_text({name: network()[name] for name in reversed(SHAPES)}) == network_text(network())
