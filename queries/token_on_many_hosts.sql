/*---
title    = "Token exercised on too many hosts"
severity = "high"
status   = "stable"
kind     = "violation"
summary  = "One grant was exercised on more hosts than its policy allows."
rationale = """
A refresh token lives in one token store. Seen on a second host, the store was copied: by a backup, a dotfiles
repository, an image baked with somebody's home directory, or a thief. Nothing on the first host tells which.
"""
because  = "Grant {grant_id} was exercised on {host_count} hosts, where its policy allows {max_hosts}; it went past that at {violated_at}."
false_positives = [
    "The machine was renamed, or its id is drawn anew at each start, as in containers.",
    "A service that runs as several instances under one grant: give it a rule with a larger max_hosts.",
    "Home directories shared over the network.",
]
response = [
    "Ask the owner about each host in the evidence; one that nobody knows makes this an incident.",
    "Revoke the grant; log in again on each host that is meant to have access.",
    "Find the way the token store took, and close it.",
]
key      = ["grant_id"]
reads    = ["ends", "grants", "token_events"]
every    = "5m"
scope    = "grant"
resolved_by_end = true
nominate = """
SELECT c.grant_id
FROM several_contexts AS s
INNER JOIN grants AS g ON g.grant_id = s.grant_id
INNER JOIN contexts AS c ON c.grant_id = s.grant_id
GROUP BY c.grant_id, g.max_hosts
HAVING COUNT(DISTINCT c.host_id) > g.max_hosts
"""
[controls]
csf         = ["PR.AA-02"]
nhi         = ["NHI2:2025", "NHI9:2025"]
attack      = ["T1528", "T1550.001"]
nist_800_53 = ["IA-3", "AC-2(12)", "IA-5(6)"]
---*/
WITH exercises AS (
    SELECT grant_id, source, event_id, event_time, host_id, os_user, ip
    FROM token_events
    WHERE
        action IN ('issue', 'refresh', 'use')
        AND outcome = 'success'
        AND grant_id IS NOT NULL
        AND host_id IS NOT NULL
),

visits AS (
    SELECT
        grant_id,
        host_id,
        source,
        event_id,
        event_time AS first_at,
        MAX(event_time) OVER (PARTITION BY grant_id, host_id) AS last_at,
        ROW_NUMBER() OVER (PARTITION BY grant_id, host_id ORDER BY event_time, source, event_id) AS turn
    FROM exercises
),

ranked AS (
    SELECT
        grant_id,
        host_id,
        source,
        event_id,
        first_at,
        last_at,
        ROW_NUMBER() OVER (PARTITION BY grant_id ORDER BY first_at, host_id) AS place
    FROM visits
    WHERE turn = 1
),

findings AS (
    SELECT
        r.grant_id,
        MIN(CASE WHEN r.place = g.max_hosts + 1 THEN r.first_at END) AS violated_at,
        COUNT(*) AS host_count,
        array_slice(
            array_agg(
                CAST(r.first_at AS VARCHAR) || ' to ' || CAST(r.last_at AS VARCHAR) || ' ' || r.host_id ORDER BY r.place
            ), 1, 20
        ) AS hosts,
        -- Of each host, what made it count: the first exercise there.
        array_slice(array_agg(r.event_id ORDER BY r.first_at, r.source, r.event_id), 1, 20) AS event_ids
    FROM ranked AS r
    INNER JOIN grants AS g ON g.grant_id = r.grant_id
    GROUP BY r.grant_id, g.max_hosts
    HAVING COUNT(*) > g.max_hosts
),

evidence AS (
    SELECT
        e.grant_id,
        COUNT(*) AS exercise_count,
        array_slice(
            array_agg(DISTINCT e.os_user ORDER BY e.os_user) FILTER (WHERE e.os_user IS NOT NULL), 1, 20
        ) AS os_users,
        array_slice(array_agg(DISTINCT e.ip ORDER BY e.ip) FILTER (WHERE e.ip IS NOT NULL), 1, 20) AS ips
    FROM exercises AS e
    INNER JOIN findings AS f ON f.grant_id = e.grant_id
    GROUP BY e.grant_id
),

next_ends AS (
    SELECT f.grant_id, MIN(e.ended_at) AS resolved_at
    FROM findings AS f
    INNER JOIN ends AS e ON e.grant_id = f.grant_id AND e.ended_at > f.violated_at
    GROUP BY f.grant_id
)

SELECT
    f.grant_id,
    f.violated_at,
    n.resolved_at,
    f.host_count,
    f.hosts,
    g.max_hosts,
    g.max_hosts_rule AS rule,
    e.exercise_count,
    e.os_users,
    e.ips,
    f.event_ids,
    f.host_count AS event_count
FROM findings AS f
INNER JOIN evidence AS e ON e.grant_id = f.grant_id
INNER JOIN grants AS g ON g.grant_id = f.grant_id
LEFT JOIN next_ends AS n ON n.grant_id = f.grant_id
ORDER BY f.grant_id
