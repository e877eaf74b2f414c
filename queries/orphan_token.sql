/*---
title    = "Token nobody saw issued"
severity = "medium"
status   = "stable"
kind     = "violation"
summary  = "A token is in use that was issued while its source recorded what it issued, and there is no record of it."
rationale = """
A token without a birth record was minted by somebody who holds the signing key, or handed out by a path that nobody
audits. Neither shows up where people look for new access.
"""
because  = "{source} says that grant {grant_id} was issued at {issued_at}; it recorded what it issued since {recording_since}, but no issue of this grant is known."
absence  = { from = "issued_at", to = "violated_at" }
false_positives = [
    "The source lost records, or they are still on their way: one that arrives late takes the finding back.",
    "The source records some kinds of issuing and not others.",
    "The source issues through a second system that was never connected.",
]
response = [
    "Ask the identity provider whether it knows the token, and revoke the grant.",
    "If it does not know it, suspect the signing key: rotate it, and look for other tokens of this kind.",
    "If it does, find out which path of issuing leaves no record.",
]
key      = ["grant_id"]
reads    = ["ends", "exercises", "grants", "issuers", "token_events"]
every    = "15m"
scope    = "grant"
resolved_by_end = true
nominate = """
SELECT e.grant_id
FROM exercises AS e
LEFT JOIN issuers AS i ON i.source = e.source
GROUP BY e.grant_id
HAVING COUNT(e.first_issue_at) = 0 AND MAX(CASE WHEN e.first_issued_at > i.first_issue_at THEN 1 END) = 1
"""
[controls]
csf         = ["PR.AA-01", "PR.PS-04"]
nhi         = ["NHI1:2025"]
attack      = ["T1606", "T1550.001"]
nist_800_53 = ["IA-13(3)", "IA-4", "AU-12", "CM-8"]
---*/
WITH seen AS (
    SELECT
        grant_id,
        source,
        MIN(first_issued_at) AS issued_at,
        MIN(first_issue_at) AS first_issue_at
    FROM exercises
    GROUP BY grant_id, source
),

recording AS (
    SELECT
        s.grant_id,
        s.source,
        s.issued_at,
        i.first_issue_at AS recording_since,
        MIN(s.first_issue_at) OVER (PARTITION BY s.grant_id) AS grant_issue_at
    FROM seen AS s
    LEFT JOIN issuers AS i ON i.source = s.source
),

orphans AS (
    SELECT
        r.grant_id,
        g.first_exercised_at,
        g.last_exercised_at,
        g.clock_skew,
        g.clock_skew_rule,
        MIN(r.issued_at) AS issued_at,
        first_value(r.source ORDER BY r.issued_at, r.source) AS source,
        first_value(r.recording_since ORDER BY r.issued_at, r.source) AS recording_since
    FROM recording AS r
    INNER JOIN grants AS g ON g.grant_id = r.grant_id
    WHERE
        r.grant_issue_at IS NULL
        AND r.issued_at > r.recording_since
        AND g.first_exercised_at > r.issued_at + g.clock_skew
    GROUP BY r.grant_id, g.first_exercised_at, g.last_exercised_at, g.clock_skew, g.clock_skew_rule
),

findings AS (
    SELECT
        o.grant_id,
        o.first_exercised_at,
        o.last_exercised_at,
        o.clock_skew,
        o.clock_skew_rule,
        o.issued_at,
        o.source,
        o.recording_since,
        array_slice(array_agg(e.event_id ORDER BY e.event_time, e.source, e.event_id), 1, 20) AS event_ids,
        COUNT(*) AS event_count
    FROM orphans AS o
    INNER JOIN token_events AS e ON e.grant_id = o.grant_id
    WHERE e.action IN ('refresh', 'use') AND e.outcome = 'success'
    GROUP BY
        o.grant_id, o.first_exercised_at, o.last_exercised_at, o.clock_skew, o.clock_skew_rule, o.issued_at, o.source,
        o.recording_since
)

SELECT
    f.grant_id,
    f.first_exercised_at AS violated_at,
    MIN(e.ended_at) AS resolved_at,
    f.source,
    f.issued_at,
    f.recording_since,
    f.first_exercised_at,
    f.last_exercised_at,
    f.clock_skew,
    f.clock_skew_rule AS rule,
    f.event_ids,
    f.event_count
FROM findings AS f
LEFT JOIN ends AS e ON e.grant_id = f.grant_id AND e.ended_at > f.first_exercised_at
GROUP BY
    f.grant_id, f.source, f.issued_at, f.recording_since, f.first_exercised_at, f.last_exercised_at, f.clock_skew,
    f.clock_skew_rule, f.event_ids, f.event_count
ORDER BY f.grant_id
