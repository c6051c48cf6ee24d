"""Counting of requests by query, window and deployment: array columns and compiled functions.

Counts are integers, so no sum depends on the order of its terms. Windows are tumbling: they have
equal length and do not overlap. A query's open windows are a linked list of *cells*, from the
newest to the oldest. Quantiles need all latencies of a window, so these are stored, in *chunks*
that form an unrolled linked list. Free cells form a linked list. Free chunks form a stack, whose
top is likely to be in the processor's cache. The number 0 ends a list, and cell 0 stands for an
unknown window. Functions that run out of free cells or chunks return their progress, and are called
again after ``with_room``.

The two functions that process every request read arrays from ``Counts`` only once, because each
read in compiled code may count references, which would take most of the time.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from scenarios.compiled import compiled, in_place, inlined
from scenarios.numerics import Ints
from sim._jit.hints import AHEAD, LINE, index, prefetch
from sim._jit.id_pool import grown, row_of
from sim.dataplane.base import request_rows as col
from sim.dataplane.base.durations import bound_of
from sim.dataplane.base.interface import COMPLETED, IN_FLIGHT, LOST, OUTCOMES
from sim.dataplane.base.request_rows import line_of, operators_of

IS_COMPLETED = OUTCOMES.index(COMPLETED)
IS_IN_FLIGHT = OUTCOMES.index(IN_FLIGHT)
IS_LOST = OUTCOMES.index(LOST)

ONE = 1 << 40
"""The integer for an accuracy of 1: accuracies are summed as multiples of 2**-40, up to 8 million
per window."""

# Columns of accounts, the counts of one query; those that each end touches are one cache line.
BOUND_NS = 0  # latency bound; negative if allowances do not scale it
NEWEST = 1  # its newest cell
ENDS = 2  # requests by outcome
NEXT_NS = ENDS + len(OUTCOMES)  # start of the next window to be judged
NOTED_NS = NEXT_NS + 1  # time up to which its lifetime has been added to windows
DEPLOYED = NEXT_NS + 2  # whether a deployment is active
DEPARTED = NEXT_NS + 3
LAST_MET = NEXT_NS + 4
REQUESTS = NEXT_NS + 5
ACCOUNT_WIDTH = 2 * LINE
ALL_ENDS = slice(ENDS, NEXT_NS)

# Columns of cells, the counts of one window; the first two of free cells are the chain
OLDER = 0
START_NS = 1
BORN = 2
GOOD = 3
UNDECIDED = 4
SOJOURN_NS = 5  # sum of completed requests' latencies, each divided by its allowance
ACCURACY = 6  # sum of expected accuracies over completed requests
LATENCIES = 7  # the newest chunk
WINDOW_ENDS = 8  # requests by outcome
LONGEST = WINDOW_ENDS + len(OUTCOMES)  # float: the largest allowance
COST_USD = LONGEST + 1  # float
ACTIVE_NS = LONGEST + 2
DEPLOYED_NS = LONGEST + 3
ANSWER_NS = LONGEST + 4  # sum over completed requests of ``ANSWER``, as those that follow
SUMS = LONGEST + 5  # by operator, sums of its ``PARTS`` columns from ``QUEUEING`` on
ALL_WINDOW_ENDS = slice(WINDOW_ENDS, LONGEST)

# Columns of trials, the counts of one deployment
UNTIL_NS = 0
TRIAL_BORN = 1
TRIAL_GOOD = 2
TRIAL_SERVED = 3
TRIAL_ACCURACY = 4
VOID = 5
TRIAL_LOST = 6
TRIAL_WIDTH = LINE

# Columns of chunks
OLDER_CHUNK = 0
FIRST = 1
CHUNK_WIDTH = 4 * LINE
PER_CHUNK = CHUNK_WIDTH - FIRST

MANY = 4096
"""Number of accounts from which their counts are prefetched; fewer are in the processor's cache."""

# Places in heads
FREE_CELL = 0
FREE_CHUNKS = 1
USED_CELLS = 2  # number of cells that have been used; later cells are free but on no list
BORN_TOTAL = 3
ENDS_TOTAL = 4  # requests by outcome


@in_place
def _bound_by_account(bound_ns: int, allowance: float) -> int:
    """Return a request's latency bound in ns; ``bound_ns`` is the ``BOUND_NS`` of its account."""
    return -bound_ns if bound_ns < 0 else bound_of(bound_ns, allowance)


