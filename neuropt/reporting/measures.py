"""How a report writes numbers: a metric with its unit, counts and durations in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from neuropt.evaluating.statistics import Spread


@dataclass(frozen=True)
class Measure:
    """A metric as a report shows it.

    Args:
        name: in words, for axes and sentences.
        unit: behind a number, such as " %".
        factor: from the recorded number to the shown one.
        digits: after the point; None for four significant ones.
    """

    name: str
    unit: str = ""
    factor: float = 1.0
    digits: int | None = None

    @property
    def axis(self) -> str:
        """The title of an axis."""
        return f"{self.name},{self.unit}" if self.unit else self.name

    def scaled(self, value: float | None) -> float | None:
        """Return a number as axes show it."""
        return None if value is None else value * self.factor

    def show(self, value: float | None, unit: bool = False) -> str:
        """Return a number as tables and sentences show it.

        >>> ACCURACY.show(0.97231, unit=True), LOSS.show(0.1234567), LOSS.show(None)
        ('97.23 %', '0.1235', '–')
        """
        if value is None:
            return "–"
        scaled = value * self.factor
        shown = number(scaled) if self.digits is None else f"{scaled:.{self.digits}f}".replace("-", MINUS)
        return shown + self.unit * unit

    def interval(self, low: float | None, high: float | None) -> str:
        """Return two numbers as an interval, or a dash."""
        return "–" if low is None or high is None else f"[{self.show(low)}, {self.show(high)}]"

    def spread(self, found: Spread | None) -> str:
        """Return a median with its quartiles."""
        return "failed" if found is None else f"{self.show(found.median)} {self.interval(found.q1, found.q3)}"


MINUS = "\N{MINUS SIGN}"
ACCURACY = Measure("accuracy", " %", 100.0, 2)
LOSS = Measure("loss")


def number(value: float | None) -> str:
    """Return a number to four significant digits, with the minus of typography.

    >>> number(-0.000123), number(12.0), number(None), number(1e12)
    ('−0.000123', '12', '–', '1e+12')
    """
    if value is None:
        return "–"
    sign = MINUS if value < 0 else ""
    return f"{sign}{abs(value):.4g}"


def spans_decades(values: Sequence[float]) -> bool:
    """Whether an axis of these values is to be logarithmic: positive ones that span a factor of 30.

    >>> spans_decades([0.1, 4.0]), spans_decades([0.1, 2.0]), spans_decades([0.0, 4.0]), spans_decades([])
    (True, False, False, False)
    """
    return bool(values) and min(values) > 0 and max(values) > 30 * min(values)


def counted(count: int, noun: str, nouns: str | None = None) -> str:
    """Return a count with its noun.

    >>> counted(1, "rule"), counted(2000, "rule"), counted(0, "child", "children")
    ('1 rule', '2,000 rules', '0 children')
    """
    return f"{count:,} {noun if count == 1 else nouns or noun + 's'}"


def percent(part: float, whole: float) -> str:
    """Return a share.

    >>> percent(1, 8), percent(0, 0)
    ('12.5 %', '–')
    """
    return f"{100 * part / whole:.1f} %" if whole else "–"


def duration(seconds: float) -> str:
    """Return a time in the two units that matter.

    >>> duration(0.42), duration(75), duration(7322)
    ('0.42 s', '1 min 15 s', '2 h 2 min')
    """
    if seconds < 60:
        return f"{seconds:.3g} s"
    if seconds < 3600:
        return f"{int(seconds // 60)} min {int(seconds % 60)} s"
    return f"{int(seconds // 3600):,} h {int(seconds % 3600 // 60)} min"


def listed(words: Sequence[str]) -> str:
    """Return words as a list in a sentence.

    >>> listed(["a"]), listed(["a", "b", "c"])
    ('a', 'a, b and c')
    """
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else "".join(words)
