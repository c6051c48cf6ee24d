"""The ways to partition the cards of a node, for planners that pack instances themselves."""

from collections import Counter

from hardware_models.gpu.mig import maximal_layouts
from hardware_models.tables import table_cache
from scenarios.cluster import Node


def gpu_layouts(node: Node) -> tuple[dict[str, int], ...]:
    """Return the maximal combinations of instances that one card of a node can have.

    Returns:
        One mapping for each maximal legal layout. It maps each profile that candidate plans use to
        the number of its instances. The result is empty if the node has no GPU. A card can also
        have any subset of a layout's instances.
    """
    if node.gpu_board is None:
        return ()
    names = node.gpu_profiles
    return tuple(dict(zip(names, each, strict=True)) for each in _most(node.gpu_board, names))


@table_cache
def _most(board: str, names: tuple[str, ...]) -> tuple[tuple[int, ...], ...]:
    """Return the maximal combinations of instances on one card, in the order of ``names``."""
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
