package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The tests call the engine as its client does, with a line of JSON, in one process for all of them: what a
// build leaves behind is what most of them are about.

const runAsEngine = "HEADRACE_TEST_RUN_AS_ENGINE"

func TestMain(m *testing.M) {
	if os.Getenv(runAsEngine) != "" {
		main()
		return
	}
	refuseNetwork()
	warmSchema()
	os.Exit(m.Run())
}

// tree writes files (name -> content) into a new folder; content "-> x" makes a link to x.
func tree(t testing.TB, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, content := range files {
		file := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		if target, isLink := strings.CutPrefix(content, "-> "); isLink {
			err = os.Symlink(target, file)
		} else {
			err = os.WriteFile(file, []byte(content), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// ask sends one request and undoes what it left, as the engine's loop does.
func ask(t *testing.T, op string, args any) (*BuildAnswer, *Failure) {
	t.Helper()
	encoded, err := json.Marshal(args)
	if err != nil {
		t.Fatal(err)
	}
	line, err := json.Marshal(Request{ID: 1, Op: op, Args: encoded})
	if err != nil {
		t.Fatal(err)
	}
	response := answer(line)
	restoreSchema()
	if response.Error != nil {
		return nil, response.Error
	}
	return response.OK.(*BuildAnswer), nil
}

func mustBuild(t *testing.T, args BuildArgs) *BuildAnswer {
	t.Helper()
	answer, failure := ask(t, "build", args)
	if failure != nil {
		t.Fatalf("build failed: %+v", *failure)
	}
	return answer
}

func mustFail(t *testing.T, args BuildArgs) *Failure {
	t.Helper()
	answer, failure := ask(t, "build", args)
	if failure == nil {
		t.Fatalf("build succeeded with %d objects", len(answer.Objects))
	}
	for _, text := range []string{args.Root, virtualRoot} {
		if strings.Contains(failure.Message, text) {
			t.Errorf("message names a folder of ours: %s", failure.Message)
		}
	}
	return failure
}

func bodies(answer *BuildAnswer) string {
	var lines []string
	for _, object := range answer.Objects {
		lines = append(lines, string(object.Body))
	}
	return strings.Join(lines, "\n")
}

const deployment = `apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - {name: web, image: "nginx:1.27", ports: [{containerPort: 80}]}
      - {name: sidecar, image: "envoy:1.30"}
`

const configMap = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata: {k: v}\n"

// victim depends on the built-in schema: its patch merges containers by name.
var victim = map[string]string{
	"kustomization.yaml": "resources: [deployment.yaml]\npatches: [{path: patch.yaml}]\n",
	"deployment.yaml":    deployment,
	"patch.yaml": `apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec: {template: {spec: {containers: [{name: web, image: "nginx:1.28"}]}}}
`,
}