class Counts(NamedTuple):
    """All counts, in arrays of int64."""

    account_of: Ints  # table of ``IdPool``, by query
    accounts: Ints  # one for each query, of shape (a, ACCOUNT_WIDTH)
    trial_of: Ints  # table of ``IdPool``, by deployment
    trials: Ints  # one for each deployment, of shape (d, TRIAL_WIDTH)
    steps_ns: Ints  # start times of the accuracies of a deployment, of shape (d, steps)
    steps: Ints  # these accuracies, in units of 2**-40
    served: Ints  # completed requests with these accuracies, also those created after the trial
    cells: Ints  # shape (c, columns), as many as make whole lines of a cache
    chunks: Ints  # shape (k, CHUNK_WIDTH)
    spare: Ints  # chunks that are free, as a stack, of shape (k,)
    heads: Ints  # first free cell, free chunks, used cells; requests born, requests by outcome


def no_counts(operators: int) -> Counts:
    """Return empty counts for an application with this number of operators."""
    columns = SUMS + col.PARTS * operators
    cells = np.zeros((1, columns + -columns % LINE), np.int64)
    cells.view(np.float64)[0, LONGEST] = 1.0
    heads = np.zeros(ENDS_TOTAL + len(OUTCOMES), np.int64)
    heads[USED_CELLS] = 1
    return Counts(
        account_of=np.zeros(1, np.int64),
        accounts=np.zeros((0, ACCOUNT_WIDTH), np.int64),
        trial_of=np.zeros(1, np.int64),
        trials=np.zeros((0, TRIAL_WIDTH), np.int64),
        steps_ns=np.zeros((0, 1), np.int64),
        steps=np.zeros((0, 1), np.int64),
        served=np.zeros((0, 1), np.int64),
        cells=cells,
        chunks=np.zeros((1, CHUNK_WIDTH), np.int64),
        spare=np.zeros(1, np.int64),
        heads=heads,
    )


def with_room(counts: Counts) -> Counts:
    """Return counts that have free cells and free chunks."""
    cells, chunks, spare, heads = counts.cells, counts.chunks, counts.spare, counts.heads
    if not heads[FREE_CELL] and heads[USED_CELLS] == len(cells):
        cells = grown(cells, max(64, 2 * len(cells)))
    if not heads[FREE_CHUNKS]:
        size = len(chunks)
        chunks = grown(chunks, max(64, 2 * size))
        spare = grown(spare, len(chunks))
        heads[FREE_CHUNKS] = len(chunks) - size
        spare[: len(chunks) - size] = np.arange(size, len(chunks))
    return counts._replace(cells=cells, chunks=chunks, spare=spare)


@inlined
def cell_at(accounts: Ints, cells: Ints, account: int, at_ns: int, window_ns: int) -> int:
    """Return the cell of a query's window at ``at_ns``, or 0 if it is not open; O(open windows)."""
    cell: int = accounts[account, NEWEST]
    while cell and cells[cell, START_NS] > at_ns:
        cell = cells[cell, OLDER]
    return cell if cell and at_ns - cells[cell, START_NS] < window_ns else 0


@inlined
def open_windows(
    accounts: Ints, cells: Ints, heads: Ints, account: int, at_ns: int, window_ns: int
) -> bool:
    """Open a query's windows up to that of ``at_ns``; return False if cells ran out."""
    newest = accounts[account, NEWEST]
    start_ns = cells[newest, START_NS] + window_ns if newest else accounts[account, NEXT_NS]
    while start_ns <= at_ns:
        cell = heads[FREE_CELL]
        if cell:
            heads[FREE_CELL] = cells[cell, OLDER]
        elif heads[USED_CELLS] < len(cells):
            cell = heads[USED_CELLS]
            heads[USED_CELLS] += 1
        else:
            return False
        cells[cell] = 0
        cells.view(np.float64)[cell, LONGEST] = 1.0
        cells[cell, START_NS] = start_ns
        cells[cell, OLDER] = accounts[account, NEWEST]
        accounts[account, NEWEST] = cell
        start_ns += window_ns
    return True


