-- From where each stored grant id was exercised: by whom, from which network, on which machine, and between when and when.
SELECT
    grant_id,
    CASE WHEN family_id IS NULL THEN token_id END AS alias_token_id,
    subject_id,
    subject_kind,
    source,
    country,
    asn,
    device_id,
    host_id,
    user_agent_family(user_agent) AS agent_family,
    MIN(event_time) AS first_exercised_at,
    MAX(event_time) AS last_exercised_at
FROM events
WHERE class = 'token' AND outcome = 'success' AND action IN ('issue', 'refresh', 'use') AND grant_id IS NOT NULL
GROUP BY
    grant_id, CASE WHEN family_id IS NULL THEN token_id END, subject_id, subject_kind, source, country, asn, device_id,
    host_id, user_agent_family(user_agent)
