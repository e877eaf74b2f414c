-- One row per offboarding, whole (project_id is null) or of one project, with the next reinstatement of the same scope.
WITH reinstatements AS (
    SELECT subject_id, project_id, event_time AS reinstated_at
    FROM context_events
    WHERE action = 'reinstate' AND outcome = 'success'
)
SELECT
    o.subject_id,
    o.project_id,
    o.event_time AS offboarded_at,
    MIN(r.reinstated_at) AS reinstated_at,
    MIN(o.event_id) AS event_id
FROM context_events AS o
LEFT JOIN reinstatements AS r
    ON
        r.subject_id = o.subject_id
        AND (r.project_id IS NOT DISTINCT FROM o.project_id)
        AND r.reinstated_at > o.event_time
WHERE o.action = 'offboard' AND o.outcome = 'success' AND o.subject_id IS NOT NULL
GROUP BY o.subject_id, o.project_id, o.event_time
