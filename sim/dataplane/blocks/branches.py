"""Requests that fork into branches and join again, as in fork-join queueing networks.

Each branch has its own row. The row in which a request is created is its *home*; one of its
branches uses this row until the request ends. A branch that fails is moved to the end of its leg,
where it reports the failure: the branches with which it joins, or into which it forks, then fail
too. A request therefore ends only once, when its last branch arrives.
"""

from scenarios.compiled import in_place, inlined
from sim.dataplane.base import request_rows as col
from sim.dataplane.base.request_rows import line_of, operators_of
from sim.dataplane.blocks import tables as tb
from sim.dataplane.blocks.lists import end, gather, push
from sim.dataplane.blocks.tables import PlaneTables

PART = -3  # outcome of a row that is a branch, not the home, of a request under way


@in_place
def take_fork(t: PlaneTables, fork: int, until_ns: int) -> bool:
    """Fork the requests that reach a fork before the sync point; return False if no rows are left.

    The row of the request becomes the first branch, and copies of it become the others. In the
    copies, all parts of the latency are set to 0, so that sums at the join count each part once. If
    rows run out, the remaining requests stay among the arrivals for the next call.
    """
    rows, stops, branches, counts = t.rows, t.stops, t.branches, t.counts
    n = gather(t, fork, until_ns)
    at, count = stops[fork].steps_at, stops[fork].steps
    width = rows.shape[1]
    for i in range(n):
        row = t.row_ids[i]
        if counts[tb.FREE] < count - 1:
            for j in range(i, n):
                push(t, fork, t.row_ids[j], t.times[t.row_ids[j]])
            return False
        if branches[row].home == tb.NONE:
            branches[row].home, branches[row].live = row, 1
        home = branches[row].home
        branches[home].live += count - 1
        for number in range(count):
            branch = row
            if number > 0:
                counts[tb.FREE] -= 1
                branch = t.free[counts[tb.FREE]]
                for column in range(width):
                    rows[branch, column] = rows[row, column]
                _clear(t, branch)
                t.times[branch] = t.times[row]
                rows[branch, col.OUTCOME] = PART
                branches[branch].home, branches[branch].failure = home, branches[row].failure
            rows[branch, col.VISIT] = t.steps[at + number]
            _go_on(t, branch)
    return True


@inlined
def _clear(t: PlaneTables, row: int) -> None:
    """Set the parts of the latency in a copied row to 0."""
    rows = t.rows
    for operator in range(operators_of(rows.shape[1])):
        line = line_of(operator)
        for column in range(line + col.QUEUEING, line + col.QUEUEING + col.PARTS):
            rows[row, column] = 0
    rows[row, col.ANSWER] = 0


@in_place
def take_join(t: PlaneTables, join: int, until_ns: int) -> None:
    """Let branches that reach a join before the sync point wait until all branches have arrived.

    The request continues when its last branch arrives. A request's waiting branches, at whichever
    joins, form one chain that begins at its home, so each arrival takes O(waiting branches).
    """
    rows, branches = t.rows, t.branches
    n = gather(t, join, until_ns)
    at = t.stops[join].steps_at
    visit, inputs = t.steps[at], t.steps[at + 1]
    for i in range(n):
        row = t.row_ids[i]
        home = branches[row].home
        here, each = 1, branches[home].held
        while each != tb.NONE:
            here += t.visits[rows[each, col.VISIT]].stop == join
            each = t.chain[each]
        if here < inputs:
            t.chain[row] = branches[home].held
            branches[home].held = row
            continue
        # All branches have arrived: merge those of this join, and keep the others in the chain.
        now_ns, joined = t.times[row], row
        each = branches[home].held
        branches[home].held = tb.NONE
        while each != tb.NONE:
            following = t.chain[each]
            if t.visits[rows[each, col.VISIT]].stop == join:
                joined = _merged(t, home, joined, each)
            else:
                t.chain[each] = branches[home].held
                branches[home].held = each
            each = following
        t.times[joined], rows[joined, col.VISIT] = now_ns, visit
        branches[home].live -= inputs - 1
        if branches[home].live == 1:
            branches[home].home = tb.NONE
        _go_on(t, joined)


