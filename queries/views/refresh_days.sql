-- How often each subject refreshed with each client: one row per subject, client, source and UTC day, a bit for each hour,
-- and for each three hours the minutes of any of them.
SELECT
    subject_id,
    client_id,
    source,
    day,
    BIT_OR(hours) AS hours,
    BIT_OR(minutes_00) AS minutes_00,
    BIT_OR(minutes_03) AS minutes_03,
    BIT_OR(minutes_06) AS minutes_06,
    BIT_OR(minutes_09) AS minutes_09,
    BIT_OR(minutes_12) AS minutes_12,
    BIT_OR(minutes_15) AS minutes_15,
    BIT_OR(minutes_18) AS minutes_18,
    BIT_OR(minutes_21) AS minutes_21,
    MIN(grant_id) AS grant_id,
    MAX(is_automatic) AS is_automatic
FROM refresh_days_parts
GROUP BY subject_id, client_id, source, day
