package main

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"
)

// lol is nine levels of ten references each: a billion scalars in 400 bytes.
func lol() string {
	var text strings.Builder
	text.WriteString("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: lol}\nl0: &l0 [lol, lol]\n")
	for level := 1; level < 10; level++ {
		fmt.Fprintf(&text, "l%d: &l%d [%s]\n", level, level,
			strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*l%d, ", level-1), 10), ", "))
	}
	return text.String()
}

func TestYAMLIsBounded(t *testing.T) {
	rows := map[string]struct{ file, content, message string }{
		"aliases of aliases":          {"app/a.yaml", lol(), "YAML expands beyond 10 MiB"},
		"the same in a kustomization": {"app/kustomization.yaml", lol(), "YAML expands beyond 10 MiB"},
		"the same under another name": {"app/kustomization.yaml", "resources: [a.txt]",
			"YAML expands beyond 10 MiB"},
		"a large scalar, repeated": {
			"app/a.yaml", "a: &a " + strings.Repeat("x", 1<<20) +
				"\nb: [*a, *a, *a, *a, *a, *a, *a, *a, *a, *a, *a]\n",
			"YAML expands beyond 10 MiB",
		},
		"an anchor in itself": {"app/a.yaml", "a: &a [*a]\n", "anchor"},
		"a merge ring":        {"app/a.yaml", "a: &a\n  <<: *a\n", "anchor"},
		"twenty thousand brackets": {"app/a.yaml", "a: " + strings.Repeat("[", 20_000),
			"YAML is nested deeper than 100 levels"},
		"two hundred levels": {"app/a.yaml", "a: " + strings.Repeat("[", 200) + strings.Repeat("]",
			200), "nested deeper"},
		"a file of eleven MiB": {"app/a.yaml", "a: " + strings.Repeat("x", 11<<20),
			"is larger than 10 MiB"},
		"a patch in the kustomization": {
			"app/kustomization.yaml", "patches:\n- patch: |\n" + indented(lol()),
			"'app/kustomization.yaml': YAML expands beyond 10 MiB",
		},
		"a transformer's patch": {
			"app/kustomization.yaml", "transformers:\n- |\n" + indented("apiVersion: builtin\n"+
				"kind: PatchTransformer\nmetadata: {name: p}\npatch: |\n"+indented(lol())),
			"YAML expands beyond 10 MiB",
		},
		"levels without brackets": {
			"app/kustomization.yaml", "resources: [a.txt] # deep",
			"'app/a.txt': YAML is nested deeper than 100 levels",
		},
		"a million documents": {"app/a.yaml", strings.Repeat("---\n", 1_000_000), "YAML documents"},
		"a key twice in the kustomization": {
			"app/kustomization.yaml", "resources: [a.yaml]\nresources: []\n",
			"'resources' is there twice (app/kustomization.yaml:2)",
		},
		"no YAML at all": {"app/a.yaml", "a: [\x00",
			"failed to decode Kubernetes YAML from app/a.yaml"},
		"a tag that is not ours": {"app/a.yaml", "!!python/object/apply:os.system [x]\n",
			"failed to decode Kubernetes YAML"},
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			files := map[string]string{row.file: row.content}
			if strings.Contains(row.content, "a.txt") {
				files["app/a.txt"] = lol()
			}
			if strings.Contains(row.content, "deep") {
				files["app/a.txt"] = "a:\n  " + strings.Repeat("- ", 9_000) + "x\n"
			}
			root := tree(t, files)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			start := time.Now()
			failure := mustFail(t, BuildArgs{Root: root, Path: "app"})
			took := time.Since(start)
			runtime.ReadMemStats(&after)
			if failure.Reason != "BuildFailed" || !strings.Contains(failure.Message, row.message) {
				t.Errorf("got %s: %.300s", failure.Reason, failure.Message)
			}
			if used := (after.TotalAlloc - before.TotalAlloc) >> 20; used > 150 || took > 2*time.Second {
				t.Errorf("took %v and %d MiB", took, used)
			}
		})
	}
}

func indented(text string) string {
	return "    " + strings.ReplaceAll(strings.TrimSuffix(text, "\n"), "\n", "\n    ") + "\n"
}

func TestPatchesOfTheSpecAreBounded(t *testing.T) {
	failure := mustFail(t, BuildArgs{Root: tree(t, map[string]string{"a.yaml": configMap}),
		Spec: Spec{Patches: []SpecPatch{{Patch: configMap}, {Patch: lol()}}}})
	if failure.Message != "'spec.patches[1].patch': YAML expands beyond 10 MiB" {
		t.Errorf("got %s", failure.Message)
	}
}

