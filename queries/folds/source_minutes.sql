-- In which minutes of which hour each source had any event, whatever it said and however it ended: one bit a minute.
SELECT
    source,
    hour_start(event_time) AS hour,
    BIT_OR(minute_bit(event_time, 0, 24)) AS minutes
FROM events
WHERE source IS NOT NULL AND event_time IS NOT NULL
GROUP BY source, hour_start(event_time)
