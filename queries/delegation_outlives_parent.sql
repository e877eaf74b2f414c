/*---
title    = "Delegated grant outlives its parent"
severity = "high"
status   = "stable"
kind     = "violation"
summary  = "A grant handed on from another was exercised after that one ended, or after the person behind it left."
rationale = """
An agent acts on borrowed authority. When the loan is called in, by revoking the parent or by its owner's leaving, the
copies further down the chain often live on: nobody sees them from where the revoking is done.
"""
because  = "Grant {grant_id} comes from {parent_id} and was exercised {exercise_count} times after that one ended or its owner left ({reason}), first at {violated_at}."
false_positives = [
    "The parent expired as planned and the child was meant to run on by itself: then it should be a grant of its own.",
    "The parent's subject was exercised in passing, by an administrator, and it is the administrator who left.",
]
response = [
    "Revoke the child, and whatever was handed on from it: path shows the way down.",
    "Look at what it did since the parent ended, or its owner left.",
    "Have the server end children with their parents, or give them lifetimes no longer than the parent's.",
]
key      = ["grant_id", "parent_id"]
reads    = ["context_events", "contexts", "ends", "grants", "offboardings", "token_events"]
every    = "5m"
nominate = """
SELECT g.grant_id
FROM (SELECT parent_id FROM parents_parts LIMIT 1) AS p
CROSS JOIN grants_fold AS g
"""
[controls]
csf         = ["PR.AA-05", "PR.AA-01"]
nhi         = ["NHI1:2025", "NHI5:2025"]
attack      = ["T1550.001", "T1078.004"]
nist_800_53 = ["IA-13(3)", "AC-2(3)", "AC-6"]
---*/
WITH RECURSIVE stated AS (
    SELECT DISTINCT grant_id, parent_id
    FROM token_events
    WHERE
        grant_id IS NOT NULL
        AND parent_id IS NOT NULL
        AND (outcome = 'success' OR action = 'reuse_detected')
),

exercised AS (
    SELECT DISTINCT grant_id
    FROM contexts
),

told AS (
    SELECT token_id, MIN(family_id) AS family_id
    FROM context_events
    WHERE token_id IS NOT NULL AND family_id IS NOT NULL
    GROUP BY token_id
),

links AS (
    -- A parent stated as a token id is the grant of the events that carry the token.
    SELECT
        s.grant_id,
        coalesce(x.grant_id, LEAST(MIN(e.grant_id), t.family_id), s.parent_id) AS parent_id
    FROM stated AS s
    LEFT JOIN exercised AS x ON x.grant_id = s.parent_id
    LEFT JOIN told AS t ON t.token_id = s.parent_id
    LEFT JOIN token_events AS e ON e.token_id = s.parent_id
    GROUP BY s.grant_id, s.parent_id, x.grant_id, t.family_id
),

chains AS (
    SELECT grant_id, parent_id, 1 AS level, MIN(grant_id || ' > ' || parent_id) AS path
    FROM links
    WHERE parent_id <> grant_id
    GROUP BY grant_id, parent_id
    UNION ALL
    -- Of all ways to an ancestor that are equally long one is enough, however many there are.
    SELECT c.grant_id, l.parent_id, c.level + 1 AS level, MIN(c.path || ' > ' || l.parent_id) AS path
    FROM chains AS c
    INNER JOIN links AS l ON l.grant_id = c.parent_id
    WHERE c.level < 8 AND l.parent_id <> c.grant_id
    GROUP BY c.grant_id, l.parent_id, c.level + 1
),

ranked AS (
    SELECT
        grant_id,
        parent_id,
        path,
        ROW_NUMBER() OVER (PARTITION BY grant_id, parent_id ORDER BY level, path) AS place
    FROM chains
),

ancestors AS (
    SELECT
        r.grant_id,
        r.parent_id,
        r.path,
        p.ended_at AS parent_ended_at,
        c.last_exercised_at,
        c.clock_skew,
        c.clock_skew_rule,
        c.offboarding_grace,
        c.offboarding_grace_rule
    FROM ranked AS r
    INNER JOIN grants AS p ON p.grant_id = r.parent_id
    INNER JOIN grants AS c ON c.grant_id = r.grant_id
    WHERE r.place = 1
),

