r"""Rules as formulas, through sympy's printer.

    m = 0.9 prev(m) + (1 - 0.9) g          m_{t} = 0.9 m_{t-1} + \left(1 - 0.9\right) g_{t}
    u = exp(sign(g) * sign(m)) * g         u_{t} = e^{\operatorname{sign}(g_{t}) \operatorname{sign}(m_{t})} g_{t}

Everything is built without evaluation, so that the formula keeps the form of the rule. sympy is imported here only, and at the first
call only, since it takes longer to import than the rest of this package.
"""

from __future__ import annotations

import re
from typing import Any, assert_never

from search_space.expression import Call, Expression, Number, Previous, Symbol
from search_space.printing import print_number
from search_space.rule import DECAYS, Rule
...
