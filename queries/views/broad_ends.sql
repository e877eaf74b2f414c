-- One row per grant and revocation that names neither token nor family, where one exercise carries all it names.
-- Whether the grant had started by then is for the reader to ask.
SELECT DISTINCT c.grant_id, r.event_time AS ended_at, r.is_short
FROM broad_revokes_parts AS r
INNER JOIN contexts AS c ON c.subject_id = r.subject_id
WHERE
    (r.client_id IS NULL OR r.client_id = c.client_id)
    AND (r.device_id IS NULL OR r.device_id = c.device_id)
    AND (r.session_id IS NULL OR r.session_id = c.session_id)
    AND (r.project_id IS NULL OR r.project_id = c.project_id)
UNION
SELECT DISTINCT c.grant_id, r.event_time AS ended_at, r.is_short
FROM broad_revokes_parts AS r
INNER JOIN contexts AS c ON c.session_id = r.session_id
WHERE
    r.subject_id IS NULL
    AND (r.client_id IS NULL OR r.client_id = c.client_id)
    AND (r.device_id IS NULL OR r.device_id = c.device_id)
    AND (r.project_id IS NULL OR r.project_id = c.project_id)
