/*---
title    = "Subject in a new place on a new machine"
severity = "medium"
status   = "stable"
kind     = "lead"
summary  = "A subject's token was exercised from a new country or network and on a machine that was new as well."
rationale = """
People travel with the laptop they have, and they get a new laptop at the desk they have. Both new at once is what a
token looks like that was copied and is replayed by somebody else. Networks named in egress_asns are left out: they
stand where the gateway is, not where the person is.
"""
because  = "{subject_id} was on new machine {machine} at {violated_at}, in {country}, network {asn} (new country: {country_is_new}, new network: {asn_is_new})."
false_positives = [
    "A new laptop that is first used on a journey or in a new home office.",
    "A service that is rolled out to a new region: its hosts are always new there.",
    "A corporate VPN or proxy that egress_asns does not name yet.",
]
response = [
    "Ask the subject whether they were there, with that machine; do not ask through the account in question.",
    "If not, revoke the grants in the evidence and look for others exercised from the same network.",
    "If the network is your own way out, add it to egress_asns.",
]
key      = ["subject_id", "country", "asn", "machine"]
reads    = ["all_places", "grants", "places", "token_events"]
every    = "15m"
nominate = """
WITH visits AS (
    SELECT
        p.grant_id,
        p.subject_id,
        p.country,
        p.asn,
        p.device_id,
        p.host_id,
        p.agent_family,
        p.first_exercised_at AS first_at,
        coalesce(array_has(g.egress_asns, p.asn), FALSE) AS is_egress,
        g.min_history
    FROM grants AS g
    INNER JOIN places AS p ON p.grant_id = g.grant_id
    WHERE p.subject_id IS NOT NULL
),

beginnings AS (
    SELECT subject_id, MIN(first_exercised_at) AS known_since
    FROM machines
    GROUP BY subject_id
),

new_places AS (
    SELECT subject_id, MIN(first_at) AS first_at
    FROM visits
    WHERE country IS NOT NULL AND NOT is_egress
    GROUP BY subject_id, country
    UNION
    SELECT subject_id, MIN(first_at) AS first_at
    FROM visits
    WHERE asn IS NOT NULL AND NOT is_egress
    GROUP BY subject_id, asn
),

new_machines AS (
    SELECT subject_id, MIN(first_exercised_at) AS first_at
    FROM machines
    WHERE device_id IS NOT NULL
    GROUP BY subject_id, device_id
    UNION
    SELECT subject_id, MIN(first_exercised_at) AS first_at
    FROM machines
    WHERE host_id IS NOT NULL
    GROUP BY subject_id, host_id
    UNION
    SELECT subject_id, MIN(first_exercised_at) AS first_at
    FROM machines
    WHERE agent_family IS NOT NULL
    GROUP BY subject_id, agent_family
),

candidates AS (
    -- A place and a machine that are new in the same moment.
    SELECT DISTINCT v.subject_id
    FROM new_places AS p
    INNER JOIN new_machines AS m ON m.subject_id = p.subject_id AND m.first_at = p.first_at
    INNER JOIN beginnings AS b ON b.subject_id = p.subject_id
    INNER JOIN visits AS v ON v.subject_id = p.subject_id AND v.first_at = p.first_at
    WHERE NOT v.is_egress AND v.first_at >= b.known_since + v.min_history
)

SELECT p.grant_id
FROM candidates AS c
INNER JOIN all_places AS p ON p.subject_id = c.subject_id
UNION
-- Those of whom something was said before are asked again.
SELECT p.grant_id
FROM found_subjects AS f
INNER JOIN all_places AS p ON p.subject_id = f.subject_id
"""
[controls]
csf         = ["DE.CM-09", "DE.AE-02"]
nhi         = []
attack      = ["T1078.004", "T1550.001"]
nist_800_53 = ["AC-2(12)", "SI-4"]
---*/
WITH whole AS (
    -- Subjects of whom every grant is here. A grant may have been exercised by others too, of whom not all is.
    SELECT p.subject_id
    FROM (SELECT DISTINCT subject_id FROM places WHERE subject_id IS NOT NULL) AS s
    INNER JOIN all_places AS p ON p.subject_id = s.subject_id
    LEFT JOIN grants AS g ON g.grant_id = p.grant_id
    GROUP BY p.subject_id
    HAVING COUNT(*) = COUNT(g.grant_id)
),

