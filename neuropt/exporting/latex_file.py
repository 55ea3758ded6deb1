r"""A rule as LaTeX: a display formula for amsmath, its origin in comments above.

    % run: digits:1
    \[
    \begin{aligned}
    m_{t} &= 0.9 m_{t-1} + 0.1 g_{t} \\
    u_{t} &= m_{t} \\
    w_{t+1} &= w_{t} - \eta u_{t}
    \end{aligned}
    \]

Facts come from outside: they are escaped to one line of ASCII each, so that none leaves its comment.
"""

from __future__ import annotations

from neuropt.exporting.provenance import Provenance
from search_space import Rule, expand, to_latex

_END = "\n\\end{aligned}"
_UPDATE = " \\\\\nw_{t+1} &= w_{t} - \\eta u_{t}"


def export_latex(rule: Rule, provenance: Provenance) -> str:
    r"""Return a rule as a display formula, with the equations of what is ready in the language, such as `adam`.

    >>> from search_space import parse_rule
    >>> print(export_latex(parse_rule("g"), Provenance(run="digits:1")), end="")
    % run: digits:1
    % rule: g
    \[
    \begin{aligned}
    u_{t} &= g_{t} \\
    w_{t+1} &= w_{t} - \eta u_{t}
    \end{aligned}
    \]
    """
    facts = [*provenance.lines(), ("rule", "; ".join(rule.text.split("\n")))]
    comments = [f"% {label}: {fact.encode('unicode_escape').decode('ascii')}" for label, fact in facts]
    formula = to_latex(expand(rule)).removesuffix(_END) + _UPDATE + _END
    return "\n".join([*comments, r"\[", formula, r"\]"]) + "\n"