departures AS (
    SELECT DISTINCT c.grant_id, o.subject_id, o.project_id, o.offboarded_at, o.reinstated_at
    FROM contexts AS c
    INNER JOIN offboardings AS o ON o.subject_id = c.subject_id
),

exercises AS (
    -- One row per exercise, though it may follow several departures.
    SELECT
        a.grant_id,
        a.parent_id,
        a.path,
        a.last_exercised_at,
        a.clock_skew,
        a.clock_skew_rule,
        a.offboarding_grace,
        a.offboarding_grace_rule,
        e.source,
        e.event_id,
        e.event_time,
        CASE WHEN e.event_time > a.parent_ended_at + a.clock_skew THEN a.parent_ended_at END AS parent_ended_at,
        MIN(d.offboarded_at) AS offboarded_at,
        first_value(d.subject_id ORDER BY d.offboarded_at, d.subject_id) AS left_subject_id
    FROM ancestors AS a
    INNER JOIN token_events AS e ON e.grant_id = a.grant_id
    LEFT JOIN departures AS d
        ON
            d.grant_id = a.parent_id
            AND (d.project_id IS NULL OR d.project_id = e.project_id)
            AND e.event_time >= d.offboarded_at + a.offboarding_grace
            AND (d.reinstated_at IS NULL OR e.event_time < d.reinstated_at)
    WHERE e.action IN ('issue', 'refresh', 'use') AND e.outcome = 'success'
    GROUP BY
        a.grant_id, a.parent_id, a.path, a.last_exercised_at, a.clock_skew, a.clock_skew_rule, a.offboarding_grace,
        a.offboarding_grace_rule, e.source, e.event_id, e.event_time,
        CASE WHEN e.event_time > a.parent_ended_at + a.clock_skew THEN a.parent_ended_at END
),

findings AS (
    SELECT
        grant_id,
        parent_id,
        path,
        last_exercised_at,
        clock_skew,
        clock_skew_rule,
        offboarding_grace,
        offboarding_grace_rule,
        MIN(event_time) AS violated_at,
        MAX(event_time) AS last_outliving_at,
        MIN(parent_ended_at) AS parent_ended_at,
        MIN(offboarded_at) AS offboarded_at,
        first_value(left_subject_id ORDER BY offboarded_at, left_subject_id) AS left_subject_id,
        COUNT(*) AS exercise_count,
        array_slice(array_agg(event_id ORDER BY event_time, source, event_id), 1, 20) AS event_ids
    FROM exercises
    WHERE parent_ended_at IS NOT NULL OR offboarded_at IS NOT NULL
    GROUP BY
        grant_id, parent_id, path, last_exercised_at, clock_skew, clock_skew_rule, offboarding_grace,
        offboarding_grace_rule
)

-- A later exercise has no earlier next end, so that of the last one is the latest of all reasons and intervals.
SELECT
    f.grant_id,
    f.parent_id,
    f.violated_at,
    MIN(n.ended_at) AS resolved_at,
    CASE
        WHEN f.offboarded_at IS NULL THEN 'ended'
        WHEN f.parent_ended_at IS NULL THEN 'offboarded'
        ELSE 'both'
    END AS reason,
    f.parent_ended_at,
    f.offboarded_at,
    f.left_subject_id,
    f.path,
    f.exercise_count,
    f.last_exercised_at,
    f.clock_skew,
    f.clock_skew_rule,
    f.offboarding_grace,
    f.offboarding_grace_rule,
    f.event_ids,
    f.exercise_count AS event_count
FROM findings AS f
LEFT JOIN ends AS n ON n.grant_id = f.grant_id AND n.ended_at > f.last_outliving_at
GROUP BY
    f.grant_id, f.parent_id, f.violated_at, f.parent_ended_at, f.offboarded_at, f.left_subject_id, f.path,
    f.exercise_count, f.last_exercised_at, f.clock_skew, f.clock_skew_rule, f.offboarding_grace,
    f.offboarding_grace_rule, f.event_ids
ORDER BY f.grant_id, f.parent_id
