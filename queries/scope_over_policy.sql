/*---
title    = "Scopes over policy"
severity = "medium"
status   = "stable"
kind     = "violation"
summary  = "A grant was issued or refreshed with a scope that its policy does not allow, or with too many scopes."
rationale = """
A token can do what its scopes say, whatever its owner meant to do with it. Clients ask for everything because that is
easier than finding out what they need, and people consent because they cannot work otherwise. When the token is stolen,
the difference between needed and granted is the damage.
"""
because  = "Grant {grant_id} had up to {scope_count} scopes at once, which its policy does not permit ({reason}); scopes not on its list: {offending_scope_count}."
false_positives = [
    "The provider renamed a scope, or adds one of its own to every token: allow it in the policy.",
    "The list in allowed_scopes is older than what the client was approved for.",
]
response = [
    "Take the offending scopes from the client at the identity provider, or the consent from the grant.",
    "Revoke the grant: the scopes it has stay with it.",
    "If the scopes are needed, give the client a rule in the policy, with a reason.",
]
key      = ["grant_id"]
reads    = ["ends", "grants", "token_events"]
every    = "5m"
scope    = "grant"
resolved_by_end = true
nominate = """
SELECT grant_id
FROM grants
WHERE allowed_scopes IS NOT NULL OR max_scopes IS NOT NULL
"""
[controls]
csf         = ["PR.AA-05"]
nhi         = ["NHI5:2025"]
attack      = ["T1098.003"]
nist_800_53 = ["AC-6", "AC-3"]
---*/
WITH stated AS (
    SELECT
        e.grant_id,
        e.source,
        e.event_id,
        e.event_time,
        e.client_id,
        array_distinct(e.scopes) AS scopes,
        g.allowed_scopes IS NOT NULL AS is_limited,
        g.allowed_scopes_rule,
        coalesce(cardinality(array_distinct(e.scopes)) > g.max_scopes, FALSE) AS has_too_many
    FROM token_events AS e
    INNER JOIN grants AS g ON g.grant_id = e.grant_id
    WHERE
        e.action IN ('issue', 'refresh')
        AND e.outcome = 'success'
        AND cardinality(e.scopes) > 0
        AND (g.allowed_scopes IS NOT NULL OR g.max_scopes IS NOT NULL)
),

globs AS (
    SELECT allowed_scopes_rule, unnest(allowed_scopes) AS glob
    FROM grants
    WHERE allowed_scopes IS NOT NULL
),

patterns AS (
    -- What LIKE reads as its own is escaped first; then * is any text and ? one character.
    SELECT DISTINCT
        allowed_scopes_rule,
        replace(replace(replace(replace(replace(glob, '\', '\\'), '%', '\%'), '_', '\_'), '*', '%'), '?', '_')
            AS pattern
    FROM globs
),

scopes AS (
    SELECT grant_id, source, event_id, allowed_scopes_rule, unnest(scopes) AS scope
    FROM stated
    WHERE is_limited
),

distinct_scopes AS (
    -- Many events state the same few scopes: each is compared once per list.
    SELECT DISTINCT allowed_scopes_rule, scope
    FROM scopes
),

allowed AS (
    SELECT DISTINCT s.allowed_scopes_rule, s.scope
    FROM distinct_scopes AS s
    INNER JOIN patterns AS p ON p.allowed_scopes_rule = s.allowed_scopes_rule
    WHERE s.scope LIKE p.pattern
),

offending AS (
    SELECT s.grant_id, s.source, s.event_id, s.scope
    FROM scopes AS s
    LEFT JOIN allowed AS a ON a.allowed_scopes_rule = s.allowed_scopes_rule AND a.scope = s.scope
    WHERE a.scope IS NULL
),

offenders AS (
    SELECT
        grant_id,
        array_slice(array_agg(DISTINCT scope ORDER BY scope), 1, 20) AS offending_scopes,
        COUNT(DISTINCT scope) AS offending_scope_count
    FROM offending
    GROUP BY grant_id
),

offending_events AS (
    SELECT DISTINCT grant_id, source, event_id
    FROM offending
),

violations AS (
    SELECT
        s.grant_id,
        s.source,
        s.event_id,
        s.event_time,
        s.client_id,
        cardinality(s.scopes) AS scope_count,
        s.has_too_many
    FROM stated AS s
    LEFT JOIN offending_events AS o ON o.grant_id = s.grant_id AND o.source = s.source AND o.event_id = s.event_id
    WHERE s.has_too_many OR o.event_id IS NOT NULL
),

findings AS (
    SELECT
        grant_id,
        MIN(event_time) AS violated_at,
        MAX(event_time) AS last_stated_at,
        MAX(scope_count) AS scope_count,
        BOOL_OR(has_too_many) AS has_too_many,
        COUNT(*) AS event_count,
        array_slice(array_agg(DISTINCT client_id ORDER BY client_id) FILTER (WHERE client_id IS NOT NULL), 1, 20)
            AS clients,
        array_slice(array_agg(event_id ORDER BY event_time, source, event_id), 1, 20) AS event_ids
    FROM violations
    GROUP BY grant_id
),

resolutions AS (
    SELECT f.grant_id, MIN(e.ended_at) AS resolved_at
    FROM findings AS f
    INNER JOIN ends AS e ON e.grant_id = f.grant_id
    WHERE e.ended_at > f.last_stated_at
    GROUP BY f.grant_id
)

SELECT
    f.grant_id,
    f.violated_at,
    r.resolved_at,
    CASE
        WHEN NOT f.has_too_many THEN 'not allowed'
        WHEN o.grant_id IS NULL THEN 'too many'
        ELSE 'both'
    END AS reason,
    o.offending_scopes,
    coalesce(o.offending_scope_count, 0) AS offending_scope_count,
    CASE WHEN o.grant_id IS NOT NULL THEN g.allowed_scopes_rule END AS allowed_scopes_rule,
    f.scope_count,
    CASE WHEN f.has_too_many THEN g.max_scopes END AS max_scopes,
    CASE WHEN f.has_too_many THEN g.max_scopes_rule END AS max_scopes_rule,
    f.last_stated_at,
    f.clients,
    f.event_ids,
    f.event_count
FROM findings AS f
INNER JOIN grants AS g ON g.grant_id = f.grant_id
LEFT JOIN offenders AS o ON o.grant_id = f.grant_id
LEFT JOIN resolutions AS r ON r.grant_id = f.grant_id
ORDER BY f.grant_id
