"""The kinds as typed models, and the CRDs that are generated from them.

In goes the JSON of an object as the API server gives it, out comes a frozen, typed value; `kinds.decode` is
the door. `meta` has what all kinds share, `gitrepository` and `kustomization` one kind each, `crd` writes
deploy/crds. Nothing here does I/O but that command, and nothing here knows the rest of the project.
"""
