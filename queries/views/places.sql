-- From where each grant was exercised: one or more rows per grant and place, so take MIN and MAX over them.
SELECT
    coalesce(a.family_id, p.grant_id) AS grant_id,
    p.subject_id,
    p.subject_kind,
    p.source,
    p.country,
    p.asn,
    p.device_id,
    p.host_id,
    p.agent_family,
    p.first_exercised_at,
    p.last_exercised_at
FROM places_parts AS p
LEFT JOIN aliases AS a ON a.token_id = p.alias_token_id
