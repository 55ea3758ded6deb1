"""A rule as one Python file that imports jax and optax only: a gradient transformation, and the optimizer around it.

    scale_by_lion(beta1=0.9, beta2=0.99)              u, without learning rate and decay
    lion(learning_rate=1e-4, weight_decay=0.1)        -learning_rate * (u + weight_decay * w)

What is one number for all parameters is computed once a step; what a tensor remembers is a tree like the parameters. Weight decay that
a rule adds to its update leaves it for `optax.add_decayed_weights`. State is kept in single precision or better, whatever the parameters
are; updates have the type of the gradients.
"""

from __future__ import annotations

from neuropt.exporting.expression_text import ExpressionText, Language, Names
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
from neuropt.exporting.optax_templates import DRAWS, FILE, FILLED, NEEDS_PARAMS
from neuropt.exporting.parts import Parts, without_decoupled_decay
from neuropt.exporting.provenance import Provenance
from neuropt.exporting.recording import DECAY_STEPS, SEED, START, record
from neuropt.exporting.spellings import spelled_like_numpy
from search_space import Rule

RESERVED = (
    "jax jnp optax NamedTuple init_fn update_fn updates state params leaf filled number steps count dtype learning_rate mask seed index "
    "indices structure uniform normal mix new place x decay_steps"
)


def export_optax(rule: Rule, provenance: Provenance) -> str:
    """Return the source of an optax optimizer.

    `python FILE` replays recorded steps, and exits with 1 where they differ.

    Raises:
        ValueError: a rule that reads lr, which optax applies outside.

    >>> from search_space import parse_rule
    >>> "def scale_by_found_rule(*, beta=0.9):" in export_optax(parse_rule("beta = 0.9; u = ema(g, beta)"), Provenance())
    True
    """
    if rule.reads("lr"):
        raise ValueError(
            "the optax target cannot express this rule: it reads lr, and optax applies the learning rate outside of a rule"
        )
    name, state = function_name(provenance.name), f"ScaleBy{class_name(provenance.name)}State"
    scaled, weight_decay = without_decoupled_decay(rule)
    parts = _Parts(scaled, f"{name} scale_by_{name}")
    options = parts.options()
    decay = [] if "weight_decay" in parts.hyperparameters else [f"weight_decay={weight_decay or 0.0!r}", "mask=None"]
    recording = record(rule, provenance.lr)
    planned = [f"decay_steps={DECAY_STEPS}"] * parts.decays + [f"seed={SEED}"] * bool(parts.draws)
    passed = [f"{option.partition('=')[0]}={option.partition('=')[0]}" for option in options]
    chain = [f"scale_by_{name}({', '.join(passed)})", *["optax.add_decayed_weights(weight_decay, mask)"] * bool(decay)]
    use = f"Use `{name}`, or chain `scale_by_{name}` with transformations of your own."
    source = fill(
        FILE,
        name=name,
        headline=headline(name, provenance),
        use=wrapped(use),
        state=state,
        fields=indented(parts.fields(), 4),
        draws=DRAWS if parts.draws else "",
        options=", ".join(["*", *options] if options else []),
        formula=formula(rule, 4),
        left=" without its weight decay" if weight_decay is not None else "",
        numbers=indented(parts.numbers(), 4),
        filled=parts.filled(),
        starts=indented(parts.starts(), 12),
        once="\n".join([*[NEEDS_PARAMS.substitute(name=name)] * parts.reads_w, *parts.once()]),
        inputs=", ".join(
            ["g", *["w"] * parts.reads_w, *["index"] * bool(parts.draws), *map(parts.previous, parts.trees)]
        ),
        reads=indented(parts.reads(), 12),
        equations=indented((line.text for line in parts.lines if line.kind != "number"), 12),
        results=parts.results(),
        apply=indented(parts.apply(), 8),
        after=", ".join(["state.count + 1", *parts.after()]),
        arguments=", ".join([f"learning_rate={float(provenance.lr)!r}", "*", *options, *decay]),
        chained="decoupled weight decay and the learning rate" if decay else "the learning rate",
        chain=", ".join([*chain, "optax.scale_by_learning_rate(learning_rate)"]),
        start=row(START, "jnp.inf"),
        gradients=rows(recording.gradients, "jnp.inf"),
        parameters=rows(recording.parameters, "jnp.inf"),
        settings=", ".join([repr(float(recording.lr)), *planned]),
    )
    return formatted(source)


