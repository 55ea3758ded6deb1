"""The fixed text of an exported Keras file; `$name` marks what `keras_file` fills in."""

from __future__ import annotations

from string import Template

FILE = Template('''"""$headline

$use
Import this file before loading a model saved with it.
Run this file to replay recorded steps.
"""

import keras
from keras import ops


def state_dtype(variable):
    """Return the type to compute and remember in: single precision for half."""
    return "float64" if variable.dtype == "float64" else "float32"


$helpers
@keras.saving.register_keras_serializable(package="neuropt")
class $name(keras.optimizers.Optimizer):
    """w <- w - lr * u, where

$formula

    g is the gradient, w the parameter, t the steps done before this one,
    T = decay_steps; prev(x) is x one step ago.
    """

    def __init__($signature):
        super().__init__($passed)
$attributes

$build
    def update_step(self, gradient, variable, learning_rate):
        """Update one variable."""
        dtype = state_dtype(variable)
$reads

$equations

$writes
        self.assign_sub(variable, ops.cast($update, variable.dtype))

    def get_config(self):
        """Return the arguments that make this optimizer again."""
        return $config


START = $start
GRADIENTS = $gradients
PARAMETERS = $parameters

if __name__ == "__main__":
    w = keras.Variable(START, dtype="float32")
    optimizer = $name($options)
    steps = zip(GRADIENTS, PARAMETERS, strict=True)
    for step, (gradient, after) in enumerate(steps, 1):
        optimizer.apply([ops.convert_to_tensor(gradient, dtype="float32")], [w])
        expected = ops.convert_to_tensor(after, dtype="float32")
        close = ops.isclose(w.value, expected, rtol=1e-3, atol=1e-3, equal_nan=True)
        if not ops.all(close):
            got = ops.convert_to_numpy(w).tolist()
            print(f"self-test failed at step {step}: got {got}, expected {after}")
            raise SystemExit(1)
    print(f"self-test passed: {len(PARAMETERS)} recorded steps reproduced")
''')

BUILD = Template('''    def build(self, variables):
        """Make what each variable remembers."""
        if self.built:
            return
        super().build(variables)
$built
''')

HELPERS = {
    "sign": '''def sign(x):
    """Return -1, 0 or 1, and NaN for NaN, where torch.sign gives 0."""
    return ops.where(ops.isnan(x), x, ops.sign(x))
''',
    "minimum": '''def minimum(x, y):
    """Return the smaller, and NaN for NaN; ops.minimum is single precision on torch."""
    return ops.where(ops.isnan(x) | (x < y), x, y)
''',
    "maximum": '''def maximum(x, y):
    """Return the larger, and NaN for NaN; ops.maximum is single precision on torch."""
    return ops.where(ops.isnan(x) | (x > y), x, y)
''',
    "norm": '''def norm(x):
    """Return the Euclidean norm; ops.norm computes in single precision."""
    return ops.sqrt(ops.sum(x * x))
''',
    "mean": '''def mean(x):
    """Return the mean; ops.mean computes in single precision."""
    return ops.sum(x) / ops.size(x)
''',
}
"""Functions of the file, by name."""

NEEDED = {
    "sign": ("sign",),
    "min": ("minimum",),
    "max": ("maximum",),
    "clip": ("minimum", "maximum"),
    "clip by a positive number": ("minimum", "maximum"),
    "clamp": ("minimum", "maximum"),
    "log_abs": ("maximum",),
    "norm": ("norm",),
    "mean": ("mean",),
}
"""Those that a function of the language calls."""
