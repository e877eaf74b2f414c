/*---
title    = "Refresh that policy does not allow"
severity = "high"
status   = "stable"
kind     = "violation"
summary  = "A grant was refreshed although its policy says that it must never be."
rationale = """
Some grants are meant to die with their first access token: those of contractors, of break-glass accounts, of clients
on machines nobody controls. One refresh that succeeds shows that the identity provider hands out renewals to them all
the same, and that a short login has become a long one.
"""
because  = "Grant {grant_id} was refreshed {refresh_count} times, last at {last_refresh_at}, although its policy ({rule}) says that it must never be."
false_positives = [
    "The rule's match is wider than what it was written for: the evidence names the rule.",
]
response = [
    "Revoke the grant.",
    "Switch refresh tokens off for the client at the identity provider; the policy only watches, it does not prevent.",
    "If the grant may be refreshed after all, give it a rule with refresh = \"allow\", with a reason.",
]
key      = ["grant_id"]
reads    = ["ends", "grants", "token_events"]
every    = "5m"
scope    = "grant"
resolved_by_end = true
nominate = """
SELECT DISTINCT c.grant_id
FROM grants AS g
INNER JOIN contexts AS c ON c.grant_id = g.grant_id
WHERE g.refresh = 'never' AND c.last_refreshed_at IS NOT NULL
"""
[controls]
csf         = ["PR.AA-05", "GV.PO-01"]
nhi         = ["NHI7:2025"]
attack      = ["T1550.001"]
nist_800_53 = ["IA-13(3)", "AC-3", "IA-11"]
---*/
WITH refreshes AS (
    SELECT
        e.grant_id,
        e.source,
        e.event_id,
        e.event_time,
        e.subject_id,
        e.client_id,
        e.host_id,
        e.ip
    FROM token_events AS e
    INNER JOIN grants AS g ON g.grant_id = e.grant_id
    WHERE e.action = 'refresh' AND e.outcome = 'success' AND g.refresh = 'never'
),

findings AS (
    SELECT
        grant_id,
        MIN(event_time) AS violated_at,
        MAX(event_time) AS last_refresh_at,
        COUNT(*) AS refresh_count,
        array_slice(array_agg(DISTINCT subject_id ORDER BY subject_id) FILTER (WHERE subject_id IS NOT NULL), 1, 20)
            AS subjects,
        array_slice(array_agg(DISTINCT client_id ORDER BY client_id) FILTER (WHERE client_id IS NOT NULL), 1, 20)
            AS clients,
        array_slice(array_agg(DISTINCT host_id ORDER BY host_id) FILTER (WHERE host_id IS NOT NULL), 1, 20) AS hosts,
        array_slice(array_agg(DISTINCT ip ORDER BY ip) FILTER (WHERE ip IS NOT NULL), 1, 20) AS ips,
        array_slice(array_agg(event_id ORDER BY event_time, source, event_id), 1, 20) AS event_ids
    FROM refreshes
    GROUP BY grant_id
),

resolutions AS (
    SELECT f.grant_id, MIN(e.ended_at) AS resolved_at
    FROM findings AS f
    INNER JOIN ends AS e ON e.grant_id = f.grant_id
    WHERE e.ended_at > f.last_refresh_at
    GROUP BY f.grant_id
)

SELECT
    f.grant_id,
    f.violated_at,
    r.resolved_at,
    g.refresh_rule AS rule,
    f.refresh_count,
    f.last_refresh_at,
    f.subjects,
    f.clients,
    f.hosts,
    f.ips,
    f.event_ids,
    f.refresh_count AS event_count
FROM findings AS f
INNER JOIN grants AS g ON g.grant_id = f.grant_id
LEFT JOIN resolutions AS r ON r.grant_id = f.grant_id
ORDER BY f.grant_id
