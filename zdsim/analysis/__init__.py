"""What does an analysis say of the numbers it is shown?

`conditions` is Argo's condition language, `measurement` what one measurement says, `metric` what may be asked of a
metric, `run` how measurements become the verdict of an AnalysisRun. All are pure functions of numbers and strings:
times are arguments, in seconds, and nothing here knows a clock, a plane or a file.

Source: argo-rollouts master of August 2026 (after v1.10.0-rc1), expr-lang v1.17.8. The functions name the upstream
file they follow.
"""
