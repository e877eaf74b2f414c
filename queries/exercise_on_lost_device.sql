/*---
title    = "Token exercised on a lost device"
severity = "critical"
status   = "stable"
kind     = "violation"
summary  = "A token was issued, refreshed or used on a device after it was lost and before it was found again."
rationale = """
A lost device that still exercises tokens is in somebody's hands, and whoever that is passes for the owner. It does
not matter whose grant it is, or whether it is older than the loss: one that began there afterwards is a login by the
finder.
"""
because  = "Device {device_id} was lost at {lost_at}, and grant {grant_id} was exercised on it {exercise_count} times while it was lost, first at {violated_at}."
false_positives = [
    "The device was found again and nobody recorded it: a device_recovered event ends the interval.",
    "A retired device's id went to its successor.",
    "The owner reported the wrong device.",
]
response = [
    "Revoke the grant and every other grant seen on the device, whoever the subject is.",
    "Block the device id at the identity provider, and take what came from the ips since violated_at for a stranger's.",
    "If the grant began after the loss, change the credentials it was obtained with.",
]
key      = ["device_id", "grant_id"]
reads    = ["device_losses", "ends", "grants", "token_events"]
every    = "1m"
scope    = "grant"
resolved_by_end = true
nominate = """
SELECT DISTINCT c.grant_id
FROM device_losses AS l
INNER JOIN contexts AS c ON c.device_id = l.device_id
WHERE c.last_exercised_at >= l.lost_at AND (l.recovered_at IS NULL OR c.first_exercised_at < l.recovered_at)
"""
[controls]
csf         = ["PR.AA-01", "PR.AA-03"]
nhi         = ["NHI1:2025"]
attack      = ["T1528", "T1550.001"]
nist_800_53 = ["IA-13(3)", "IA-3", "IR-4"]
---*/
WITH exercises AS (
    SELECT
        e.device_id,
        e.grant_id,
        e.source,
        e.event_id,
        e.event_time,
        e.subject_id,
        e.ip,
        l.lost_at,
        l.recovered_at
    FROM token_events AS e
    INNER JOIN device_losses AS l ON l.device_id = e.device_id
    INNER JOIN grants AS g ON g.grant_id = e.grant_id
    WHERE
        e.action IN ('issue', 'refresh', 'use')
        AND e.outcome = 'success'
        AND e.event_time >= l.lost_at + g.lost_device_grace
        AND (l.recovered_at IS NULL OR e.event_time < l.recovered_at)
),

intervals AS (
    SELECT
        device_id,
        grant_id,
        lost_at,
        recovered_at,
        MIN(event_time) AS violated_at,
        MAX(event_time) AS last_exercised_at
    FROM exercises
    GROUP BY device_id, grant_id, lost_at, recovered_at
),

judged AS (
    SELECT
        i.device_id,
        i.grant_id,
        i.lost_at,
        i.violated_at,
        i.last_exercised_at,
        LEAST(i.recovered_at, MIN(e.ended_at)) AS resolved_at
    FROM intervals AS i
    LEFT JOIN ends AS e ON e.grant_id = i.grant_id AND e.ended_at > i.last_exercised_at
    GROUP BY i.device_id, i.grant_id, i.lost_at, i.recovered_at, i.violated_at, i.last_exercised_at
),

findings AS (
    SELECT
        device_id,
        grant_id,
        MIN(violated_at) AS violated_at,
        CASE WHEN COUNT(*) = COUNT(resolved_at) THEN MAX(resolved_at) END AS resolved_at,
        MIN(lost_at) AS lost_at,
        MAX(last_exercised_at) AS last_exercised_at
    FROM judged
    GROUP BY device_id, grant_id
),

counted AS (
    -- A device lost twice without a recovery between has two intervals; an exercise in both is one exercise.
    SELECT DISTINCT device_id, grant_id, source, event_id, event_time, subject_id, ip
    FROM exercises
),

evidence AS (
    SELECT
        device_id,
        grant_id,
        COUNT(*) AS exercise_count,
        array_slice(
            array_agg(DISTINCT subject_id ORDER BY subject_id) FILTER (WHERE subject_id IS NOT NULL), 1, 20
        ) AS subjects,
        array_slice(array_agg(DISTINCT ip ORDER BY ip) FILTER (WHERE ip IS NOT NULL), 1, 20) AS ips,
        array_slice(array_agg(event_id ORDER BY event_time, source, event_id), 1, 20) AS event_ids
    FROM counted
    GROUP BY device_id, grant_id
)

SELECT
    f.device_id,
    f.grant_id,
    f.violated_at,
    f.resolved_at,
    f.lost_at,
    -- Not known where the age is a lower bound.
    CASE WHEN g.started_at <= f.lost_at THEN FALSE WHEN NOT g.age_is_lower_bound THEN TRUE END AS started_after_loss,
    e.exercise_count,
    f.last_exercised_at,
    g.lost_device_grace,
    g.lost_device_grace_rule AS rule,
    e.subjects,
    e.ips,
    e.event_ids,
    e.exercise_count AS event_count
FROM findings AS f
INNER JOIN evidence AS e ON e.device_id = f.device_id AND e.grant_id = f.grant_id
INNER JOIN grants AS g ON g.grant_id = f.grant_id
ORDER BY f.device_id, f.grant_id
