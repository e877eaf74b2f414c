/*---
title    = "Token issued after offboarding"
severity = "high"
status   = "stable"
kind     = "violation"
summary  = "A new token was issued to somebody who had left the company, or the project the token was for."
rationale = """
Offboarding is meant to close every door through which new tokens come. One that is issued afterwards came through a
door that stayed open: an identity provider nobody told, a session that still signs in, a token exchange that asks
nobody.
"""
because  = "{subject_id} was offboarded at {offboarded_at}, and grant {grant_id} was issued tokens {issue_count} times after that, last at {last_issue_at}."
false_positives = [
    "The offboarding was recorded by mistake: a reinstate event ends it.",
    "The source delivers the issuing with the time of delivery instead of the time it happened.",
]
response = [
    "Revoke the grant, and disable the subject at whoever issued it: the clients and ips in the evidence lead there.",
    "Look at what the token was used for since violated_at.",
    "Find out why this issuer did not learn of the offboarding, and connect it.",
]
key      = ["subject_id", "grant_id"]
reads    = ["ends", "grants", "offboardings", "token_events"]
every    = "1m"
scope    = "grant"
resolved_by_end = true
nominate = """
SELECT DISTINCT c.grant_id
FROM offboardings AS o
INNER JOIN contexts AS c ON c.subject_id = o.subject_id
WHERE
    c.last_exercised_at >= o.offboarded_at
    AND (o.reinstated_at IS NULL OR c.first_exercised_at < o.reinstated_at)
    AND (o.project_id IS NULL OR o.project_id = c.project_id)
"""
[controls]
csf         = ["PR.AA-01", "PR.AA-05"]
nhi         = ["NHI1:2025"]
attack      = ["T1078.004", "T1550.001"]
nist_800_53 = ["AC-2(3)", "PS-4", "IA-13(3)"]
---*/
WITH issues AS (
    SELECT
        e.subject_id,
        e.grant_id,
        e.source,
        e.event_id,
        e.event_time,
        e.client_id,
        e.ip,
        e.host_id,
        o.project_id AS left_project_id,
        o.offboarded_at,
        o.reinstated_at
    FROM token_events AS e
    INNER JOIN offboardings AS o
        ON o.subject_id = e.subject_id AND (o.project_id IS NULL OR o.project_id = e.project_id)
    INNER JOIN grants AS g ON g.grant_id = e.grant_id
    WHERE
        e.action = 'issue'
        AND e.outcome = 'success'
        AND e.event_time >= o.offboarded_at + g.offboarding_grace
        AND (o.reinstated_at IS NULL OR e.event_time < o.reinstated_at)
),

intervals AS (
    SELECT
        subject_id,
        grant_id,
        left_project_id,
        offboarded_at,
        reinstated_at,
        MIN(event_time) AS violated_at,
        MAX(event_time) AS last_issue_at
    FROM issues
    GROUP BY subject_id, grant_id, left_project_id, offboarded_at, reinstated_at
),

judged AS (
    SELECT
        i.subject_id,
        i.grant_id,
        i.left_project_id,
        i.offboarded_at,
        i.violated_at,
        i.last_issue_at,
        LEAST(i.reinstated_at, MIN(e.ended_at)) AS resolved_at
    FROM intervals AS i
    LEFT JOIN ends AS e ON e.grant_id = i.grant_id AND e.ended_at > i.last_issue_at
    GROUP BY
        i.subject_id, i.grant_id, i.left_project_id, i.offboarded_at, i.reinstated_at, i.violated_at, i.last_issue_at
),

findings AS (
    SELECT
        subject_id,
        grant_id,
        MIN(violated_at) AS violated_at,
        CASE WHEN COUNT(*) = COUNT(resolved_at) THEN MAX(resolved_at) END AS resolved_at,
        MIN(offboarded_at) AS offboarded_at,
        array_slice(
            array_agg(DISTINCT left_project_id ORDER BY left_project_id) FILTER (WHERE left_project_id IS NOT NULL),
            1,
            20
        ) AS left_projects,
        MAX(last_issue_at) AS last_issue_at
    FROM judged
    GROUP BY subject_id, grant_id
),

counted AS (
    -- An issuing inside two intervals is one issuing.
    SELECT DISTINCT subject_id, grant_id, source, event_id, event_time, client_id, ip, host_id
    FROM issues
),

evidence AS (
    SELECT
        subject_id,
        grant_id,
        COUNT(*) AS issue_count,
        array_slice(
            array_agg(DISTINCT client_id ORDER BY client_id) FILTER (WHERE client_id IS NOT NULL), 1, 20
        ) AS clients,
        array_slice(array_agg(DISTINCT ip ORDER BY ip) FILTER (WHERE ip IS NOT NULL), 1, 20) AS ips,
        array_slice(array_agg(DISTINCT host_id ORDER BY host_id) FILTER (WHERE host_id IS NOT NULL), 1, 20) AS hosts,
        array_slice(array_agg(event_id ORDER BY event_time, source, event_id), 1, 20) AS event_ids
    FROM counted
    GROUP BY subject_id, grant_id
)

SELECT
    f.subject_id,
    f.grant_id,
    f.violated_at,
    f.resolved_at,
    f.offboarded_at,
    f.left_projects,
    e.issue_count,
    f.last_issue_at,
    g.offboarding_grace,
    g.offboarding_grace_rule AS rule,
    e.clients,
    e.ips,
    e.hosts,
    e.event_ids,
    e.issue_count AS event_count
FROM findings AS f
INNER JOIN evidence AS e ON e.subject_id = f.subject_id AND e.grant_id = f.grant_id
INNER JOIN grants AS g ON g.grant_id = f.grant_id
ORDER BY f.subject_id, f.grant_id