@compiled
def count_births(counts: Counts, rows: Ints, born: Ints, done: int, window_ns: int) -> int:
    """Count births from index ``done`` of ``born`` on; return the index of the first uncounted one.

    ``born`` has indices into ``rows``, of shape (n, width). A birth mostly takes O(1), because it
    is in the newest window.
    """
    accounts, trials, cells, heads = counts.accounts, counts.trials, counts.cells, counts.heads
    account_of, trial_of = counts.account_of, counts.trial_of
    longest = cells.view(np.float64)
    values = rows.view(np.float64)
    last = len(born) - 1
    for number in range(done, len(born)):
        ahead = index(born[index(min(number + 3 * AHEAD, last))])
        prefetch(rows, ahead, col.QUERY)
        prefetch(rows, ahead, col.ALLOWANCE)
        if len(accounts) > MANY:
            ahead = index(born[index(min(number + 2 * AHEAD, last))])
            account = row_of(account_of, rows[ahead, col.QUERY])
            prefetch(accounts, account, NEWEST)
            prefetch(accounts, account, REQUESTS)
            if rows[ahead, col.DEPLOYMENT] >= 0:
                prefetch(trials, row_of(trial_of, rows[ahead, col.DEPLOYMENT]), UNTIL_NS)
            ahead = index(born[index(min(number + AHEAD, last))])
            newest = index(accounts[row_of(account_of, rows[ahead, col.QUERY]), NEWEST])
            prefetch(cells, newest, OLDER)
            prefetch(cells, newest, LONGEST)
        row = index(born[index(number)])
        account, birth_ns = row_of(account_of, rows[row, col.QUERY]), rows[row, col.ARRIVAL]
        cell = index(accounts[account, NEWEST])
        if cell == 0 or birth_ns - cells[cell, START_NS] >= window_ns:
            if not open_windows(accounts, cells, heads, account, birth_ns, window_ns):
                return number
            cell = index(accounts[account, NEWEST])
        while cell and cells[cell, START_NS] > birth_ns:
            cell = index(cells[cell, OLDER])
        heads[BORN_TOTAL] += 1
        accounts[account, REQUESTS] += 1
        if cell:
            cells[cell, BORN] += 1
            longest[cell, LONGEST] = max(longest[cell, LONGEST], values[row, col.ALLOWANCE])
        if rows[row, col.DEPLOYMENT] >= 0:
            trial = row_of(trial_of, rows[row, col.DEPLOYMENT])
            trials[trial, TRIAL_BORN] += birth_ns < trials[trial, UNTIL_NS]
    return len(born)


@compiled
def count_ends(  # noqa: PLR0912, PLR0915
    counts: Counts, rows: Ints, ended: Ints, done: int
) -> int:
    """Count ends from index ``done`` of ``ended`` on; return the index of the first uncounted one.

    A request is counted in the window of its birth, in O(operators + open windows).
    """
    accounts, trials, cells, heads = counts.accounts, counts.trials, counts.cells, counts.heads
    account_of, trial_of = counts.account_of, counts.trial_of
    steps_ns, steps, served = counts.steps_ns, counts.steps, counts.served
    chunks, spare = counts.chunks, counts.spare
    values = rows.view(np.float64)
    operators, last = operators_of(rows.shape[1]), len(ended) - 1
    for number in range(done, len(ended)):
        if heads[FREE_CHUNKS] == 0:
            return number
        ahead = index(ended[index(min(number + 3 * AHEAD, last))])
        for line in range(1 + operators):
            prefetch(rows, ahead, index(LINE * line))
        if len(accounts) > MANY:
            ahead = index(ended[index(min(number + 2 * AHEAD, last))])
            prefetch(accounts, row_of(account_of, rows[ahead, col.QUERY]), NEWEST)
            if rows[ahead, col.DEPLOYMENT] >= 0:
                prefetch(trials, row_of(trial_of, rows[ahead, col.DEPLOYMENT]), UNTIL_NS)
            ahead = index(ended[index(min(number + AHEAD, last))])
            newest = index(accounts[row_of(account_of, rows[ahead, col.QUERY]), NEWEST])
            for line in range(0, cells.shape[1], LINE):
                prefetch(cells, newest, index(line))
        row = index(ended[index(number)])
        account, birth_ns = row_of(account_of, rows[row, col.QUERY]), rows[row, col.ARRIVAL]
        outcome, allowance = index(rows[row, col.OUTCOME]), values[row, col.ALLOWANCE]
        latency_ns = rows[row, col.ENDED] - birth_ns
        bound_ns = _bound_by_account(accounts[account, BOUND_NS], allowance)
        completed = outcome == IS_COMPLETED
        good = completed and latency_ns <= bound_ns
        undecided = outcome == IS_IN_FLIGHT and latency_ns < bound_ns
        heads[ENDS_TOTAL + outcome] += 1
        accounts[account, ENDS + outcome] += 1
        accuracy = 0  # accuracy of the deployment at the birth, in units of 2**-40
        if rows[row, col.DEPLOYMENT] >= 0:
            trial = row_of(trial_of, rows[row, col.DEPLOYMENT])
            if completed:
                current = 0
                for step in range(1, steps.shape[1]):
                    if steps_ns[trial, step] <= birth_ns:
                        current = index(step)
                served[trial, current] += 1
                accuracy = steps[trial, current]
            if birth_ns < trials[trial, UNTIL_NS]:
                trials[trial, TRIAL_GOOD] += good
                trials[trial, TRIAL_BORN] -= undecided
                trials[trial, TRIAL_SERVED] += completed
                trials[trial, TRIAL_LOST] += outcome == IS_LOST
                trials[trial, TRIAL_ACCURACY] += accuracy
        cell = index(accounts[account, NEWEST])
        while cell and cells[cell, START_NS] > birth_ns:
            cell = index(cells[cell, OLDER])
        if cell == 0:
            continue  # the window was already judged, with this request as late
        before = index(cells[cell, WINDOW_ENDS + outcome])
        cells[cell, WINDOW_ENDS + outcome] += 1
        cells[cell, GOOD] += good
        cells[cell, UNDECIDED] += undecided
        if not completed:
            continue
        if allowance != 1.0:
            latency_ns = int(np.rint(latency_ns / allowance))
        cells[cell, SOJOURN_NS] += latency_ns
        cells[cell, ACCURACY] += accuracy
        for operator in range(operators):
            first, line = SUMS + col.PARTS * operator, line_of(operator)
            for part in range(col.PARTS):
                cells[cell, index(first + part)] += rows[row, index(line + col.QUEUEING + part)]
        cells[cell, ANSWER_NS] += rows[row, col.ANSWER]
        # All chunks but the newest are full, so the number of latencies is the place of the next.
        if before % PER_CHUNK == 0:
            heads[FREE_CHUNKS] -= 1
            chunk = index(spare[index(heads[FREE_CHUNKS])])
            chunks[chunk, OLDER_CHUNK] = cells[cell, LATENCIES]
            cells[cell, LATENCIES] = chunk
        chunks[index(cells[cell, LATENCIES]), index(FIRST + before % PER_CHUNK)] = latency_ns
    return len(ended)


