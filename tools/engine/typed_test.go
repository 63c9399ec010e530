package main

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/scheme"
)

const deploymentOf = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec:\n"

// One row, one manifest in app/a.yaml, or the files of the row beside it; want are the lines of leftOut.
var leftOut = map[string]struct {
	files map[string]string
	want  []string
}{
	"nothing": {map[string]string{"a.yaml": configMap}, nil},
	"at the top": {
		map[string]string{"a.yaml": configMap + "binarydata: {logo: aGVsbG8=}\n"},
		[]string{"ConfigMap/settings: binarydata is not a field of v1 ConfigMap in Kubernetes 1.37 and was " +
			"left out (app/a.yaml:5)"},
	},
	"deep within, in another case": {
		map[string]string{"a.yaml": deploymentOf + `  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - name: first
        image: first
      - name: second
        Image: second
`},
		[]string{"Deployment/web: spec.template.spec.containers[1].Image is not a field of apps/v1 Deployment in " +
			"Kubernetes 1.37 and was left out (app/a.yaml:12)"},
	},
	"several, in the order of their names": {
		map[string]string{"a.yaml": deploymentOf + "  zzz: 1\n  aaa: 1\nextra: {deep: 1}\n"},
		[]string{"Deployment/web: extra is", "Deployment/web: spec.aaa is", "Deployment/web: spec.zzz is"},
	},
	"in the second document": {
		map[string]string{"a.yaml": configMap + "---\n" + deploymentOf + "  replicaz: 3\n"},
		[]string{"(app/a.yaml:10)"},
	},
	"in an item of a List": {
		map[string]string{"a.yaml": "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: ConfigMap\n" +
			"  metadata: {name: c}\n  dato: {}\n"},
		[]string{"ConfigMap/c: dato is not a field of v1 ConfigMap in Kubernetes 1.37 and was left out " +
			"(app/a.yaml:7)"},
	},
	"in a patch, whose list begins elsewhere": {
		map[string]string{
			"kustomization.yaml": "resources: [a.yaml]\npatches: [{path: p.yaml}]\n",
			"a.yaml":             deployment,
			"p.yaml": deploymentOf + "  template:\n    spec:\n      containers:\n" +
				"      - {name: web, $patch: delete}\n      - name: sidecar\n" +
				"        imagePullPolicie: Always\n",
		},
		[]string{"containers[0].imagePullPolicie is not a field", "(app/p.yaml:10)"},
	},
	"in a patch without a file": {
		map[string]string{
			"kustomization.yaml": "resources: [a.yaml]\npatches: [{target: {kind: Deployment}, patch: '[{\"op\": " +
				"\"add\", \"path\": \"/spec/replicaz\", \"value\": 3}]'}]\n",
			"a.yaml": deployment,
		},
		[]string{"Deployment/web: spec.replicaz is not a field of apps/v1 Deployment in Kubernetes 1.37 and was " +
			"left out in app/a.yaml"},
	},
	"of an object that got a prefix": {
		map[string]string{
			"kustomization.yaml": "resources: [a.yaml]\nnamePrefix: p-\n",
			"a.yaml":             configMap + "extra: 1\n",
		},
		[]string{"ConfigMap/p-settings: extra is not a field", "(app/a.yaml:5)"},
	},
	"behind an anchor and a merge key": {
		map[string]string{"a.yaml": deploymentOf + `  template:
    spec:
      containers:
      - &one
        name: one
        imge: x
      - <<: *one
        name: two
`},
		[]string{"containers[0].imge is not", "(app/a.yaml:10)", "containers[1].imge is not"},
	},
	"of a kustomization": {
		map[string]string{"kustomization.yaml": "resources: [a.yaml]\nmystery: 1\n", "a.yaml": configMap},
		[]string{"app/kustomization.yaml: mystery is not a field of a kustomization and was left out " +
			"(app/kustomization.yaml:2)"},
	},
	"a Role": {
		map[string]string{"a.yaml": "apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {name: r}\n" +
			"rulez: []\n"}, nil,
	},
	"a custom resource": {
		map[string]string{"a.yaml": "apiVersion: x.io/v1\nkind: Deployment\nmetadata: {name: r}\n" +
			"anything: 1\n"}, nil,
	},
	"a type that does not fit": {
		map[string]string{"a.yaml": deploymentOf + "  replicas: three\n  replicaz: 3\n"}, nil,
	},
	"values are not shown": {
		map[string]string{"a.yaml": "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringDate: {password: " +
			"CANARY-7f3a}\n"},
		[]string{"Secret/s: stringDate is not a field of v1 Secret in Kubernetes 1.37 and was left out " +
			"(app/a.yaml:4)"},
	},
	"a long name is cut": {
		map[string]string{"a.yaml": configMap + strings.Repeat("x", 400) + ": 1\n"},
		[]string{"ConfigMap/settings: " + strings.Repeat("x", 200) + "… is not a field"},
	},
}

