-- One row per grant with a successful exercise: when it started, when and how it ends.
WITH born AS (
    SELECT
        grant_id,
        derived_at IS NOT NULL AS is_derived,
        other_kind_at IS NOT NULL AS has_other_kind,
        -- A derived grant id stands for one login after the other: only the last of them is alive.
        coalesce(
            CASE WHEN derived_at IS NULL THEN first_issue_at ELSE last_issue_at END, first_issued_at, first_event_at
        ) AS started_at,
        first_issue_at IS NULL AND first_issued_at IS NULL AS age_is_lower_bound,
        CASE WHEN long_kind_at IS NULL THEN any_expires_at ELSE long_expires_at END AS expires_at,
        revoked_at,
        CASE WHEN other_kind_at IS NULL THEN short_revoked_at END AS short_revoked_at,
        -- Those of derived grants stand one by one in derived_ends_parts.
        CASE WHEN derived_at IS NULL THEN expired_at END AS expired_at,
        CASE WHEN derived_at IS NULL AND other_kind_at IS NULL THEN short_expired_at END AS short_expired_at,
        first_exercised_at,
        last_exercised_at
    FROM grants_fold
    WHERE first_exercised_at IS NOT NULL
),

broad AS (
    SELECT b.grant_id, MIN(e.ended_at) AS revoked_at
    FROM born AS b
    INNER JOIN broad_ends AS e ON e.grant_id = b.grant_id
    WHERE
        (e.ended_at > b.started_at OR (e.ended_at = b.started_at AND NOT b.is_derived))
        AND NOT (e.is_short AND b.has_other_kind)
    GROUP BY b.grant_id
),

derived AS (
    SELECT b.grant_id, MIN(e.ended_at) AS expired_at
    FROM born AS b
    INNER JOIN derived_ends_parts AS e ON e.grant_id = b.grant_id
    WHERE e.ended_at > b.started_at AND NOT (e.is_short AND b.has_other_kind)
    GROUP BY b.grant_id
),

ended AS (
    SELECT
        b.grant_id,
        b.is_derived,
        b.has_other_kind,
        b.started_at,
        b.age_is_lower_bound,
        CASE WHEN b.is_derived AND b.expires_at <= b.started_at THEN NULL ELSE b.expires_at END AS expires_at,
        LEAST(b.revoked_at, b.short_revoked_at, r.revoked_at) AS revoked_at,
        LEAST(b.expired_at, b.short_expired_at, d.expired_at) AS expired_at,
        b.first_exercised_at,
        b.last_exercised_at
    FROM born AS b
    LEFT JOIN broad AS r ON r.grant_id = b.grant_id
    LEFT JOIN derived AS d ON d.grant_id = b.grant_id
)

SELECT
    grant_id,
    is_derived,
    has_other_kind,
    started_at,
    age_is_lower_bound,
    expires_at,
    revoked_at,
    expired_at,
    LEAST(revoked_at, expires_at, expired_at) AS ended_at,
    first_exercised_at,
    last_exercised_at
FROM ended
