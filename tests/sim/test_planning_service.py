"""What the planning service computes for plans, and how long it keeps the results."""

from dataclasses import replace

from worlds import Does, queries_at, scenario, tables_of

from sim.planning import service as planning_service


def test_results_kept_for_plans_are_dropped_beyond_a_limit(monkeypatch):
    def act(context):
        for query in context.waiting:
            plans = [p for p in context.candidates(query) if set(p.placement) == {"cloud"}]
            for wait in range(300):
                allocation = tuple(
                    replace(each, max_wait_s=wait / 1e4) for each in plans[0].allocation
                )
                context.fits(query, replace(plans[0], allocation=allocation))
            context.deploy(query, plans[0])

    def made():
        tables = tables_of(scenario(30.0, workload=queries_at(1.0, 2.0, 3.0)), Does(act, 100.0))
        return tables["decisions"]

    kept = made()
    worked_out = []
    monkeypatch.setattr(planning_service, "PLANS_KEPT", 100)
    original = planning_service.PlanningService._work_out

    def counting(self, query, plan):
        worked_out.append(sum(map(len, self._figures.values())))
        return original(self, query, plan)

    monkeypatch.setattr(planning_service.PlanningService, "_work_out", counting)
    assert made().equals(kept)
    assert len(worked_out) > 300
    assert max(worked_out) <= 100
