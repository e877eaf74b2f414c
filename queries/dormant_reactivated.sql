/*---
title    = "Dormant token came back to life"
severity = "medium"
status   = "stable"
kind     = "lead"
summary  = "A grant woke after a long pause: from a new network or machine, or though its subject was never away."
rationale = """
A token nobody has used for weeks is one nobody watches. Whoever finds it in an old backup or image has it to
themselves, and the owner notices nothing. From a new network or machine a return is worth a look at any time. From the
old machine it looks like a tool that is rarely used: those rows are low, and for hunting only.
"""
because  = "Grant {grant_id} rested for {pause} and woke at {violated_at}, in a new place or although its subject had not been away ({reason})."
absence  = { from = "left_at", to = "violated_at" }
false_positives = [
    "A command-line tool that is used a few times a year.",
    "A long leave that ends with a new laptop or in another place.",
    "A job that runs once a quarter and was moved to other hosts meanwhile.",
]
response = [
    "Ask the owner whether they took that client up again on that day.",
    "If not, revoke the grant and look at what was done with it since violated_at.",
    "If so, ask whether a token that rests this long is needed at all.",
]
key      = ["grant_id", "returned_on"]
reads    = ["grants", "places", "token_events"]
every    = "15m"
nominate = """
WITH limits AS (
    -- In whole days, of which two times so far apart differ at least.
    SELECT
        grant_id,
        (CAST(first_exercised_at + dormant_after AS BIGINT) - CAST(first_exercised_at AS BIGINT)) / 86400000000
            AS dormant_days,
        (CAST(first_exercised_at + dormant_quiet_after AS BIGINT) - CAST(first_exercised_at AS BIGINT)) / 86400000000
            AS quiet_days,
        return_window
    FROM grants
    WHERE
        last_exercised_at > first_exercised_at + dormant_after
        AND NOT coalesce(ended_at < $since AND last_exercised_at < ended_at, FALSE)
),

spans AS (
    -- Four days a digit: cheap to search, and near enough to leave out the many grants that never rest.
    SELECT
        grant_id,
        days,
        span,
        dormant_days,
        strpos(rtrim(digits, '0'), repeat('0', GREATEST(dormant_days / 4 - 1, 0))) > 0 AS has_pause,
        span * 64 + 4 * (length(digits) - length(rtrim(digits, '0'))) + 3 AS first_day_at_most,
        span * 64 + 4 * length(digits) - 4 AS last_day_at_least
    FROM (
        SELECT a.grant_id, a.span, a.days, to_hex(a.days) AS digits, l.dormant_days
        FROM limits AS l
        INNER JOIN active_days AS a ON a.grant_id = l.grant_id
    )
),

joints AS (
    SELECT
        grant_id,
        dormant_days,
        has_pause,
        first_day_at_most - LAG(last_day_at_least) OVER (PARTITION BY grant_id ORDER BY span) AS days_between
    FROM spans
),

resting AS (
    SELECT DISTINCT grant_id
    FROM joints
    WHERE has_pause OR days_between >= dormant_days
),

days AS (
    SELECT grant_id, span * 64 + bit AS day
    FROM (
        SELECT s.grant_id, s.span, s.days, unnest(range(0, 64)) AS bit
        FROM spans AS s
        INNER JOIN resting AS r ON r.grant_id = s.grant_id
    )
    WHERE (days >> CAST(bit AS BIGINT)) & 1 = 1
),

gaps AS (
    SELECT grant_id, day, day - LAG(day) OVER (PARTITION BY grant_id ORDER BY day) AS days_away
    FROM days
),

followed AS (
    SELECT
        grant_id,
        day,
        days_away,
        MAX(days_away) OVER (
            PARTITION BY grant_id ORDER BY day ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
        ) AS longest_days_away
    FROM gaps
),

returns AS (
    SELECT
        f.grant_id,
        to_timestamp_micros(f.day * 86400000000) AS returned_from,
        to_timestamp_micros((f.day + 1) * 86400000000) + l.return_window AS returned_until,
        -- Times may be up to a day further apart, or closer, than days say.
        f.days_away >= l.quiet_days AND f.days_away + 1 > 2 * (coalesce(f.longest_days_away, 1) - 1) AS may_be_quiet
    FROM followed AS f
    INNER JOIN limits AS l ON l.grant_id = f.grant_id
    WHERE f.days_away >= l.dormant_days
),

candidates AS (
    SELECT DISTINCT r.grant_id
    FROM returns AS r
    INNER JOIN places AS p ON p.grant_id = r.grant_id
    WHERE
        (p.first_exercised_at >= r.returned_from AND p.first_exercised_at < r.returned_until)
        OR (r.may_be_quiet AND p.subject_kind = 'human')
),

owners AS (
    SELECT DISTINCT p.subject_id
    FROM places AS p
    INNER JOIN candidates AS c ON c.grant_id = p.grant_id
    WHERE p.subject_id IS NOT NULL
)

SELECT grant_id
FROM candidates
UNION
-- What is new for them, and whether they were away, their other grants tell.
SELECT p.grant_id
FROM owners AS o
INNER JOIN all_places AS p ON p.subject_id = o.subject_id
"""
[controls]
csf         = ["PR.AA-05", "DE.CM-03"]
nhi         = ["NHI7:2025", "NHI1:2025"]
attack      = ["T1078.004", "T1550.001"]
nist_800_53 = ["AC-2(3)", "AC-2(12)"]
---*/
WITH exercises AS (
    SELECT
        grant_id,
        source,
        event_id,
        event_time,
        date_trunc('day', event_time) AS day,
        subject_id,
        subject_kind,
        client_id,
        country,
        ip
    FROM token_events
    WHERE action IN ('issue', 'refresh', 'use') AND outcome = 'success' AND grant_id IS NOT NULL
),