@compiled
def spread_time(counts: Counts, which: Ints, done: int, now_ns: int, window_ns: int) -> int:
    """Add active and deployed ns to windows of accounts ``which[done:]``; return the next index."""
    accounts, cells, heads = counts.accounts, counts.cells, counts.heads
    for number in range(done, len(which)):
        account = which[number]
        while not accounts[account, DEPARTED] and accounts[account, NOTED_NS] < now_ns:
            noted_ns = accounts[account, NOTED_NS]
            if not open_windows(accounts, cells, heads, account, noted_ns, window_ns):
                return number
            cell = cell_at(accounts, cells, account, noted_ns, window_ns)
            end_ns = min(now_ns, cells[cell, START_NS] + window_ns)
            cells[cell, ACTIVE_NS] += end_ns - noted_ns
            if accounts[account, DEPLOYED]:
                cells[cell, DEPLOYED_NS] += end_ns - noted_ns
            accounts[account, NOTED_NS] = end_ns
    return len(which)


@compiled
def oldest_cell(counts: Counts, account: int) -> int:
    """Return the cell of a query's next window to be judged, or 0, in O(open windows)."""
    cell: int = counts.accounts[account, NEWEST]
    while cell and counts.cells[cell, OLDER]:
        cell = counts.cells[cell, OLDER]
    return cell


@compiled
def due_ns(counts: Counts, account: int, window_ns: int) -> int:
    """Return the time at which a query's next window is due: its end plus its longest bound."""
    longest = counts.cells.view(np.float64)[oldest_cell(counts, account), LONGEST]
    bound_ns = _bound_by_account(counts.accounts[account, BOUND_NS], longest)
    start_ns: int = counts.accounts[account, NEXT_NS]
    return start_ns + window_ns + bound_ns


@compiled
def note_due(counts: Counts, which: Ints, due: Ints, window_ns: int) -> None:
    """Write into ``due``, by account, the times at which the next windows of ``which`` are due."""
    for account in which:
        due[account] = due_ns(counts, account, window_ns)


