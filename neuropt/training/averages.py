"""Find running averages in a merged graph: a prev(m) + b x, which may be computed in the memory of m by two calls.

`m = 0.9 * prev(m) + 0.1 * g` is memory.mul_(0.9).add_(g, alpha=0.1), if nothing else reads prev(m).
"""

from __future__ import annotations

from neuropt.training.merging import Merged, Node


def tensor_of(merged: Merged, product: Node) -> int:
    """Return the argument of a product that is no number."""
    return next(a for a in product.arguments if merged.nodes[a].function != "number")


def number_of(merged: Merged, product: Node) -> int:
    """Return the argument of a product that is a number."""
    return next(a for a in product.arguments if merged.nodes[a].function == "number")


def average_parts(merged: Merged, node: Node) -> tuple[int, int]:
    """Return the two products of an average, the one with the remembered value first."""
    x, y = node.arguments
    first_is_previous = merged.nodes[tensor_of(merged, merged.nodes[x])].function == "previous"
    return (x, y) if first_is_previous else (y, x)


def averages(merged: Merged) -> dict[int, int]:
    """Find the nodes a prev(m) + b x that feed m while nothing else reads prev(m): they may be computed in the memory of m.

    Returns:
        node -> the `previous` node whose memory it takes.
    """
    readers = _readers(merged)
    fed = list(merged.feeds.values())
    found: dict[int, int] = {}
    for previous, value in merged.feeds.items():
        if previous in merged.results or previous in fed:
            continue
        node = merged.nodes[value]
        products = [merged.nodes[a] for a in node.arguments]
        is_sum = node.function == "+" and len(set(node.arguments)) == 2 and all(_is_scaled(merged, p) for p in products)
        if is_sum and fed.count(value) == 1:
            sources = [tensor_of(merged, p) for p in products]
            if sources.count(previous) == 1 and not any(
                merged.nodes[s].function == "previous" for s in sources if s != previous
            ):
                scaled = node.arguments[sources.index(previous)]
                if readers[previous] == [scaled] and readers[scaled] == [value]:
                    found[value] = previous
    return found


def _readers(merged: Merged) -> dict[int, list[int]]:
    readers: dict[int, list[int]] = {}
    for number, node in enumerate(merged.nodes):
        for argument in node.arguments:
            readers.setdefault(argument, []).append(number)
    return readers


def folded(merged: Merged, averages: dict[int, int]) -> set[int]:
    """Return the products that only averages read: they are done inside `memory.mul_(a).add_(x, alpha=b)`."""
    needed = set(merged.results) | set(merged.feeds.values())
    return {
        number
        for number, readers in _readers(merged).items()
        if number not in needed
        and merged.nodes[number].function == "*"
        and all(reader in averages for reader in readers)
    }


def _is_scaled(merged: Merged, node: Node) -> bool:
    """Whether a node is a tensor times a number that all rows share."""
    if node.function != "*":
        return False
    tables = [merged.nodes[a].table for a in node.arguments if merged.nodes[a].function == "number"]
    return len(tables) == 1 and all(t is not None and t.shape[1] == 1 for t in tables)
