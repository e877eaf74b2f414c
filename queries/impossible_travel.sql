/*---
title    = "Token in two countries at once"
severity = "high"
status   = "stable"
kind     = "lead"
summary  = "Two machines in two countries exercised one grant, closer in time than anybody travels between them."
rationale = """
A country alone proves little: it is where a VPN comes out. But where the network is new for the subject, the machine is
another one, and there was no time to carry the token from one to the other, there are two copies of it.
"""
because  = "Grant {grant_id} was exercised in {earlier_country} at {earlier_at} and, only {apart} later, by another machine in {country}."
false_positives = [
    "A corporate VPN, a secure web gateway or in-flight wifi that is missing from egress_asns.",
    "Two tools of one person share the grant, and one of them has just moved behind a commercial VPN.",
    "A service that was deployed to a second region with the token of the first.",
]
response = [
    "Ask the owner whether both machines are theirs, and where they were at violated_at.",
    "If one of them is not, revoke the grant and look at what was done from that country.",
    "If the network belongs to a VPN of yours, add it to egress_asns.",
]
key      = ["grant_id", "country"]
reads    = ["country_discs", "grants", "places", "token_events"]
every    = "15m"
nominate = """
WITH travelled AS (
    SELECT p.grant_id
    FROM several_places AS s
    INNER JOIN places AS p ON p.grant_id = s.grant_id
    GROUP BY p.grant_id
    HAVING MIN(p.country) <> MAX(p.country)
),

stays AS (
    SELECT
        p.grant_id,
        p.subject_id,
        p.country,
        p.asn,
        g.shared_asn_subjects,
        MIN(p.first_exercised_at) AS first_at,
        MAX(p.last_exercised_at) AS last_at,
        MIN(p.device_id) AS least_device,
        MAX(p.device_id) AS greatest_device,
        MIN(p.host_id) AS least_host,
        MAX(p.host_id) AS greatest_host,
        MIN(p.agent_family) AS least_agent,
        MAX(p.agent_family) AS greatest_agent
    FROM travelled AS t
    INNER JOIN places AS p ON p.grant_id = t.grant_id
    INNER JOIN grants AS g ON g.grant_id = t.grant_id
    WHERE NOT coalesce(array_has(g.egress_asns, p.asn), FALSE)
    GROUP BY p.grant_id, p.subject_id, p.country, p.asn, g.shared_asn_subjects
),

novel AS (
    -- New for the subject is at most what is new for it on this grant.
    SELECT
        *,
        CASE
            WHEN subject_id IS NOT NULL AND asn IS NOT NULL
                THEN MIN(first_at) OVER (PARTITION BY grant_id, subject_id, asn) + INTERVAL '24 hours'
        END AS new_until
    FROM stays
),

candidates AS (
    SELECT DISTINCT a.grant_id
    FROM novel AS a
    INNER JOIN novel AS b ON b.grant_id = a.grant_id
    WHERE
        a.country < b.country
        AND GREATEST(a.first_at, b.first_at) < GREATEST(a.new_until, b.new_until)
        AND a.first_at <= b.last_at + INTERVAL '13 hours'
        AND b.first_at <= a.last_at + INTERVAL '13 hours'
        AND (
            LEAST(a.least_device, b.least_device) <> GREATEST(a.greatest_device, b.greatest_device)
            OR LEAST(a.least_host, b.least_host) <> GREATEST(a.greatest_host, b.greatest_host)
            OR LEAST(a.least_agent, b.least_agent) <> GREATEST(a.greatest_agent, b.greatest_agent)
        )
),

subjects AS (
    SELECT DISTINCT n.subject_id
    FROM novel AS n
    INNER JOIN candidates AS c ON c.grant_id = n.grant_id
),

asked AS (
    -- Of which networks it matters who else uses them, and how many others are enough.
    SELECT n.asn, MAX(n.shared_asn_subjects) AS subject_count
    FROM novel AS n
    INNER JOIN candidates AS c ON c.grant_id = n.grant_id
    WHERE n.shared_asn_subjects IS NOT NULL
    GROUP BY n.asn
),

sightings AS (
    SELECT
        p.asn,
        p.subject_id,
        p.grant_id,
        p.first_exercised_at,
        a.subject_count,
        ROW_NUMBER() OVER (PARTITION BY p.asn, p.subject_id ORDER BY p.first_exercised_at, p.grant_id) AS sighting
    FROM asked AS a
    INNER JOIN places AS p ON p.asn = a.asn
    INNER JOIN grants AS g ON g.grant_id = p.grant_id
    WHERE p.subject_id IS NOT NULL AND NOT coalesce(array_has(g.egress_asns, p.asn), FALSE)
),

users AS (
    SELECT
        grant_id,
        subject_count,
        ROW_NUMBER() OVER (PARTITION BY asn ORDER BY first_exercised_at, subject_id) AS nth
    FROM sightings
    WHERE sighting = 1
)

SELECT grant_id FROM candidates
UNION
SELECT p.grant_id FROM subjects AS s INNER JOIN all_places AS p ON p.subject_id = s.subject_id
UNION
SELECT grant_id FROM users WHERE nth <= subject_count + 1
"""
[controls]
csf         = ["DE.CM-09", "DE.AE-02", "PR.AA-05"]
attack      = ["T1078.004", "T1550.001"]
nist_800_53 = ["AC-2(12)", "SI-4"]
---*/
WITH stays AS (
    SELECT p.grant_id, p.subject_id, p.country, p.asn, p.first_exercised_at, g.shared_asn_subjects
    FROM places AS p
    INNER JOIN grants AS g ON g.grant_id = p.grant_id
    WHERE NOT coalesce(array_has(g.egress_asns, p.asn), FALSE)
),

