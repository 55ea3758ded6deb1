"""What is found of a rule must not depend on which rules were looked at before: a resumed search has looked at none."""

import numpy as np

from search_space import Rule, identify, load_space, probe_trajectory, screen


def test_keys_and_screening_do_not_depend_on_what_was_seen_before() -> None:
    space = load_space("arxiv2017", groups=2)
    generator = np.random.default_rng(7)
    rules: list[Rule] = []
    while len(rules) < 120:
        tokens: list[int] = []
        for _ in space.choices:
            allowed = np.flatnonzero(space.masks(np.array([tokens], np.int64).reshape(1, -1))[0])
            tokens.append(int(generator.choice(allowed)))
        rules.append(space.decode(tuple(tokens)))
    forward, backward = probe_trajectory(), probe_trajectory()
    first = [screen(rule, forward) for rule in rules]
    second = [screen(rule, backward) for rule in reversed(rules)][::-1]
    for rule, one, other in zip(rules, first, second, strict=True):
        np.testing.assert_equal([one.scale, one.cosine], [other.scale, other.cosine], err_msg=rule.text)
        assert (one.accepted, one.sign, one.reason) == (other.accepted, other.sign, other.reason), rule.text
    assert [identify(rule) for rule in rules] == [identify(rule) for rule in reversed(rules)][::-1]
