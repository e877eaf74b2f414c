/*---
title    = "Token used after it expired"
severity = "high"
status   = "stable"
kind     = "violation"
summary  = "A token was refreshed or used successfully after the time at which it was to expire."
rationale = """
An expiry only protects if both sides keep it: the client should stop by itself, the server should refuse. A success
after the expiry shows that neither did, so every copy of such a token works for as long as somebody has it.
"""
because  = "A token of grant {grant_id} expired at {expires_at} and still worked at {violated_at}; such uses: {use_count}, up to {late} too late."
false_positives = [
    "The token was extended and the source does not say so.",
    "The source's clock differs from the issuer's by more than clock_skew.",
    "The source states the expiry of the access token it just handed out on the refresh token's record.",
]
response = [
    "Check whether the resource compares the expiry at all: try a token that has just expired.",
    "Revoke the grant and look at what was done between expires_at and last_used_at.",
    "Have the client mended: it must fail closed, and say so, instead of sending what has expired.",
]
key      = ["grant_id"]
reads    = ["ends", "grants", "token_events"]
every    = "5m"
scope    = "grant"
resolved_by_end = true
nominate = """
SELECT grant_id
FROM grants_fold
-- What is known of a token's end is at least what its own use said of it.
WHERE late_use_at IS NOT NULL OR last_open_use_at > first_expires_at
"""
[controls]
csf         = ["PR.AA-03", "PR.AA-01"]
nhi         = ["NHI4:2025", "NHI7:2025"]
attack      = ["T1550.001"]
nist_800_53 = ["IA-5(13)", "IA-13(3)", "IA-11"]
---*/
WITH told AS (
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
        -- What is known of the token counts whenever it was said: an extension may arrive after the use it covers.
        CASE
            WHEN token_id IS NULL THEN expires_at
            ELSE MAX(expires_at) OVER (PARTITION BY grant_id, token_id)
        END AS expires_at
    FROM token_events
    WHERE grant_id IS NOT NULL AND (outcome = 'success' OR action = 'reuse_detected')
),

uses AS (
    SELECT
        t.grant_id,
        t.source,
        t.event_id,
        t.event_time,
        t.token_id,
        t.expires_at,
        t.event_time - t.expires_at AS late,
        t.host_id,
        t.ip
    FROM told AS t
    INNER JOIN grants AS g ON g.grant_id = t.grant_id
    WHERE t.action IN ('refresh', 'use') AND t.outcome = 'success' AND t.event_time > t.expires_at + g.clock_skew
),

findings AS (
    SELECT
        grant_id,
        MIN(event_time) AS violated_at,
        MAX(event_time) AS last_used_at,
        MAX(late) AS late,
        COUNT(*) AS use_count,
        COUNT(DISTINCT token_id) AS token_count,
        -- Of the use that came first.
        first_value(token_id ORDER BY event_time, source, event_id) AS token_id,
        first_value(expires_at ORDER BY event_time, source, event_id) AS expires_at,
        array_slice(array_agg(DISTINCT ip ORDER BY ip) FILTER (WHERE ip IS NOT NULL), 1, 20) AS ips,
        array_slice(array_agg(DISTINCT host_id ORDER BY host_id) FILTER (WHERE host_id IS NOT NULL), 1, 20) AS hosts,
        array_slice(array_agg(event_id ORDER BY event_time, source, event_id), 1, 20) AS event_ids
    FROM uses
    GROUP BY grant_id
),

resolved AS (
    SELECT
        f.grant_id,
        f.violated_at,
        MIN(e.ended_at) AS resolved_at,
        f.token_id,
        f.expires_at,
        f.token_count,
        f.use_count,
        f.last_used_at,
        f.late,
        f.ips,
        f.hosts,
        f.event_ids
    FROM findings AS f
    LEFT JOIN ends AS e ON e.grant_id = f.grant_id AND e.ended_at > f.last_used_at
    GROUP BY
        f.grant_id, f.violated_at, f.token_id, f.expires_at, f.token_count, f.use_count, f.last_used_at, f.late, f.ips,
        f.hosts, f.event_ids
)

SELECT
    r.grant_id,
    r.violated_at,
    r.resolved_at,
    r.token_id,
    r.expires_at,
    r.token_count,
    r.use_count,
    r.last_used_at,
    r.late,
    g.clock_skew,
    g.clock_skew_rule AS rule,
    r.ips,
    r.hosts,
    r.event_ids,
    r.use_count AS event_count
FROM resolved AS r
INNER JOIN grants AS g ON g.grant_id = r.grant_id
ORDER BY r.grant_id
