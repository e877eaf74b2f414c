/*---
title    = "Tokens of several people on one host"
severity = "high"
status   = "stable"
kind     = "violation"
summary  = "Several people keep tokens on one host at the same time, or one grant is exercised there under several accounts."
rationale = """
Command-line tools keep tokens in files of the home directory. On a host that several people use, whoever is
administrator there, or guesses a file mode, can act as all the others, and the audit trail will name the wrong one.
"""
because  = "Host {host_id} holds {grant_count} grants, with {subject_count} known people; several people or several accounts shared it from {violated_at} on ({reason})."
false_positives = [
    "A host id that stands for many machines, such as an image or a proxy.",
    "A laptop handed over within the window: shared_host_window says how long both may be seen.",
]
response = [
    "Move the tokens off the host: short-lived credentials through an agent, or one host per person.",
    "If the host is meant to be shared and its tokens are bound to a keychain, give it a rule with shared_host = \"allow\".",
]
key      = ["host_id"]
reads    = ["contexts", "hosts"]
every    = "5m"
nominate = """
SELECT c.host_id
FROM (SELECT DISTINCT host_id FROM contexts WHERE host_id IS NOT NULL) AS c
INNER JOIN host_bounds AS b ON b.host_id = c.host_id
WHERE b.least_subject_id <> b.greatest_subject_id OR b.least_os_user <> b.greatest_os_user
"""
[controls]
csf         = ["PR.AA-02"]
nhi         = ["NHI9:2025", "NHI10:2025"]
attack      = ["T1528", "T1550.001"]
nist_800_53 = ["AC-2(9)", "IA-2", "IA-4", "IA-5(6)"]
---*/
WITH presences AS (
    SELECT
        host_id,
        subject_id,
        MIN(first_exercised_at) AS first_at,
        MAX(last_exercised_at) AS last_at
    FROM contexts
    WHERE host_id IS NOT NULL AND subject_id IS NOT NULL
    GROUP BY host_id, subject_id
    -- An event that does not say that the subject is a service makes it no person.
    HAVING NOT coalesce(BOOL_AND(subject_kind = 'service') FILTER (WHERE subject_kind <> 'unknown'), FALSE)
),

followed AS (
    -- Until when somebody who came earlier was there.
    SELECT
        host_id,
        subject_id,
        first_at,
        last_at,
        MAX(last_at) OVER (
            PARTITION BY host_id ORDER BY first_at, subject_id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
        ) AS others_until
    FROM presences
),

by_subjects AS (
    SELECT
        f.host_id,
        MIN(CASE WHEN f.first_at <= f.others_until + h.shared_host_window THEN f.first_at END) AS violated_at
    FROM followed AS f
    INNER JOIN hosts AS h ON h.host_id = f.host_id
    WHERE h.shared_host <> 'allow'
    GROUP BY f.host_id
    HAVING MIN(CASE WHEN f.first_at <= f.others_until + h.shared_host_window THEN f.first_at END) IS NOT NULL
),

held AS (
    SELECT
        host_id,
        grant_id,
        MIN(os_user) AS least_os_user,
        MAX(os_user) AS greatest_os_user
    FROM contexts
    WHERE host_id IS NOT NULL
    GROUP BY host_id, grant_id
),

accounts AS (
    -- Of grants with several: a window over all of them would sort each grant by itself.
    SELECT c.host_id, c.grant_id, c.os_user, MIN(c.first_exercised_at) AS first_at
    FROM contexts AS c
    INNER JOIN (
        SELECT host_id, grant_id FROM held WHERE least_os_user <> greatest_os_user
    ) AS d ON d.host_id = c.host_id AND d.grant_id = c.grant_id
    WHERE c.os_user IS NOT NULL
    GROUP BY c.host_id, c.grant_id, c.os_user
),

ranked_accounts AS (
    SELECT
        host_id,
        first_at,
        ROW_NUMBER() OVER (PARTITION BY host_id, grant_id ORDER BY first_at, os_user) AS place
    FROM accounts
),

by_accounts AS (
    SELECT r.host_id, MIN(r.first_at) AS violated_at
    FROM ranked_accounts AS r
    INNER JOIN hosts AS h ON h.host_id = r.host_id
    WHERE r.place = 2 AND h.shared_host <> 'allow'
    GROUP BY r.host_id
),

findings AS (
    SELECT
        coalesce(s.host_id, a.host_id) AS host_id,
        LEAST(s.violated_at, a.violated_at) AS violated_at,
        CASE
            WHEN s.host_id IS NULL THEN 'os_users'
            WHEN a.host_id IS NULL THEN 'subjects'
            ELSE 'both'
        END AS reason
    FROM by_subjects AS s
    FULL JOIN by_accounts AS a ON a.host_id = s.host_id
),

visitors AS (
    SELECT
        host_id,
        COUNT(*) AS subject_count,
        array_slice(array_sort(array_agg(subject_id)), 1, 20) AS subjects,
        array_slice(
            array_sort(array_agg(CAST(first_at AS VARCHAR) || ' to ' || CAST(last_at AS VARCHAR) || ' ' || subject_id)), 1, 20
        ) AS presences
    FROM presences
    GROUP BY host_id
),

host_users AS (
    SELECT host_id, os_user
    FROM contexts
    WHERE host_id IS NOT NULL AND os_user IS NOT NULL
    GROUP BY host_id, os_user
),

users AS (
    SELECT host_id, array_slice(array_sort(array_agg(os_user)), 1, 20) AS os_users
    FROM host_users
    GROUP BY host_id
),

tokens AS (
    SELECT host_id, COUNT(*) AS grant_count, array_slice(array_sort(array_agg(grant_id)), 1, 20) AS grants
    FROM held
    GROUP BY host_id
)

SELECT
    f.host_id,
    f.violated_at,
    CAST(NULL AS TIMESTAMP) AS resolved_at,
    f.reason,
    v.subjects,
    v.presences,
    coalesce(v.subject_count, 0) AS subject_count,
    u.os_users,
    t.grants,
    t.grant_count,
    h.shared_host_window,
    h.shared_host_window_rule AS rule
FROM findings AS f
INNER JOIN hosts AS h ON h.host_id = f.host_id
INNER JOIN tokens AS t ON t.host_id = f.host_id
LEFT JOIN visitors AS v ON v.host_id = f.host_id
LEFT JOIN users AS u ON u.host_id = f.host_id
ORDER BY f.host_id