func TestForeignTagsAreRefused(t *testing.T) {
	head := "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\n"
	rows := map[string]struct{ content, message string }{
		"on a mapping": {head + "data: !foo {k: v}\n", "in a.yaml cannot be decoded: line 4: the YAML tag '!foo'"},
		"on a list":    {head + "data: {k: !!python/tuple [v]}\n", "line 4: the YAML tag '!!python/tuple'"},
		"on a scalar":  {head + "data:\n  k: !env HOME\n", "line 5: the YAML tag '!env'"},
		"YAML's own":   {head + "data: !!map {k: !!str v, b: !!binary aGk=}\n", ""},
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			args := BuildArgs{Root: tree(t, map[string]string{"a.yaml": row.content})}
			if row.message == "" {
				mustBuild(t, args)
			} else if failure := mustFail(t, args); !strings.Contains(failure.Message, row.message) {
				t.Errorf("got %s", failure.Message)
			}
		})
	}
}

func TestTextThatIsNoYAMLIsNobodysBusiness(t *testing.T) {
	mustBuild(t, BuildArgs{Root: tree(t, map[string]string{
		"kustomization.yaml": "configMapGenerator: [{name: c, files: [a.txt], literals: ['k=&a *a [ [']}]\n",
		"a.txt":              strings.Repeat("- * [ {", 500) + "\n" + strings.Repeat(" ", 500) + "x\n",
	})})
}

func TestOrdinaryAliasesAreExpanded(t *testing.T) {
	answer := mustBuild(t, BuildArgs{Root: tree(t, map[string]string{
		"a.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c, labels: &l {a: b}, annotations: " +
			"*l}\n",
	})})
	if !strings.Contains(bodies(answer), `"annotations":{"a":"b"}`) {
		t.Errorf("got %s", bodies(answer))
	}
}

func TestPlaceOfASyntaxError(t *testing.T) {
	rows := map[string]struct {
		files map[string]string
		file  string
		line  int
	}{
		"in the second document of a scanned file": {
			map[string]string{"app/a.yaml": configMap + "---\nkind: x\nb: [\n"}, "app/a.yaml", 7,
		},
		"in a listed resource": {
			map[string]string{"app/kustomization.yaml": "resources: [a.yaml]\n",
				"app/a.yaml": "a: b\n\tc: d\n"}, "app/a.yaml", 2,
		},
		"in a base": {
			map[string]string{
				"app/kustomization.yaml":  "resources: [../base]\n",
				"base/kustomization.yaml": "resources: [x.yaml]\n",
				"base/x.yaml":             "a: b\nc: 'd\n",
			}, "base/x.yaml", 2,
		},
		"in the kustomization": {
			map[string]string{"app/kustomization.yaml": "resources:\n- a\n b: c\n"},
			"app/kustomization.yaml", 3,
		},
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			failure := mustFail(t, BuildArgs{Root: tree(t, row.files), Path: "app"})
			if failure.File != row.file || failure.Line != row.line {
				t.Errorf("got %s:%d, message %s", failure.File, failure.Line, failure.Message)
			}
		})
	}
}

func TestLimits(t *testing.T) {
	var many strings.Builder
	for i := range 30 {
		fmt.Fprintf(&many, "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: c%d}\ndata: {k: %s}\n", i,
			strings.Repeat("x", 100))
	}
	list := "apiVersion: v1\nkind: ConfigMapList\nitems:\n"
	for i := range 30 {
		list += fmt.Sprintf("- {apiVersion: v1, kind: ConfigMap, metadata: {name: c%d}}\n", i)
	}
	rows := map[string]struct {
		content string
		limits  Limits
		message string
	}{
		"objects": {many.String(), Limits{Objects: 29},
			"build has at least 30 objects, limit 29 (--max-objects)"},
		"objects in a List": {list, Limits{Objects: 29}, "build has at least 30 objects, limit 29 (--max-objects)"},
		"bytes": {many.String(), Limits{Bytes: 3000},
			"build has more than 3000 bytes of objects, the limit of one build"},
		"within both": {many.String(), Limits{Objects: 30, Bytes: 10_000}, ""},
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			args := BuildArgs{Root: tree(t, map[string]string{"a.yaml": row.content}), Limits: row.limits}
			if row.message == "" {
				mustBuild(t, args)
			} else if failure := mustFail(t, args); !strings.Contains(failure.Message, row.message) {
				t.Errorf("got %s", failure.Message)
			}
		})
	}
}