visits AS (
    SELECT
        p.grant_id,
        p.subject_id,
        p.subject_kind,
        p.country,
        p.asn,
        p.device_id,
        p.host_id,
        p.agent_family,
        p.first_exercised_at AS first_at,
        coalesce(array_has(g.egress_asns, p.asn), FALSE) AS is_egress,
        g.min_history,
        g.min_history_rule
    FROM places AS p
    INNER JOIN grants AS g ON g.grant_id = p.grant_id
    INNER JOIN whole AS w ON w.subject_id = p.subject_id
),

subjects AS (
    SELECT
        subject_id,
        MIN(first_at) AS known_since,
        MIN(subject_kind) FILTER (WHERE subject_kind <> 'unknown') AS least_kind,
        MAX(subject_kind) FILTER (WHERE subject_kind <> 'unknown') AS greatest_kind
    FROM visits
    GROUP BY subject_id
),

countries AS (
    SELECT subject_id, country, MIN(first_at) AS first_at
    FROM visits
    WHERE country IS NOT NULL AND NOT is_egress
    GROUP BY subject_id, country
),

networks AS (
    SELECT subject_id, asn, MIN(first_at) AS first_at
    FROM visits
    WHERE asn IS NOT NULL AND NOT is_egress
    GROUP BY subject_id, asn
),

-- A machine behind a gateway is a machine all the same: those are known, too.
devices AS (
    SELECT subject_id, device_id, MIN(first_at) AS first_at
    FROM visits
    WHERE device_id IS NOT NULL
    GROUP BY subject_id, device_id
),

hosts AS (
    SELECT subject_id, host_id, MIN(first_at) AS first_at
    FROM visits
    WHERE host_id IS NOT NULL
    GROUP BY subject_id, host_id
),

agents AS (
    SELECT subject_id, agent_family, MIN(first_at) AS first_at
    FROM visits
    WHERE agent_family IS NOT NULL
    GROUP BY subject_id, agent_family
),

arrivals AS (
    SELECT
        v.grant_id,
        v.subject_id,
        v.country,
        v.asn,
        v.device_id,
        v.host_id,
        v.agent_family,
        v.first_at,
        v.min_history,
        v.min_history_rule,
        s.known_since,
        coalesce(c.first_at = v.first_at, FALSE) AS country_is_new,
        coalesce(n.first_at = v.first_at, FALSE) AS asn_is_new,
        CASE
            WHEN v.subject_kind <> 'unknown' THEN v.subject_kind = 'human'
            ELSE coalesce(s.least_kind = 'human' AND s.greatest_kind = 'human', FALSE)
        END AS is_human
    FROM visits AS v
    INNER JOIN subjects AS s ON s.subject_id = v.subject_id
    LEFT JOIN countries AS c ON c.subject_id = v.subject_id AND c.country = v.country
    LEFT JOIN networks AS n ON n.subject_id = v.subject_id AND n.asn = v.asn
    LEFT JOIN devices AS d ON d.subject_id = v.subject_id AND d.device_id = v.device_id
    LEFT JOIN hosts AS h ON h.subject_id = v.subject_id AND h.host_id = v.host_id
    LEFT JOIN agents AS a ON a.subject_id = v.subject_id AND a.agent_family = v.agent_family
    WHERE
        NOT v.is_egress
        AND v.first_at >= s.known_since + v.min_history
        AND (c.first_at = v.first_at OR n.first_at = v.first_at)
        AND CASE
            WHEN v.device_id IS NOT NULL THEN d.first_at = v.first_at AND (v.host_id IS NULL OR h.first_at = v.first_at)
            WHEN v.host_id IS NOT NULL THEN h.first_at = v.first_at
            ELSE a.first_at = v.first_at
        END
),

named AS (
    -- A key has no nulls. AS 0 is reserved: no network has it.
    SELECT
        grant_id,
        subject_id,
        coalesce(country, 'not stated') AS country,
        coalesce(asn, 0) AS asn,
        coalesce(device_id, host_id, agent_family) AS machine,
        CASE
            WHEN device_id IS NOT NULL THEN 'device'
            WHEN host_id IS NOT NULL THEN 'host'
            ELSE 'user agent'
        END AS machine_known_by,
        host_id,
        agent_family,
        first_at,
        min_history,
        min_history_rule,
        known_since,
        country_is_new,
        asn_is_new,
        country_is_new AND asn_is_new AND is_human AS is_grave
    FROM arrivals
),

dated AS (
    SELECT
        grant_id,
        subject_id,
        country,
        asn,
        machine,
        machine_known_by,
        host_id,
        agent_family,
        first_at,
        MIN(first_at) OVER (PARTITION BY subject_id, country, asn, machine) AS violated_at,
        min_history,
        min_history_rule,
        known_since,
        country_is_new,
        asn_is_new,
        is_grave
    FROM named
),

