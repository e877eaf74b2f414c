-- What detectors ask of each context event. They are few, and lie scattered over all days.
SELECT
    event_time,
    source,
    event_id,
    record_hash,
    action,
    outcome,
    token_id,
    family_id,
    grant_id,
    subject_id,
    client_id,
    device_id,
    session_id,
    project_id
FROM events
WHERE class = 'context'
GROUP BY
    event_time, source, event_id, record_hash, action, outcome, token_id, family_id, grant_id, subject_id, client_id,
    device_id, session_id, project_id