@inlined
def _merged(t: PlaneTables, home: int, a: int, b: int) -> int:
    """Merge two branches by adding the parts of their latencies; return the row that remains."""
    rows, branches = t.rows, t.branches
    if b == home:  # the home outlives its branches
        a, b = b, a
    for operator in range(operators_of(rows.shape[1])):
        line = line_of(operator)
        for column in range(line + col.QUEUEING, line + col.QUEUEING + col.PARTS):
            rows[a, column] += rows[b, column]
    rows[a, col.ANSWER] += rows[b, col.ANSWER]
    one, other = branches[a].failure, branches[b].failure
    # Outcomes are numbered from the worst on, except the first, which is completion.
    branches[a].failure = max(one, other) if min(one, other) == tb.IS_COMPLETED else min(one, other)
    _free(t, b)
    return a


@inlined
def _free(t: PlaneTables, row: int) -> None:
    """Put a row on the stack of free rows."""
    t.rows[row, col.OUTCOME] = tb.NONE
    t.branches[row].home = t.branches[row].held = tb.NONE
    t.branches[row].failure = tb.IS_COMPLETED
    t.free[t.counts[tb.FREE]] = row
    t.counts[tb.FREE] += 1


@inlined
def _go_on(t: PlaneTables, row: int) -> None:
    """Let a row begin a leg; the row of a failed branch moves to the leg's end at once."""
    if t.branches[row].failure == tb.IS_COMPLETED:
        t.out[t.counts[tb.OUT]] = row
        t.counts[tb.OUT] += 1
        return
    gate = _to_end_of_leg(t, row)
    at_ns = t.times[row]
    if gate == tb.NONE:
        failure = t.branches[row].failure
        end(t, row, failure, at_ns)
    else:
        push(t, gate, row, at_ns)


@inlined
def _to_end_of_leg(t: PlaneTables, row: int) -> int:
    """Move a row to the last visit of its leg; return the fork or join there, or else NONE."""
    visit = t.rows[row, col.VISIT]
    stop = t.visits[visit].stop
    while stop != tb.NONE and t.stops[stop].kind != tb.FORK and t.stops[stop].kind != tb.JOIN:
        visit += 1
        stop = t.visits[visit].stop
    t.rows[row, col.VISIT] = visit
    return int(stop)


@in_place
def settle(t: PlaneTables) -> None:
    """Move ended rows to the fork or join after their leg; keep those on the last leg."""
    rows, branches, counts = t.rows, t.branches, t.counts
    kept = counts[tb.SETTLED]
    for i in range(kept, counts[tb.ENDED_COUNT]):
        row = t.ended[i]
        gate = tb.NONE if rows[row, col.VISIT] == tb.NONE else _to_end_of_leg(t, row)
        if gate == tb.NONE:
            t.ended[kept] = row
            kept += 1
            continue
        branches[row].failure = rows[row, col.OUTCOME]
        _revive(t, row)
        push(t, gate, row, rows[row, col.ENDED])
    counts[tb.SETTLED] = counts[tb.ENDED_COUNT] = kept


@inlined
def _revive(t: PlaneTables, row: int) -> None:
    """Count a request as in flight again, although its row ended."""
    home = t.branches[row].home
    t.rows[row, col.OUTCOME] = tb.IS_IN_FLIGHT if home in (tb.NONE, row) else PART
    t.flights[t.rows[row, col.DEPLOYMENT]] += 1


@in_place
def recall(t: PlaneTables, at_ns: int) -> None:
    """Merge all branches of requests that were just dropped, so that each request ends once."""
    branches, counts = t.branches, t.counts
    first = counts[tb.SETTLED]
    for i in range(first, counts[tb.ENDED_COUNT]):
        home = branches[t.ended[i]].home
        if home == tb.NONE:
            continue
        held = branches[home].held
        branches[home].held = tb.NONE
        while held != tb.NONE:
            following = t.chain[held]
            if held == home:
                end(t, home, tb.IS_DROPPED, at_ns)
            else:
                _free(t, held)
            held = following
    kept = first
    for i in range(first, counts[tb.ENDED_COUNT]):
        row = t.ended[i]
        home = branches[row].home
        if home in (tb.NONE, row):
            t.ended[kept] = row
            kept += 1
        else:
            _revive(t, row)
            _free(t, row)
    counts[tb.SETTLED] = counts[tb.ENDED_COUNT] = kept