@compiled
def take_windows(
    counts: Counts, which: Ints, now_ns: int, horizon: bool, window_ns: int, taken: Ints
) -> int:
    """Remove the windows to be judged from their lists, query by query, the oldest first.

    These are the windows that are due by ``now_ns``, or all windows at the horizon. For each
    window, (account, cell, start, due) is written to a row of ``taken``, which must have enough
    rows. If a window is not due, no later window of its query is due. The function returns the
    number of windows.
    """
    accounts, cells = counts.accounts, counts.cells
    count = 0
    for account in which:
        due = True
        while True:
            due = due and due_ns(counts, account, window_ns) <= now_ns
            over = accounts[account, NEXT_NS] >= accounts[account, NOTED_NS]
            if (over and (horizon or accounts[account, DEPARTED])) or not (due or horizon):
                break
            cell = oldest_cell(counts, account)  # 0 for a window that was never opened
            taken[count, 0], taken[count, 1] = account, cell
            taken[count, 2], taken[count, 3] = accounts[account, NEXT_NS], due
            count += 1
            accounts[account, NEXT_NS] += window_ns
            if cell == accounts[account, NEWEST]:
                accounts[account, NEWEST] = 0
            else:
                newer = accounts[account, NEWEST]
                while cells[newer, OLDER] != cell:
                    newer = cells[newer, OLDER]
                cells[newer, OLDER] = 0
    return count


@compiled
def select(values: Ints, low: int, high: int, at: int) -> None:
    """Move to index ``at`` the value that sorting ``values[low:high + 1]`` would move there.

    This is Quickselect (Hoare, "Algorithm 65: Find", 1961). Afterwards, lesser values are before
    that value, and greater values after it. The pivot is the median of three. Two passes of
    Lomuto's partition sort the values into less, equal and greater ones, so the time is not
    quadratic if many values are equal. This takes O(high - low) on average.
    """
    while high - low > 1:
        quarter = (high - low) // 4
        one, two = values[low + quarter], values[low + 2 * quarter]
        three = values[low + 3 * quarter]
        pivot = max(min(one, two), min(max(one, two), three))
        less = low  # places from `low` to `less` hold values below the pivot
        for each in range(low, high):
            value = values[each]
            values[each] = values[less]
            values[less] = value
            less += value < pivot
        if at < less:
            high = less
            continue
        equal = less  # places from `less` to `equal` hold the pivot
        for each in range(less, high):
            value = values[each]
            values[each] = values[equal]
            values[equal] = value
            equal += value == pivot
        if at < equal:
            return
        low = equal


@compiled
def ranked_latencies(counts: Counts, which: Ints, ranks: Ints) -> Ints:
    """Return latencies by rank in ns, of shape (n, r), and free the chunks of the cells ``which``.

    Rank 1 is the lowest latency. Ranks increase along each row of ``ranks``. Rank 0 stands for no
    latency, and gives 0. The value of each rank is selected from the values that are above the
    previous rank's value, in O(latencies) on average.
    """
    cells, chunks, heads = counts.cells, counts.chunks, counts.heads
    found = np.zeros(ranks.shape, np.int64)
    completed = WINDOW_ENDS + IS_COMPLETED
    most = 0
    for cell in which:
        most = max(most, cells[cell, completed])
    latencies = np.empty(most, np.int64)
    for at in range(len(which)):
        cell = which[at]
        count = cells[cell, completed]
        chunk, left = index(cells[cell, LATENCIES]), count
        while chunk:
            older = index(chunks[chunk, OLDER_CHUNK])
            for column in range(0, CHUNK_WIDTH, LINE):
                prefetch(chunks, older, column)
            size = (left - 1) % PER_CHUNK + 1  # the newest chunk may not be full
            for each in range(size):
                latencies[left - size + each] = chunks[chunk, FIRST + each]
            left -= size
            counts.spare[heads[FREE_CHUNKS]] = chunk
            heads[FREE_CHUNKS] += 1
            chunk = older
        low = 0
        for column in range(ranks.shape[1]):
            rank = ranks[at, column]
            if rank:
                if rank > low:
                    select(latencies, low, count, rank - 1)
                    low = rank
                found[at, column] = latencies[rank - 1]
    return found


@compiled
def give_back(counts: Counts, which: Ints) -> None:
    """Put cells, an array of shape (n,), on the list of free cells; the number 0 is ignored."""
    for cell in which:
        if cell:
            counts.cells[cell, OLDER] = counts.heads[FREE_CELL]
            counts.heads[FREE_CELL] = cell


@compiled
def carry_over(
    counts: Counts, which: Ints, met: NDArray[np.bool_], empty: NDArray[np.bool_]
) -> None:
    """Copy a query's last verdict into its windows without requests; store its newest verdict."""
    for at in range(len(which)):
        if empty[at]:
            met[at] = counts.accounts[which[at], LAST_MET] != 0
        else:
            counts.accounts[which[at], LAST_MET] = met[at]
