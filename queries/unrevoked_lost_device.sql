/*---
title    = "Token not revoked on a lost device"
severity = "high"
status   = "stable"
kind     = "violation"
summary  = "A grant that was exercised on a device was still alive after the grace that followed the device's loss."
rationale = """
Whoever finds or steals the device has the tokens stored on it. Locking the screen does not end them; only revoking does.
A grant alive after the grace is one the offboarding of devices forgot; exercised after the loss, it may be in use by a thief.
"""
because  = "Device {device_id} was lost at {lost_at}, and grant {grant_id} from it was still alive at {violated_at} (exercised after the loss: {exercised_after_loss})."
false_positives = [
    "The device was found again and nobody recorded it: a device_recovered event ends the finding.",
    "The loss was recorded under a device id that another machine inherited.",
]
response = [
    "Revoke the grant now, and every other grant of the device.",
    "If exercised_after_loss is true, treat what happened since lost_at as done by a stranger.",
]
key      = ["device_id", "grant_id"]
reads    = ["contexts", "device_losses", "grants", "token_events"]
every    = "1m"
scope    = "grant"
resolved_by_end = true
nominate = """
SELECT DISTINCT c.grant_id
FROM device_losses AS l
INNER JOIN contexts AS c ON c.device_id = l.device_id
INNER JOIN grants AS g ON g.grant_id = c.grant_id
WHERE
    (l.recovered_at IS NULL OR c.first_exercised_at < l.recovered_at)
    AND g.started_at <= l.lost_at + g.lost_device_grace
    AND (g.ended_at IS NULL OR g.ended_at > l.lost_at + g.lost_device_grace)
"""
[controls]
csf         = ["PR.AA-01"]
nhi         = ["NHI1:2025"]
attack      = ["T1528", "T1550.001"]
nist_800_53 = ["IA-13(3)", "IA-5", "AC-2(13)", "IR-4"]
---*/
WITH carried AS (
    SELECT device_id, grant_id, MIN(first_exercised_at) AS first_exercised_at
    FROM contexts
    WHERE device_id IS NOT NULL
    GROUP BY device_id, grant_id
),

losses AS (
    SELECT
        l.device_id,
        c.grant_id,
        l.lost_at,
        l.recovered_at,
        l.lost_at + g.lost_device_grace AS violated_at,
        g.started_at,
        g.ended_at
    FROM device_losses AS l
    INNER JOIN carried AS c ON c.device_id = l.device_id
    INNER JOIN grants AS g ON g.grant_id = c.grant_id
    WHERE l.recovered_at IS NULL OR c.first_exercised_at < l.recovered_at
),

violations AS (
    SELECT
        device_id,
        grant_id,
        lost_at,
        recovered_at,
        violated_at,
        LEAST(recovered_at, CASE WHEN ended_at <= $as_of THEN ended_at END) AS resolved_at
    FROM losses
    WHERE
        violated_at <= $as_of
        AND (recovered_at IS NULL OR violated_at < recovered_at)
        AND started_at <= violated_at
        AND (ended_at IS NULL OR ended_at > violated_at)
),

findings AS (
    SELECT
        device_id,
        grant_id,
        MIN(violated_at) AS violated_at,
        CASE WHEN COUNT(*) = COUNT(resolved_at) THEN MAX(resolved_at) END AS resolved_at,
        MIN(lost_at) AS lost_at
    FROM violations
    GROUP BY device_id, grant_id
),

exercises AS (
    SELECT DISTINCT v.device_id, e.grant_id, e.source, e.event_id, e.event_time, e.ip
    FROM violations AS v
    INNER JOIN token_events AS e ON e.grant_id = v.grant_id
    WHERE
        e.action IN ('issue', 'refresh', 'use')
        AND e.outcome = 'success'
        AND e.event_time > v.lost_at
        AND (v.recovered_at IS NULL OR e.event_time < v.recovered_at)
),

evidence AS (
    SELECT
        device_id,
        grant_id,
        COUNT(*) AS exercise_count,
        array_slice(array_agg(DISTINCT ip ORDER BY ip) FILTER (WHERE ip IS NOT NULL), 1, 20) AS ips,
        array_slice(array_agg(event_id ORDER BY event_time, source, event_id), 1, 20) AS event_ids
    FROM exercises
    GROUP BY device_id, grant_id
)

SELECT
    f.device_id,
    f.grant_id,
    f.violated_at,
    f.resolved_at,
    CASE WHEN e.exercise_count > 0 THEN 'critical' ELSE 'high' END AS severity,
    f.lost_at,
    coalesce(e.exercise_count > 0, FALSE) AS exercised_after_loss,
    g.last_exercised_at,
    g.lost_device_grace,
    g.lost_device_grace_rule AS rule,
    e.ips,
    e.event_ids,
    coalesce(e.exercise_count, 0) AS event_count
FROM findings AS f
INNER JOIN grants AS g ON g.grant_id = f.grant_id
LEFT JOIN evidence AS e ON e.device_id = f.device_id AND e.grant_id = f.grant_id
ORDER BY f.device_id, f.grant_id
