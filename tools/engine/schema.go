package main

import (
	"sigs.k8s.io/kustomize/kyaml/openapi"
	"sigs.k8s.io/kustomize/kyaml/yaml"
)

// kustomize keeps its OpenAPI schema in process globals, and a build with an `openapi:` field leaves its own
// schema there for the builds that follow: their strategic merge patches would then merge lists by a
// stranger's keys, without an error. The version changes with it, so one comparison after each build tells.
// Resetting always would be simpler, but parsing the built-in schema costs 50 to 120 ms, fifty times an
// ordinary build.
//
// The built-in schema is parsed before any build, so that a schema of the source's own is merged over it
// whatever was built before; parsed lazily, the result would depend on the process's history.

func warmSchema() {
	openapi.SchemaForResourceType(yaml.TypeMeta{APIVersion: "apps/v1", Kind: "Deployment"})
	builtinSchema = openapi.GetSchemaVersion()
}

var builtinSchema string

// schemaChanged says whether a build left a schema of its own behind.
func schemaChanged() bool {
	return openapi.GetSchemaVersion() != builtinSchema
}

// restoreSchema undoes that. Nothing to undo: free.
func restoreSchema() {
	if schemaChanged() {
		openapi.ResetOpenAPI()
		warmSchema()
	}
}
