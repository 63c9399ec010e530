"""Everything about one Kustomization.

Read `decide.py` first (what is to be done, pure), then `reconcile.py` (observe, do, report). The steps that
it names: `build` (artifact → objects), `contact` (what is there before the first apply), `apply`, `prune`,
`drift` (what others changed meanwhile).
"""
