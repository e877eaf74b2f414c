-- Where each grant was exercised: one or more rows per grant and context, so take MIN and MAX over them.
SELECT
    coalesce(a.family_id, c.grant_id) AS grant_id,
    c.subject_id,
    c.subject_kind,
    c.client_id,
    c.device_id,
    c.session_id,
    c.project_id,
    c.host_id,
    c.host_kind,
    c.os_user,
    c.first_exercised_at,
    c.last_exercised_at,
    c.first_refreshed_at,
    c.last_refreshed_at
FROM contexts_parts AS c
LEFT JOIN aliases AS a ON a.token_id = c.alias_token_id
