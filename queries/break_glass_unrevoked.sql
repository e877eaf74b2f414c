/*---
title    = "Break-glass grant not revoked in time"
severity = "high"
status   = "stable"
kind     = "violation"
summary  = "A grant of an emergency credential was not revoked within the time the policy gives an emergency."
rationale = """
A break-glass login opens what is shut on every other day, with fewer questions asked. It is safe only if somebody
closes it afterwards and says so: a token that merely runs out was in reach all that time, and shows that nobody looked.
Exercised past the limit, it is no longer an emergency.
"""
because  = "Emergency grant {grant_id} had begun by {started_at} and was not revoked within {max_age}; exercises after that: {late_exercise_count}."
absence  = { from = "started_at", to = "violated_at" }
false_positives = [
    "The emergency lasted longer than the policy allows for: it should have been renewed with a new login.",
    "The revocation took place where no event tells of it.",
    "The issuing was not seen and the start is when the grant was first met: age_is_lower_bound says so.",
]
response = [
    "Revoke the grant now, and change the credential behind it.",
    "Go through everything done with it since started_at, together with whoever broke the glass.",
    "Make revoking a step of closing the incident.",
]
key      = ["grant_id"]
reads    = ["contexts", "grants", "token_events"]
every    = "1m"
scope    = "grant"
nominate = """
SELECT grant_id
FROM grants
WHERE is_break_glass AND started_at + break_glass_max_age <= $as_of
"""
[controls]
csf         = ["PR.AA-05", "PR.AA-01"]
nhi         = ["NHI7:2025", "NHI5:2025"]
attack      = ["T1078.004"]
nist_800_53 = ["AC-2(2)", "AC-2(3)", "AC-6"]
---*/
WITH emergencies AS (
    SELECT
        grant_id,
        started_at,
        age_is_lower_bound,
        started_at + break_glass_max_age AS violated_at,
        break_glass_max_age AS max_age,
        revoked_at,
        expires_at,
        last_exercised_at
    FROM grants
    WHERE is_break_glass
),

violations AS (
    SELECT
        grant_id,
        started_at,
        age_is_lower_bound,
        violated_at,
        max_age,
        revoked_at,
        expires_at,
        last_exercised_at
    FROM emergencies
    WHERE violated_at <= $as_of AND (revoked_at IS NULL OR revoked_at > violated_at)
),

subjects AS (
    SELECT
        c.grant_id,
        array_slice(array_agg(DISTINCT c.subject_id ORDER BY c.subject_id), 1, 20) AS subjects,
        COUNT(DISTINCT c.subject_id) AS subject_count
    FROM contexts AS c
    INNER JOIN violations AS v ON v.grant_id = c.grant_id
    WHERE c.subject_id IS NOT NULL
    GROUP BY c.grant_id
),

exercises AS (
    SELECT
        e.grant_id,
        COUNT(*) AS exercise_count,
        COUNT(*) FILTER (WHERE e.event_time > v.violated_at) AS late_exercise_count,
        array_slice(array_agg(DISTINCT e.client_id ORDER BY e.client_id) FILTER (WHERE e.client_id IS NOT NULL), 1, 20)
            AS clients,
        array_slice(array_agg(DISTINCT e.ip ORDER BY e.ip) FILTER (WHERE e.ip IS NOT NULL), 1, 20) AS ips,
        array_slice(array_agg(e.event_id ORDER BY e.event_time, e.source, e.event_id), 1, 20) AS event_ids
    FROM token_events AS e
    INNER JOIN violations AS v ON v.grant_id = e.grant_id
    WHERE e.action IN ('issue', 'refresh', 'use') AND e.outcome = 'success'
    GROUP BY e.grant_id
)

SELECT
    v.grant_id,
    v.violated_at,
    v.revoked_at AS resolved_at,
    CASE WHEN v.last_exercised_at > v.violated_at THEN 'critical' ELSE 'high' END AS severity,
    v.started_at,
    v.age_is_lower_bound,
    v.max_age,
    v.revoked_at,
    v.expires_at,
    v.last_exercised_at,
    x.late_exercise_count,
    s.subjects,
    coalesce(s.subject_count, 0) AS subject_count,
    x.clients,
    x.ips,
    x.event_ids,
    x.exercise_count AS event_count
FROM violations AS v
INNER JOIN exercises AS x ON x.grant_id = v.grant_id
LEFT JOIN subjects AS s ON s.grant_id = v.grant_id
ORDER BY v.grant_id
