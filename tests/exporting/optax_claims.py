"""What exported optax files do; run by `test_optax_file.py` in a process of its own, since jax does not bear the forks of other tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from neuropt.exporting import Provenance, export_rule
from search_space import Interpreter, Rule, parse_rule, zoo
from tests.compiling.comparison import assert_same
from tests.compiling.problems import PROBLEMS, Problem
from tests.exporting.reference import ALL, STEPS, planned, rate, reference
from tests.exporting.self_test import check_a_wrong_file_fails, own_test
from tests.exporting.test_torch_file import RULES


@pytest.fixture
def double() -> Iterator[None]:
    """Compute in double precision."""
    with jax.enable_x64(True):
        yield


def load(rule: Rule) -> Any:
    """Return the optimizer of a rule, as an exported file defines it."""
    namespace: dict[str, Any] = {"__name__": "exported"}
    exec(export_rule(rule, "optax", Provenance(name="exported")), namespace)
    return namespace["exported"]


@pytest.fixture
def single_again() -> Iterator[None]:
    """Go back to single precision after a file that has run its own test."""
    yield
    jax.config.update("jax_enable_x64", False)


@pytest.mark.usefixtures("single_again")
def test_a_file_passes_its_own_test_and_a_wrong_one_fails_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own_test(export_rule(parse_rule("drop(m, 0.3) * ld + noise(0.5) + 0.1 * w"), "optax"), tmp_path)
    assert capsys.readouterr().out == "self-test passed: 10 recorded steps reproduced\n"
    check_a_wrong_file_fails("optax", Provenance(), tmp_path, capsys)


@pytest.mark.slow
@pytest.mark.usefixtures("single_again")
@pytest.mark.parametrize("rule", [*ALL.values(), *map(parse_rule, RULES.values())], ids=[*ALL, *RULES])
def test_every_rule_passes_its_own_test(rule: Rule, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own_test(export_rule(rule, "optax"), tmp_path)
    assert capsys.readouterr().out == "self-test passed: 10 recorded steps reproduced\n"


def steps(transform: Any, params: Any, gradients: list[Any], jit: bool = False) -> Any:
    """Return parameters and state after some steps."""
    state = transform.init(params)

    def step(params: Any, state: Any, gradient: Any) -> Any:
        updates, state = transform.update(gradient, state, params)
        return optax.apply_updates(params, updates), state

    step = jax.jit(step) if jit else step
    for gradient in gradients:
        params, state = step(params, state, gradient)
    return params, state


def assert_equals_the_interpreter(rule: Rule, problem: Problem) -> None:
    lr = rate(rule, problem)
    transform, w, path = load(rule)(lr, **planned(rule)), jnp.asarray(problem.start), []
    state = transform.init(w)
    expected = reference(rule, problem, lr)
    for step in range(len(expected)):
        updates, state = transform.update(jnp.asarray(problem.gradient(np.asarray(w), step)), state, w)
        w = optax.apply_updates(w, updates)
        path.append(np.asarray(w))
    assert_same(np.reshape(path, expected.shape), expected)


@pytest.mark.usefixtures("double")
def test_a_rule_equals_the_interpreter() -> None:
    assert_equals_the_interpreter(ALL["powersign-cd"], PROBLEMS[2])


@pytest.mark.slow
@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda problem: problem.name)
@pytest.mark.parametrize("name", ALL)
def test_the_zoo_equals_the_interpreter(name: str, problem: Problem) -> None:
    assert_equals_the_interpreter(ALL[name], problem)


@pytest.mark.slow
@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("text", RULES.values(), ids=list(RULES))
def test_odd_rules_equal_the_interpreter(text: str) -> None:
    assert_equals_the_interpreter(parse_rule(text), PROBLEMS[2])


def test_random_numbers_are_those_of_the_interpreter() -> None:
    rule = parse_rule("drop(g, 0.3) + noise(0.5)")
    interpreter = [Interpreter(rule, seed=2**33 + 5, parameter=index) for index in range(2)]
    gradients = {"a": jnp.ones(50), "b": jnp.ones((2, 3))}
    got, _ = steps(load(rule)(1.0, seed=2**33 + 5), jax.tree.map(jnp.zeros_like, gradients), [gradients] * 2, jit=True)
    for tensor, parameter in zip(interpreter, "ab", strict=True):
        g = np.ones(gradients[parameter].shape)
        np.testing.assert_allclose(got[parameter], -(tensor.step(g, g, 1.0) + tensor.step(g, g, 1.0)), atol=1e-5)


TREE = {"w": jnp.linspace(-1, 1, 6).reshape(2, 3), "b": {"inner": jnp.ones(2)}}
GRADIENTS = [jax.tree.map(lambda w, k=k: jnp.sin(w * (k + 1)), TREE) for k in range(3)]
LIKE_OPTAX = {
    "adam": (optax.adam, {}),
    "lion": (optax.lion, {"weight_decay": 0.1}),
    "adamw": (optax.adamw, {"weight_decay": 0.1}),
    "momentum": (lambda lr: optax.sgd(lr, momentum=0.9), {}),
    "yogi": (optax.yogi, {}),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", LIKE_OPTAX)
def test_known_rules_step_as_optax_does(name: str) -> None:
    known, hyper = LIKE_OPTAX[name]
    defaults = {"b2": 0.99} if name == "lion" else {}
    ours, _ = steps(load(zoo()[name])(0.1, **hyper), TREE, GRADIENTS, jit=name == "adam")
    theirs, _ = steps(known(0.1, **hyper, **defaults), TREE, GRADIENTS)
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-6), ours, theirs)


def test_weight_decay_is_outside_of_the_scale() -> None:
    namespace: dict[str, Any] = {"__name__": "exported"}
    exec(export_rule(zoo()["lion"], "optax", Provenance(name="exported")), namespace)
    transform = namespace["scale_by_exported"]()
    updates, _ = transform.update(GRADIENTS[0], transform.init(TREE))
    assert set(np.abs(updates["w"]).ravel()) <= {0.0, 1.0}
    with pytest.raises(TypeError, match="weight_decay"):
        namespace["scale_by_exported"](weight_decay=0.1)


def test_it_works_inside_of_other_transformations() -> None:
    make = load(ALL["powersign-cd"])
    plain, _ = steps(make(0.1, decay_steps=20), TREE, GRADIENTS)
    chained, _ = steps(optax.chain(optax.clip(1e6), make(0.1, decay_steps=20)), TREE, GRADIENTS, jit=True)
    injected, state = steps(optax.inject_hyperparams(make)(0.1, decay_steps=20), TREE, GRADIENTS, jit=True)
    parted = optax.multi_transform({"a": make(0.1, decay_steps=20), "b": optax.set_to_zero()}, {"w": "a", "b": "b"})
    masked, _ = steps(parted, TREE, GRADIENTS, jit=True)
    for other in (chained, injected):
        jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-6), plain, other)
    np.testing.assert_allclose(masked["w"], plain["w"], rtol=1e-6)
    np.testing.assert_array_equal(masked["b"]["inner"], TREE["b"]["inner"])
    assert state.hyperparams["beta"] == pytest.approx(0.9)


def test_a_seed_may_be_injected() -> None:
    make = load(parse_rule("drop(g, 0.3)"))
    plain, _ = steps(make(0.1, seed=5), TREE, GRADIENTS)
    injected, _ = steps(optax.inject_hyperparams(make)(0.1, seed=5), TREE, GRADIENTS, jit=True)
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-6), plain, injected)


def test_a_label_that_no_parameter_has_is_no_error() -> None:
    parted = optax.partition({"a": optax.sgd(0.1), "b": load(zoo()["adam"])(0.1)}, {"w": "a", "b": "a"})
    params, _ = steps(parted, TREE, GRADIENTS)
    expected, _ = steps(optax.sgd(0.1), TREE, GRADIENTS)
    jax.tree.map(np.testing.assert_array_equal, params, expected)


def test_complex_gradients_are_refused_and_may_be_parted() -> None:
    make, z = load(parse_rule("m + 0.1 * w")), jnp.array([1 + 2j, 3 - 1j])
    with pytest.raises(TypeError, match=r"complex: wrap it in optax\.contrib\.split_real_and_imaginary"):
        steps(make(0.1), z, [z])
    parted, _ = steps(optax.contrib.split_real_and_imaginary(make(0.1)), z, [z])
    real, _ = steps(make(0.1), {"re": z.real, "im": z.imag}, [{"re": z.real, "im": z.imag}])
    np.testing.assert_allclose(parted, real["re"] + 1j * real["im"], rtol=1e-6)


@pytest.mark.slow
def test_a_schedule_of_the_learning_rate() -> None:
    frozen, _ = steps(load(zoo()["adam"])(optax.constant_schedule(0.0)), TREE, GRADIENTS)
    jax.tree.map(np.testing.assert_array_equal, frozen, TREE)


@pytest.mark.parametrize(
    "name",
    ["nadam", *(pytest.param(n, marks=pytest.mark.slow) for n in ("powersign-cd", "adagraft-sgd-adam", "adamw"))],
)
def test_bfloat16_stays_and_is_computed_in_single(name: str) -> None:
    make, half = load(zoo()[name]), jax.tree.map(lambda w: w.astype(jnp.bfloat16), TREE)
    gradients = [jax.tree.map(lambda w: w.astype(jnp.bfloat16), g) for g in GRADIENTS]
    transform = make(0.01, **planned(zoo()[name]))
    params, state = steps(transform, half, gradients)
    assert {x.dtype for x in jax.tree.leaves(params)} == {jnp.dtype("bfloat16")}
    assert {x.dtype for x in jax.tree.leaves(state) if x.ndim} <= {jnp.dtype("float32")}
    assert all(np.isfinite(np.asarray(x, np.float32)).all() for x in jax.tree.leaves(params))
    updates, _ = transform.update(gradients[0], transform.init(half), half)
    assert {x.dtype for x in jax.tree.leaves(updates)} == {jnp.dtype("bfloat16")}


def test_the_state_keeps_its_types_in_a_scan() -> None:
    transform = load(
        parse_rule("b = 0.9 * prev(b, 1); s = 0.9 * prev(s) + norm(g); e = where(t > 2, 1, 0); u = m * b / s + prev(e)")
    )(0.1)

    def step(carry: Any, gradient: Any) -> Any:
        params, state = carry
        updates, state = transform.update(gradient, state, params)
        return (optax.apply_updates(params, updates), state), None

    (params, _), _ = jax.lax.scan(step, (jnp.ones(3), transform.init(jnp.ones(3))), jnp.ones((STEPS, 3)))
    assert np.isfinite(params).all()


def test_a_rule_that_reads_the_parameters_asks_for_them() -> None:
    transform = load(parse_rule("g + 0.1 * w"))(0.1)
    with pytest.raises(ValueError, match="scale_by_exported reads the parameters"):
        transform.update(jnp.ones(2), transform.init(jnp.ones(2)))
