r"""A rule as an algorithm block, in the manner of torch's documents: inputs, state, loop.

    input:      \eta (lr), w_0, f, \beta = 0.9
    initialize: m_{-1} = 0
    for t = 0, 1, ... do
        g_t = \nabla f_t(w_t)
        m_t = \beta m_{t-1} + (1 - \beta) g_t
        ...
        w_{t+1} = w_t - \eta u_t

LaTeX that needs amsmath only, which MathJax and KaTeX know too.
"""

from __future__ import annotations

import re

from search_space import Rule, expand, to_latex
from search_space.expression import Previous, walk
from search_space.printing import print_number

_INPUTS = (r"\eta \text{ (lr)}", r"w_{0} \text{ (parameters)}", r"f(w) \text{ (objective)}")


def algorithm(rule: Rule) -> str:
    r"""Return an aligned environment, with the equations of what is ready in the language, such as `adam`.

    >>> from search_space import parse_rule
    >>> print(algorithm(parse_rule("momentum = 0.9; buf = momentum * prev(buf) + g; u = buf")))
    \begin{aligned}
    &\textbf{input}: \eta \text{ (lr)}, w_{0} \text{ (parameters)}, f(w) \text{ (objective)}, \mathrm{momentum} = 0.9 \\
    &\textbf{initialize}: \mathrm{buf}_{-1} = 0 \\
    &\textbf{for } t = 0, 1, \ldots \textbf{ do} \\
    &\quad g_{t} = \nabla f_{t}(w_{t}) \\
    &\quad \mathrm{buf}_{t} = \mathrm{momentum} \mathrm{buf}_{t-1} + g_{t} \\
    &\quad u_{t} = \mathrm{buf}_{t} \\
    &\quad w_{t+1} = w_{t} - \eta u_{t}
    \end{aligned}
    """
    in_full = expand(rule)
    lines = [line.replace(" &= ", " = ", 1) for line in to_latex(in_full).split("\n")[1:-1]]
    lines = [line.removesuffix(r" \\") for line in lines]
    hyperparameters, equations = lines[: len(rule.hyperparameters)], lines[len(rule.hyperparameters) :]
    planned = [r"T \text{ (planned steps)}"] if rule.reads("T") else []
    symbols = {e.name: line.partition(" = ")[0] for e, line in zip(in_full.equations, equations, strict=True)}
    starts = {n.name: n.start for e in in_full.equations for n in walk(e.expression) if isinstance(n, Previous)}
    state = [f"{re.sub('t}$', '-1}', symbols[name])} = {print_number(start)}" for name, start in starts.items()]
    block = [rf"\textbf{{input}}: {', '.join([*_INPUTS, *planned, *hyperparameters])}"]
    block += [rf"\textbf{{initialize}}: {', '.join(state)}"] if state else []
    block += [r"\textbf{for } t = 0, 1, \ldots \textbf{ do}", r"\quad g_{t} = \nabla f_{t}(w_{t})"]
    block += [rf"\quad {equation}" for equation in equations] + [r"\quad w_{t+1} = w_{t} - \eta u_{t}"]
    return "\\begin{aligned}\n" + " \\\\\n".join(f"&{line}" for line in block) + "\n\\end{aligned}"
