"""What does the Argo Rollouts controller decide?

`spec` is a Rollout as the controller sees it, `validate` what it rejects, `state` what a pass reads and leaves behind,
`decide.reconcile` one pass. The rest is arithmetic as plain functions under the upstream names: `canary_counts`,
`weights`, `steps`, `bluegreen`, `lifecycle`, `runs`, `experiment`, `conditions`. Nothing here knows a clock, pods or
the API; times are arguments, in seconds.

Source: argo-rollouts master of August 2026 (after v1.10.0-rc1). The functions name the upstream file they follow.
"""
