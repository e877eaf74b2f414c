/*---
title    = "Compromise reported, grant not revoked"
severity = "high"
status   = "stable"
kind     = "violation"
summary  = "Something was reported compromised, and a grant that the report covers was not ended in time."
rationale = """
A report that something was stolen is worth what follows from it. Until every grant it covers has ended, whoever took
the token goes on renewing it, and the detection that cost so much effort has changed nothing.
"""
because  = "A compromise reported at {compromised_at} covers grant {grant_id}, which was still alive {revocation_sla} later; exercises since: {exercise_count}."
absence  = { from = "compromised_at", to = "violated_at" }
false_positives = [
    "The report was withdrawn elsewhere: there is no event that takes a compromise back, so let an exception say it.",
    "A report about a subject reaches grants on machines that were never in danger.",
]
response = [
    "Revoke the grant, then whatever else the report covers.",
    "If the finding is critical, treat the exercises since compromised_at as the attacker's until shown otherwise.",
    "Let the receiver of such reports (CAEP, RISC, an EDR) revoke by itself.",
]
key      = ["grant_id"]
reads    = ["compromised", "grants", "token_events"]
every    = "1m"
scope    = "grant"
resolved_by_end = true
nominate = """
SELECT DISTINCT c.grant_id
FROM compromised AS c
INNER JOIN grants AS g ON g.grant_id = c.grant_id
WHERE g.ended_at IS NULL OR g.ended_at > c.compromised_at + g.revocation_sla
"""
[controls]
csf         = ["PR.AA-01"]
nhi         = ["NHI1:2025", "NHI2:2025"]
attack      = ["T1528", "T1550.001"]
nist_800_53 = ["IA-13(3)", "AC-2(13)", "IR-4"]
---*/
WITH violations AS (
    SELECT
        c.grant_id,
        c.compromised_at,
        c.event_id,
        c.named,
        c.compromised_at + g.revocation_sla AS violated_at,
        g.ended_at
    FROM compromised AS c
    INNER JOIN grants AS g ON g.grant_id = c.grant_id
    WHERE
        c.compromised_at + g.revocation_sla <= $as_of
        AND g.started_at <= c.compromised_at + g.revocation_sla
        AND (g.ended_at IS NULL OR g.ended_at > c.compromised_at + g.revocation_sla)
),

findings AS (
    SELECT
        grant_id,
        ended_at,
        MIN(violated_at) AS violated_at,
        MIN(compromised_at) AS compromised_at,
        array_slice(array_agg(DISTINCT named ORDER BY named), 1, 20) AS named
    FROM violations
    GROUP BY grant_id, ended_at
),

exercises AS (
    SELECT e.grant_id, e.event_id, e.event_time, e.ip
    FROM findings AS f
    INNER JOIN token_events AS e ON e.grant_id = f.grant_id
    WHERE e.action IN ('issue', 'refresh', 'use') AND e.outcome = 'success' AND e.event_time > f.compromised_at
),

counted AS (
    SELECT grant_id, TRUE AS is_exercise, event_id, event_time, ip
    FROM exercises
    UNION ALL
    SELECT grant_id, FALSE AS is_exercise, event_id, compromised_at AS event_time, NULL AS ip
    FROM violations
),

evidence AS (
    SELECT
        grant_id,
        COUNT(*) FILTER (WHERE is_exercise) AS exercise_count,
        array_slice(array_agg(DISTINCT ip ORDER BY ip) FILTER (WHERE ip IS NOT NULL), 1, 20) AS ips,
        array_slice(array_agg(event_id ORDER BY event_time, event_id), 1, 20) AS event_ids,
        COUNT(*) AS event_count
    FROM counted
    GROUP BY grant_id
)

SELECT
    f.grant_id,
    f.violated_at,
    CASE WHEN f.ended_at <= $as_of THEN f.ended_at END AS resolved_at,
    CASE WHEN e.exercise_count > 0 THEN 'critical' ELSE 'high' END AS severity,
    f.compromised_at,
    f.named,
    e.exercise_count,
    g.last_exercised_at,
    g.revocation_sla,
    g.revocation_sla_rule AS rule,
    e.ips,
    e.event_ids,
    e.event_count
FROM findings AS f
INNER JOIN grants AS g ON g.grant_id = f.grant_id
INNER JOIN evidence AS e ON e.grant_id = f.grant_id
ORDER BY f.grant_id
