/*---
title    = "A person's token used in CI"
severity = "high"
status   = "stable"
kind     = "violation"
summary  = "A grant that belongs to a person was exercised by a CI client or on a CI runner."
rationale = """
A pipeline that borrows a person's token can do all that the person can, and whoever can change the pipeline can too.
The audit trail names the person for what the pipeline did, and when the person leaves, the pipeline breaks, or
worse, does not.
"""
because  = "Grant {grant_id} belongs to a person, and a build pipeline (CI) exercised it {exercise_count} times, first at {violated_at}."
false_positives = [
    "A person's own machine that is registered as a runner: state its host kind as workstation.",
    "A service account that its provider reports as human: state the subject's kind where it is known.",
]
response = [
    "Revoke the grant, and take the token out of the pipeline's secrets.",
    "Give the pipeline an identity of its own: workload identity, or a service account with the scopes it needs.",
    "Look for the token on the hosts and in the logs of the clients in the evidence.",
]
key      = ["grant_id"]
reads    = ["contexts", "ends", "token_events"]
every    = "5m"
scope    = "grant"
resolved_by_end = true
nominate = """
SELECT DISTINCT grant_id
FROM exercises
WHERE host_kind = 'ci_runner' OR client_kind = 'ci'
"""
[controls]
csf         = ["PR.AA-02", "PR.AA-05"]
nhi         = ["NHI2:2025", "NHI8:2025"]
attack      = ["T1528", "T1552.001", "T1078.004"]
nist_800_53 = ["IA-9", "AC-2", "AC-6", "IA-5(7)"]
---*/
WITH kinds AS (
    SELECT
        grant_id,
        subject_id,
        CASE WHEN subject_kind <> 'unknown' THEN subject_kind END AS subject_kind
    FROM contexts
),

people AS (
    -- A pipeline's log often knows the token and not the person: then the rest of the grant says whose it is.
    SELECT
        grant_id,
        BOOL_AND(subject_kind = 'human') FILTER (WHERE subject_kind IS NOT NULL) AS is_only_human,
        array_slice(array_agg(DISTINCT subject_id ORDER BY subject_id) FILTER (WHERE subject_id IS NOT NULL), 1, 20)
            AS subjects,
        COUNT(DISTINCT subject_id) AS subject_count
    FROM kinds
    GROUP BY grant_id
    HAVING BOOL_OR(coalesce(subject_kind = 'human', FALSE))
),

in_ci AS (
    SELECT
        grant_id,
        source,
        event_id,
        event_time,
        CASE WHEN subject_kind <> 'unknown' THEN subject_kind END AS subject_kind,
        client_id,
        host_id,
        ip
    FROM token_events
    WHERE
        action IN ('issue', 'refresh', 'use')
        AND outcome = 'success'
        AND (host_kind = 'ci_runner' OR client_kind = 'ci')
),

findings AS (
    SELECT
        c.grant_id,
        MIN(c.event_time) AS violated_at,
        MAX(c.event_time) AS last_exercised_in_ci_at,
        COUNT(*) AS exercise_count,
        array_slice(array_agg(DISTINCT c.host_id ORDER BY c.host_id) FILTER (WHERE c.host_id IS NOT NULL), 1, 20)
            AS hosts,
        COUNT(DISTINCT c.host_id) AS host_count,
        array_slice(array_agg(DISTINCT c.client_id ORDER BY c.client_id) FILTER (WHERE c.client_id IS NOT NULL), 1, 20)
            AS clients,
        COUNT(DISTINCT c.client_id) AS client_count,
        array_slice(array_agg(DISTINCT c.ip ORDER BY c.ip) FILTER (WHERE c.ip IS NOT NULL), 1, 20) AS ips,
        array_slice(array_agg(c.event_id ORDER BY c.event_time, c.source, c.event_id), 1, 20) AS event_ids
    FROM in_ci AS c
    INNER JOIN people AS p ON p.grant_id = c.grant_id
    WHERE coalesce(c.subject_kind = 'human', p.is_only_human)
    GROUP BY c.grant_id
),

resolved AS (
    SELECT
        f.grant_id,
        f.violated_at,
        MIN(e.ended_at) AS resolved_at,
        f.last_exercised_in_ci_at,
        f.exercise_count,
        f.hosts,
        f.host_count,
        f.clients,
        f.client_count,
        f.ips,
        f.event_ids
    FROM findings AS f
    LEFT JOIN ends AS e ON e.grant_id = f.grant_id AND e.ended_at > f.last_exercised_in_ci_at
    GROUP BY
        f.grant_id, f.violated_at, f.last_exercised_in_ci_at, f.exercise_count, f.hosts, f.host_count, f.clients,
        f.client_count, f.ips, f.event_ids
)

SELECT
    r.grant_id,
    r.violated_at,
    r.resolved_at,
    r.exercise_count,
    r.last_exercised_in_ci_at,
    p.subjects,
    p.subject_count,
    r.hosts,
    r.host_count,
    r.clients,
    r.client_count,
    r.ips,
    r.event_ids,
    r.exercise_count AS event_count
FROM resolved AS r
INNER JOIN people AS p ON p.grant_id = r.grant_id
ORDER BY r.grant_id
