-- Days on which a subject and client refreshed so often, or for so many hours, that an hour of them could stand out.
SELECT subject_id, client_id, day
FROM refresh_days
GROUP BY subject_id, client_id, day
HAVING
    -- 20 hours of a day and night leave half of them in one UTC day.
    bit_count(BIT_OR(hours)) >= 10
    OR GREATEST(
        bit_count(BIT_OR(minutes_00)), bit_count(BIT_OR(minutes_03)), bit_count(BIT_OR(minutes_06)),
        bit_count(BIT_OR(minutes_09)), bit_count(BIT_OR(minutes_12)), bit_count(BIT_OR(minutes_15)),
        bit_count(BIT_OR(minutes_18)), bit_count(BIT_OR(minutes_21))
    ) >= 4
