-- How each stored grant id was exercised: which kinds of token, kept where, with which scopes, valid for how long at most.
-- What stands between two scopes is no part of one, as a space may be.
SELECT
    grant_id,
    CASE WHEN family_id IS NULL THEN token_id END AS alias_token_id,
    source,
    token_kind,
    token_storage,
    client_kind,
    host_kind,
    scopes_text(scopes) AS scopes_text,
    MIN(event_time) AS first_exercised_at,
    MAX(event_time) AS last_exercised_at,
    MIN(CASE WHEN action = 'issue' THEN event_time END) AS first_issue_at,
    MIN(issued_at) AS first_issued_at,
    MAX(
        CAST(expires_at AS BIGINT) - CAST(coalesce(issued_at, CASE WHEN action = 'issue' THEN event_time END) AS BIGINT)
    ) AS ttl_micros
FROM events
WHERE class = 'token' AND outcome = 'success' AND action IN ('issue', 'refresh', 'use') AND grant_id IS NOT NULL
GROUP BY
    grant_id, CASE WHEN family_id IS NULL THEN token_id END, source, token_kind, token_storage, client_kind, host_kind,
    scopes_text(scopes)
