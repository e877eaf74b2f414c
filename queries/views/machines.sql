-- On which machines each subject was exercised up to $as_of, and since when.
SELECT subject_id, device_id, host_id, agent_family, MIN(first_exercised_at) AS first_exercised_at
FROM machines_parts
WHERE first_exercised_at <= $as_of
GROUP BY subject_id, device_id, host_id, agent_family
