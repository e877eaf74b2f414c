-- The first and the last by name of the subjects and of the accounts ever seen on each host, after $as_of too: to leave out
-- hosts that had only one of each.
SELECT
    host_id,
    MIN(least_subject_id) AS least_subject_id,
    MAX(greatest_subject_id) AS greatest_subject_id,
    MIN(least_os_user) AS least_os_user,
    MAX(greatest_os_user) AS greatest_os_user
FROM host_bounds_parts
GROUP BY host_id
