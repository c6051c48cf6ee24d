"""How the cards of a node can be partitioned, for planners that pack instances themselves."""

from collections import Counter

from hardware_models.gpu.mig import maximal_layouts
from hardware_models.tables import table_cache
from scenarios.cluster import Node


def gpu_layouts(node: Node) -> tuple[dict[str, int], ...]:
    """List what one card of a node can hold at most.

    Returns:
        The number of instances of each profile that candidates ask for, in each maximal legal
        layout; empty if the node has no GPU. Any smaller set of instances fits too.
    """
    if node.gpu_board is None:
        return ()
    names = node.gpu_profiles
    return tuple(dict(zip(names, each, strict=True)) for each in _most(node.gpu_board, names))


@table_cache
def _most(board: str, names: tuple[str, ...]) -> tuple[tuple[int, ...], ...]:
    """List what one card of a board can hold at most, as instances of each of some profiles."""
    counts = {
        tuple(Counter(profile for profile, _ in layout).get(name, 0) for name in names)
        for layout in maximal_layouts(board, names)
    }
    kept = [
        each
        for each in counts
        if not any(
            other != each and all(a >= b for a, b in zip(other, each, strict=True))
            for other in counts
        )
    ]
    return tuple(sorted(kept, reverse=True))
