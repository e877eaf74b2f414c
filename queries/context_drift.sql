/*---
title    = "Token that lives in two places"
severity = "medium"
status   = "stable"
kind     = "lead"
summary  = "A grant moved to another device, host or client, and then the old one came back."
rationale = """
A token store that moves to a new laptop moves once. When the old place goes on after the new one has appeared, there are
two copies of the token, and one of them may be in the hands of somebody who copied it.
"""
because  = "Grant {grant_id} appeared with a new {what} at {violated_at}, while another one still used it after that; {place_count} were seen in all."
false_positives = [
    "A home folder that is synchronised between two machines.",
    "Hosts that are renamed back and forth, or clients that report two names.",
]
response = [
    "Ask the owner whether both places are theirs.",
    "If not, revoke the grant and look at what was done from the second one since violated_at.",
]
key      = ["grant_id", "what"]
reads    = ["contexts", "grants", "token_events"]
every    = "15m"
scope    = "grant"
resolved_by_end = true
nominate = """
SELECT c.grant_id
FROM several_contexts AS s
INNER JOIN contexts AS c ON c.grant_id = s.grant_id
GROUP BY c.grant_id
HAVING
    MIN(c.device_id) <> MAX(c.device_id)
    OR MIN(c.host_id) <> MAX(c.host_id)
    OR MIN(c.client_id) <> MAX(c.client_id)
"""
[controls]
csf         = ["PR.AA-05", "DE.CM-09"]
nhi         = ["NHI9:2025"]
attack      = ["T1550.001", "T1528"]
nist_800_53 = ["AC-2(12)", "AC-2(11)", "IA-3", "IA-10"]
---*/
WITH families AS (
    -- Clients that share refresh tokens by design count as one.
    SELECT grant_id, client_id, MIN(family_name) AS family
    FROM (
        SELECT grant_id, unnest(clients) AS client_id, array_to_string(clients, ' ') AS family_name
        FROM (SELECT grant_id, unnest(client_families) AS clients FROM grants)
    )
    GROUP BY grant_id, client_id
),

lasting_hosts AS (
    -- An event that does not say that the host is a container makes it no lasting one.
    SELECT
        c.grant_id,
        c.host_id,
        MIN(c.first_exercised_at) AS first_exercised_at,
        MAX(c.last_exercised_at) AS last_exercised_at
    FROM contexts AS c
    INNER JOIN grants AS g ON g.grant_id = c.grant_id
    WHERE c.host_id IS NOT NULL
    GROUP BY c.grant_id, c.host_id
    HAVING
        NOT coalesce(
            BOOL_AND(array_has(g.ephemeral_host_kinds, c.host_kind)) FILTER (WHERE c.host_kind <> 'unknown'), FALSE
        )
),

met AS (
    SELECT grant_id, 'device' AS what, device_id AS place, first_exercised_at, last_exercised_at
    FROM contexts
    WHERE device_id IS NOT NULL
    UNION ALL
    SELECT grant_id, 'host' AS what, host_id AS place, first_exercised_at, last_exercised_at
    FROM lasting_hosts
    UNION ALL
    SELECT c.grant_id, 'client' AS what, coalesce(f.family, c.client_id) AS place, c.first_exercised_at, c.last_exercised_at
    FROM contexts AS c
    LEFT JOIN families AS f ON f.grant_id = c.grant_id AND f.client_id = c.client_id
    WHERE c.client_id IS NOT NULL
),

presences AS (
    SELECT grant_id, what, place, MIN(first_exercised_at) AS first_at, MAX(last_exercised_at) AS last_at
    FROM met
    GROUP BY grant_id, what, place
),

followed AS (
    -- Of presences that begin together the longest stands first, so that the others are seen to overlap with it.
    SELECT
        grant_id,
        what,
        place,
        first_at,
        last_at,
        MAX(last_at) OVER (
            PARTITION BY grant_id, what ORDER BY first_at, last_at DESC, place
            ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
        ) AS others_until
    FROM presences
),

findings AS (
    SELECT
        grant_id,
        what,
        MIN(CASE WHEN first_at < others_until THEN first_at END) AS violated_at,
        COUNT(*) AS place_count,
        array_slice(array_agg(place ORDER BY first_at, place), 1, 20) AS places,
        array_slice(
            array_agg(CAST(first_at AS VARCHAR) || ' to ' || CAST(last_at AS VARCHAR) ORDER BY first_at, place), 1, 20
        ) AS presences
    FROM followed
    GROUP BY grant_id, what
    HAVING MIN(CASE WHEN first_at < others_until THEN first_at END) IS NOT NULL
),

networks AS (
    SELECT
        grant_id,
        array_slice(array_agg(DISTINCT country ORDER BY country) FILTER (WHERE country IS NOT NULL), 1, 20) AS countries,
        array_slice(array_agg(DISTINCT asn ORDER BY asn) FILTER (WHERE asn IS NOT NULL), 1, 20) AS asns
    FROM token_events
    WHERE action IN ('issue', 'refresh', 'use') AND outcome = 'success'
    GROUP BY grant_id
)

SELECT
    f.grant_id,
    f.what,
    f.violated_at,
    CASE WHEN g.ended_at <= $as_of AND g.ended_at > f.violated_at THEN g.ended_at END AS resolved_at,
    f.places,
    f.presences,
    f.place_count,
    n.countries,
    n.asns
FROM findings AS f
INNER JOIN grants AS g ON g.grant_id = f.grant_id
LEFT JOIN networks AS n ON n.grant_id = f.grant_id
ORDER BY f.grant_id, f.what
