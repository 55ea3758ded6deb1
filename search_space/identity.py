"""When are two rules the same update?

Three answers, each coarser than the one before, and each a short hash that can be looked up in a dictionary:

- *structural*: one graph, as `2 * g * 3` and `3 * (g * 2)` simplified;
- *functional*: equal values on the probes, as `exp(log(g ** 2) / 2)` and `abs(g)`;
- functional *up to a positive factor*, as `2 * g` and `g`, since the learning rate is tuned for each rule anyway,
  and *up to a factor of either sign*, since a rule that climbs is negated before it is trained.

Values are compared by the shape of the update on each group of probe entries and by the size of the groups, both rounded, so that
the rounding errors of two algebraically equal forms do not show, while a difference on any scale of gradients does.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from hashlib import blake2b

import numpy as np

from search_space import draws
from search_space.graph import Node, rule_graph
from search_space.primitives import Array
from search_space.probes import groups, probe_values
from search_space.rule import Rule

DIGITS = 1e6
"""Shapes and log-sizes are rounded to 1/DIGITS."""
HUGE = 1e250
"""Beyond this multiple of the update's usual size, a number counts as infinite, so that a factor does not decide what overflows."""
RESIDUE = 1e-10
"""Where g is 0, an update below this part of its size elsewhere is what rounding left of 0."""
_VIEWS = 4


@dataclass(frozen=True, slots=True)
class Identity:
    """Keys of a rule; two rules with one key are the same in that sense.

    Args:
        structural: one graph after simplification.
        exact: equal values.
        positive: equal up to a positive factor.
        either: equal up to a factor of either sign.
    """

    structural: str
    exact: str
    positive: str
    either: str


def identify(rule: Rule) -> Identity:
    """Return the keys of `rule`.

    >>> from search_space import parse_rule
    >>> identify(parse_rule("2 * g")).positive == identify(parse_rule("g")).positive
    True
    """
    return identify_node(rule_graph(rule))


def identify_node(root: Node) -> Identity:
    """Return the keys of the rule whose update is `root`."""
    return Identity(root.key.hex(), *functional_keys(probe_values()(root)))


def functional_key(rule: Rule) -> str:
    """Return the key of `rule` up to a positive factor."""
    return identify(rule).positive


def same_rule(a: Rule, b: Rule) -> bool:
    """Whether two rules are one update up to a positive factor: g and 2 g are, g and -g are not.

    >>> from search_space import parse_rule
    >>> same_rule(parse_rule("2 * g"), parse_rule("g")), same_rule(parse_rule("-g"), parse_rule("g"))
    (True, False)
    """
    first, second = identify(a), identify(b)
    return first.structural == second.structural or first.positive == second.positive


def functional_keys(update: Array) -> tuple[str, str, str]:
    """Return the keys (exact, positive, either) of an update on the probes, (steps, scales, elements).

    Each group G of entries is seen through a few fixed random directions r, and by its size relative to the first group's:

        view_G = round(<u_G, r> / |u_G|),   size_G = round(log |u_G| - log |u_0|)

    The exact key has log |u_0| itself beside that, and the key of either sign turns the views so that the largest is positive.
    """
    flat = update.ravel()
    with np.errstate(all="ignore"):
        broken, views, sizes = _summarise(flat)
        finite = np.isfinite(sizes)
        base = float(sizes[finite][0]) if finite.any() else 0.0
        relative = np.where(finite, np.rint((sizes - base) * DIGITS), -1e18)
        rounded = np.rint(views * DIGITS) + 0.0  # no -0
    sign = _usual_sign(rounded, broken)
    exact = _hash(rounded, relative, broken, np.rint(base * DIGITS))
    return exact, _hash(rounded, relative, broken), _hash(sign * rounded + 0.0, relative, _turned(broken, sign))


def _usual_sign(rounded: Array, broken: Array) -> float:
    """Return the sign of the largest view, or of the first infinity where nothing finite tells."""
    tell = rounded.ravel() if rounded.any() else np.where(np.abs(broken) == 1.0, broken, 0.0)
    return -1.0 if tell.size and tell[np.abs(tell).argmax()] < 0.0 else 1.0


def _turned(broken: Array, sign: float) -> Array:
    return np.where(np.abs(broken) == 1.0, sign * broken, broken)


def _summarise(flat: Array) -> tuple[Array, Array, Array]:
    """Return marks of what is not finite (1, -1 for infinities, 2 for NaN), views (groups, directions) and log sizes (groups,)."""
    views: list[Array] = []
    sizes: list[Array] = []
    marks = np.zeros(0)
    if not np.abs(flat).max() < HUGE:
        flat, marks = _without_infinities(flat)
    least = np.zeros(1)
    for index, directions in zip(groups(), _directions(), strict=True):
        u = flat[index]  # (scales, entries)
        largest = np.abs(u).max(axis=1, keepdims=True)
        seen = largest > least
        if not seen.all():  # g + w - w leaves round-off where g is 0
            u, largest = np.where(seen, u, 0.0), np.where(seen, largest, 1.0)
        if not sizes:  # the entries where g is not 0
            least = RESIDUE * largest
        u = u / largest
        norm = np.sqrt(np.einsum("se,se->s", u, u))
        views.append((u @ directions) / np.where(norm == 0.0, 1.0, norm)[:, None])
        sizes.append(np.log(norm) + np.log(largest[:, 0]))
    return marks, np.concatenate(views), np.concatenate(sizes)


def _without_infinities(flat: Array) -> tuple[Array, Array]:
    """Return `flat` with 0 in place of what is not finite or huge, and marks where that was."""
    sizes = np.abs(flat)
    usual = sizes[(sizes > 0.0) & (sizes < HUGE)][:1]  # the first entries belong to the smallest gradients
    limit = HUGE * min(float(usual[0]), 1e50) if usual.size else HUGE
    marks = np.where(np.isnan(flat), 2.0, np.where(sizes > limit, np.sign(flat), 0.0))
    return np.where(marks == 0.0, flat, 0.0), marks


@cache
def _directions() -> tuple[Array, ...]:
    """Return fixed random directions for each kind of group, (entries, views)."""
    return tuple(
        draws.normal(index.shape[1] * _VIEWS, 2017, 9, kind, 0).reshape(-1, _VIEWS)
        for kind, index in enumerate(groups())
    )


def _hash(*parts: Array) -> str:
    return blake2b(b"".join([part.tobytes() for part in parts]), digest_size=8).hexdigest()
