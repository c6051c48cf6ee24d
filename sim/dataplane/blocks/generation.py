"""Stations of language models, simulated run by run; ``events/generation.py`` is the reference.

Engines use continuous batching: requests join and leave between iterations (Yu et al., "Orca: a
distributed serving system for Transformer-based generative models", 2022). All iterations between
two changes of an engine's requests have the same duration, so a *run* of them is one event. The
jobs of an engine are the rows of the requests for which it generates tokens, and of those that it
will admit after the present iteration. When a request is dropped during generation, a *ghost* row
occupies the request's sequences and memory until the time of its last token.
"""

from scenarios.compiled import in_place, inlined
from sim.dataplane.base import request_rows as col
from sim.dataplane.base.durations import NEVER, batch_ns, prompt_ns, whole
from sim.dataplane.base.queueing import steps_to_boundary
from sim.dataplane.blocks import tables as tb
from sim.dataplane.blocks.disciplines import sheds, wait_by_rank
from sim.dataplane.blocks.lists import drop_behind, end, gather, lose_arrivals
from sim.dataplane.blocks.tables import GHOST, PlaneTables, RecordArray


@in_place
def take_generation(t: PlaneTables, station: int, until_ns: int) -> None:
    """Simulate a station of a language model up to the sync point.

    This is a next-event loop: at each event time, first runs end, then requests arrive and are
    assigned, then runs begin.
    """
    stops = t.stops
    n = gather(t, station, until_ns)
    if stops[station].failed:
        lose_arrivals(t, n)
        return
    model = stops[station].model
    first, last = t.models[model].engines_at, t.models[model].engines_at + stops[station].servers
    i = 0
    while True:
        now_ns = t.times[t.row_ids[i]] if i < n else NEVER
        for engine in range(first, last):
            if t.engines[engine].steps > 0:
                now_ns = min(now_ns, _run_ends_ns(t.engines, engine))
        if now_ns >= until_ns:
            break
        arrived, ended = False, _end_runs(t, station, first, last, now_ns)
        while i < n and t.times[t.row_ids[i]] == now_ns:
            arrived |= _enter(t, station, model, t.row_ids[i], now_ns)
            i += 1
        if arrived or ended:
            _hand_out(t, station, model, first, last, now_ns)
        for engine in range(first, last):
            if t.engines[engine].steps > 0 and t.engines[engine].joining_first != tb.NONE:
                _cut(t, station, engine, now_ns)
            if t.engines[engine].steps == 0:
                _start_run(t, station, model, engine, now_ns)
        if arrived and stops[station].capacity != tb.NONE:
            drop_behind(t, station, stops[station].capacity, now_ns)


@inlined
def _run_ends_ns(engines: RecordArray, engine: int) -> int:
    """Return the time at which the present run of an engine ends."""
    return int(engines[engine].began_ns + engines[engine].steps * engines[engine].step_ns)


@in_place
def _enter(t: PlaneTables, station: int, model: int, row: int, now_ns: int) -> bool:
    """Queue a request; drop it if no engine could ever admit it, so that it blocks no other."""
    rows, rows_f, jobs = t.rows, t.rows_f, t.jobs
    visit = rows[row, col.VISIT]
    tokens, line = int(t.visits[visit].mean), t.visits[visit].column
    prompt = whole(t.tokens[tokens].prompt * rows_f[row, col.SIZE])
    varies = rows_f[row, line + col.VARIABILITY]
    left = whole(t.tokens[tokens].output * rows_f[row, col.LENGTH] * varies)
    sequences = t.tokens[tokens].sequences
    jobs[row].prompt, jobs[row].left, jobs[row].sequences = prompt, left, sequences
    jobs[row].kv_tokens = prompt + sequences * left
    if jobs[row].kv_tokens > t.models[model].kv_tokens or sequences > t.models[model].most:
        end(t, row, tb.IS_DROPPED, now_ns)
        return False
    wait_by_rank(t, station, row)
    return True


@in_place
def _hand_out(t: PlaneTables, station: int, model: int, first: int, last: int, now_ns: int) -> None:
    """Assign each waiting request to the engine with the fewest sequences among those with room."""
    stops, engines, jobs = t.stops, t.engines, t.jobs
    most, memory = t.models[model].most, t.models[model].kv_tokens
    while stops[station].waiting_first != tb.NONE:
        row = stops[station].waiting_first
        best = tb.NONE
        for engine in range(first, last):
            if (
                engines[engine].sequences + jobs[row].sequences <= most
                and engines[engine].kv_tokens + jobs[row].kv_tokens <= memory
                and (best == tb.NONE or engines[engine].sequences < engines[best].sequences)
            ):
                best = engine
        if best == tb.NONE:
            break  # a request without room blocks those behind it
        stops[station].waiting_first = t.chain[row]
        stops[station].waiting -= 1
        if t.chain[row] == tb.NONE:
            stops[station].waiting_last = tb.NONE
        if sheds(t, station, row, now_ns):
            end(t, row, tb.IS_SHED, now_ns)
            continue
        engines[best].sequences += jobs[row].sequences
        engines[best].kv_tokens += jobs[row].kv_tokens
        t.chain[row] = engines[best].joining_first
        engines[best].joining_first = row


@in_place
def _cut(t: PlaneTables, station: int, engine: int, now_ns: int) -> None:
    """Shorten the present run to the end of its present iteration, if it is longer."""
    engines = t.engines
    steps = steps_to_boundary(engines[engine].began_ns, now_ns, engines[engine].step_ns)
    if steps < engines[engine].steps:
        engines[engine].steps = steps
        if _run_ends_ns(engines, engine) == now_ns:
            _end_run(t, station, engine, now_ns)


