-- In which minutes of which hour each source had any event, whatever it said and however it ended: one bit a minute.
SELECT
    source,
    date_trunc('hour', event_time) AS hour,
    BIT_OR(CAST(1 AS BIGINT) << CAST(date_part('minute', event_time) AS BIGINT)) AS minutes
FROM events
WHERE source IS NOT NULL AND event_time IS NOT NULL
GROUP BY source, date_trunc('hour', event_time)
