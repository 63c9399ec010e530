package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const secretText = "CANARY-7f3a"

var escapes = map[string]struct {
	files   map[string]string
	message string // part of it
}{
	"a generator reads an absolute path": {
		map[string]string{"app/kustomization.yaml": "configMapGenerator: [{name: x, files: [OUTSIDE]}]\n"},
		"is not in or below the source root",
	},
	"a generator reads a key from an absolute path": {
		map[string]string{"app/kustomization.yaml": "configMapGenerator: [{name: x, files: " +
			"['token=OUTSIDE']}]\n"},
		"is not in or below the source root",
	},
	"an env file with an absolute path": {
		map[string]string{"app/kustomization.yaml": "secretGenerator: [{name: x, envs: [OUTSIDE]}]\n"},
		"is not in or below the source root",
	},
	"a base above the root": {
		map[string]string{"app/kustomization.yaml": "resources: [../../../../etc]\n"},
		"is not in or below the source root",
	},
	"a patch above the root": {
		map[string]string{"app/kustomization.yaml": "resources: [c.yaml]\npatches: [{path: " +
			"../../etc/hostname}]\n"},
		"is not in or below the source root",
	},
	"a schema above the root": {
		map[string]string{"app/kustomization.yaml": "resources: [c.yaml]\nopenapi: {path: " +
			"../../../x.json}\n"},
		"is not in or below the source root",
	},
	"an absolute link": {
		map[string]string{"app/kustomization.yaml": "resources: [l.yaml]\n", "app/l.yaml": "-> OUTSIDE"},
		"is not in or below the source root",
	},
	"a link above the root": {
		map[string]string{"app/kustomization.yaml": "resources: [l.yaml]\n",
			"app/l.yaml": "-> ../../../../../../../etc/passwd"},
		"is not in or below the source root",
	},
	"a chain of links": {
		map[string]string{
			"app/kustomization.yaml": "resources: [a.yaml]\n", "app/a.yaml": "-> b.yaml",
			"app/b.yaml": "-> ../c", "c": "-> ../x",
		},
		"is not in or below the source root",
	},
	"a linked folder": {
		map[string]string{"app/kustomization.yaml": "resources: [d]\n", "app/d": "-> /proc/self"},
		"is not in or below the source root",
	},
	"a link to itself": {
		map[string]string{"app/kustomization.yaml": "resources: [a.yaml]\n", "app/a.yaml": "-> a.yaml"},
		"too many links",
	},
	"a scanned link": {
		map[string]string{"app/a.yaml": "-> OUTSIDE"}, "is not in or below the source root",
	},
	"a file that is not there": {
		map[string]string{"app/kustomization.yaml": "resources: [gone.yaml]\n"},
		"'app/gone.yaml' is not in the artifact; links are left out of artifacts",
	},
	"the folder itself": {map[string]string{"app/kustomization.yaml": "resources: [.]\n"}, "cycle detected"},
	"a ring": {
		map[string]string{
			"app/kustomization.yaml": "resources: [../b]\n", "b/kustomization.yaml": "resources: [../app]\n",
		}, "cycle detected",
	},
	"a ring of components": {
		map[string]string{
			"app/kustomization.yaml": "components: [../b]\n",
			"b/kustomization.yaml":   "kind: Component\ncomponents: [../c]\n",
			"c/kustomization.yaml":   "kind: Component\ncomponents: [../b]\n",
		}, "cycle detected",
	},
}

func TestABuildStaysInItsArtifact(t *testing.T) {
	for name, row := range escapes {
		t.Run(name, func(t *testing.T) {
			outsideFile := filepath.Join(t.TempDir(), "secret.yaml")
			if err := os.WriteFile(outsideFile, []byte("k: ["+secretText), 0o644); err != nil {
				t.Fatal(err)
			}
			files := map[string]string{"app/c.yaml": configMap}
			for file, content := range row.files {
				files[file] = strings.ReplaceAll(content, "OUTSIDE", outsideFile)
			}
			if _, own := files["app/kustomization.yaml"]; !own {
				delete(files, "app/c.yaml")
			}
			failure := mustFail(t, BuildArgs{Root: tree(t, files), Path: "app"})
			if failure.Reason != "BuildFailed" || !strings.Contains(failure.Message, row.message) {
				t.Errorf("got %s: %s", failure.Reason, failure.Message)
			}
			if all, _ := json.Marshal(failure); strings.Contains(string(all), secretText) {
				t.Errorf("content of a file outside is shown: %s", all)
			}
		})
	}
}