func TestLeftOut(t *testing.T) {
	for name, row := range leftOut {
		t.Run(name, func(t *testing.T) {
			answer := mustBuild(t, BuildArgs{Path: "app", Root: tree(t, below("app", row.files))})
			told := strings.Join(answer.LeftOut, "\n")
			at := 0
			for _, want := range row.want {
				found := strings.Index(told[at:], want)
				if found < 0 {
					t.Fatalf("want %q in\n%s", want, told)
				}
				at += found + len(want)
			}
			if len(row.want) == 0 && told != "" {
				t.Errorf("got %s", told)
			}
			if strings.Contains(told, secretText) {
				t.Errorf("content is shown: %s", told)
			}
		})
	}
}

// After substitution an object is known by its text; the file that it came from still tells the line.
func TestLeftOutOfFinishedTexts(t *testing.T) {
	root := tree(t, map[string]string{"app/a.yaml": "# a comment\n" + configMap + "extra: ${value}\n"})
	answer, failure := ask(t, "finish", FinishArgs{Texts: []string{configMap + "extra: 7\n"}, Root: root,
		Origins: []string{"app/a.yaml"}})
	if failure != nil {
		t.Fatalf("%+v", *failure)
	}
	want := "ConfigMap/settings: extra is not a field of v1 ConfigMap in Kubernetes 1.37 and was left out " +
		"(app/a.yaml:6)"
	if !slices.Equal(answer.LeftOut, []string{want}) {
		t.Errorf("got %q", answer.LeftOut)
	}
}

func TestOnlySomeLinesAreLookedFor(t *testing.T) {
	var manifest strings.Builder
	manifest.WriteString(configMap)
	for range 2 * maxLocated {
		fmt.Fprintf(&manifest, "x%d: 1\n", manifest.Len())
	}
	answer := mustBuild(t, BuildArgs{Root: tree(t, map[string]string{"a.yaml": manifest.String()})})
	if located := strings.Count(strings.Join(answer.LeftOut, "\n"), "(a.yaml:"); located != maxLocated {
		t.Errorf("%d of %d have a line", located, len(answer.LeftOut))
	}
}

// The kinds that are known here are the kinds of client-go's scheme, which Flux goes by.
func TestBuiltinKindsAreThoseOfClientGo(t *testing.T) {
	for kind, want := range scheme.Scheme.AllKnownTypes() {
		if kind.Version == "__internal" {
			continue
		}
		got := newBuiltin(kind.Group, kind.Version, kind.Kind)
		if _, isObject := reflect.New(want).Interface().(interface{ GetName() string }); !isObject {
			continue
		}
		if got == nil || reflect.TypeOf(got).Elem() != want {
			t.Errorf("%s: got %T, want %s", kind, got, want)
		}
	}
	for _, foreign := range []schema.GroupVersionKind{
		{Group: "apiextensions.k8s.io", Version: "v1", Kind: "CustomResourceDefinition"},
		{Group: "apps", Version: "v1", Kind: "Widget"}, {Group: "x.io", Version: "v1", Kind: "Deployment"},
		{Version: "v1", Kind: "List"},
	} {
		if got := newBuiltin(foreign.Group, foreign.Version, foreign.Kind); got != nil {
			t.Errorf("%s: got %T", foreign, got)
		}
	}
}
