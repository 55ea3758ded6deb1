"""The fixed text of an exported optax file; `$name` marks what `optax_file` fills in."""

from __future__ import annotations

from string import Template

FILE = Template('''"""$headline

$use
Run this file to replay recorded steps.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax


class $state(NamedTuple):
    """Steps done, and what the next one reads: numbers, trees like the parameters."""

    count: jax.Array
$fields


$draws
def scale_by_$name($options):
    """w <- w - lr * u, where

$formula

    g is the gradient, w the parameter, t the steps done before this one,
    T = decay_steps; prev(x) is x one step ago.
    Return u$left; the optimizer below adds the learning rate.
    """
$numbers

    def init_fn(params):
$filled
        return $state(
            count=jnp.zeros([], jnp.int32),
$starts
        )

    def update_fn(updates, state, params=None):
$once
        def leaf($inputs):
            if jnp.iscomplexobj(g):
                raise TypeError(
                    "complex: wrap it in optax.contrib.split_real_and_imaginary"
                )
            dtype = g.dtype
$reads
$equations
            return $results

$apply
        return updates, $state($after)

    return optax.GradientTransformation(init_fn, update_fn)


def $name($arguments):
    """Chain the above with $chained."""
    return optax.chain($chain)


START = $start
GRADIENTS = $gradients
PARAMETERS = $parameters

if __name__ == "__main__":
    jax.config.update("jax_enable_x64", True)
    w = jnp.asarray(START, float)
    optimizer = $name($settings)
    state = optimizer.init(w)
    steps = zip(GRADIENTS, PARAMETERS, strict=True)
    for step, (gradient, after) in enumerate(steps, 1):
        updates, state = optimizer.update(jnp.asarray(gradient, float), state, w)
        w = optax.apply_updates(w, updates)
        expected = jnp.asarray(after, float)
        if not jnp.allclose(w, expected, rtol=1e-9, atol=1e-9, equal_nan=True):
            print(f"self-test failed at step {step}: got {w.tolist()}, expected {after}")
            raise SystemExit(1)
    print(f"self-test passed: {len(PARAMETERS)} recorded steps reproduced")
''')

FILLED = Template("""        def $name(value):  # half precision is computed and remembered in single
            return jax.tree.map(
                lambda w: jnp.full($shape, value, jnp.promote_types(w.dtype, jnp.float32)),
                params,
            )
""")

NEEDS_PARAMS = Template("""        if params is None:
            raise ValueError(
                "scale_by_$name reads the parameters: "
                "call update(updates, state, params)"
            )""")

DRAWS = '''def mix(x):
    """Scramble 32-bit integers, in arrays of uint32 (lowbias32, C. Wellons 2018)."""
    x = (x ^ (x >> 16)) * jnp.uint32(0x7FEB352D)
    x = (x ^ (x >> 15)) * jnp.uint32(0x846CA68B)
    return x ^ (x >> 16)


def uniform(like, seed, parameter, draw, step, stream=0):
    """Return numbers in (0, 1): a hash of the arguments and of each element's place."""
    key = jnp.uint32(0)
    low, high = seed, 0  # an array of 32 bits, as inject_hyperparams makes it
    if isinstance(seed, int):
        low, high = seed & 0xFFFFFFFF, (seed >> 32) & 0xFFFFFFFF
    for part in (low, high, parameter, draw, step, stream):
        key = mix((key ^ jnp.asarray(part, jnp.uint32)) + jnp.uint32(0x9E3779B9))
    other = mix(key + jnp.uint32(0x9E3779B9))
    element = jnp.arange(like.size, dtype=jnp.uint32).reshape(like.shape)
    bits = mix(mix(element + key) ^ other)
    return (bits.astype(like.dtype) + 0.5) / 2.0**32


def normal(like, seed, parameter, draw, step):
    """Return standard normal numbers (Box and Muller 1958)."""
    a = uniform(like, seed, parameter, draw, step)
    b = uniform(like, seed, parameter, draw, step, stream=1)
    return jnp.sqrt(-2 * jnp.log(a)) * jnp.cos(2 * jnp.pi * b)

'''