active AS (
    SELECT grant_id, day, MIN(event_time) AS first_at, MAX(event_time) AS last_at
    FROM exercises
    GROUP BY grant_id, day
),

followed AS (
    SELECT
        grant_id,
        day,
        first_at AS returned_at,
        LAG(last_at) OVER (PARTITION BY grant_id ORDER BY day) AS left_at
    FROM active
),

paused AS (
    SELECT
        grant_id,
        day,
        returned_at,
        left_at,
        returned_at - left_at AS pause,
        CAST(returned_at AS BIGINT) - CAST(left_at AS BIGINT) AS pause_micros
    FROM followed
),

rested AS (
    SELECT
        grant_id,
        day,
        returned_at,
        left_at,
        pause,
        pause_micros,
        MAX(pause) OVER earlier AS longest_earlier_pause,
        MAX(pause_micros) OVER earlier AS longest_earlier_micros
    FROM paused
    WINDOW earlier AS (PARTITION BY grant_id ORDER BY day ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
),

returns AS (
    SELECT
        r.grant_id,
        r.day,
        r.returned_at,
        r.left_at,
        r.pause,
        r.longest_earlier_pause,
        r.returned_at > r.left_at + g.dormant_quiet_after
            AND r.pause_micros > 2 * coalesce(r.longest_earlier_micros, 0) AS is_unusual,
        g.ended_at,
        g.egress_asns,
        g.dormant_after,
        g.dormant_after_rule,
        g.dormant_quiet_after,
        g.dormant_quiet_after_rule,
        g.return_window
    FROM rested AS r
    INNER JOIN grants AS g ON g.grant_id = r.grant_id
    WHERE r.returned_at > r.left_at + g.dormant_after
),

-- An exercise is compared with what its subject did before; one without a subject, with what its grant did before.
nameless AS (
    SELECT DISTINCT grant_id
    FROM places
    WHERE subject_id IS NULL
),

known AS (
    SELECT
        'subject' AS whose,
        subject_id AS owner,
        asn,
        device_id,
        host_id,
        agent_family,
        first_exercised_at AS first_at
    FROM places
    WHERE subject_id IS NOT NULL
    UNION ALL
    SELECT
        'grant' AS whose,
        p.grant_id AS owner,
        p.asn,
        p.device_id,
        p.host_id,
        p.agent_family,
        p.first_exercised_at AS first_at
    FROM places AS p
    INNER JOIN nameless AS n ON n.grant_id = p.grant_id
),

networks AS (
    SELECT whose, owner, asn, MIN(first_at) AS first_at
    FROM known
    WHERE asn IS NOT NULL
    GROUP BY whose, owner, asn
),

devices AS (
    SELECT whose, owner, device_id, MIN(first_at) AS first_at
    FROM known
    WHERE device_id IS NOT NULL
    GROUP BY whose, owner, device_id
),

hosts AS (
    SELECT whose, owner, host_id, MIN(first_at) AS first_at
    FROM known
    WHERE host_id IS NOT NULL
    GROUP BY whose, owner, host_id
),

agents AS (
    SELECT whose, owner, agent_family, MIN(first_at) AS first_at
    FROM known
    WHERE agent_family IS NOT NULL
    GROUP BY whose, owner, agent_family
),

visits AS (
    SELECT
        r.grant_id,
        r.day,
        CASE WHEN p.subject_id IS NULL THEN 'grant' ELSE 'subject' END AS whose,
        coalesce(p.subject_id, p.grant_id) AS owner,
        p.asn,
        coalesce(array_has(r.egress_asns, p.asn), FALSE) AS is_egress,
        p.device_id,
        p.host_id,
        p.agent_family,
        p.first_exercised_at AS first_at
    FROM returns AS r
    INNER JOIN places AS p ON p.grant_id = r.grant_id
    WHERE p.first_exercised_at >= r.returned_at AND p.first_exercised_at <= r.returned_at + r.return_window
),

met AS (
    SELECT
        v.grant_id,
        v.day,
        v.first_at,
        CASE WHEN NOT v.is_egress AND n.first_at = v.first_at THEN v.asn END AS new_asn,
        CASE
            WHEN v.device_id IS NOT NULL
                THEN CASE
                    WHEN d.first_at = v.first_at AND (v.host_id IS NULL OR h.first_at = v.first_at) THEN v.device_id
                END
            WHEN v.host_id IS NOT NULL THEN CASE WHEN h.first_at = v.first_at THEN v.host_id END
            WHEN a.first_at = v.first_at THEN v.agent_family
        END AS new_machine
    FROM visits AS v
    LEFT JOIN networks AS n ON n.whose = v.whose AND n.owner = v.owner AND n.asn = v.asn
    LEFT JOIN devices AS d ON d.whose = v.whose AND d.owner = v.owner AND d.device_id = v.device_id
    LEFT JOIN hosts AS h ON h.whose = v.whose AND h.owner = v.owner AND h.host_id = v.host_id
    LEFT JOIN agents AS a ON a.whose = v.whose AND a.owner = v.owner AND a.agent_family = v.agent_family
),

new_contexts AS (
    SELECT
        grant_id,
        day,
        MIN(first_at) AS new_at,
        array_slice(array_agg(DISTINCT new_asn ORDER BY new_asn) FILTER (WHERE new_asn IS NOT NULL), 1, 20) AS new_asns,
        array_slice(
            array_agg(DISTINCT new_machine ORDER BY new_machine) FILTER (WHERE new_machine IS NOT NULL), 1, 20
        ) AS new_machines
    FROM met
    WHERE new_asn IS NOT NULL OR new_machine IS NOT NULL
    GROUP BY grant_id, day
),

kinds AS (
    SELECT grant_id, MIN(subject_kind) AS least_kind, MAX(subject_kind) AS greatest_kind
    FROM places
    WHERE subject_kind <> 'unknown'
    GROUP BY grant_id
),

people AS (
    -- Whoever came back, if they are human: as stated there, else by all that is stated on the grant.
    SELECT DISTINCT r.grant_id, r.day, r.left_at, e.subject_id
    FROM returns AS r
    INNER JOIN exercises AS e ON e.grant_id = r.grant_id AND e.event_time = r.returned_at
    LEFT JOIN kinds AS k ON k.grant_id = r.grant_id
    WHERE
        r.is_unusual
        AND e.subject_id IS NOT NULL
        AND CASE
            WHEN e.subject_kind <> 'unknown' THEN e.subject_kind = 'human'
            ELSE k.least_kind = 'human' AND k.greatest_kind = 'human'
        END
),

subject_days AS (
    SELECT subject_id, grant_id, day
    FROM exercises
    WHERE subject_id IS NOT NULL
    GROUP BY subject_id, grant_id, day
),

elsewhere AS (
    -- On whole days between: who was away takes up everything on the last of them.
    SELECT
        p.grant_id,
        p.day,
        COUNT(DISTINCT d.day) AS other_day_count,
        COUNT(DISTINCT d.grant_id) AS other_grant_count,
        array_slice(array_agg(DISTINCT d.grant_id ORDER BY d.grant_id), 1, 20) AS other_grants
    FROM people AS p
    INNER JOIN subject_days AS d ON d.subject_id = p.subject_id
    WHERE d.grant_id <> p.grant_id AND d.day > date_trunc('day', p.left_at) AND d.day < p.day
    GROUP BY p.grant_id, p.day
),

findings AS (
    SELECT
        r.grant_id,
        r.day,
        r.returned_at,
        r.left_at,
        r.pause,
        r.longest_earlier_pause,
        r.ended_at,
        r.return_window,
        n.new_at IS NOT NULL AS is_new,
        n.new_at,
        n.new_asns,
        n.new_machines,
        CASE WHEN n.new_at IS NULL THEN o.other_grants END AS other_grants,
        CASE WHEN n.new_at IS NULL THEN o.other_grant_count END AS other_grant_count,
        CASE WHEN n.new_at IS NULL THEN o.other_day_count END AS other_day_count,
        CASE WHEN n.new_at IS NULL THEN r.dormant_quiet_after ELSE r.dormant_after END AS pause_limit,
        CASE WHEN n.new_at IS NULL THEN r.dormant_quiet_after_rule ELSE r.dormant_after_rule END AS rule
    FROM returns AS r
    LEFT JOIN new_contexts AS n ON n.grant_id = r.grant_id AND n.day = r.day
    LEFT JOIN elsewhere AS o ON o.grant_id = r.grant_id AND o.day = r.day
    WHERE n.new_at IS NOT NULL OR o.other_day_count > 0
),

evidence AS (
    SELECT
        f.grant_id,
        f.day,
        COUNT(*) AS exercise_count,
        array_slice(
            array_agg(DISTINCT e.subject_id ORDER BY e.subject_id) FILTER (WHERE e.subject_id IS NOT NULL), 1, 20
        ) AS subjects,
        array_slice(
            array_agg(DISTINCT e.client_id ORDER BY e.client_id) FILTER (WHERE e.client_id IS NOT NULL), 1, 20
        ) AS clients,
        array_slice(
            array_agg(DISTINCT e.country ORDER BY e.country) FILTER (WHERE e.country IS NOT NULL), 1, 20
        ) AS countries,
        array_slice(array_agg(DISTINCT e.ip ORDER BY e.ip) FILTER (WHERE e.ip IS NOT NULL), 1, 20) AS ips,
        array_slice(array_agg(e.event_id ORDER BY e.event_time, e.source, e.event_id), 1, 20) AS event_ids
    FROM findings AS f
    INNER JOIN exercises AS e ON e.grant_id = f.grant_id
    WHERE e.event_time >= f.returned_at AND e.event_time <= f.returned_at + f.return_window
    GROUP BY f.grant_id, f.day
)

SELECT
    f.grant_id,
    CAST(f.day AS DATE) AS returned_on,
    f.returned_at AS violated_at,
    CASE WHEN f.ended_at > f.returned_at AND f.ended_at <= $as_of THEN f.ended_at END AS resolved_at,
    CASE WHEN f.is_new THEN 'medium' ELSE 'low' END AS severity,
    CASE WHEN f.is_new THEN 'new_context' ELSE 'quiet_return' END AS reason,
    f.left_at,
    f.pause,
    f.longest_earlier_pause,
    f.new_at,
    f.new_asns,
    f.new_machines,
    f.other_grants,
    f.other_grant_count,
    f.other_day_count,
    f.pause_limit,
    f.rule,
    e.subjects,
    e.clients,
    e.countries,
    e.ips,
    e.event_ids,
    e.exercise_count AS event_count
FROM findings AS f
INNER JOIN evidence AS e ON e.grant_id = f.grant_id AND e.day = f.day
ORDER BY f.grant_id, f.day
