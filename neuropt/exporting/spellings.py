"""How the functions of the language are called in numpy, and in the libraries that are spelled as it is."""

from __future__ import annotations

from search_space.primitives import LOG_FLOOR

_AS_IN_NUMPY = {
    **{name: f"{{np}}.{name}({{0}})" for name in ("abs", "sign", "exp", "log", "sqrt", "cos", "tanh", "mean")},
    "log_abs": f"{{np}}.log({{np}}.maximum({{np}}.abs({{0}}), {LOG_FLOOR!r}))",
    "min": "{np}.minimum({0}, {1})",
    "max": "{np}.maximum({0}, {1})",
    "mod": "{np}.mod({0}, {1})",
    "pow_abs": "{np}.power({np}.abs({0}), {1})",
    "clip": "{np}.maximum({np}.minimum({0}, {1}), {2})",
    "clip by a positive number": "{np}.clip({0}, {2}, {1})",
    "clamp": "{np}.clip({0}, {1}, {2})",
    "where": "{np}.where({0}, {1}, {2})",
    "norm": "{np}.linalg.norm({0})",
    "dot": "{np}.sum({0:product} * {1:factor})",
}


def spelled_like_numpy(module: str) -> dict[str, str]:
    """Return the spellings of a library that has numpy's functions under its own name.

    >>> spelled_like_numpy("jnp")["dot"]
    'jnp.sum({0:product} * {1:factor})'
    """
    return {function: form.replace("{np}", module) for function, form in _AS_IN_NUMPY.items()}
