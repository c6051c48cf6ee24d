"""Partitions: the published layouts, and layouts that stay legal whatever is placed or removed."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardware_models.errors import UnknownNameError
from hardware_models.gpu import mig
from hardware_models.tables import load_table

A100 = ("A100-40GB", "A100-80GB")
BOARDS = st.sampled_from(mig.boards())


def standard(board):
    """Name the profiles without media extensions or double memory, by compute slices."""
    names = {}
    for name, profile in mig.profiles(board).items():
        if "+me" not in name:
            names.setdefault(profile.compute_slices, name)
    return names


def overlaps(board, layout):
    """Count how often a memory slice is taken twice, without the code under test."""
    known = mig.profiles(board)
    slices = [s for name, start in layout for s in range(start, start + known[name].size)]
    return len(slices) - len(set(slices))


@pytest.mark.parametrize("board", A100)
def test_invariant_capacity_maximal_layouts_are_exactly_the_19(board):
    names = standard(board)
    published = {
        tuple(sorted((names[int(g)], int(at)) for g, at in re.findall(r"(\d)g@(\d)", text)))
        for text in load_table("mig_layouts_a100")["layout"]
    }
    layouts = mig.maximal_layouts(board, names.values())
    assert layouts == published
    assert len(layouts) == 19
    assert len({tuple(sorted(name for name, _ in layout)) for layout in layouts}) == 14


@pytest.mark.parametrize("board", mig.boards())
def test_maximal_layouts_of_all_profiles_are_legal_and_full(board):
    for layout in mig.maximal_layouts(board):
        mig.check_layout(board, layout)
        assert not any(mig.legal_starts(board, layout, name) for name in mig.profiles(board))
        assert sum(name.endswith("+me") for name, _ in layout) <= 1


@given(data=st.data(), board=BOARDS)
def test_invariant_capacity_any_placements_and_removals_stay_legal(data, board):
    known = mig.profiles(board)
    total = max(profile.compute_slices for profile in known.values())
    layout = ()
    for _ in range(data.draw(st.integers(1, 25))):
        if layout and data.draw(st.booleans()):
            removed = data.draw(st.sampled_from(layout))
            layout = tuple(each for each in layout if each != removed)
        else:
            name = data.draw(st.sampled_from(list(known)))
            start = mig.choose_start(board, layout, name)
            assert (start is None) == (not mig.legal_starts(board, layout, name))
            if start is not None:
                assert start in known[name].start_indexes
                layout = tuple(sorted((*layout, (name, start))))
        mig.check_layout(board, reversed(layout))
        assert overlaps(board, layout) == 0
        assert sum(known[name].compute_slices for name, _ in layout) <= total
        for name, profile in known.items():
            assert [each for each, _ in layout].count(name) <= profile.max_instances


def test_choose_start_keeps_most_open_and_then_takes_the_lowest():
    board = "A100-40GB"
    # At 6, a 1g.5gb leaves 4g.20gb and all starts of 2g.10gb; at 0 it would block some.
    assert mig.choose_start(board, (), "1g.5gb") == 6
    assert mig.choose_start(board, (("1g.5gb", 6),), "2g.10gb") == 4
    # 3g.20gb at 4 keeps the only start of 4g.20gb.
    assert mig.choose_start(board, (), "3g.20gb") == 4
    assert mig.choose_start(board, (("7g.40gb", 0),), "1g.5gb") is None
    # The two are all that is left, and equal.
    rest = tuple(("1g.5gb", start) for start in (0, 1, 4, 5, 6))
    assert mig.legal_starts(board, rest, "1g.5gb") == (2, 3)
    assert mig.choose_start(board, rest, "1g.5gb") == 2


@pytest.mark.parametrize(
    ("layout", "reason"),
    [
        ([("3g.20gb", 2)], r"cannot place 3g.20gb@2 .* beside nothing: start at one of \(0, 4\)"),
        ([("4g.20gb", 0), ("2g.10gb", 2)], r"2g.10gb@2 .* beside 4g.20gb@0: start at one of"),
        ([("4g.20gb", 0), ("3g.20gb", 4), ("1g.5gb", 6)], "no start is free"),
        ([("1g.5gb+me", 0), ("1g.5gb+me", 1)], "no start is free"),
        ([("3g.20gb", 1)], r"cannot place 3g.20gb@1 .* start at one of \(0, 4\)"),
    ],
)
def test_illegal_layouts_are_refused(layout, reason):
    with pytest.raises(ValueError, match=reason):
        mig.check_layout("A100-40GB", layout)


def test_compute_slices_bind_where_memory_would_not():
    # Two 3g take all 8 memory slices; 4g + 2g + 1g take 7 of each, and memory slice 7 stays idle.
    mig.check_layout("A100-40GB", [("3g.20gb", 0), ("3g.20gb", 4)])
    layout = (("1g.5gb", 6), ("2g.10gb", 4), ("4g.20gb", 0))
    mig.check_layout("A100-40GB", layout)
    assert not any(mig.legal_starts("A100-40GB", layout, p) for p in mig.profiles("A100-40GB"))


def test_profiles_carry_their_figures():
    cut = {"A100-40GB", "A100-80GB", "H100-80GB", "A30", "MI300X"}
    cut |= {"H200-141GB", "B200-180GB"}
    assert set(mig.boards()) == cut | {"L4", "A10", "T4", "V100"}
    half = mig.profiles("A100-80GB")["3g.40gb"]
    assert (half.compute_slices, half.memory_slices, half.size) == (3, 4, 4)
    assert half.compute_fraction == pytest.approx(3 / 7)
    assert half.memory_bytes == 40 * 10**9
    assert half.start_indexes == (0, 4)
    whole = mig.profiles("L4")["full"]
    assert (whole.compute_fraction, whole.memory_bytes) == (1.0, 24 * 10**9)
    assert mig.maximal_layouts("L4") == {(("full", 0),)}


def test_unknown_names_give_the_nearest():
    with pytest.raises(UnknownNameError, match=r"unknown gpu 'A40'.*did you mean 'A30'"):
        mig.profiles("A40")
    with pytest.raises(UnknownNameError, match=r"'3g.40gb'.*did you mean '3g.20gb'"):
        mig.legal_starts("A100-40GB", (), "3g.40gb")
    with pytest.raises(UnknownNameError, match=r"did you mean 'A100-80GB'"):
        mig.check_layout("A100-80", [])
    with pytest.raises(UnknownNameError, match=r"did you mean 'full'"):
        mig.maximal_layouts("L4", ["ful"])


# Beside the code: what a legal layout is, said once more and by brute force.


def is_legal(board, layout):
    known = mig.profiles(board)
    placed = [(known[name], start) for name, start in layout]
    taken = [slice_ for each, start in placed for slice_ in range(start, start + each.size)]
    return (
        all(start in each.start_indexes for each, start in placed)
        and len(taken) == len(set(taken))
        and sum(each.compute_slices for each, _ in placed)
        <= max(each.compute_slices for each in known.values())
        and all(
            sum(name == wanted for name, _ in layout) <= profile.max_instances
            for wanted, profile in known.items()
        )
        and len({each.mode for each, _ in placed}) <= 1
        and sum(each.media_extensions for each, _ in placed) <= 1
    )


@given(data=st.data(), board=BOARDS)
def test_invariant_capacity_layouts_are_accepted_if_and_only_if_legal(data, board):
    instance = st.tuples(st.sampled_from(list(mig.profiles(board))), st.integers(0, 8))
    # Starting from a legal layout, so that both outcomes are frequent.
    legal = data.draw(st.sampled_from(sorted(mig.maximal_layouts(board))))
    kept = data.draw(st.lists(st.sampled_from(legal), unique=True))
    layout = data.draw(st.permutations(kept + data.draw(st.lists(instance, max_size=2))))
    if is_legal(board, layout):
        mig.check_layout(board, layout)
    else:
        with pytest.raises(ValueError, match=f"^cannot place .* on {board} beside"):
            mig.check_layout(board, layout)


def test_a_card_has_one_partition_mode():
    modes = {name: profile.mode for name, profile in mig.profiles("MI300X").items()}
    assert modes == {"spx.192gb": "SPX", "cpx.24gb": "CPX"}
    with pytest.raises(ValueError, match="the card is in mode SPX, which all its instances"):
        mig.check_layout("MI300X", [("spx.192gb", 0), ("cpx.24gb", 0)])
    layouts = mig.maximal_layouts("MI300X")
    assert sorted(len(layout) for layout in layouts) == [1, 8]
    assert all(len({modes[name] for name, _ in layout}) == 1 for layout in layouts)


def test_one_instance_of_a_card_has_the_media_extensions():
    mig.check_layout("A30", [("1g.6gb+me", 0), ("2g.12gb", 2)])
    with pytest.raises(ValueError, match="no start is free"):
        mig.check_layout("A30", [("1g.6gb+me", 0), ("2g.12gb+me", 2)])


@pytest.mark.parametrize(
    ("board", "profile", "most"), [("A30", "1g.6gb", 4), ("H100-80GB", "1g.10gb", 7)]
)
def test_the_smallest_profile_fills_the_card(board, profile, most):
    assert max(len(layout) for layout in mig.maximal_layouts(board, [profile])) == most
