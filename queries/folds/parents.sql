-- Which grants state the one they were delegated from; most lakes have none.
SELECT grant_id, parent_id, MIN(event_time) AS first_stated_at
FROM events
WHERE class IN ('token', 'context') AND grant_id IS NOT NULL AND parent_id IS NOT NULL
GROUP BY grant_id, parent_id