class _Parts(Parts):
    """What of the file depends on the rule: lines of Python, not yet indented."""

    def __init__(self, rule: Rule, functions: str) -> None:
        language = Language(
            spelled_like_numpy("jnp"), f"{RESERVED} {functions}", infinity="jnp.inf", nan="jnp.nan", pi="jnp.pi"
        )
        super().__init__(rule, ExpressionText(language, Names(language.reserved)))
        self.trees = [name for name in self.remembered if self.kinds[name] != "number"]
        self.reads_w = "w" in self.symbols

    def options(self) -> list[str]:
        """Return the keywords of the transformation."""
        given = [f"{name}={self.writer.literal(float(value))[0]}" for name, value in self.hyperparameters.items()]
        return ["decay_steps"] * self.decays + given + ["seed=0"] * bool(self.draws)

    def fields(self) -> list[str]:
        """Name what the state holds."""
        types = {name: "jax.Array" if self.kinds[name] == "number" else "optax.Updates" for name in self.remembered}
        return [f"{self.name(name)}: {kind}" for name, kind in types.items()]

    def numbers(self) -> list[str]:
        """Make arrays of the hyperparameters: they divide by zero without an exception."""
        names = [*["decay_steps"] * self.decays, *self.hyperparameters]
        if len(names) > 1:
            return [f"{', '.join(names)} = (jnp.asarray(x, float) for x in ({', '.join(names)}))"]
        return [f"{name} = jnp.asarray({name}, float)" for name in names]

    def starts(self) -> list[str]:
        """Give the state its first values."""
        forms = {"number": "jnp.asarray({0}, float)", "reduced": "number({0})", "tensor": "filled({0})"}
        return [f"{self.name(n)}={forms[self.kinds[n]].format(float(s))}," for n, s in self.remembered.items()]

    def filled(self) -> str:
        """Define what the state's trees are made with."""
        kinds = {self.kinds[name] for name in self.trees}
        made = [FILLED.substitute(name="number", shape="()")] * ("reduced" in kinds)
        return "\n".join(made + [FILLED.substitute(name="filled", shape="w.shape")] * ("tensor" in kinds))

    def once(self) -> list[str]:
        """Compute what is one number for all parameters."""
        lines = ["t = state.count.astype(float)"] * ("t" in self.symbols)
        lines += ["T = decay_steps"] * ("T" in self.symbols)
        numbers = [name for name in self.remembered if self.kinds[name] == "number"]
        lines += [f"{self.previous(name)} = state.{self.name(name)}" for name in numbers]
        lines += [line.text for line in self.lines if line.kind == "number"]
        return [" " * 8 + line for line in lines]

    def reads(self) -> list[str]:
        """Widen half precision, and draw random numbers."""
        lines = ["g = g.astype(jnp.promote_types(dtype, jnp.float32))"]
        lines += ["w = w.astype(g.dtype)"] * self.reads_w
        for node in self.draws:
            source = "normal" if node.function == "noise" else "uniform"
            drawn = self.writer.drawn(source, node.draw)
            lines.append(f"{drawn} = {source}(g, seed, index, {node.draw}, state.count)")
        return lines

    def update(self) -> str:
        """Return u in the gradient's type and shape."""
        return "u.astype(dtype)" if self.kinds["u"] == "tensor" else "jnp.broadcast_to(u, g.shape).astype(dtype)"

    def results(self) -> str:
        """Return what a leaf returns."""
        kept = [f"{self.name(name)}.astype(g.dtype)" for name in self.trees]
        return ", ".join([self.update(), *kept])

    def after(self) -> list[str]:
        """Return what the next step reads."""
        forms = {"number": "jnp.asarray({0}, float)", "reduced": "{0}", "tensor": "{0}"}
        return [forms[self.kinds[name]].format(self.name(name)) for name in self.remembered]

    def apply(self) -> list[str]:
        """Step every leaf, and part what the leaves returned."""
        inputs = ["updates", *["params"] * self.reads_w, *["indices"] * bool(self.draws)]
        inputs += [f"state.{self.name(name)}" for name in self.trees]
        lines = []
        if self.draws:
            lines += ["structure = jax.tree.structure(updates)"]
            lines += ["indices = jax.tree.unflatten(structure, range(structure.num_leaves))"]
        if not self.trees:
            return [*lines, f"updates = jax.tree.map(leaf, {', '.join(inputs)})"]
        results = ["updates", *map(self.name, self.trees)]
        lines += ["structure = jax.tree.structure(updates)"] * (not self.draws)
        lines += [f"steps = jax.tree.map(leaf, {', '.join(inputs)})"]
        lines += ["steps = structure.flatten_up_to(steps)"]
        trees = f"structure.unflatten(step[i] for step in steps) for i in range({len(results)})"
        return [*lines, f"{', '.join(results)} = ({trees})"]
