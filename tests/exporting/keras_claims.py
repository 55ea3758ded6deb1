"""What exported Keras files do on the backend in KERAS_BACKEND; run by `test_keras_file.py` in a process of its own for each backend."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neuropt.exporting import Provenance, export_rule
from neuropt.exporting.keras_file import KERAS
from search_space import Rule, expand, parse_rule, zoo
from tests.compiling.problems import PROBLEMS, Problem
from tests.exporting.reference import ALL, planned, rate, reference
from tests.exporting.self_test import check_a_wrong_file_fails, own_test
from tests.exporting.test_torch_file import RULES

keras: Any = importlib.import_module("keras")  # its own types leave most open
ops = keras.ops
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # of Keras, in itself
EXACT, SINGLE = 1e-12, 1e-5
IN_SINGLE = {"jax": {"cos", "tanh"}}.get(keras.backend.backend(), set())
"""What `keras.ops` computes in single precision even where its arguments are double."""


@pytest.fixture
def double() -> Iterator[None]:
    """Compute in double precision, as far as Keras does."""
    keras.config.set_floatx("float64")
    yield
    keras.config.set_floatx("float32")


def load(rule: Rule) -> Any:
    """Return the class of a rule, as an exported file defines it."""
    namespace: dict[str, Any] = {"__name__": "exported"}
    exec(export_rule(rule, "keras", Provenance(name="exported")), namespace)
    return namespace["Exported"]


def assert_equals_the_interpreter(rule: Rule, problem: Problem) -> None:
    lr = rate(rule, problem)
    w, path = keras.Variable(problem.start, dtype="float64"), []
    optimizer = load(rule)(lr, **planned(rule))
    optimizer.build([w])
    expected = reference(rule, problem, lr)
    for step in range(len(expected)):
        optimizer.apply([ops.convert_to_tensor(problem.gradient(ops.convert_to_numpy(w), step), dtype="float64")])
        path.append(np.array(ops.convert_to_numpy(w)))
    close = SINGLE if expand(rule).calls() & IN_SINGLE else EXACT
    np.testing.assert_allclose(np.reshape(path, expected.shape), expected, rtol=close, atol=close)


def supported() -> dict[str, Rule]:
    return {name: rule for name, rule in ALL.items() if rule.deterministic}


SHORTER = dict.fromkeys(("bello-02", "bello-03", "bello-06", "bello-11", "bello-15"), 5) | {
    "comparisons": 1,
    "bounds": 9,
}
"""Steps that single precision leaves of ten, where then an exp of a large number, a comparison or a mod hangs on its last bits."""
DETERMINISTIC = [n for n, text in RULES.items() if parse_rule(text).deterministic and n != "numbers too large"]
"""Odd rules that Keras can express, in single precision too."""


def test_a_file_passes_its_own_test_and_a_wrong_one_fails_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for text in ("m * ld", zoo()["lion"].text):
        own_test(export_rule(parse_rule(text), "keras", Provenance(lr=1e-5)), tmp_path)
        assert capsys.readouterr().out == "self-test passed: 10 recorded steps reproduced\n"
    check_a_wrong_file_fails("keras", Provenance(lr=1e-5), tmp_path, capsys)


@pytest.mark.slow
@pytest.mark.parametrize("name", [*supported(), *DETERMINISTIC])
def test_every_rule_passes_its_own_test(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own_test(export_rule(ALL[name] if name in ALL else parse_rule(RULES[name]), "keras"), tmp_path)
    assert capsys.readouterr().out == f"self-test passed: {SHORTER.get(name, 10)} recorded steps reproduced\n"


@pytest.mark.usefixtures("double")
def test_a_rule_equals_the_interpreter() -> None:
    assert_equals_the_interpreter(ALL["nadam"], PROBLEMS[2])


@pytest.mark.slow
@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda problem: problem.name)
@pytest.mark.parametrize("name", supported())
def test_the_zoo_equals_the_interpreter(name: str, problem: Problem) -> None:
    assert_equals_the_interpreter(ALL[name], problem)


@pytest.mark.slow
@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("name", DETERMINISTIC)
def test_odd_rules_equal_the_interpreter(name: str) -> None:
    assert_equals_the_interpreter(parse_rule(RULES[name]), PROBLEMS[2])


def model(optimizer: Any) -> Any:
    keras.utils.set_random_seed(0)
    layers = [keras.layers.Input((4,)), keras.layers.Dense(8, activation="tanh"), keras.layers.Dense(1)]
    made = keras.Sequential(layers)
    made.compile(optimizer=optimizer, loss="mse")
    return made


X = np.random.default_rng(0).standard_normal((64, 4)).astype("float32")
Y = X.sum(axis=1, keepdims=True)


def fit(made: Any, epochs: int = 1) -> list[float]:
    losses: list[float] = made.fit(X, Y, batch_size=16, epochs=epochs, shuffle=False, verbose=0).history["loss"]
    return losses


def test_a_model_is_saved_with_it_and_goes_on_after_loading(tmp_path: Path) -> None:
    optimizer = load(zoo()["nadam"])(learning_rate=0.01, beta1=0.8)
    made = model(optimizer)
    losses = fit(made, epochs=4)
    assert losses[-1] < 0.7 * losses[0]
    made.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert type(again.optimizer).__name__ == "Exported"
    assert again.optimizer.get_config() == optimizer.get_config()
    assert again.optimizer.beta1 == 0.8
    assert int(ops.convert_to_numpy(again.optimizer.iterations)) == 16
    for ours, theirs in zip(optimizer.variables, again.optimizer.variables, strict=True):
        np.testing.assert_array_equal(ops.convert_to_numpy(ours), ops.convert_to_numpy(theirs))
    np.testing.assert_allclose(fit(made), fit(again), rtol=1e-6)


def test_every_remembered_value_is_a_variable_of_the_optimizer() -> None:
    optimizer = load(zoo()["nadam"])()
    optimizer.build([keras.Variable(np.ones(3)), keras.Variable(np.ones(2))])
    assert len(optimizer.variables) == 2 + 2 * 3  # steps and learning rate; m, v and mu_product of each


@pytest.mark.slow
@pytest.mark.parametrize("name", ["adamw", "adamwr", "lion"])
def test_weight_decay_is_that_of_the_rule(name: str) -> None:
    hyper = {"weight_decay": 0.3} if name != "adamwr" else {"weight_decay_": 0.3}
    w = keras.Variable(np.ones(3), dtype="float32")
    optimizer = load(ALL[name])(0.1, **hyper)
    optimizer.build([w])
    optimizer.apply([ops.convert_to_tensor(np.zeros(3, "float32"))])
    rate = 0.3 if name != "adamwr" else 0.3 / np.sqrt(100) / 0.001
    np.testing.assert_allclose(ops.convert_to_numpy(w), 1 - 0.1 * rate, rtol=1e-5)


@pytest.mark.slow
def test_half_precision_is_computed_in_single() -> None:
    w = keras.Variable(np.ones(3), dtype="bfloat16")
    optimizer = load(ALL["adam"])(0.1)
    optimizer.build([w])
    optimizer.apply([ops.cast(ops.convert_to_tensor(np.ones(3)), "bfloat16")])
    assert w.dtype == "bfloat16"
    assert {v.dtype for v in optimizer.variables[2:]} == {"float32"}
    np.testing.assert_allclose(ops.convert_to_numpy(ops.cast(w, "float32")), 0.9, atol=4e-3)


@pytest.mark.slow
def test_nan_is_not_hidden() -> None:
    w = keras.Variable(np.ones(2), dtype="float32")
    optimizer = load(ALL["signsgd"])(0.1)
    optimizer.build([w])
    optimizer.apply([ops.convert_to_tensor(np.array([np.nan, 1.0], "float32"))])
    np.testing.assert_allclose(ops.convert_to_numpy(w), [np.nan, 0.9])


def test_attributes_of_keras_are_not_replaced() -> None:
    public = {name for name in dir(keras.optimizers.SGD(0.1)) if not name.startswith("_")}
    of_backends = {"device", "tpu_strategy", "momentum", "nesterov"}
    assert public - of_backends <= set(KERAS.reserved.split())
