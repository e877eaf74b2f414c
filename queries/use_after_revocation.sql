/*---
title    = "Token exercised after its revocation"
severity = "critical"
status   = "stable"
kind     = "violation"
summary  = "A grant was exercised successfully although it had been revoked before."
rationale = """
A revocation is believed: whoever ordered it stops looking. A token that still works afterwards means the resource
does not ask, a cache outlives the order, or only one of several issuers was told, and the one who was shut out is
still inside.
"""
because  = "Grant {grant_id} was revoked at {revoked_at} and exercised {exercise_count} times after that, last at {last_exercised_at}."
false_positives = [
    "The source's clock runs ahead of or behind the revoker's by more than clock_skew.",
    "Self-contained access tokens that run out within minutes: a rule with a longer clock_skew allows for them.",
]
response = [
    "Revoke the grant again where it was exercised, and check with an attempt that it is refused now.",
    "Take what happened since violated_at for the act of whoever the revocation was aimed at.",
    "Find out what the revocation did not reach: a resource that does not introspect, a cache, a second issuer.",
]
key      = ["grant_id"]
reads    = ["broad_ends", "broad_revokes_parts", "contexts", "ends", "grants", "token_events"]
every    = "1m"
scope    = "grant"
resolved_by_end = true
nominate = "SELECT grant_id FROM grants WHERE last_exercised_at > revoked_at + clock_skew"
[controls]
csf         = ["PR.AA-01", "PR.AA-03"]
nhi         = ["NHI1:2025", "NHI4:2025"]
attack      = ["T1550.001"]
nist_800_53 = ["IA-13(3)", "AC-3(8)", "SC-23"]
---*/
WITH revokes AS (
    SELECT
        g.grant_id,
        e.event_time AS revoked_at,
        e.actor_id AS revoked_by,
        concat_ws(', ', 'family ' || e.family_id, 'token ' || e.token_id) AS named
    FROM token_events AS e
    INNER JOIN grants AS g ON g.grant_id = e.grant_id
    WHERE
        e.action = 'revoke'
        AND e.outcome = 'success'
        AND (e.token_id IS NOT NULL OR e.family_id IS NOT NULL)
        AND NOT (coalesce(e.token_kind IN ('access', 'id'), FALSE) AND g.has_other_kind)
        AND (e.event_time > g.started_at OR (e.event_time = g.started_at AND NOT g.is_derived))
    UNION ALL
    -- Those of a subject or a session belong to no grant, and who ordered them is not in the fold.
    SELECT DISTINCT
        g.grant_id,
        r.event_time AS revoked_at,
        CAST(NULL AS VARCHAR) AS revoked_by,
        concat_ws(
            ', ', 'subject ' || r.subject_id, 'client ' || r.client_id, 'device ' || r.device_id,
            'session ' || r.session_id, 'project ' || r.project_id
        ) AS named
    FROM broad_ends AS b
    INNER JOIN grants AS g ON g.grant_id = b.grant_id
    INNER JOIN contexts AS c ON c.grant_id = b.grant_id
    INNER JOIN broad_revokes_parts AS r ON r.event_time = b.ended_at AND r.is_short = b.is_short
    WHERE
        (r.subject_id IS NULL OR r.subject_id = c.subject_id)
        AND (r.client_id IS NULL OR r.client_id = c.client_id)
        AND (r.device_id IS NULL OR r.device_id = c.device_id)
        AND (r.session_id IS NULL OR r.session_id = c.session_id)
        AND (r.project_id IS NULL OR r.project_id = c.project_id)
        AND NOT (b.is_short AND g.has_other_kind)
        AND (b.ended_at > g.started_at OR (b.ended_at = g.started_at AND NOT g.is_derived))
),

revoked AS (
    SELECT grant_id, MIN(revoked_at) AS revoked_at
    FROM revokes
    GROUP BY grant_id
),

orders AS (
    SELECT
        d.grant_id,
        d.revoked_at,
        array_slice(
            array_agg(DISTINCT r.revoked_by ORDER BY r.revoked_by) FILTER (WHERE r.revoked_by IS NOT NULL), 1, 20
        ) AS revoked_by,
        array_slice(array_agg(DISTINCT r.named ORDER BY r.named), 1, 20) AS revoked_names
    FROM revoked AS d
    INNER JOIN revokes AS r ON r.grant_id = d.grant_id AND r.revoked_at = d.revoked_at
    GROUP BY d.grant_id, d.revoked_at
),

findings AS (
    SELECT
        e.grant_id,
        MIN(e.event_time) AS violated_at,
        MAX(e.event_time) AS last_exercised_at,
        COUNT(*) AS exercise_count,
        array_slice(array_agg(DISTINCT e.ip ORDER BY e.ip) FILTER (WHERE e.ip IS NOT NULL), 1, 20) AS ips,
        array_slice(
            array_agg(DISTINCT e.host_id ORDER BY e.host_id) FILTER (WHERE e.host_id IS NOT NULL), 1, 20
        ) AS hosts,
        array_slice(array_agg(e.event_id ORDER BY e.event_time, e.source, e.event_id), 1, 20) AS event_ids
    FROM token_events AS e
    INNER JOIN revoked AS d ON d.grant_id = e.grant_id
    INNER JOIN grants AS g ON g.grant_id = e.grant_id
    WHERE
        e.action IN ('issue', 'refresh', 'use')
        AND e.outcome = 'success'
        AND e.event_time > d.revoked_at + g.clock_skew
    GROUP BY e.grant_id
),

next_ends AS (
    SELECT f.grant_id, MIN(e.ended_at) AS resolved_at
    FROM findings AS f
    INNER JOIN ends AS e ON e.grant_id = f.grant_id AND e.ended_at > f.last_exercised_at
    GROUP BY f.grant_id
)

SELECT
    f.grant_id,
    f.violated_at,
    n.resolved_at,
    o.revoked_at,
    o.revoked_by,
    o.revoked_names,
    f.exercise_count,
    f.last_exercised_at,
    g.clock_skew,
    g.clock_skew_rule AS rule,
    f.ips,
    f.hosts,
    f.event_ids,
    f.exercise_count AS event_count
FROM findings AS f
INNER JOIN orders AS o ON o.grant_id = f.grant_id
INNER JOIN grants AS g ON g.grant_id = f.grant_id
LEFT JOIN next_ends AS n ON n.grant_id = f.grant_id
ORDER BY f.grant_id
