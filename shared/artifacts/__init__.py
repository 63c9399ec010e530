"""Artifacts: immutable archives of one revision of a source.

The producer's half: `ignore` says what is left out, `archive` writes the bytes, `store` keeps them,
`server` serves them. The consumer's half: `fetch` downloads and verifies, `unpack` reads an archive that a
stranger chose, `cache` does both once for all who ask. `digest` is what the two halves agree on.
"""
