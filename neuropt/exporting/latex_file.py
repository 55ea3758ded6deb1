r"""A rule as LaTeX: an algorithm block for amsmath, its origin in comments above.

    % run: digits:1
    \[
    \begin{aligned}
    &\textbf{input}: \eta \text{ (lr)}, ...
    ...
    \end{aligned}
    \]

Facts come from outside: they are escaped to one line of ASCII each, so that none leaves its comment.
"""

from __future__ import annotations

from neuropt.exporting.algorithm import algorithm
from neuropt.exporting.provenance import Provenance
from search_space import Rule


def export_latex(rule: Rule, provenance: Provenance) -> str:
    r"""Return a rule as a displayed algorithm.

    >>> from search_space import parse_rule
    >>> print(export_latex(parse_rule("g"), Provenance(run="digits:1")), end="")
    % run: digits:1
    % rule: g
    \[
    \begin{aligned}
    &\textbf{input}: \eta \text{ (lr)}, w_{0} \text{ (parameters)}, f(w) \text{ (objective)} \\
    &\textbf{for } t = 0, 1, \ldots \textbf{ do} \\
    &\quad g_{t} = \nabla f_{t}(w_{t}) \\
    &\quad u_{t} = g_{t} \\
    &\quad w_{t+1} = w_{t} - \eta u_{t}
    \end{aligned}
    \]
    """
    facts = [*provenance.lines(), ("rule", "; ".join(rule.text.split("\n")))]
    comments = [f"% {label}: {fact.encode('unicode_escape').decode('ascii')}" for label, fact in facts]
    return "\n".join([*comments, r"\[", algorithm(rule), r"\]"]) + "\n"
