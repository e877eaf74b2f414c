/*---
title    = "Token older than policy"
severity = "medium"
status   = "stable"
kind     = "violation"
summary  = "A grant lives longer than its policy allows, or stays alive without being used."
rationale = """
A refresh token that renews for ever outlives the reasons it was given for: people change teams, laptops change hands.
An age limit forces a new login; an idle limit finds the tokens nobody would miss, which are the ones nobody watches.
"""
because  = "Grant {grant_id} had begun by {started_at}, was last exercised at {last_exercised_at}, and outlived its {reason} limit at {violated_at}."
absence  = { from = "unseen_from", to = "unseen_until" }
false_positives = [
    "The issuing was not seen and the age is a lower bound only: age_is_lower_bound says so.",
    "Rotation gives the grant a new family without a record that links the two.",
]
response = [
    "Revoke the grant; its owner logs in again.",
    "If the grant must live longer, give it a rule in the policy, with a reason.",
]
key      = ["grant_id", "reason"]
reads    = ["grants"]
every    = "5m"
ticking  = ["age", "idle"]
resolved_when_gone = { reason = "idle" }
[controls]
csf         = ["PR.AA-01", "PR.AA-03"]
nhi         = ["NHI7:2025"]
attack      = ["T1550.001"]
nist_800_53 = ["IA-5(13)", "IA-11", "IA-13(3)", "AC-12"]
---*/
WITH lives AS (
    SELECT
        grant_id,
        started_at,
        age_is_lower_bound,
        ended_at,
        LEAST(ended_at, $as_of) AS alive_until,
        last_exercised_at,
        max_age,
        max_age_rule,
        max_idle,
        max_idle_rule
    FROM grants
),

violations AS (
    SELECT
        grant_id,
        'age' AS reason,
        started_at + max_age AS violated_at,
        CASE WHEN alive_until >= started_at + max_age + max_age THEN 'high' ELSE 'medium' END AS severity,
        max_age AS age_limit,
        CAST(NULL AS INTERVAL) AS idle_limit,
        max_age_rule AS rule,
        started_at,
        age_is_lower_bound,
        ended_at,
        alive_until,
        last_exercised_at
    FROM lives
    WHERE alive_until > started_at + max_age
    UNION ALL
    SELECT
        grant_id,
        'idle' AS reason,
        last_exercised_at + max_idle AS violated_at,
        CASE WHEN alive_until >= last_exercised_at + max_idle + max_idle THEN 'high' ELSE 'medium' END AS severity,
        CAST(NULL AS INTERVAL) AS age_limit,
        max_idle AS idle_limit,
        max_idle_rule AS rule,
        started_at,
        age_is_lower_bound,
        ended_at,
        alive_until,
        last_exercised_at
    FROM lives
    WHERE alive_until > last_exercised_at + max_idle
)

SELECT
    grant_id,
    reason,
    violated_at,
    CASE WHEN ended_at <= $as_of THEN ended_at END AS resolved_at,
    severity,
    started_at,
    alive_until - started_at AS age,
    age_limit AS max_age,
    age_is_lower_bound,
    last_exercised_at,
    alive_until - last_exercised_at AS idle,
    idle_limit AS max_idle,
    -- What makes a grant idle is what was not seen between these.
    CASE WHEN reason = 'idle' THEN last_exercised_at END AS unseen_from,
    CASE WHEN reason = 'idle' THEN violated_at END AS unseen_until,
    rule
FROM violations
ORDER BY grant_id, reason