countries AS (
    SELECT DISTINCT grant_id, country
    FROM stays
    WHERE country IS NOT NULL
),

travelled AS (
    SELECT grant_id, array_slice(array_agg(country ORDER BY country), 1, 20) AS countries
    FROM countries
    GROUP BY grant_id
    HAVING COUNT(*) > 1
),

uses AS (
    SELECT
        asn,
        subject_id,
        first_at,
        ROW_NUMBER() OVER (PARTITION BY asn ORDER BY first_at, subject_id) AS nth
    FROM (
        SELECT asn, subject_id, MIN(first_exercised_at) AS first_at
        FROM stays
        WHERE asn IS NOT NULL AND subject_id IS NOT NULL
        GROUP BY asn, subject_id
    )
),

novelties AS (
    -- Until when a network is new for a subject: for a day, or until enough others have used it to make it ordinary.
    SELECT
        n.grant_id,
        n.subject_id,
        n.asn,
        n.first_at,
        LEAST(u.first_at + INTERVAL '24 hours', o.first_at) AS new_until
    FROM (
        SELECT s.grant_id, s.subject_id, s.asn, s.shared_asn_subjects, MIN(s.first_exercised_at) AS first_at
        FROM stays AS s
        INNER JOIN travelled AS t ON t.grant_id = s.grant_id
        GROUP BY s.grant_id, s.subject_id, s.asn, s.shared_asn_subjects
    ) AS n
    INNER JOIN uses AS u ON u.asn = n.asn AND u.subject_id = n.subject_id
    LEFT JOIN uses AS o
        ON
            o.asn = n.asn
            AND o.nth = n.shared_asn_subjects + CASE WHEN u.nth <= n.shared_asn_subjects THEN 1 ELSE 0 END
),

near_hours AS (
    -- Whatever is found has an exercise on a new network, and its other one within 13 hours.
    SELECT DISTINCT
        grant_id,
        unnest(generate_series(
            CAST(first_at AS BIGINT) / 3600000000 - 13, CAST(new_until AS BIGINT) / 3600000000 + 13
        )) AS hour
    FROM novelties
    WHERE first_at < new_until
),

