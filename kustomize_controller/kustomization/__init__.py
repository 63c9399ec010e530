"""Everything about one Kustomization.

Read `decide.py` first (what is to be done, pure), then `reconcile.py` (observe, decide, do, report). The
steps that it names: `observe` (source, dependencies, what is built), `build` (artifact → objects), `contact`
(what is there before the first apply), `apply`, `prune`, `drift` (what others changed meanwhile), `delete`.
They work with what `world` holds.
"""
