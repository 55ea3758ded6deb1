"""A rule as one Python file that imports keras only: a Keras 3 optimizer for all its backends.

Weight decay that a rule adds to its update is Keras's own `weight_decay`. Keras counts steps for all variables together, so a variable
whose first gradient comes late has the t of the others. Rules with random numbers are refused: their hash needs unsigned 32-bit integers,
which `keras.ops` has not on all backends. On jax, `keras.ops` computes cos and tanh in single precision whatever it is given.
"""

from __future__ import annotations

from collections.abc import Iterable

from neuropt.exporting.expression_text import ExpressionText, Language, Names
from neuropt.exporting.keras_templates import BUILD, FILE, HELPERS, NEEDED
from neuropt.exporting.layout import (
    class_name,
    fill,
    formatted,
    formula,
    function_name,
    headline,
    indented,
    row,
    rows,
    wrapped,
)
from neuropt.exporting.parts import Parts, without_decoupled_decay
from neuropt.exporting.provenance import Provenance
from neuropt.exporting.recording import DECAY_STEPS, SINGLE, START, record
from neuropt.exporting.spellings import spelled_like_numpy
from search_space import Rule
from search_space.expression import Previous
from search_space.primitives import LOG_FLOOR

REPLAY_LR = 1.0
"""Of the recorded steps: in single precision, small ones would hide what is wrong."""
INFINITY = 'float("inf")'
OWN_SPELLINGS = {
    "sign": "sign({0})",
    "min": "minimum({0}, {1})",
    "max": "maximum({0}, {1})",
    "clip": "maximum(minimum({0}, {1}), {2})",
    "clip by a positive number": "maximum(minimum({0}, {1}), {2})",
    "clamp": "minimum(maximum({0}, {1}), {2})",
    "log_abs": f"ops.log(maximum(ops.abs({{0}}), {LOG_FLOOR!r}))",
    "norm": "norm({0})",
    "mean": "mean({0})",
}
"""Functions of the file: sign, for NaN, and those that `keras.ops` computes in single precision whatever it is given, on torch at least."""

KERAS = Language(
    spellings=spelled_like_numpy("ops") | OWN_SPELLINGS,
    # attributes of keras.optimizers.Optimizer, which hyperparameters would replace, and what the file uses itself
    reserved="add_optimizer_variables add_variable add_variable_from_reference apply apply_gradients assign assign_add assign_sub "
    "backend build built clipnorm clipvalue exclude_from_weight_decay finalize_variable_values from_config get_config "
    "global_clipnorm gradient_accumulation_steps iterations learning_rate load_own_variables loss_scale_factor name "
    "overwrite_variable_with_gradient save save_own_variables scale_loss set_weights stateless_apply update_step use_ema "
    "ema_momentum ema_overwrite_frequency variables weight_decay keras ops self kwargs dtype gradient variable remembered config "
    "sign minimum maximum norm mean x y index start state state_dtype decay_steps",
    helpers=tuple(NEEDED),
    infinity=INFINITY,
    nan='float("nan")',
    pi="",
)


