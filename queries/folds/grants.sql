-- The life of each stored grant id: bounds of everything that decides when it started, ended and was exercised.
-- Ends of a token of kind access or id stand apart ("short"): they end the grant only if it has no other kind.
SELECT
    grant_id,
    CASE WHEN family_id IS NULL THEN token_id END AS alias_token_id,
    MIN(CASE WHEN action = 'issue' AND outcome = 'success' THEN coalesce(issued_at, event_time) END) AS first_issue_at,
    MAX(CASE WHEN action = 'issue' AND outcome = 'success' THEN coalesce(issued_at, event_time) END) AS last_issue_at,
    MIN(CASE WHEN outcome = 'success' OR action = 'reuse_detected' THEN issued_at END) AS first_issued_at,
    MIN(CASE WHEN outcome = 'success' OR action = 'reuse_detected' THEN event_time END) AS first_event_at,
    MIN(CASE WHEN grant_basis = 'derived' THEN event_time END) AS derived_at,
    MIN(CASE
        WHEN (outcome = 'success' OR action = 'reuse_detected') AND token_kind IN ('refresh', 'session', 'pat', 'api_key')
            THEN event_time
    END) AS long_kind_at,
    MAX(CASE
        WHEN (outcome = 'success' OR action = 'reuse_detected') AND token_kind IN ('refresh', 'session', 'pat', 'api_key')
            THEN expires_at
    END) AS long_expires_at,
    MAX(CASE WHEN outcome = 'success' OR action = 'reuse_detected' THEN expires_at END) AS any_expires_at,
    MIN(CASE
        WHEN (outcome = 'success' OR action = 'reuse_detected') AND token_kind NOT IN ('access', 'id') THEN event_time
    END) AS other_kind_at,
    MIN(CASE
        WHEN
            action = 'revoke' AND outcome = 'success' AND (token_id IS NOT NULL OR family_id IS NOT NULL)
            AND coalesce(token_kind NOT IN ('access', 'id'), TRUE)
            THEN event_time
    END) AS revoked_at,
    MIN(CASE
        WHEN
            action = 'revoke' AND outcome = 'success' AND (token_id IS NOT NULL OR family_id IS NOT NULL)
            AND token_kind IN ('access', 'id')
            THEN event_time
    END) AS short_revoked_at,
    MIN(CASE
        WHEN action = 'expire' AND outcome = 'success' AND coalesce(token_kind NOT IN ('access', 'id'), TRUE) THEN event_time
    END) AS expired_at,
    MIN(CASE
        WHEN action = 'expire' AND outcome = 'success' AND token_kind IN ('access', 'id') THEN event_time
    END) AS short_expired_at,
    MIN(CASE
        WHEN action IN ('issue', 'refresh', 'use') AND outcome = 'success' THEN event_time
    END) AS first_exercised_at,
    MAX(CASE
        WHEN action IN ('issue', 'refresh', 'use') AND outcome = 'success' THEN event_time
    END) AS last_exercised_at,
    MIN(CASE WHEN action = 'reuse_detected' THEN event_time END) AS reuse_detected_at,
    MIN(CASE WHEN outcome = 'success' OR action = 'reuse_detected' THEN expires_at END) AS first_expires_at,
    -- A use after the end of its token either says so itself, or does not say when its token ends.
    MIN(CASE
        WHEN action IN ('refresh', 'use') AND outcome = 'success' AND event_time > expires_at THEN event_time
    END) AS late_use_at,
    MAX(CASE
        WHEN action IN ('refresh', 'use') AND outcome = 'success' AND token_id IS NOT NULL AND expires_at IS NULL
            THEN event_time
    END) AS last_open_use_at,
    MIN(event_time) AS begins_at,
    MAX(event_time) AS last_event_at
FROM events
WHERE class IN ('token', 'context') AND grant_id IS NOT NULL
GROUP BY grant_id, CASE WHEN family_id IS NULL THEN token_id END
