from __future__ import annotations

import pytest

from search_space import expand, parse_rule, to_latex, zoo


def formula(text: str) -> str:
    """The right-hand side of the only equation."""
    return to_latex(parse_rule(text)).splitlines()[1].split(" &= ", 1)[1]


@pytest.mark.parametrize(
    ("text", "latex"),
    [
        ("g", "g_{t}"),
        ("g ** 2", "g_{t}^{2}"),
        ("mhat / (sqrt(vhat) + 1e-8)", r"\frac{\hat{m}_{t}}{\sqrt{\hat{v}_{t}} + 10^{-8}}"),
        ("gammahat * gamma", r"\hat{\gamma}_{t} \gamma_{t}"),
        (
            "exp(sign(g) * sign(m)) * g",
            r"e^{\operatorname{sign}{\left(g_{t} \right)} \operatorname{sign}{\left(m_{t} \right)}} g_{t}",
        ),
        ("w - g", "w_{t} - g_{t}"),
        ("1 + g", "1 + g_{t}"),
        ("g * 2", "2 g_{t}"),  # a number after a letter would read as an index
        ("2.5e-7 * g", r"2.5 \cdot 10^{-7} g_{t}"),
        ("0.1 * w", "0.1 w_{t}"),
        ("g - -w", r"g_{t} - \left(- w_{t}\right)"),
        ("g * -2", r"g_{t} \left(-2\right)"),
        ("-g * w", "- g_{t} w_{t}"),
        ("abs(g)", r"\left|{g_{t}}\right|"),
        ("log_abs(g)", r"\log{\left(\left|{g_{t}}\right| \right)}"),
        ("lr * t / T", r"\frac{\eta t}{T}"),
        ("ld * adam", r"\operatorname{ld} \mathrm{adam}_{t}"),
        ("drop(g, 0.1)", r"\operatorname{drop}{\left(g_{t},0.1 \right)}"),
        ("g - g", "g_{t} - g_{t}"),  # not 0
        ("g * g", "g_{t} g_{t}"),
    ],
)
def test_formulas(text: str, latex: str) -> None:
    assert formula(text) == latex


def test_equations_are_aligned_and_hyperparameters_named() -> None:
    rule = parse_rule(
        "beta1 = 0.9; weight_decay = 1e-2; m = beta1 * prev(m) + (1 - beta1) * g; u = m + weight_decay * w"
    )
    assert to_latex(rule).splitlines() == [
        r"\begin{aligned}",
        r"\beta_{1} &= 0.9 \\",
        r"\mathrm{weight\_decay} &= 0.01 \\",
        r"m_{t} &= \beta_{1} m_{t-1} + \left(1 - \beta_{1}\right) g_{t} \\",
        r"u_{t} &= m_{t} + \mathrm{weight\_decay} w_{t}",
        r"\end{aligned}",
    ]


@pytest.mark.parametrize("name", sorted(zoo()))
def test_known_rules_have_balanced_formulas(name: str) -> None:
    for rule in (zoo()[name], expand(zoo()[name])):
        latex = to_latex(rule)
        assert latex.count("{") == latex.count("}")
        assert latex.count(r"\left") == latex.count(r"\right")
        assert "prev" not in latex
