package main

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// Without merge keys, a strategic merge patch replaces the list of containers.
const foreignSchema = `{"definitions": {
"io.k8s.api.apps.v1.Deployment": {"type": "object", "properties": {"spec": {"$ref": "#/definitions/spec"}},
  "x-kubernetes-group-version-kind": [{"group": "apps", "kind": "Deployment", "version": "v1"}]},
"spec": {"type": "object", "properties": {"template": {"type": "object", "properties": {"spec": {"type": "object",
  "properties": {"containers": {"type": "array", "items": {"type": "object"}}}}}}}}}}`

var attackers = map[string]map[string]string{
	"schema in the kustomization": {
		"kustomization.yaml": "resources: [c.yaml]\nopenapi: {path: s.json}\n", "c.yaml": configMap,
		"s.json": foreignSchema,
	},
	"schema and a patch that uses it": {
		"kustomization.yaml": "resources: [d.yaml]\nopenapi: {path: s.json}\npatches: [{path: p.yaml}]\n",
		"d.yaml":             deployment, "p.yaml": victim["patch.yaml"], "s.json": foreignSchema,
	},
	"schema in a base": {
		"kustomization.yaml":      "resources: [base]\n",
		"base/kustomization.yaml": "resources: [c.yaml]\nopenapi: {path: s.json}\n", "base/c.yaml": configMap,
		"base/s.json": foreignSchema,
	},
	"schema in a component": {
		"kustomization.yaml": "resources: [c.yaml]\ncomponents: [part]\n", "c.yaml": configMap,
		"part/kustomization.yaml": "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\n" +
			"openapi: {path: s.json}\n", "part/s.json": foreignSchema,
	},
	"a failing build after the schema": {
		"kustomization.yaml": "resources: [c.yaml, absent.yaml]\nopenapi: {path: s.json}\n",
		"c.yaml":             configMap,
		"s.json":             foreignSchema,
	},
	"a version that is not built in": {
		"kustomization.yaml": "resources: [c.yaml]\nopenapi: {version: v9.99.9}\n", "c.yaml": configMap,
	},
	"an unreadable schema": {
		"kustomization.yaml": "resources: [d.yaml]\nopenapi: {path: s.json}\npatches: [{path: p.yaml}]\n",
		"d.yaml":             deployment, "p.yaml": victim["patch.yaml"], "s.json": `{"definitions": [1,2`,
	},
}

func TestASchemaStaysInItsOwnBuild(t *testing.T) {
	victimRoot := tree(t, victim)
	before := bodies(mustBuild(t, BuildArgs{Root: victimRoot}))
	if !strings.Contains(before, "sidecar") {
		t.Fatalf("the victim's patch should keep the sidecar: %s", before)
	}
	for name, files := range attackers {
		t.Run(name, func(t *testing.T) {
			attackerRoot := tree(t, files)
			_, _ = ask(t, "build", BuildArgs{Root: attackerRoot})
			if after := bodies(mustBuild(t, BuildArgs{Root: victimRoot})); after != before {
				t.Errorf("the next tenant's build changed:\nbefore %s\nafter  %s", before, after)
			}
		})
	}
}

func TestASchemaIsReported(t *testing.T) {
	if !mustBuild(t, BuildArgs{Root: tree(t, attackers["schema in a base"])}).OpenAPI {
		t.Error("a build with a schema of its own should say so")
	}
	if !mustFail(t, BuildArgs{Root: tree(t, attackers["a failing build after the schema"])}).OpenAPI {
		t.Error("a failed build with a schema of its own should say so")
	}
	if mustBuild(t, BuildArgs{Root: tree(t, victim)}).OpenAPI {
		t.Error("an ordinary build has no schema of its own")
	}
}

// Whether the engine was asked before must not change what a schema does.
func TestASchemaGivesTheSameAfterAReset(t *testing.T) {
	root := tree(t, attackers["schema and a patch that uses it"])
	first := bodies(mustBuild(t, BuildArgs{Root: root}))
	second := bodies(mustBuild(t, BuildArgs{Root: root}))
	if first != second {
		t.Errorf("first %s\nsecond %s", first, second)
	}
}

func TestAnUnreadableSchemaFailsItsBuildOnly(t *testing.T) {
	failure := mustFail(t, BuildArgs{Root: tree(t, attackers["an unreadable schema"])})
	if failure.Reason != "BuildFailed" || !strings.Contains(failure.Message, "invalid schema") {
		t.Errorf("got %+v", *failure)
	}
}

// A reset after every build would be safe too, and fifty times slower: the ratio shows that ordinary builds
// have none.
func TestOrdinaryBuildsDoNotParseTheSchema(t *testing.T) {
	root := tree(t, victim)
	_, _ = ask(t, "build", BuildArgs{Root: tree(t, attackers["schema in the kustomization"])})
	var warm, parses []time.Duration
	for range 15 {
		start := time.Now()
		mustBuild(t, BuildArgs{Root: root})
		warm = append(warm, time.Since(start))
	}
	for range 3 {
		builtinSchema = "" // as if the last build had left another one
		start := time.Now()
		restoreSchema()
		parses = append(parses, time.Since(start))
	}
	slices.Sort(warm)
	slices.Sort(parses)
	if median, parse := warm[len(warm)/2], parses[0]; median*4 > parse {
		t.Errorf("a warm build takes %v, parsing the schema %v: it seems to be parsed for each build",
			median, parse)
	}
}
