-- How many subjects and clients of a source refreshed in each hour, counted since 1970.
SELECT source, day_number * 24 + hour AS hour, COUNT(*) AS pair_count
FROM (
    SELECT source, CAST(CAST(day AS INTEGER) AS BIGINT) AS day_number, hours, unnest(range(0, 24)) AS hour
    FROM refresh_days
)
WHERE (hours >> hour) & 1 = 1
GROUP BY source, day_number * 24 + hour