def export_keras(rule: Rule, provenance: Provenance) -> str:
    """Return the source of a Keras optimizer.

    `python FILE` replays recorded steps, and exits with 1 where they differ.

    Raises:
        ValueError: a rule with random numbers.

    >>> from search_space import parse_rule
    >>> "u = ops.exp(g)" in export_keras(parse_rule("exp(g)"), Provenance())
    True
    """
    if not rule.deterministic:
        raise ValueError(
            "the keras target cannot express this rule: it draws random numbers, and keras.ops has no unsigned integers for them"
        )
    name = class_name(provenance.name)
    left, weight_decay = without_decoupled_decay(rule)
    if Parts(left, _writer()).symbols & {"w"}:  # keras decays the variable before the rule would read it
        left, weight_decay = rule, None
    parts, recording = _Parts(left, _writer()), record(rule, REPLAY_LR, SINGLE)
    decay = [f"weight_decay={weight_decay!r}"] if weight_decay is not None else []
    passed = [f"{key}={key}" for key in ["learning_rate", *["weight_decay"] * bool(decay), "name"]]
    options = [*["decay_steps"] * parts.decays, *parts.hyperparameters]
    values = [f"{key}={parts.writer.literal(float(value))[0]}" for key, value in parts.hyperparameters.items()]
    arguments = [
        "self",
        f"learning_rate={float(provenance.lr)!r}",
        "*",
        *["decay_steps"] * parts.decays,
        *values,
        *decay,
    ]
    arguments += [f'name="{function_name(provenance.name)}"', "**kwargs"]
    use = f"`model.compile(optimizer={name}(learning_rate=...))`, on any backend of Keras 3."
    source = fill(
        FILE,
        headline=headline(name, provenance),
        use=wrapped(use),
        name=name,
        helpers=_helpers(parts.writer.helpers),
        formula=formula(rule, 4),
        signature=", ".join(arguments),
        passed=", ".join([*passed, "**kwargs"]),
        attributes=indented((f"self.{option} = {option}" for option in options), 8),
        build=BUILD.substitute(built=indented(parts.built(), 8)) if parts.remembered else "",
        reads=indented(parts.reads(options), 8),
        equations=indented((line.text for line in parts.lines), 8),
        writes=indented(parts.writes(), 8),
        update="lr * u" if parts.kinds["u"] == "tensor" else "lr * ops.broadcast_to(u, ops.shape(g))",
        config=parts.config(options),
        start=row(START, INFINITY),
        gradients=rows(recording.gradients, INFINITY),
        parameters=rows(recording.parameters, INFINITY),
        options=", ".join([repr(float(recording.lr)), *[f"decay_steps={DECAY_STEPS}"] * parts.decays]),
    )
    return formatted(source)


def _helpers(functions: Iterable[str]) -> str:
    needed = {helper for function in functions for helper in NEEDED[function]}
    return "".join(f"{text}\n\n" for name, text in HELPERS.items() if name in needed).removesuffix("\n")


def _writer() -> ExpressionText:
    return ExpressionText(KERAS, Names(KERAS.reserved))


class _Parts(Parts):
    """What of the file depends on the rule: lines of Python, not yet indented."""

    def built(self) -> list[str]:
        """Make the state."""
        lines = ["self.remembered = []", "for variable in variables:"]
        lines += ["    dtype, name = state_dtype(variable), variable.name"]
        lines += ["    shape = variable.shape"] * any(self.kinds[name] == "tensor" for name in self.remembered)
        lines += ["    state = {"]
        for name, start in self.remembered.items():
            shape = "shape" if self.kinds[name] == "tensor" else "()"
            first = '"zeros"' if start == 0 else f"keras.initializers.Constant({float(start)!r})"
            own = self.name(name)
            lines.append(f'"{own}": self.add_variable({shape}, {first}, dtype, name=f"{{name}}_{own}"),')
        return [*lines, "    }", "    self.remembered.append(state)"]

    def reads(self, options: list[str]) -> list[str]:
        """Read inputs, hyperparameters and state into local names."""
        inputs = {"g": "gradient", "lr": "learning_rate", "w": "variable"}
        needed = self.symbols | {"lr"} | ({"g"} if self.kinds["u"] != "tensor" else set())
        values = {name: value for name, value in inputs.items() if name in needed}
        values |= {"T" if name == "decay_steps" else name: f"self.{name}" for name in options}
        lines = [f"{name} = ops.cast({value}, dtype)" for name, value in values.items()]
        lines += ["t = ops.cast(self.iterations, dtype)"] * ("t" in self.symbols)
        lines += ["remembered = self.remembered[self._get_variable_index(variable)]"] * bool(self.remembered)
        aliased = {e.expression.name for e in self.live if isinstance(e.expression, Previous)}
        for name in self.remembered:
            read = "ops.copy" if name in aliased else "ops.convert_to_tensor"  # a backend may assign in place
            lines.append(f'{self.previous(name)} = {read}(remembered["{self.name(name)}"])')
        return lines

    def writes(self) -> list[str]:
        """Keep what the next step reads."""
        return [
            f'self.assign(remembered["{self.name(name)}"], ops.cast({self.name(name)}, dtype))'
            for name in self.remembered
        ]

    def config(self, options: list[str]) -> str:
        """Return what makes the optimizer again."""
        own = ", ".join(f'"{name}": self.{name}' for name in options)
        return f"super().get_config() | {{{own}}}" if options else "super().get_config()"