func TestALinkInsideTheArtifactIsFollowed(t *testing.T) {
	answer := mustBuild(t, BuildArgs{Path: "app", Root: tree(t, map[string]string{
		"app/kustomization.yaml": "resources: [l.yaml, d]\n", "app/l.yaml": "-> ../real/c.yaml",
		"app/d":       "-> ../base",
		"real/c.yaml": configMap, "base/kustomization.yaml": "resources: [d.yaml]\n",
		"base/d.yaml": deployment,
	})})
	if len(answer.Objects) != 2 || answer.Inputs.Reads[2] != "base/kustomization.yaml" {
		t.Errorf("got %+v", answer.Inputs)
	}
}

func TestSpecPath(t *testing.T) {
	root := tree(t, map[string]string{"apps/web/c.yaml": configMap, "file": ""})
	for given, found := range map[string]bool{
		"apps/web": true, "./apps/web": true, "/apps/web/": true, "../apps/web": true, "": true, ".": true,
		"apps/gone": false, "file": false, "apps/web/c.yaml": false, "apps\x00": false,
	} {
		_, failure := ask(t, "build", BuildArgs{Root: root, Path: given})
		switch {
		case found && failure != nil:
			t.Errorf("%q: %+v", given, *failure)
		case !found && (failure == nil || failure.Reason != "PathNotFound" ||
			failure.Message != "kustomization path not found: "+given):
			t.Errorf("%q: got %+v", given, failure)
		}
	}
}

// What is read from memory is a build's input under its name, but what the engine generates is none.
func TestInputs(t *testing.T) {
	rows := map[string]struct {
		files map[string]string
		want  Inputs
	}{
		"a generated kustomization": {
			map[string]string{"app/a.yaml": configMap, "app/sub/x.txt": "", "other/b.yaml": configMap},
			Inputs{
				Reads: []string{"app/a.yaml"}, Lists: []string{"app", "app/sub"},
				Misses: []string{
					"app/Kustomization", "app/kustomization.yaml", "app/kustomization.yml",
					"app/sub/Kustomization", "app/sub/kustomization.yaml", "app/sub/kustomization.yml",
				},
			},
		},
		"a base and a patch": {
			map[string]string{
				"app/kustomization.yaml": "resources: [../base]\npatches: [{path: p.yaml}]\n",
				"app/p.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: " +
					"settings}\ndata: {k: w}\n",
				"base/Kustomization": "resources: [c.yaml]\n", "base/c.yaml": configMap,
				"base/unused.yaml": "",
			},
			Inputs{
				Reads: []string{"app/kustomization.yaml", "app/p.yaml", "base/Kustomization", "base/c.yaml"},
				Lists: []string{},
				Misses: []string{
					"app/Kustomization", "app/kustomization.yml", "base/kustomization.yaml",
					"base/kustomization.yml",
				},
			},
		},
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			got, _ := json.Marshal(mustBuild(t, BuildArgs{Root: tree(t, row.files), Path: "app"}).Inputs)
			want, _ := json.Marshal(row.want)
			if string(got) != string(want) {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		})
	}
}

func TestOverridesReplaceFilesAndStayOutOfMessages(t *testing.T) {
	files := map[string]string{
		"kustomization.yaml": "secretGenerator: [{name: s, envs: [s.env], options: " +
			"{disableNameSuffixHash: true}}]\n",
		"s.env": "encrypted",
	}
	answer := mustBuild(t, BuildArgs{Root: tree(t, files),
		Overrides: map[string][]byte{"s.env": []byte("K=v\n")}})
	if !strings.Contains(bodies(answer), `"data":{"K":"dg=="}`) {
		t.Errorf("got %s", bodies(answer))
	}
	if strings.Join(answer.Inputs.Reads, " ") != "kustomization.yaml s.env" {
		t.Errorf("got %+v", answer.Inputs)
	}
	broken := map[string][]byte{"s.env": []byte(secretText + "\xff=x\nnot a key " + secretText + "=v\n")}
	failure := mustFail(t, BuildArgs{Root: tree(t, files), Overrides: broken})
	if strings.Contains(failure.Message, secretText) {
		t.Errorf("a decrypted value is shown: %s", failure.Message)
	}
}
