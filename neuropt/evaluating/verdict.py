"""The sentence that may hold the word "better", or says what is missing for it."""

from __future__ import annotations

from collections.abc import Sequence

from neuropt.evaluating.against import ALPHA
from neuropt.evaluating.better import DECAYING, is_rmsprop, is_tuned_adamw, missing
from neuropt.evaluating.contenders import Contender
from neuropt.evaluating.entries import Entry, Key, entries_of, label
from neuropt.evaluating.evidence import seen
from neuropt.evaluating.grafting import read_pair
from neuropt.evaluating.protocol import Protocol, Study
from neuropt.statistics.improvement import improvement
from neuropt.statistics.wilcoxon import signed_rank_test
from neuropt.tasks.task import Task
from search_space import zoo

Studies = Sequence[tuple[Task, Sequence[Study]]]


def verdicts(studies: Studies, protocol: Protocol, contenders: Sequence[Contender]) -> list[str]:
    """Return one sentence for each contender that is new: a rule that a search found, or somebody's own."""
    new = [c for c in contenders if c.optimizer is None and c.name not in zoo() and read_pair(c.name) is None]
    found = []
    for contender in new:
        reasons = missing(contender, studies, protocol)
        if reasons:
            found.append(f'Whether {contender.name} is "better" is not said; missing: {"; ".join(reasons)}.')
        else:
            found += [_verdict(key, studies, protocol) for key in _keys(contender, studies)]
    return found


def _keys(contender: Contender, studies: Studies) -> list[Key]:
    return list(
        dict.fromkeys((s.contender.name, s.schedule) for _, all_ in studies for s in all_ if s.contender is contender)
    )


def _verdict(key: Key, studies: Studies, protocol: Protocol) -> str:
    """Compare over held-out tasks with every baseline that must be there: signed ranks of how often it improves on each task.

    All of the tests must hold for the word, so that the largest p is theirs together, without a correction (intersection-union).
    """
    entries = entries_of(studies, protocol)
    own = {e.task.name: e for e in entries if e.key == key and seen(e.study.contender, e.task) is None}
    p_values, ahead = {}, True
    for other in _required(entries):
        theirs = {e.task.name: e for e in entries if e.key == other}
        shares = [_share(own[task], theirs.get(task)) for task in own]
        p_values[other] = signed_rank_test(shares, [0.5] * len(shares))
        ahead = ahead and sum(shares) > 0.5 * len(shares)
    worst = max(p_values.values())
    n = f"n = {len(own)} held-out tasks, {len(protocol.report_seeds)} seeds each"
    named = ", ".join(label(other) for other in p_values)
    if ahead and worst <= ALPHA:
        return f"{label(key)} is better than {named} ({n}; signed ranks over tasks, largest p = {worst:.3g})."
    return (
        f"{label(key)} is not shown to be better than {named} ({n}; signed ranks over tasks, largest p = {worst:.3g})."
    )


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
