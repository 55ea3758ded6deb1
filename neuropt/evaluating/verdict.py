"""The sentence that may hold the word "better", or says what is missing for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from neuropt.evaluating.against import ALPHA
from neuropt.evaluating.better import DECAYING, is_rmsprop, is_tuned_adamw, missing
from neuropt.evaluating.contenders import Contender
from neuropt.evaluating.entries import Entry, Key, entries_of, label
from neuropt.evaluating.evidence import seen
from neuropt.evaluating.grafting import read_pair
from neuropt.evaluating.protocol import Protocol, Study
from neuropt.statistics.holm import holm
from neuropt.statistics.improvement import improvement
from neuropt.statistics.wilcoxon import signed_rank_test
from neuropt.tasks.task import Task
from search_space import zoo

Studies = Sequence[tuple[Task, Sequence[Study]]]


def verdicts(studies: Studies, protocol: Protocol, contenders: Sequence[Contender]) -> list[str]:
    """Return one sentence for each contender that is new: a rule that a search found, or somebody's own.

    Where several entries are new, their p-values are corrected for being several (Holm).
    """
    new = [c for c in contenders if c.optimizer is None and c.name not in zoo() and read_pair(c.name) is None]
    lacking = {contender.name: missing(contender, studies, protocol) for contender in new}
    compared = {
        (c.name, key): _compared(key, studies, protocol)
        for c in new
        if not lacking[c.name]
        for key in _keys(c, studies)
    }
    corrected = dict(zip(compared, holm([one.p for one in compared.values()]), strict=True))
    found = []
    for contender in new:
        if reasons := lacking[contender.name]:
            found.append(f'Whether {contender.name} is "better" is not said; missing: {"; ".join(reasons)}.')
        found += [compared[at].sentence(corrected[at], len(compared)) for at in compared if at[0] == contender.name]
    return found


def _keys(contender: Contender, studies: Studies) -> list[Key]:
    return list(
        dict.fromkeys((s.contender.name, s.schedule) for _, all_ in studies for s in all_ if s.contender is contender)
    )


@dataclass(frozen=True, slots=True)
class _Compared:
    """An entry against the baselines that must be there.

    Args:
        key: of the entry.
        others: the baselines.
        p: the largest of the tests; all of them must hold, so that it is theirs together (intersection-union).
        ahead: of each of them on average over the tasks of every family: six tasks of one family, whose results hang together, could else
            make a claim that a second family denies.
        n: the sample in words.
    """

    key: Key
    others: Sequence[Key]
    p: float
    ahead: bool
    n: str

    def sentence(self, p: float, entries: int) -> str:
        """Say whether it is better, by a corrected p."""
        is_better = "is better than" if self.ahead and p <= ALPHA else "is not shown to be better than"
        correction = f", Holm over {entries} entries" if entries > 1 else ""
        named = ", ".join(map(label, self.others))
        return f"{label(self.key)} {is_better} {named} ({self.n}; signed ranks over tasks, largest p = {p:.3g}{correction})."


def _compared(key: Key, studies: Studies, protocol: Protocol) -> _Compared:
    """Compare over held-out tasks with every baseline that must be there: signed ranks of how often it improves on each task."""
    entries = entries_of(studies, protocol)
    own = {e.task.name: e for e in entries if e.key == key and seen(e.study.contender, e.task) is None}
    others, largest, ahead = _required(entries), 0.0, True
    for other in others:
        theirs = {e.task.name: e for e in entries if e.key == other}
        shares = [_share(own[task], theirs.get(task)) for task in own]
        largest = max(largest, signed_rank_test(shares, [0.5] * len(shares)))
        ahead = ahead and all(mean > 0.5 for mean in _by_family(own, shares))
    families = len({entry.task.family for entry in own.values()})
    n = f"n = {len(own)} held-out tasks of {families} families, {len(protocol.report_seeds)} seeds each"
    return _Compared(key, others, largest, ahead, n)


def _by_family(own: Mapping[str, Entry], shares: Sequence[float]) -> list[float]:
    """Return the mean share of each family."""
    families: dict[str, list[float]] = {}
    for entry, share in zip(own.values(), shares, strict=True):
        families.setdefault(entry.task.family, []).append(share)
    return [fmean(some) for some in families.values()]


def _share(one: Entry, other: Entry | None) -> float:
    """Return the probability of improvement; a failure loses to everything."""
    if one.failed:
        return 0.0
    return 1.0 if other is None or other.failed else improvement(one.merits, other.merits).share


def _required(entries: Sequence[Entry]) -> list[Key]:
    """Return the baselines that must be beaten: tuned AdamW, RMSProp(0.99), and every named optimizer under a schedule that decays."""

    def must(entry: Entry) -> bool:
        contender = entry.study.contender
        decaying = entry.study.schedule in DECAYING and contender.optimizer is not None
        return is_tuned_adamw(contender) or is_rmsprop(contender) or decaying

    return list(dict.fromkeys(entry.key for entry in entries if must(entry)))
