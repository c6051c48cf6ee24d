"""How a card can be partitioned into isolated instances.

A card has compute slices and memory slices. An A100 has 7 compute slices and 8 memory slices
(NVIDIA Multi-Instance GPU), and an MI300X has 8 of each (AMD compute partitions). An instance has a
*profile* and a *start index*. The profile determines how many slices of each kind the instance
takes. The start index is the first memory slice that the instance occupies. The profile determines
which start indexes are allowed. A profile belongs to a *mode*; all instances on one card have the
same mode. A board that cannot be partitioned has one profile, ``full``. The sources of table
``gpu_partitions`` are the NVIDIA MIG User Guide and the AMD SMI documentation. A board or a profile
that is not known raises UnknownNameError.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from hardware_models.errors import pick
from hardware_models.tables import load_table, table_cache

PlacedInstance = tuple[str, int]
"""A profile's name and the index of the first memory slice that the instance occupies."""

CardLayout = tuple[PlacedInstance, ...]
"""The instances on one card, sorted."""

_AS_GIVEN = ("board", "mode", "compute_slices", "memory_slices", "max_instances")


@dataclass(frozen=True, slots=True)
class MigProfile:
    """A profile of instances of a board.

    Attributes:
        board: The board, such as ``"A100-40GB"``.
        name: The profile, such as ``"3g.20gb"``.
        mode: The partition mode that it belongs to, such as ``"mig"`` or ``"CPX"``.
        compute_slices: Compute slices that an instance takes.
        compute_fraction: Compute slices of an instance divided by those of the board.
        memory_slices: Memory slices whose capacity and bandwidth an instance gets.
        memory_bytes: Its nominal memory, in bytes (nominal GB times 10^9).
        start_indexes: Memory slices at which an instance can start.
        size: Number of consecutive memory slices that an instance occupies from its start index on.
        max_instances: Largest number of instances of the profile on one card.
        media_extensions: Whether an instance takes the card's media extensions; only one instance
            on a card can have them.
    """

    board: str
    name: str
    mode: str
    compute_slices: int
    compute_fraction: float
    memory_slices: int
    memory_bytes: int
    start_indexes: tuple[int, ...]
    size: int
    max_instances: int
    media_extensions: bool


@table_cache
def _boards() -> dict[str, dict[str, MigProfile]]:
    result = {}
    table = load_table("gpu_partitions")
    for (board,), rows in table.group_by("board", maintain_order=True):
        # The largest profile is the whole card, so it has all compute slices.
        total = max(rows["compute_slices"])
        result[str(board)] = {
            row["profile"]: MigProfile(
                name=row["profile"],
                compute_fraction=row["compute_slices"] / total,
                memory_bytes=round(row["memory_gb"] * 10**9),
                start_indexes=tuple(map(int, row["start_indexes"].split())),
                size=row["size_memory_slices"],
                media_extensions=bool(row["media_extensions"]),
                **{name: row[name] for name in _AS_GIVEN},
            )
            for row in rows.iter_rows(named=True)
        }
    return result


def boards() -> tuple[str, ...]:
    """Return the names of the boards whose partitions are known."""
    return tuple(_boards())


def profiles(board: str) -> Mapping[str, MigProfile]:
    """Return the profiles of a board by name, in the same order as in the table."""
    pick("gpu", board, _boards())
    return _boards()[board]


def _profile(board: str, name: str) -> MigProfile:
    known = profiles(board)
    pick(f"profile of {board}", name, known)
    return known[name]


def _slices(size: int, start: int) -> int:
    """Return an integer whose bits mark the memory slices that an instance occupies."""
    return ((1 << size) - 1) << start


@table_cache
def legal_starts(board: str, instances: CardLayout, profile: str) -> tuple[int, ...]:
    """Return the start indexes at which one more instance fits on the card, in ascending order.

    An instance fits if the card has enough free slices of both kinds and fewer instances of the
    profile than the largest number. In addition, all instances must have the same mode, and at most
    one can have the media extensions.

    Args:
        board: The board.
        instances: The instances on the card, which form a legal layout.
        profile: The profile to add.
    """
    wanted = _profile(board, profile)
    placed = [_profile(board, other) for other, _ in instances]
    if any(each.mode != wanted.mode for each in placed):
        return ()
    if wanted.media_extensions and any(each.media_extensions for each in placed):
        return ()
    total = max(each.compute_slices for each in profiles(board).values())
    if sum(each.compute_slices for each in placed) + wanted.compute_slices > total:
        return ()
    if placed.count(wanted) >= wanted.max_instances:
        return ()
    taken = 0
    for each, (_, start) in zip(placed, instances, strict=True):
        taken |= _slices(each.size, start)
    return tuple(s for s in wanted.start_indexes if not taken & _slices(wanted.size, s))


def _add(instances: CardLayout, instance: PlacedInstance) -> CardLayout:
    return tuple(sorted((*instances, instance)))


@table_cache
def choose_start(board: str, instances: CardLayout, profile: str) -> int | None:
    """Return the start index for one more instance that leaves the most options, or None.

    The choice is greedy: of the allowed start indexes, it is the one after which the most
    placements (pairs of a profile and a start index) remain possible. Among equally good ones, it
    is the lowest.
    """

    def still_open(start: int) -> int:
        layout = _add(instances, (profile, start))
        return sum(len(legal_starts(board, layout, name)) for name in profiles(board))

    # `max` keeps the first of equals and starts ascend, so ties go to the lowest start.
    return max(legal_starts(board, instances, profile), key=still_open, default=None)


def check_layout(board: str, instances: Iterable[PlacedInstance]) -> None:
    """Check that instances can exist together on one card; their order does not matter.

    Raises:
        UnknownNameError: The board or a profile is not known.
        ValueError: An instance has an illegal start, overlaps another, is of another partition
            mode, or exceeds the compute slices or the number of instances allowed.
    """
    placed: CardLayout = ()
    profiles(board)
    for name, start in instances:
        legal = legal_starts(board, placed, name)
        if start not in legal:
            beside = " ".join(f"{other}@{at}" for other, at in placed) or "nothing"
            modes = {_profile(board, other).mode for other, _ in placed}
            if modes and _profile(board, name).mode not in modes:
                allowed = f"the card is in mode {modes.pop()}, which all its instances must be of"
            else:
                allowed = f"start at one of {legal}" if legal else "no start is free"
            raise ValueError(f"cannot place {name}@{start} on {board} beside {beside}: {allowed}")
        placed = _add(placed, (name, start))


@table_cache
def _maximal_layouts(board: str, names: tuple[str, ...]) -> frozenset[CardLayout]:
    seen: set[CardLayout] = {()}
    maximal = set()
    frontier: list[CardLayout] = [()]
    while frontier:
        layout = frontier.pop()
        larger = {
            _add(layout, (name, start))
            for name in names
            for start in legal_starts(board, layout, name)
        }
        if not larger:
            maximal.add(layout)
        frontier.extend(larger - seen)
        seen |= larger
    return frozenset(maximal)


def maximal_layouts(
    board: str, profile_names: Iterable[str] | None = None
) -> frozenset[CardLayout]:
    """Return the layouts to which no instance can be added; each is sorted by profile and start.

    Layouts consist of instances of the named profiles, by default of all profiles of the board. An
    A100 has 19 such layouts without the ``+me`` profiles and the 1g profile of double memory.
    """
    names = tuple(profiles(board) if profile_names is None else profile_names)
    for name in names:
        _profile(board, name)
    return _maximal_layouts(board, names)