@in_place
def _end_runs(t: PlaneTables, station: int, first: int, last: int, now_ns: int) -> bool:
    """End the runs that end at ``now_ns``; return whether any run ended."""
    any_ended = False
    for engine in range(first, last):
        if t.engines[engine].steps > 0 and _run_ends_ns(t.engines, engine) == now_ns:
            _end_run(t, station, engine, now_ns)
            any_ended = True
    return any_ended


@in_place
def _end_run(t: PlaneTables, station: int, engine: int, now_ns: int) -> None:
    """End a run: subtract the generated tokens, and let finished requests leave."""
    rows, engines, jobs, counts = t.rows, t.engines, t.jobs, t.counts
    steps = engines[engine].steps
    t.stops[station].busy_ns += steps * engines[engine].step_ns
    engines[engine].steps = 0
    row = engines[engine].active_first
    engines[engine].active_first = tb.NONE
    while row != tb.NONE:
        following = t.chain[row]
        jobs[row].left -= steps
        if jobs[row].left > 0:
            t.chain[row] = engines[engine].active_first
            engines[engine].active_first = row
        else:
            engines[engine].sequences -= jobs[row].sequences
            engines[engine].kv_tokens -= jobs[row].kv_tokens
            if rows[row, col.OUTCOME] == GHOST:
                t.free[counts[tb.FREE]] = row
                counts[tb.FREE] += 1
            else:
                line = t.visits[rows[row, col.VISIT]].column
                rows[row, line + col.COMPUTE] = now_ns - jobs[row].admitted_ns
                rows[row, col.VISIT] += 1
                t.times[row] = now_ns
                t.out[counts[tb.OUT]] = row
                counts[tb.OUT] += 1
        row = following


@in_place
def _start_run(t: PlaneTables, station: int, model: int, engine: int, now_ns: int) -> None:
    """Admit joining requests, and begin a run: one iteration with prefill, or only decoding."""
    rows, engines, jobs, models = t.rows, t.engines, t.jobs, t.models
    decoding, steps = 0, NEVER  # a run of decoding lasts until a request has no tokens left
    row = engines[engine].active_first
    while row != tb.NONE:
        decoding += jobs[row].sequences
        steps = min(steps, jobs[row].left)
        row = t.chain[row]
    step_ns = t.steps[models[model].decode_at + decoding - 1] if decoding > 0 else 0
    row = engines[engine].joining_first
    if row != tb.NONE:
        steps = 1
        step_ns += models[model].prefill_fixed_ns
    while row != tb.NONE:
        following = t.chain[row]
        step_ns += prompt_ns(
            jobs[row].prompt,
            models[model].prefill_ns_per_token,
            models[model].prefill_ns_per_token2,
        )
        jobs[row].admitted_ns = now_ns
        line = t.visits[rows[row, col.VISIT]].column
        rows[row, line + col.QUEUEING] = now_ns - t.times[row]
        t.chain[row] = engines[engine].active_first
        engines[engine].active_first = row
        row = following
    engines[engine].joining_first = tb.NONE
    if engines[engine].active_first == tb.NONE:
        return
    step_ns = batch_ns(step_ns, 1.0, t.stops[station].slowdown)
    engines[engine].began_ns, engines[engine].step_ns = now_ns, step_ns
    engines[engine].steps = steps


@in_place
def drop_jobs(t: PlaneTables, station: int, deployment: int, at_ns: int) -> None:
    """Drop the requests of a deployment at engines; ghosts replace the active requests."""
    rows, engines, jobs, counts = t.rows, t.engines, t.jobs, t.counts
    first = t.models[t.stops[station].model].engines_at
    for engine in range(first, first + t.stops[station].servers):
        row = engines[engine].joining_first
        engines[engine].joining_first = tb.NONE
        while row != tb.NONE:
            following = t.chain[row]
            if rows[row, col.DEPLOYMENT] == deployment:
                engines[engine].sequences -= jobs[row].sequences
                engines[engine].kv_tokens -= jobs[row].kv_tokens
                end(t, row, tb.IS_DROPPED, at_ns)
            else:
                t.chain[row] = engines[engine].joining_first
                engines[engine].joining_first = row
            row = following
        row, before = engines[engine].active_first, tb.NONE
        while row != tb.NONE:
            if rows[row, col.DEPLOYMENT] == deployment and rows[row, col.OUTCOME] != GHOST:
                counts[tb.FREE] -= 1
                ghost = t.free[counts[tb.FREE]]
                rows[ghost, col.OUTCOME], t.chain[ghost] = GHOST, t.chain[row]
                jobs[ghost].left, jobs[ghost].sequences = jobs[row].left, jobs[row].sequences
                jobs[ghost].kv_tokens = jobs[row].kv_tokens
                if before == tb.NONE:
                    engines[engine].active_first = ghost
                else:
                    t.chain[before] = ghost
                end(t, row, tb.IS_DROPPED, at_ns)
                row = ghost
            before, row = row, t.chain[row]


@in_place
def lose_jobs(t: PlaneTables, station: int, at_ns: int) -> None:
    """Lose all requests that engines are serving or will admit."""
    rows, engines, counts = t.rows, t.engines, t.counts
    first = t.models[t.stops[station].model].engines_at
    for engine in range(first, first + t.stops[station].servers):
        lists = (engines[engine].joining_first, engines[engine].active_first)
        engines[engine].joining_first = engines[engine].active_first = tb.NONE
        for i in range(2):
            row = lists[i]
            while row != tb.NONE:
                following = t.chain[row]
                if rows[row, col.OUTCOME] == GHOST:
                    t.free[counts[tb.FREE]] = row
                    counts[tb.FREE] += 1
                else:
                    end(t, row, tb.IS_LOST, at_ns)
                row = following