exercises AS (
    -- What made it a lead, and nothing later: an event does not change.
    SELECT DISTINCT
        d.subject_id,
        d.country,
        d.asn,
        d.machine,
        e.source,
        e.event_id,
        e.event_time,
        e.client_id,
        e.ip
    FROM dated AS d
    INNER JOIN token_events AS e
        ON e.grant_id = d.grant_id AND e.subject_id = d.subject_id AND e.event_time = d.violated_at
    WHERE
        d.first_at = d.violated_at
        AND e.action IN ('issue', 'refresh', 'use')
        AND e.outcome = 'success'
        AND coalesce(e.country, 'not stated') = d.country
        AND coalesce(e.asn, 0) = d.asn
        AND coalesce(e.device_id, e.host_id, user_agent_family(e.user_agent)) = d.machine
),

evidence AS (
    SELECT
        subject_id,
        country,
        asn,
        machine,
        COUNT(*) AS exercise_count,
        array_slice(
            array_agg(DISTINCT client_id ORDER BY client_id) FILTER (WHERE client_id IS NOT NULL), 1, 20
        ) AS clients,
        array_slice(array_agg(DISTINCT ip ORDER BY ip) FILTER (WHERE ip IS NOT NULL), 1, 20) AS ips,
        array_slice(array_agg(event_id ORDER BY event_time, source, event_id), 1, 20) AS event_ids
    FROM exercises
    GROUP BY subject_id, country, asn, machine
),

findings AS (
    SELECT
        subject_id,
        country,
        asn,
        machine,
        violated_at,
        BOOL_OR(is_grave) AS is_grave,
        BOOL_OR(country_is_new) AS country_is_new,
        BOOL_OR(asn_is_new) AS asn_is_new,
        MIN(machine_known_by) AS machine_known_by,
        MIN(host_id) AS host_id,
        MIN(agent_family) AS agent_family,
        MIN(known_since) AS known_since,
        array_slice(array_agg(DISTINCT grant_id ORDER BY grant_id), 1, 20) AS grants,
        COUNT(DISTINCT grant_id) AS grant_count,
        first_value(min_history ORDER BY grant_id) AS min_history,
        first_value(min_history_rule ORDER BY grant_id) AS rule
    FROM dated
    WHERE first_at = violated_at
    GROUP BY subject_id, country, asn, machine, violated_at
),

moments AS (
    SELECT DISTINCT subject_id, violated_at
    FROM findings
),

known_countries AS (
    SELECT
        m.subject_id,
        m.violated_at,
        array_slice(array_agg(c.country ORDER BY c.first_at DESC, c.country), 1, 20) AS countries,
        COUNT(*) AS country_count
    FROM moments AS m
    INNER JOIN countries AS c ON c.subject_id = m.subject_id AND c.first_at < m.violated_at
    GROUP BY m.subject_id, m.violated_at
),

known_networks AS (
    SELECT
        m.subject_id,
        m.violated_at,
        array_slice(array_agg(n.asn ORDER BY n.first_at DESC, n.asn), 1, 20) AS asns,
        COUNT(*) AS asn_count
    FROM moments AS m
    INNER JOIN networks AS n ON n.subject_id = m.subject_id AND n.first_at < m.violated_at
    GROUP BY m.subject_id, m.violated_at
)

SELECT
    f.subject_id,
    f.country,
    f.asn,
    f.machine,
    f.violated_at,
    CAST(NULL AS TIMESTAMP) AS resolved_at,
    CASE WHEN f.is_grave THEN 'high' ELSE 'medium' END AS severity,
    f.country_is_new,
    f.asn_is_new,
    f.machine_known_by,
    f.host_id,
    f.agent_family,
    f.grants,
    f.grant_count,
    f.known_since,
    c.countries AS known_countries,
    coalesce(c.country_count, 0) AS known_country_count,
    n.asns AS known_asns,
    coalesce(n.asn_count, 0) AS known_asn_count,
    f.min_history,
    f.rule,
    e.clients,
    e.ips,
    e.event_ids,
    e.exercise_count AS event_count
FROM findings AS f
INNER JOIN evidence AS e
    ON e.subject_id = f.subject_id AND e.country = f.country AND e.asn = f.asn AND e.machine = f.machine
LEFT JOIN known_countries AS c ON c.subject_id = f.subject_id AND c.violated_at = f.violated_at
LEFT JOIN known_networks AS n ON n.subject_id = f.subject_id AND n.violated_at = f.violated_at
ORDER BY f.subject_id, f.country, f.asn, f.machine
