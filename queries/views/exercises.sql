-- How each grant was exercised: one or more rows per grant and manner, so take MIN and MAX over them.
SELECT
    coalesce(a.family_id, e.grant_id) AS grant_id,
    e.source,
    e.token_kind,
    e.token_storage,
    e.client_kind,
    e.host_kind,
    e.scopes_text,
    e.first_exercised_at,
    e.last_exercised_at,
    e.first_issue_at,
    e.first_issued_at,
    e.ttl_micros
FROM exercises_parts AS e
LEFT JOIN aliases AS a ON a.token_id = e.alias_token_id