timeline AS (
    SELECT
        e.grant_id,
        h.hour,
        DENSE_RANK() OVER (
            PARTITION BY e.grant_id
            ORDER BY
                e.country, e.asn, e.device_id, e.host_id, user_agent_family(e.user_agent), n.new_until
        ) AS place,
        e.event_time,
        e.country,
        e.asn,
        e.device_id,
        e.host_id,
        user_agent_family(e.user_agent) AS agent_family,
        n.new_until,
        e.source,
        e.event_id,
        e.ip
    FROM token_events AS e
    INNER JOIN near_hours AS h
        ON h.grant_id = e.grant_id AND h.hour = CAST(e.event_time AS BIGINT) / 3600000000
    INNER JOIN grants AS g ON g.grant_id = e.grant_id
    LEFT JOIN novelties AS n ON n.grant_id = e.grant_id AND n.subject_id = e.subject_id AND n.asn = e.asn
    WHERE
        e.action IN ('issue', 'refresh', 'use')
        AND e.outcome = 'success'
        AND e.country IS NOT NULL
        AND NOT coalesce(array_has(g.egress_asns, e.asn), FALSE)
),

visits AS (
    SELECT
        grant_id,
        place,
        hour,
        country,
        asn,
        device_id,
        host_id,
        agent_family,
        new_until,
        MIN(event_time) AS first_at,
        MAX(event_time) AS last_at
    FROM timeline
    GROUP BY grant_id, place, hour, country, asn, device_id, host_id, agent_family, new_until
),

meetings AS (
    -- Visits of different machines to different countries, `a` before `b`, or at least not in a later hour.
    SELECT
        b.grant_id,
        b.hour,
        a.place AS a_place,
        a.country AS a_country,
        a.last_at AS a_last_at,
        b.place AS b_place,
        b.country AS b_country,
        b.first_at AS b_first_at,
        GREATEST(a.new_until, b.new_until) AS new_until,
        a.last_at >= b.first_at AS is_interleaved
    FROM (SELECT *, unnest(generate_series(hour - 13, hour)) AS hour_before FROM visits) AS b
    INNER JOIN visits AS a ON a.grant_id = b.grant_id AND a.hour = b.hour_before
    WHERE
        a.country <> b.country
        AND a.first_at <= b.last_at
        AND GREATEST(a.first_at, b.first_at) < GREATEST(a.new_until, b.new_until)
        AND NOT coalesce(a.device_id = b.device_id, FALSE)
        AND NOT coalesce(a.host_id = b.host_id, FALSE)
        AND (
            coalesce(a.device_id <> b.device_id, FALSE)
            OR coalesce(a.host_id <> b.host_id, FALSE)
            OR coalesce(a.agent_family <> b.agent_family, FALSE)
        )
),

pairs AS (
    -- The last exercise of `a` before the first one of `b`. Where two visits interleave, in one hour, the last before
    -- each one of `b`; of two in one moment, that of the lesser country is the earlier.
    SELECT
        m.grant_id,
        m.a_place,
        m.a_country,
        m.b_place,
        m.b_country,
        m.new_until,
        m.place = m.b_place AS is_later,
        coalesce(t.event_time, m.b_first_at) AS later_at,
        CASE
            WHEN m.is_interleaved
                THEN
                    MAX(CASE WHEN m.place = m.a_place THEN t.event_time END) OVER (
                        PARTITION BY m.grant_id, m.a_place, m.b_place, m.hour, m.is_interleaved
                        ORDER BY t.event_time, t.country
                        ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
                    )
            ELSE m.a_last_at
        END AS earlier_at
    FROM (
        SELECT
            *,
            unnest(CASE WHEN is_interleaved THEN make_array(a_place, b_place) ELSE make_array(b_place) END) AS place
        FROM meetings
    ) AS m
    LEFT JOIN timeline AS t
        ON m.is_interleaved AND t.grant_id = m.grant_id AND t.hour = m.hour AND t.place = m.place
),

distances AS (
    -- Between the nearest borders, by great circles over a sphere of 6,371 km; never more than the truth.
    SELECT
        a_country,
        b_country,
        GREATEST(0.0, MIN(
            12742 * asin(sqrt(LEAST(1.0,
                power(sin((b_lat - a_lat) / 2), 2) + cos(a_lat) * cos(b_lat) * power(sin((b_lon - a_lon) / 2), 2)
            ))) - a_radius_km - b_radius_km
        )) AS border_km
    FROM (
        SELECT
            p.a_country,
            p.b_country,
            radians(a.lat) AS a_lat,
            radians(a.lon) AS a_lon,
            a.radius_km AS a_radius_km,
            radians(b.lat) AS b_lat,
            radians(b.lon) AS b_lon,
            b.radius_km AS b_radius_km
        FROM (
            SELECT DISTINCT a.country AS a_country, b.country AS b_country
            FROM countries AS a
            INNER JOIN countries AS b ON b.grant_id = a.grant_id
            WHERE a.country <> b.country
        ) AS p
        INNER JOIN country_discs AS a ON a.country = p.a_country
        INNER JOIN country_discs AS b ON b.country = p.b_country
    )
    GROUP BY a_country, b_country
),

