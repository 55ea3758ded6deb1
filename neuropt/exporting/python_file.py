"""A rule as one Python file that imports numpy only: `step` takes a parameter, a gradient and a state, and returns parameter and state.

    state = init(w)
    w, state = step(w, g, state, lr=0.1)

Nothing is changed in place: what to read for a port to another language, and what runs anywhere.
"""

from __future__ import annotations

from string import Template

from neuropt.exporting.expression_text import ExpressionText, Language, Names
from neuropt.exporting.layout import class_name, formatted, formula, headline, indented, row, rows
from neuropt.exporting.parts import Parts
from neuropt.exporting.provenance import Provenance
from neuropt.exporting.recording import DECAY_STEPS, SEED, START, record
from neuropt.exporting.spellings import spelled_like_numpy
from search_space import Rule

NUMPY = Language(
    spellings=spelled_like_numpy("np"),
    reserved="np init step state index seed decay_steps x uniform normal mix shape",
)

FILE = Template('''"""$headline

Run this file to replay recorded steps.
"""

import numpy as np
$draws

def init(w):
    """Return the state before the first step: steps done, what the next one reads."""
    return {$starts}


$signature
    """w <- w - lr * u, where

$formula

    g is the gradient, w the parameter, t the steps done before this one,
    T = decay_steps; prev(x) is x one step ago.
    Return the new w and the new state, in float64.
    """
$reads
    with np.errstate(all="ignore"):
$equations
        w = w - lr * u
    state = {$writes}
    return w, state


START = $start
GRADIENTS = $gradients
PARAMETERS = $parameters

if __name__ == "__main__":
    w, state = START, init(START)
    steps = zip(GRADIENTS, PARAMETERS, strict=True)
    for number, (gradient, after) in enumerate(steps, 1):
        w, state = step(w, gradient, state, $options)
        if not np.allclose(w, after, rtol=1e-9, atol=1e-9, equal_nan=True):
            print(f"self-test failed at step {number}: got {w.tolist()}, expected {after}")
            raise SystemExit(1)
    print(f"self-test passed: {len(PARAMETERS)} recorded steps reproduced")
''')

DRAWS = '''

def mix(x):
    """Scramble 32-bit integers, in int or uint64 (lowbias32, C. Wellons 2018)."""
    x = ((x ^ (x >> 16)) * 0x7FEB352D) & 0xFFFFFFFF
    x = ((x ^ (x >> 15)) * 0x846CA68B) & 0xFFFFFFFF
    return x ^ (x >> 16)


def uniform(shape, seed, parameter, draw, t, stream=0):
    """Return numbers in (0, 1): a hash of the arguments and of each element's place."""
    key = 0
    low, high = seed & 0xFFFFFFFF, (seed >> 32) & 0xFFFFFFFF
    for part in (low, high, parameter, draw, t, stream):
        key = mix(((key ^ part) + 0x9E3779B9) & 0xFFFFFFFF)
    other = mix((key + 0x9E3779B9) & 0xFFFFFFFF)
    element = np.arange(np.prod(shape, dtype=int), dtype=np.uint64).reshape(shape)
    bits = mix(mix((element + key) & 0xFFFFFFFF) ^ other)
    return (bits.astype(np.float64) + 0.5) / 2**32


def normal(shape, seed, parameter, draw, t):
    """Return standard normal numbers (Box and Muller 1958)."""
    a = uniform(shape, seed, parameter, draw, t)
    b = uniform(shape, seed, parameter, draw, t, stream=1)
    return np.sqrt(-2 * np.log(a)) * np.cos(2 * np.pi * b)
'''


def export_python(rule: Rule, provenance: Provenance) -> str:
    """Return the source of a rule as functions of numpy arrays.

    `python FILE` replays recorded steps, and exits with 1 where they differ.

    >>> from search_space import parse_rule
    >>> "u = np.sign(g)" in export_python(parse_rule("sign(g)"), Provenance())
    True
    """
    parts = Parts(rule, ExpressionText(NUMPY, Names(NUMPY.reserved)))
    recording = record(rule, provenance.lr)
    options = f"lr={float(recording.lr)!r}"
    options += f", decay_steps={DECAY_STEPS}" * parts.decays + f", seed={SEED}" * bool(parts.draws)
    starts = ['"t": 0', *(f'"{parts.name(name)}": {_start(parts, name)}' for name in parts.remembered)]
    writes = ['"t": state["t"] + 1', *(f'"{parts.name(name)}": {parts.name(name)}' for name in parts.remembered)]
    source = FILE.substitute(
        headline=headline(class_name(provenance.name), provenance),
        draws=DRAWS if parts.draws else "",
        starts=", ".join(starts),
        signature=_signature(parts, provenance),
        formula=formula(rule, 4),
        reads=indented(_reads(parts), 4),
        equations=indented((line.text for line in parts.lines), 8),
        writes=", ".join(writes),
        start=row(START, "np.inf"),
        gradients=rows(recording.gradients, "np.inf"),
        parameters=rows(recording.parameters, "np.inf"),
        options=options,
    )
    return formatted(source)


def _start(parts: Parts, name: str) -> str:
    start = float(parts.remembered[name])
    if parts.kinds[name] != "tensor":
        return f"np.float64({start!r})"
    return "np.zeros(np.shape(w))" if start == 0 else f"np.full(np.shape(w), {start!r})"


def _signature(parts: Parts, provenance: Provenance) -> str:
    options = [f"{name}={parts.writer.literal(float(value))[0]}" for name, value in parts.hyperparameters.items()]
    options += ["decay_steps"] * parts.decays + ["seed=0", "index=0"] * bool(parts.draws)
    arguments = ["w", "g", "state", f"lr={float(provenance.lr)!r}", *(["*", *options] if options else [])]
    return f"def step({', '.join(arguments)}):"


def _reads(parts: Parts) -> list[str]:
    """Read arguments, state and random numbers into local names."""
    numbers = ", ".join(["lr", *parts.hyperparameters])
    lines = ["w, g = (np.array(x, np.float64) for x in (w, g))"]
    lines += [f"{numbers} = (np.float64(x) for x in ({numbers}))"] * bool(parts.hyperparameters)
    lines += ["lr = np.float64(lr)"] * (not parts.hyperparameters)
    lines += ['t = np.float64(state["t"])'] * ("t" in parts.symbols)
    lines += ["T = np.float64(decay_steps)"] * ("T" in parts.symbols)
    lines += [f'{parts.previous(name)} = state["{parts.name(name)}"]' for name in parts.remembered]
    for node in parts.draws:
        source = "normal" if node.function == "noise" else "uniform"
        drawn = parts.writer.drawn(source, node.draw)
        lines.append(f'{drawn} = {source}(g.shape, seed, index, {node.draw}, state["t"])')
    return lines
