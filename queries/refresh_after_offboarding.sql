/*---
title    = "Refresh token used after offboarding"
severity = "high"
status   = "stable"
kind     = "violation"
summary  = "A token was refreshed although its owner had left the company, or the project the refresh was for."
rationale = """
Closing an account stops the next login, not the refresh tokens already handed out: they renew access for weeks
without asking anybody. A refresh that succeeds after the offboarding shows that nobody revoked the grant.
"""
because  = "{subject_id} was offboarded at {offboarded_at}, and the grant was refreshed {refresh_count} times after that, last at {last_refresh_at}."
false_positives = [
    "The offboarding was recorded by mistake: a reinstate event ends it.",
    "The subject left one project and the refresh served another under the same project id.",
]
response = [
    "Revoke the grant at the identity provider, and all others of this subject.",
    "Look at what the access tokens minted since offboarded_at were used for, from the ips and hosts in the evidence.",
    "Find out why the offboarding did not revoke the grant, and mend that.",
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
    c.last_refreshed_at >= o.offboarded_at
    AND (o.reinstated_at IS NULL OR c.first_refreshed_at < o.reinstated_at)
    AND (o.project_id IS NULL OR o.project_id = c.project_id)
"""
[controls]
csf         = ["PR.AA-01", "PR.AA-05"]
nhi         = ["NHI1:2025"]
attack      = ["T1078.004", "T1550.001"]
nist_800_53 = ["AC-2(3)", "PS-4", "IA-13(3)", "AC-2(13)"]
---*/
WITH refreshes AS (
    SELECT
        e.subject_id,
        e.grant_id,
        e.source,
        e.event_id,
        e.event_time,
        e.ip,
        e.host_id,
        o.project_id AS left_project_id,
        o.offboarded_at,
        o.reinstated_at
    FROM token_events AS e
    INNER JOIN offboardings AS o ON o.subject_id = e.subject_id AND (o.project_id IS NULL OR o.project_id = e.project_id)
    INNER JOIN grants AS g ON g.grant_id = e.grant_id
    WHERE
        e.action = 'refresh'
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
        MAX(event_time) AS last_refresh_at
    FROM refreshes
    GROUP BY subject_id, grant_id, left_project_id, offboarded_at, reinstated_at
),

judged AS (
    SELECT
        i.subject_id,
        i.grant_id,
        i.left_project_id,
        i.offboarded_at,
        i.violated_at,
        i.last_refresh_at,
        LEAST(i.reinstated_at, MIN(e.ended_at)) AS resolved_at
    FROM intervals AS i
    LEFT JOIN ends AS e ON e.grant_id = i.grant_id AND e.ended_at > i.last_refresh_at
    GROUP BY
        i.subject_id, i.grant_id, i.left_project_id, i.offboarded_at, i.reinstated_at, i.violated_at, i.last_refresh_at
),

findings AS (
    SELECT
        subject_id,
        grant_id,
        MIN(violated_at) AS violated_at,
        CASE WHEN COUNT(*) = COUNT(resolved_at) THEN MAX(resolved_at) END AS resolved_at,
        MIN(offboarded_at) AS offboarded_at,
        array_slice(
            array_agg(DISTINCT left_project_id ORDER BY left_project_id) FILTER (WHERE left_project_id IS NOT NULL), 1, 20
        ) AS left_projects,
        MAX(last_refresh_at) AS last_refresh_at
    FROM judged
    GROUP BY subject_id, grant_id
),

counted AS (
    -- A refresh inside two intervals is one refresh.
    SELECT DISTINCT subject_id, grant_id, source, event_id, event_time, ip, host_id
    FROM refreshes
),

evidence AS (
    SELECT
        subject_id,
        grant_id,
        COUNT(*) AS refresh_count,
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
    e.refresh_count,
    f.last_refresh_at,
    g.offboarding_grace,
    g.offboarding_grace_rule AS rule,
    e.ips,
    e.hosts,
    e.event_ids,
    e.refresh_count AS event_count
FROM findings AS f
INNER JOIN evidence AS e ON e.subject_id = f.subject_id AND e.grant_id = f.grant_id
INNER JOIN grants AS g ON g.grant_id = f.grant_id
ORDER BY f.subject_id, f.grant_id
