/*---
title    = "Refresh token replayed"
severity = "high"
status   = "stable"
kind     = "violation"
summary  = "A refresh token that had been spent was presented again."
rationale = """
Where refresh tokens rotate, each may be presented once. If one comes back, two parties hold it, and one of them is
not the owner; which of the two came first cannot be told. RFC 9700 has the server revoke the whole family then.
"""
because  = "A refresh token of grant {grant_id} was presented again after it had been spent, {replay_count} times in all, first at {violated_at} ({reason})."
false_positives = [
    "The answer to the first refresh was lost and the client tried again after rotation_overlap.",
    "Several processes of one client share a token store without a lock.",
    "The client's tokens do not rotate, and the policy says they do.",
]
response = [
    "Revoke the grant unless the server already has; the owner logs in again.",
    "Compare the ips and hosts of the evidence with where the owner works: two places mean that the token was copied.",
    "If both are the same process, have the client store the new token before it uses it.",
]
key      = ["grant_id"]
reads    = ["ends", "grants", "token_events"]
every    = "5m"
scope    = "grant"
nominate = """
SELECT grant_id
FROM grants_fold
WHERE reuse_detected_at IS NOT NULL
UNION
SELECT c.grant_id
FROM grants AS g
INNER JOIN contexts AS c ON c.grant_id = g.grant_id
WHERE g.rotation
GROUP BY c.grant_id
HAVING MAX(c.last_refreshed_at) > MIN(c.first_refreshed_at)
"""
[controls]
csf         = ["PR.AA-04", "DE.CM-09"]
nhi         = ["NHI2:2025", "NHI4:2025"]
attack      = ["T1528", "T1550.001"]
nist_800_53 = ["IA-13(3)", "SC-23", "SI-4"]
---*/
WITH presented AS (
    SELECT
        grant_id,
        source,
        event_id,
        event_time,
        action,
        outcome,
        token_id,
        host_id,
        ip,
        -- A replay that was refused is no refresh, and an access token is not spent by being used.
        CASE
            WHEN action = 'refresh' AND token_id IS NOT NULL AND coalesce(token_kind NOT IN ('access', 'id'), TRUE)
                THEN event_time
        END AS refreshed_at
    FROM token_events
    WHERE grant_id IS NOT NULL AND (action = 'reuse_detected' OR (action = 'refresh' AND outcome = 'success'))
),

spent AS (
    SELECT
        grant_id,
        source,
        event_id,
        event_time,
        action,
        token_id,
        host_id,
        ip,
        refreshed_at,
        MIN(refreshed_at) OVER (PARTITION BY grant_id, token_id) AS first_refreshed_at
    FROM presented
),

replays AS (
    SELECT
        s.grant_id,
        s.source,
        s.event_id,
        s.event_time,
        s.action,
        s.token_id,
        s.first_refreshed_at,
        s.host_id,
        s.ip
    FROM spent AS s
    LEFT JOIN grants AS g ON g.grant_id = s.grant_id
    WHERE s.action = 'reuse_detected' OR (g.rotation AND s.refreshed_at > s.first_refreshed_at + g.rotation_overlap)
),

findings AS (
    SELECT
        grant_id,
        MIN(event_time) AS violated_at,
        MAX(event_time) AS last_replayed_at,
        COUNT(*) AS replay_count,
        COUNT(DISTINCT token_id) AS token_count,
        CASE
            WHEN MIN(action) <> MAX(action) THEN 'both'
            WHEN MIN(action) = 'refresh' THEN 'refreshed_again'
            ELSE 'reuse_detected'
        END AS reason,
        -- Of the replay that came first.
        first_value(token_id ORDER BY event_time, source, event_id) AS token_id,
        first_value(first_refreshed_at ORDER BY event_time, source, event_id) AS first_refreshed_at,
        array_slice(array_agg(DISTINCT ip ORDER BY ip) FILTER (WHERE ip IS NOT NULL), 1, 20) AS ips,
        array_slice(array_agg(DISTINCT host_id ORDER BY host_id) FILTER (WHERE host_id IS NOT NULL), 1, 20) AS hosts,
        array_slice(array_agg(event_id ORDER BY event_time, source, event_id), 1, 20) AS event_ids
    FROM replays
    GROUP BY grant_id
),

unexercised AS (
    -- No view knows a grant without an exercise; what names it may end it all the same.
    SELECT
        e.grant_id,
        e.event_time,
        e.action = 'expire' OR (e.action = 'revoke' AND (e.token_id IS NOT NULL OR e.family_id IS NOT NULL)) AS is_end,
        coalesce(e.token_kind IN ('access', 'id'), FALSE) AS is_short,
        COUNT(CASE WHEN e.token_kind NOT IN ('access', 'id') THEN 1 END)
            OVER (PARTITION BY e.grant_id) > 0 AS has_other_kind,
        CASE
            WHEN
                COUNT(CASE WHEN e.token_kind IN ('refresh', 'session', 'pat', 'api_key') THEN 1 END)
                    OVER (PARTITION BY e.grant_id) > 0
                THEN
                    MAX(CASE WHEN e.token_kind IN ('refresh', 'session', 'pat', 'api_key') THEN e.expires_at END)
                        OVER (PARTITION BY e.grant_id)
            ELSE MAX(e.expires_at) OVER (PARTITION BY e.grant_id)
        END AS expires_at
    FROM token_events AS e
    LEFT JOIN grants AS g ON g.grant_id = e.grant_id
    WHERE g.grant_id IS NULL AND e.grant_id IS NOT NULL AND (e.outcome = 'success' OR e.action = 'reuse_detected')
),

own_ends AS (
    SELECT
        grant_id,
        unnest(make_array(
            CASE WHEN is_end AND NOT (is_short AND has_other_kind) THEN event_time END,
            CASE WHEN expires_at <= $as_of THEN expires_at END
        )) AS ended_at
    FROM unexercised
),

all_ends AS (
    SELECT grant_id, ended_at FROM ends
    UNION ALL
    SELECT grant_id, ended_at FROM own_ends
),

resolved AS (
    SELECT
        f.grant_id,
        f.violated_at,
        MIN(e.ended_at) AS resolved_at,
        f.reason,
        f.token_id,
        f.first_refreshed_at,
        f.token_count,
        f.replay_count,
        f.last_replayed_at,
        f.ips,
        f.hosts,
        f.event_ids
    FROM findings AS f
    LEFT JOIN all_ends AS e ON e.grant_id = f.grant_id AND e.ended_at > f.last_replayed_at
    GROUP BY
        f.grant_id, f.violated_at, f.reason, f.token_id, f.first_refreshed_at, f.token_count, f.replay_count,
        f.last_replayed_at, f.ips, f.hosts, f.event_ids
)

SELECT
    r.grant_id,
    r.violated_at,
    r.resolved_at,
    r.reason,
    r.token_id,
    r.first_refreshed_at,
    r.token_count,
    r.replay_count,
    r.last_replayed_at,
    g.rotation,
    g.rotation_overlap,
    g.rotation_rule AS rule,
    r.ips,
    r.hosts,
    r.event_ids,
    r.replay_count AS event_count
FROM resolved AS r
LEFT JOIN grants AS g ON g.grant_id = r.grant_id
ORDER BY r.grant_id
