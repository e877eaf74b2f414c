/*---
title    = "Renewal with more scopes than were granted"
severity = "high"
status   = "stable"
kind     = "violation"
summary  = "A grant was renewed with a scope that it was not issued with."
rationale = """
Renewing may narrow what a token can do, never widen it: RFC 6749, section 6. Where a renewal carries a scope that
nobody consented to, either the server does not check what it is asked for, or somebody found a way around the consent.
"""
because  = "Grant {grant_id} was renewed at {violated_at} with scopes it was not issued with; it gained {gained_scope_count} in {renewal_count} renewals."
false_positives = [
    "The added consent is recorded as no issue of this grant, or arrives late: the finding is then retracted.",
    "The issue states the scopes that were asked for, and the renewal those that were given, under other names.",
]
response = [
    "Revoke the grant, and look at what was done with the scopes it gained since violated_at.",
    "Ask the identity provider's maintainers why a renewal may widen a grant.",
    "If the client added consent on purpose, have its provider record the new issue.",
]
key      = ["grant_id"]
reads    = ["ends", "token_events"]
every    = "5m"
scope    = "grant"
resolved_by_end = true
nominate = """
SELECT grant_id
FROM exercises
WHERE scopes_text IS NOT NULL
GROUP BY grant_id
HAVING MIN(scopes_text) <> MAX(scopes_text)
"""
[controls]
csf         = ["PR.AA-05"]
nhi         = ["NHI5:2025"]
attack      = ["T1098.003", "T1528"]
nist_800_53 = ["AC-6", "AC-6(7)", "AC-3"]
---*/
WITH stated AS (
    SELECT
        grant_id,
        source,
        event_id,
        event_time,
        client_id,
        host_id,
        ip,
        action = 'refresh' OR coalesce(grant_type = 'refresh_token', FALSE) AS is_renewal,
        unnest(array_distinct(scopes)) AS scope
    FROM token_events
    WHERE action IN ('issue', 'refresh') AND outcome = 'success' AND grant_id IS NOT NULL
),

traced AS (
    -- From when on it is known what the grant was issued with, and since when this scope is part of that.
    SELECT
        grant_id,
        source,
        event_id,
        event_time,
        client_id,
        host_id,
        ip,
        is_renewal,
        scope,
        MIN(CASE WHEN NOT is_renewal THEN event_time END) OVER (PARTITION BY grant_id) AS known_from,
        MIN(CASE WHEN NOT is_renewal THEN event_time END) OVER (PARTITION BY grant_id, scope) AS issued_from
    FROM stated
),

judged AS (
    SELECT
        grant_id,
        source,
        event_id,
        event_time,
        client_id,
        host_id,
        ip,
        is_renewal,
        scope,
        is_renewal AND known_from <= event_time AND coalesce(issued_from > event_time, TRUE) AS is_gained
    FROM traced
    WHERE known_from IS NOT NULL
),

violations AS (
    SELECT
        grant_id,
        source,
        event_id,
        event_time,
        client_id,
        host_id,
        ip,
        is_renewal,
        scope,
        is_gained,
        MIN(CASE WHEN is_gained THEN event_time END) OVER (PARTITION BY grant_id) AS violated_at
    FROM judged
),

ranked AS (
    -- A renewal that gains several scopes is one renewal.
    SELECT
        grant_id,
        source,
        event_id,
        event_time,
        client_id,
        host_id,
        ip,
        is_renewal,
        scope,
        is_gained,
        violated_at,
        is_gained AND ROW_NUMBER() OVER (
            PARTITION BY grant_id, source, event_id ORDER BY is_gained DESC, scope
        ) = 1 AS is_first_gain
    FROM violations
    WHERE violated_at IS NOT NULL
),

findings AS (
    SELECT
        grant_id,
        violated_at,
        MAX(event_time) FILTER (WHERE is_gained) AS last_renewed_at,
        COUNT(*) FILTER (WHERE is_first_gain) AS renewal_count,
        array_slice(array_agg(DISTINCT scope ORDER BY scope) FILTER (WHERE is_gained), 1, 20) AS gained_scopes,
        COUNT(DISTINCT scope) FILTER (WHERE is_gained) AS gained_scope_count,
        array_slice(
            array_agg(DISTINCT scope ORDER BY scope) FILTER (WHERE NOT is_renewal AND event_time <= violated_at), 1, 20
        ) AS issued_scopes,
        COUNT(DISTINCT scope) FILTER (WHERE NOT is_renewal AND event_time <= violated_at) AS issued_scope_count,
        array_slice(
            array_agg(DISTINCT client_id ORDER BY client_id) FILTER (WHERE is_gained AND client_id IS NOT NULL), 1, 20
        ) AS clients,
        array_slice(
            array_agg(DISTINCT host_id ORDER BY host_id) FILTER (WHERE is_gained AND host_id IS NOT NULL), 1, 20
        ) AS hosts,
        array_slice(array_agg(DISTINCT ip ORDER BY ip) FILTER (WHERE is_gained AND ip IS NOT NULL), 1, 20) AS ips,
        array_slice(
            array_agg(event_id ORDER BY event_time, source, event_id) FILTER (WHERE is_first_gain), 1, 20
        ) AS event_ids
    FROM ranked
    GROUP BY grant_id, violated_at
)

SELECT
    f.grant_id,
    f.violated_at,
    MIN(e.ended_at) AS resolved_at,
    f.gained_scopes,
    f.gained_scope_count,
    f.issued_scopes,
    f.issued_scope_count,
    f.renewal_count,
    f.last_renewed_at,
    f.clients,
    f.hosts,
    f.ips,
    f.event_ids,
    f.renewal_count AS event_count
FROM findings AS f
LEFT JOIN ends AS e ON e.grant_id = f.grant_id AND e.ended_at > f.last_renewed_at
GROUP BY
    f.grant_id, f.violated_at, f.gained_scopes, f.gained_scope_count, f.issued_scopes, f.issued_scope_count,
    f.renewal_count, f.last_renewed_at, f.clients, f.hosts, f.ips, f.event_ids
ORDER BY f.grant_id
