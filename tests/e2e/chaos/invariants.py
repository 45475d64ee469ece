"""What must be true of the rows of a server, whatever happened to it."""

from __future__ import annotations

from typing import Any

import psycopg

from dstack_web.embedded.attach import attach
from tests.e2e.stack import Stack

# What it means, and a query that finds rows for which it is not so.
RULES = {
    "each transition has exactly one event": """
        SELECT o.id, o.state_version, count(e.id) FROM (
            SELECT id, state_version, 'run' AS machine FROM runs_run
            UNION ALL SELECT id, state_version, 'replica' FROM runs_replica
            UNION ALL SELECT id, state_version, 'workload' FROM instances_workload
            UNION ALL SELECT id, state_version, 'instance' FROM instances_instance
        ) o LEFT JOIN core_event e ON e.object_id = o.id AND e.machine = o.machine
        GROUP BY o.id, o.state_version HAVING count(e.id) <> o.state_version + 1""",
    "events follow each other": """
        SELECT a.object_id, a.version FROM core_event a JOIN core_event b
        ON b.object_id = a.object_id AND b.machine = a.machine AND b.version = a.version + 1
        WHERE b.old <> a.new""",
    "a final state is final": """
        SELECT object_id, version FROM core_event
        WHERE machine IN ('run', 'replica') AND old IN ('stopped', 'failed')""",
    "no two live replicas have one number": """
        SELECT run_id, num FROM runs_replica WHERE state NOT IN ('stopped', 'failed')
        GROUP BY run_id, num HAVING count(*) > 1""",
    "no two replicas share a workload": """
        SELECT workload_id FROM runs_replica WHERE workload_id IS NOT NULL
        GROUP BY workload_id HAVING count(*) > 1""",
    "a machine that is not shared carries one workload at most": """
        SELECT w.instance_id FROM instances_workload w JOIN instances_instance i
        ON i.id = w.instance_id WHERE NOT i.shared AND w.state <> 'exited'
        GROUP BY w.instance_id HAVING count(*) > 1""",
    "a run that is over has no live replica": """
        SELECT r.id FROM runs_replica r JOIN runs_run u ON u.id = r.run_id
        WHERE u.state IN ('stopped', 'failed') AND r.state NOT IN ('stopped', 'failed')""",
}
# True once all has come to rest.
AT_REST = {
    "every workload that runs has a live replica": """
        SELECT w.id FROM instances_workload w WHERE w.state <> 'exited' AND NOT EXISTS (
            SELECT 1 FROM runs_replica r WHERE r.workload_id = w.id
            AND r.state NOT IN ('stopped', 'failed'))""",
    "each run has as many live replicas as it wants": """
        SELECT u.name, u.replicas_wanted, count(r.id) FROM runs_run u
        LEFT JOIN runs_replica r ON r.run_id = u.id AND r.state = 'running'
        WHERE u.state NOT IN ('stopping', 'stopped', 'failed')
        GROUP BY u.id HAVING count(r.id) <> u.replicas_wanted""",
    "nothing is still stopping": """
        SELECT name FROM runs_run WHERE state = 'stopping'""",
}


def broken(stack: Stack, *, at_rest: bool = False) -> dict[str, list[Any]]:
    """Return the rules that do not hold, with some of the rows."""
    environ = {"DSTACK_HOME": str(stack.home)}
    attach(environ)
    return broken_in(environ["DATABASE_URL"], at_rest=at_rest)


def broken_in(database_url: str, *, at_rest: bool = False) -> dict[str, list[Any]]:
    """Look into one database, in one transaction."""
    rules = {**RULES, **(AT_REST if at_rest else {})}
    with psycopg.connect(database_url) as connection:
        # Else a change between two parts of a rule would look like a break of it.
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        found = {rule: connection.execute(query).fetchmany(3) for rule, query in rules.items()}
    return {rule: rows for rule, rows in found.items() if rows}
