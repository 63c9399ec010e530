module headrace.dev/tools/flux

go 1.26.0

tool github.com/fluxcd/flux2/v2/cmd/flux

// All else is pinned by its own go.mod and go.sum, which its hash in go.sum covers: see tools/bootstrap/complete.py.
require (
	github.com/fluxcd/flux2/v2 v2.9.4
)
