/*---
title    = "Grant not revoked within the time agreed"
severity = "medium"
status   = "stable"
kind     = "violation"
summary  = "Somebody left, a device was lost or something was compromised, and a grant was not ended in time."
rationale = """
How long revocation takes is the number that says whether offboarding works: every hour is one in which a former
employee or a thief holds a key. Counted per trigger, it shows which of the three processes is the slow one.
"""
because  = "Grant {grant_id} should have ended within {revocation_sla} of {triggered_at} (trigger: {trigger}), and was still alive at {violated_at}."
absence  = { from = "triggered_at", to = "violated_at" }
false_positives = [
    "The revocation happened in time and its event came from elsewhere, or not at all.",
    "The offboarding was recorded ahead of the last working day.",
]
response = [
    "Revoke the grant if it is open.",
    "Follow the path from the trigger to the revocation: what waited for whom.",
    "Let the trigger revoke by itself; a ticket is no revocation.",
]
key      = ["trigger", "grant_id"]
reads    = ["compromised", "compromises", "contexts", "device_losses", "grants", "offboardings"]
every    = "5m"
[controls]
csf         = ["PR.AA-01"]
nhi         = ["NHI1:2025"]
attack      = ["T1550.001"]
nist_800_53 = ["AC-2(3)", "AC-2(13)", "PS-4", "IA-13(3)"]
---*/
WITH reports AS (
    SELECT event_id, compromised_at, MIN(coalesce(grant_id, device_id, session_id, subject_id)) AS named
    FROM compromises
    GROUP BY event_id, compromised_at
),

triggers AS (
    SELECT DISTINCT
        'offboard' AS trigger,
        c.grant_id,
        o.subject_id AS named,
        o.project_id AS left_project_id,
        o.event_id,
        o.offboarded_at AS triggered_at,
        o.reinstated_at AS closed_at,
        FALSE AS covers_later
    FROM offboardings AS o
    INNER JOIN contexts AS c ON c.subject_id = o.subject_id AND (o.project_id IS NULL OR o.project_id = c.project_id)
    UNION ALL
    SELECT DISTINCT
        'device_lost' AS trigger,
        c.grant_id,
        l.device_id AS named,
        NULL AS left_project_id,
        l.event_id,
        l.lost_at AS triggered_at,
        l.recovered_at AS closed_at,
        FALSE AS covers_later
    FROM device_losses AS l
    INNER JOIN contexts AS c ON c.device_id = l.device_id
    WHERE l.recovered_at IS NULL OR c.first_exercised_at < l.recovered_at
    UNION ALL
    SELECT
        'compromise' AS trigger,
        c.grant_id,
        r.named,
        NULL AS left_project_id,
        c.event_id,
        c.compromised_at AS triggered_at,
        CAST(NULL AS TIMESTAMP) AS closed_at,
        TRUE AS covers_later
    FROM compromised AS c
    INNER JOIN reports AS r ON r.event_id = c.event_id AND r.compromised_at = c.compromised_at
),

violations AS (
    SELECT
        t.trigger,
        t.grant_id,
        t.named,
        t.left_project_id,
        t.event_id,
        t.triggered_at,
        t.triggered_at + g.revocation_sla AS violated_at,
        g.ended_at,
        g.last_exercised_at,
        g.revocation_sla,
        g.revocation_sla_rule AS rule,
        LEAST(t.closed_at, CASE WHEN g.ended_at <= $as_of THEN g.ended_at END) AS resolved_at,
        -- A latency is measured where the grant's end came first.
        CASE
            WHEN g.ended_at <= $as_of AND (t.closed_at IS NULL OR g.ended_at <= t.closed_at) THEN t.triggered_at
        END AS measured_from
    FROM triggers AS t
    INNER JOIN grants AS g ON g.grant_id = t.grant_id
    WHERE
        t.triggered_at + g.revocation_sla <= $as_of
        -- What a compromise covers, its view has decided: a token or family that it names, whenever that began.
        AND (g.started_at <= t.triggered_at OR t.covers_later)
        AND g.started_at <= t.triggered_at + g.revocation_sla
        AND (g.ended_at IS NULL OR g.ended_at > t.triggered_at + g.revocation_sla)
        AND (t.closed_at IS NULL OR t.triggered_at + g.revocation_sla < t.closed_at)
)

SELECT
    trigger,
    grant_id,
    MIN(violated_at) AS violated_at,
    CASE WHEN COUNT(*) = COUNT(resolved_at) THEN MAX(resolved_at) END AS resolved_at,
    MIN(triggered_at) AS triggered_at,
    array_slice(array_agg(DISTINCT named ORDER BY named), 1, 20) AS named,
    array_slice(
        array_agg(DISTINCT left_project_id ORDER BY left_project_id) FILTER (WHERE left_project_id IS NOT NULL), 1, 20
    ) AS left_projects,
    CASE WHEN MIN(measured_from) IS NOT NULL THEN ended_at - MIN(measured_from) END AS latency,
    COUNT(*) > COUNT(resolved_at) AS is_open,
    last_exercised_at,
    revocation_sla,
    rule,
    array_slice(array_agg(event_id ORDER BY triggered_at, event_id), 1, 20) AS event_ids,
    COUNT(*) AS event_count
FROM violations
GROUP BY trigger, grant_id, ended_at, last_exercised_at, revocation_sla, rule
ORDER BY trigger, grant_id
