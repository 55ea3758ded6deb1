from __future__ import annotations

import itertools
import pickle
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from search_space import SearchSpace, load_space
from search_space.masks import Tokens

OPTIONS = ("distinct_operands", "no_final_add", "use_earlier_results", "forbid_unused_results")


def minimal(groups: int, **options: Any) -> SearchSpace:
    return SearchSpace("minimal", "", groups, ("g", "mhat"), ("x",), ("x + y", "x * y", "x"), **options)


def keeps_the_constraints(space: SearchSpace, tokens: Sequence[int]) -> bool:
    """The constraints said once more, in the simplest way."""
    operands, adds, keeps_left = len(space.operands), 0, 2
    used: set[int] = set()
    for group in range(space.groups):
        op1, op2, _, _, b = tokens[5 * group : 5 * group + 5]
        if space.distinct_operands and op1 == op2:
            return False
        if space.use_earlier_results and group > 0 and op1 < operands and op2 < operands:
            return False
        used |= {op1 - operands} | (set() if b == keeps_left else {op2 - operands})
    if space.no_final_add and tokens[-1] == adds:
        return False
    return not space.forbid_unused_results or used >= set(range(space.groups - 1))


def every_string(space: SearchSpace) -> list[tuple[int, ...]]:
    return list(itertools.product(*map(range, space.choices)))


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("switches", list(itertools.product([False, True], repeat=4)))
def test_allowed_strings_are_those_that_keep_the_constraints(groups: int, switches: tuple[bool, ...]) -> None:
    space = minimal(groups, **dict(zip(OPTIONS, switches, strict=True)))
    strings = every_string(space)
    allowed = [tokens for tokens in strings if keeps_the_constraints(space, tokens)]
    assert [tokens for tokens in strings if space.allows(tokens)] == allowed
    assert (space.size, space.allowed_size) == (len(strings), len(allowed))


def test_three_groups_by_brute_force() -> None:
    space = minimal(3)
    assert space.allowed_size == sum(keeps_the_constraints(space, tokens) for tokens in every_string(space))


def test_sizes_of_the_tiny_space_by_brute_force() -> None:
    space = load_space("tiny")
    strings = every_string(space)
    assert space.size == len(strings) == 768
    assert space.allowed_size == sum(space.allows(tokens) for tokens in strings) == 384


def test_masks_are_the_prefixes_of_allowed_strings() -> None:
    space = minimal(2)
    allowed = [tokens for tokens in every_string(space) if space.allows(tokens)]
    for k in range(len(space.choices)):
        prefixes = sorted({tokens[:k] for tokens in allowed})
        expected = [[(*p, c) in {t[: k + 1] for t in allowed} for c in range(space.choices[k])] for p in prefixes]
        given = space.masks(np.array(prefixes, np.int64).reshape(len(prefixes), k))
        np.testing.assert_array_equal(given, expected)


def sampled(space: SearchSpace, count: int, seed: int) -> Tokens:
    generator = np.random.default_rng(seed)
    tokens = np.zeros((count, 0), np.int64)
    for _ in space.choices:
        masks = space.masks(tokens)
        assert masks.any(axis=1).all()  # never a dead end
        token = (generator.random(masks.shape) * masks).argmax(axis=1)
        tokens = np.concatenate([tokens, token[:, None]], axis=1)
    return tokens


@pytest.mark.parametrize("groups", [1, 2, 3, 4])
@pytest.mark.parametrize("name", ["tiny", "icml2017", "arxiv2017"])
def test_masked_sampling_completes_and_decodes(name: str, groups: int) -> None:
    space = load_space(name, groups=groups)
    for tokens in sampled(space, 200, seed=groups):
        assert space.allows(tokens.tolist())
        assert space.decode(tokens.tolist()).text


@pytest.mark.parametrize("switches", list(itertools.product([False, True], repeat=4)))
def test_sampling_completes_under_every_option(switches: tuple[bool, ...]) -> None:
    space = minimal(4, **dict(zip(OPTIONS, switches, strict=True)))
    assert all(space.allows(tokens.tolist()) for tokens in sampled(space, 100, seed=0))


def test_forbidden_prefixes_have_no_continuation() -> None:
    assert not load_space("tiny").masks(np.array([[1, 1]])).any()


def test_wrong_prefixes_are_refused() -> None:
    space = load_space("tiny")
    for shape in ((3, 5), (3,)):
        with pytest.raises(ValueError, match="prefixes must have shape"):
            space.masks(np.zeros(shape, np.int64))


def test_spaces_pickle_and_compare() -> None:
    space = load_space("icml2017", groups=2)
    again = pickle.loads(pickle.dumps(space))
    assert again == space == load_space("icml2017", groups=2)
    assert again != load_space("icml2017", groups=2, noise_std=0.2)
    np.testing.assert_array_equal(again.masks(np.zeros((2, 0), np.int64)), space.masks(np.zeros((2, 0), np.int64)))
