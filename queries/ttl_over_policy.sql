/*---
title    = "Token valid longer than policy"
severity = "medium"
status   = "stable"
kind     = "violation"
summary  = "An access or refresh token was issued to be valid for longer than its policy allows."
rationale = """
How long a token is valid is how long a thief can use it when nobody notices. Access tokens are rarely looked up again
once issued, so nothing but their expiry ends them; a refresh token with years to go is a password that nobody changes.
"""
because  = "Grant {grant_id} had {token_kind} tokens valid for up to {ttl}, where its policy allows {ttl_limit}; the first was seen at {violated_at}."
false_positives = [
    "The source states the expiry of the session, or of the whole family, as that of the access token.",
    "The token was seen first when used, and its issuer's clock is far off.",
]
response = [
    "Shorten the lifetime for this client at the identity provider.",
    "Revoke the grant, so that the long-lived token ends with it.",
    "If the client needs more time, give it a rule in the policy, with a reason.",
]
key      = ["grant_id", "token_kind"]
reads    = ["ends", "grants", "token_events"]
every    = "5m"
scope    = "grant"
resolved_by_end = true
nominate = """
SELECT DISTINCT e.grant_id
FROM grants AS g
INNER JOIN exercises AS e ON e.grant_id = g.grant_id
WHERE
    (e.token_kind = 'access' AND to_timestamp_micros(e.ttl_micros) > to_timestamp_micros(0) + g.access_ttl)
    OR (e.token_kind = 'refresh' AND to_timestamp_micros(e.ttl_micros) > to_timestamp_micros(0) + g.refresh_ttl)
"""
[controls]
csf         = ["PR.AA-01", "PR.AA-03"]
nhi         = ["NHI7:2025"]
attack      = ["T1550.001"]
nist_800_53 = ["IA-5(13)", "IA-13(3)", "AC-12"]
---*/
WITH validities AS (
    SELECT
        grant_id,
        token_kind,
        source,
        event_id,
        event_time,
        client_id,
        -- Only the issuing itself takes place when the token is made; any later event must state it.
        coalesce(issued_at, CASE WHEN action = 'issue' THEN event_time END) AS valid_from,
        expires_at
    FROM token_events
    WHERE
        action IN ('issue', 'refresh', 'use')
        AND outcome = 'success'
        AND token_kind IN ('access', 'refresh')
        AND expires_at IS NOT NULL
),

violations AS (
    SELECT
        v.grant_id,
        v.token_kind,
        v.source,
        v.event_id,
        v.event_time,
        v.client_id,
        v.expires_at - v.valid_from AS ttl
    FROM validities AS v
    INNER JOIN grants AS g ON g.grant_id = v.grant_id
    WHERE v.expires_at > v.valid_from + CASE WHEN v.token_kind = 'access' THEN g.access_ttl ELSE g.refresh_ttl END
),

findings AS (
    SELECT
        grant_id,
        token_kind,
        MIN(event_time) AS violated_at,
        MAX(event_time) AS last_seen_at,
        MAX(ttl) AS ttl,
        COUNT(*) AS event_count,
        array_slice(array_agg(DISTINCT client_id ORDER BY client_id) FILTER (WHERE client_id IS NOT NULL), 1, 20)
            AS clients,
        array_slice(array_agg(event_id ORDER BY event_time, source, event_id), 1, 20) AS event_ids
    FROM violations
    GROUP BY grant_id, token_kind
),

resolved AS (
    SELECT
        f.grant_id,
        f.token_kind,
        f.violated_at,
        MIN(e.ended_at) AS resolved_at,
        f.ttl,
        f.last_seen_at,
        f.clients,
        f.event_ids,
        f.event_count
    FROM findings AS f
    LEFT JOIN ends AS e ON e.grant_id = f.grant_id AND e.ended_at > f.last_seen_at
    GROUP BY
        f.grant_id, f.token_kind, f.violated_at, f.ttl, f.last_seen_at, f.clients, f.event_ids, f.event_count
)

SELECT
    f.grant_id,
    f.token_kind,
    f.violated_at,
    f.resolved_at,
    f.ttl,
    CASE WHEN f.token_kind = 'access' THEN g.access_ttl ELSE g.refresh_ttl END AS ttl_limit,
    CASE WHEN f.token_kind = 'access' THEN g.access_ttl_rule ELSE g.refresh_ttl_rule END AS rule,
    f.last_seen_at,
    f.clients,
    f.event_ids,
    f.event_count
FROM resolved AS f
INNER JOIN grants AS g ON g.grant_id = f.grant_id
ORDER BY f.grant_id, f.token_kind
