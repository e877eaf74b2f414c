/*---
title    = "Token kept in insecure storage"
severity = "medium"
status   = "stable"
kind     = "violation"
summary  = "A client says that it keeps a token where the policy does not allow it, such as in a plain file."
rationale = """
A token in a plain file is read by every process of its owner, ends up in backups and images, and is the first thing
that credential stealers look for. A keychain asks who wants it; a plain file does not.
"""
because  = "The storage stated for grant {grant_id} is {storages}, which its policy does not allow: first at {violated_at}, last at {last_insecure_at}."
false_positives = [
    "The client reports its default, not what it was configured to do.",
    "A file on an encrypted volume of a machine that nobody else uses: allow it with a rule for such hosts.",
]
response = [
    "Move the client to a keychain or vault and log in again, so that the copy in the file is worth nothing.",
    "Revoke the grant: what lay in the file may have been read already.",
    "Delete the file, from backups and images too.",
]
key      = ["grant_id"]
reads    = ["ends", "grants", "token_events"]
every    = "5m"
scope    = "grant"
resolved_by_end = true
nominate = """
SELECT DISTINCT e.grant_id
FROM grants AS g
INNER JOIN exercises AS e ON e.grant_id = g.grant_id
WHERE e.token_storage <> 'unknown' AND NOT coalesce(array_has(g.storage, e.token_storage), FALSE)
"""
[controls]
csf         = ["PR.DS-01"]
nhi         = ["NHI2:2025"]
attack      = ["T1552.001", "T1528"]
nist_800_53 = ["IA-5(6)", "IA-5(7)", "SC-28"]
---*/
WITH stated AS (
    SELECT
        e.grant_id,
        e.source,
        e.event_id,
        e.event_time,
        e.token_storage,
        e.host_id,
        g.storage AS allowed_storages,
        g.storage_rule AS rule,
        NOT coalesce(array_has(g.storage, e.token_storage), FALSE) AS is_insecure
    FROM token_events AS e
    INNER JOIN grants AS g ON g.grant_id = e.grant_id
    WHERE e.action IN ('issue', 'refresh', 'use') AND e.outcome = 'success' AND e.token_storage <> 'unknown'
),

followed AS (
    SELECT
        grant_id,
        source,
        event_id,
        event_time,
        token_storage,
        host_id,
        allowed_storages,
        rule,
        is_insecure,
        MAX(CASE WHEN is_insecure THEN event_time END) OVER (PARTITION BY grant_id) AS last_insecure_at
    FROM stated
),

findings AS (
    SELECT
        grant_id,
        allowed_storages,
        rule,
        last_insecure_at,
        MIN(CASE WHEN is_insecure THEN event_time END) AS violated_at,
        MIN(CASE WHEN event_time > last_insecure_at THEN event_time END) AS moved_at,
        array_slice(
            array_agg(DISTINCT token_storage ORDER BY token_storage) FILTER (WHERE is_insecure), 1, 20
        ) AS storages,
        array_slice(
            array_agg(DISTINCT host_id ORDER BY host_id) FILTER (WHERE is_insecure AND host_id IS NOT NULL), 1, 20
        ) AS hosts,
        array_slice(
            array_agg(event_id ORDER BY event_time, source, event_id) FILTER (WHERE is_insecure), 1, 20
        ) AS event_ids,
        COUNT(*) FILTER (WHERE is_insecure) AS event_count
    FROM followed
    WHERE last_insecure_at IS NOT NULL
    GROUP BY grant_id, allowed_storages, rule, last_insecure_at
)

SELECT
    f.grant_id,
    f.violated_at,
    LEAST(f.moved_at, MIN(e.ended_at)) AS resolved_at,
    f.storages,
    f.hosts,
    f.last_insecure_at,
    f.allowed_storages,
    f.rule,
    f.event_ids,
    f.event_count
FROM findings AS f
LEFT JOIN ends AS e ON e.grant_id = f.grant_id AND e.ended_at > f.last_insecure_at
GROUP BY
    f.grant_id, f.violated_at, f.moved_at, f.storages, f.hosts, f.last_insecure_at, f.allowed_storages, f.rule,
    f.event_ids, f.event_count
ORDER BY f.grant_id
