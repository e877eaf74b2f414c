/*---
title    = "Grant not revoked at logout"
severity = "medium"
status   = "stable"
kind     = "violation"
summary  = "Somebody logged out, and a grant that the logout covers was still alive after the grace."
rationale = """
Whoever logs out believes that nothing of theirs is left behind. Many clients only drop their copy of the token: the
refresh token stays good at the server, and a copy in a backup, a shared home directory or a thief's hands renews on.
"""
because  = "A logout at {logged_out_at} covers grant {grant_id}, which was still alive {logout_grace} later; exercises after that: {exercise_count}."
absence  = { from = "logged_out_at", to = "violated_at" }
false_positives = [
    "The revocation is recorded by a system whose events do not arrive here.",
    "Offline access that is meant to outlive the session: give such clients a rule with a long logout_grace.",
]
response = [
    "Revoke the grant; its owner has already said goodbye.",
    "If the finding is high, ask the owner whether the exercises after violated_at were theirs, and look at the ips.",
    "Have the client call the revocation endpoint when it logs out (RFC 7009).",
]
key      = ["grant_id"]
reads    = ["grants", "logged_out", "token_events"]
every    = "5m"
scope    = "grant"
resolved_by_end = true
nominate = """
SELECT DISTINCT l.grant_id
FROM logged_out AS l
INNER JOIN grants AS g ON g.grant_id = l.grant_id
WHERE g.ended_at IS NULL OR g.ended_at > l.logged_out_at + g.logout_grace
"""
[controls]
csf         = ["PR.AA-01"]
nhi         = ["NHI1:2025"]
attack      = ["T1550.001"]
nist_800_53 = ["SC-23(1)", "AC-12(1)", "IA-13(3)"]
---*/
WITH violations AS (
    SELECT
        l.grant_id,
        l.logged_out_at,
        l.event_id,
        l.named,
        l.logged_out_at + g.logout_grace AS violated_at,
        g.ended_at
    FROM logged_out AS l
    INNER JOIN grants AS g ON g.grant_id = l.grant_id
    WHERE
        l.logged_out_at + g.logout_grace <= $as_of
        AND g.started_at <= l.logged_out_at + g.logout_grace
        AND (g.ended_at IS NULL OR g.ended_at > l.logged_out_at + g.logout_grace)
),

findings AS (
    SELECT
        grant_id,
        ended_at,
        MIN(violated_at) AS violated_at,
        MIN(logged_out_at) AS logged_out_at,
        array_slice(array_agg(DISTINCT named ORDER BY named), 1, 20) AS named
    FROM violations
    GROUP BY grant_id, ended_at
),

exercises AS (
    -- What happened after an end is for use_after_revocation and use_after_expiry to judge.
    SELECT e.grant_id, e.event_id, e.event_time, e.ip
    FROM findings AS f
    INNER JOIN token_events AS e ON e.grant_id = f.grant_id
    WHERE
        e.action IN ('issue', 'refresh', 'use')
        AND e.outcome = 'success'
        AND e.event_time > f.violated_at
        AND (f.ended_at IS NULL OR e.event_time <= f.ended_at)
),

counted AS (
    SELECT grant_id, TRUE AS is_exercise, event_id, event_time, ip
    FROM exercises
    UNION ALL
    SELECT grant_id, FALSE AS is_exercise, event_id, logged_out_at AS event_time, NULL AS ip
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
    CASE WHEN e.exercise_count > 0 THEN 'high' ELSE 'medium' END AS severity,
    f.logged_out_at,
    f.named,
    e.exercise_count,
    g.last_exercised_at,
    g.logout_grace,
    g.logout_grace_rule AS rule,
    e.ips,
    e.event_ids,
    e.event_count
FROM findings AS f
INNER JOIN grants AS g ON g.grant_id = f.grant_id
INNER JOIN evidence AS e ON e.grant_id = f.grant_id
ORDER BY f.grant_id