impossible AS (
    SELECT
        p.grant_id,
        p.a_place,
        p.a_country,
        p.b_place,
        p.b_country,
        p.earlier_at,
        p.later_at,
        d.border_km,
        CASE WHEN p.later_at <= p.earlier_at + g.two_places_within THEN 'at_once' ELSE 'too_fast' END AS reason,
        ROW_NUMBER() OVER (
            PARTITION BY p.grant_id, p.b_country
            ORDER BY p.later_at, p.earlier_at DESC, p.a_country, p.a_place, p.b_place
        ) AS nth
    FROM pairs AS p
    INNER JOIN grants AS g ON g.grant_id = p.grant_id
    LEFT JOIN distances AS d ON d.a_country = p.a_country AND d.b_country = p.b_country
    WHERE
        p.is_later
        AND p.earlier_at IS NOT NULL
        AND p.later_at < p.new_until
        AND p.later_at <= p.earlier_at + INTERVAL '13 hours'
        AND (
            p.later_at <= p.earlier_at + g.two_places_within
            OR coalesce(d.border_km, 0.0) * 3600000000.0
            > g.max_speed * CAST(CAST(p.later_at AS BIGINT) - CAST(p.earlier_at AS BIGINT) AS DOUBLE)
        )
)

SELECT
    i.grant_id,
    i.b_country AS country,
    i.later_at AS violated_at,
    CASE WHEN g.ended_at > i.later_at AND g.ended_at <= $as_of THEN g.ended_at END AS resolved_at,
    i.a_country AS earlier_country,
    i.earlier_at,
    i.later_at - i.earlier_at AS apart,
    i.reason,
    CAST(floor(i.border_km) AS BIGINT) AS border_km,
    g.max_speed,
    c.countries,
    array_slice(array_agg(DISTINCT t.asn ORDER BY t.asn) FILTER (WHERE t.asn IS NOT NULL), 1, 20) AS asns,
    array_slice(array_agg(DISTINCT t.asn ORDER BY t.asn) FILTER (WHERE i.later_at < t.new_until), 1, 20) AS new_asns,
    array_slice(
        array_agg(DISTINCT t.device_id ORDER BY t.device_id) FILTER (WHERE t.device_id IS NOT NULL), 1, 20
    ) AS devices,
    array_slice(array_agg(DISTINCT t.host_id ORDER BY t.host_id) FILTER (WHERE t.host_id IS NOT NULL), 1, 20) AS hosts,
    array_slice(
        array_agg(DISTINCT t.agent_family ORDER BY t.agent_family) FILTER (WHERE t.agent_family IS NOT NULL), 1, 20
    ) AS agent_families,
    array_slice(array_agg(DISTINCT t.ip ORDER BY t.ip) FILTER (WHERE t.ip IS NOT NULL), 1, 20) AS ips,
    array_slice(array_agg(t.event_id ORDER BY t.event_time, t.source, t.event_id), 1, 20) AS event_ids,
    COUNT(*) AS event_count
FROM impossible AS i
INNER JOIN grants AS g ON g.grant_id = i.grant_id
INNER JOIN travelled AS c ON c.grant_id = i.grant_id
INNER JOIN timeline AS t
    ON
        t.grant_id = i.grant_id
        AND (
            (t.place = i.a_place AND t.event_time = i.earlier_at)
            OR (t.place = i.b_place AND t.event_time = i.later_at)
        )
WHERE i.nth = 1
GROUP BY
    i.grant_id, i.b_country, i.later_at, g.ended_at, i.a_country, i.earlier_at, i.reason, i.border_km, g.max_speed,
    c.countries
ORDER BY i.grant_id, i.b_country
