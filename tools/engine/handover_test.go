package main

import (
	"io/fs"
	"os"
	"slices"
	"strings"
	"testing"
)

// What of an artifact is copied for a build of app; files only.
var handedOver = map[string]struct {
	files map[string]string
	want  []string
}{
	"the folder with all below it, and nothing beside it": {
		map[string]string{
			"app/kustomization.yaml": "resources: [a.yaml]", "app/a.yaml": configMap, "app/deep/.x": "x",
			"other/b.yaml": configMap, "b.yaml": configMap,
		},
		[]string{"app/a.yaml", "app/deep/.x", "app/kustomization.yaml"},
	},
	"a folder without a kustomization": {
		map[string]string{"app/a.yaml": configMap, "other/b.yaml": configMap},
		[]string{"app/a.yaml", "app/kustomization.yaml"},
	},
	"a base of a base": {
		map[string]string{
			"app/kustomization.yaml": "resources: [../one]", "one/kustomization.yaml": "bases: [../two]",
			"two/kustomization.yaml": "resources: [c.yaml]", "two/c.yaml": configMap, "three/d.yaml": "x",
		},
		[]string{"app/kustomization.yaml", "one/kustomization.yaml", "two/c.yaml", "two/kustomization.yaml"},
	},
	"components, generators, transformers and validators": {
		map[string]string{
			"app/kustomization.yaml": "components: [../c]\ngenerators: [../g]\ntransformers: [../t]\n" +
				"validators: [../v]",
			"c/1": "", "g/2": "", "t/3": "", "v/4": "", "x/5": "",
		},
		[]string{"app/kustomization.yaml", "c/1", "g/2", "t/3", "v/4"},
	},
	"a ring of bases": {
		map[string]string{
			"app/kustomization.yaml": "resources: [../one]", "one/kustomization.yaml": "resources: [../app]",
		},
		[]string{"app/kustomization.yaml", "one/kustomization.yaml"},
	},
	"links": {
		map[string]string{
			"app/kustomization.yaml": "resources: [a.yaml]", "app/a.yaml": configMap,
			"app/file": "-> ../secret", "app/folder": "-> ../other", "app/away": "-> /etc", "secret": "x",
			"other/b": "x",
		},
		[]string{"app/a.yaml", "app/kustomization.yaml"},
	},
	"a file that would expand without end": {
		map[string]string{
			"app/kustomization.yaml": "resources: [a.yaml]", "app/a.yaml": configMap,
			"app/unused.yaml": "a: &a [*a]\n",
		},
		[]string{"app/a.yaml", "app/kustomization.yaml"},
	},
}

func TestWhatIsHandedOver(t *testing.T) {
	for name, row := range handedOver {
		t.Run(name, func(t *testing.T) {
			folder := t.TempDir()
			if err := handedTo(t, folder, tree(t, row.files), nil); err != nil {
				t.Fatal(err)
			}
			if got := filesOf(t, folder); !slices.Equal(got, row.want) {
				t.Errorf("got %v, want %v", got, row.want)
			}
		})
	}
}

func TestADecryptedFileIsHandedOverInstead(t *testing.T) {
	folder := t.TempDir()
	root := tree(t, map[string]string{"app/x.env": "ENC[x]", "other/y.env": "ENC[y]"})
	overrides := map[string][]byte{"app/x.env": []byte("k=v"), "other/y.env": []byte("k=w")}
	if err := handedTo(t, folder, root, overrides); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(folder + "/app/x.env")
	if err != nil || string(content) != "k=v" {
		t.Errorf("got %q, %v", content, err)
	}
	if got := filesOf(t, folder); len(got) != 2 {
		t.Errorf("more than app was copied: %v", got)
	}
}

// Kustomizations of which nothing is handed over.
var notHandedOver = map[string]struct{ kustomization, message string }{
	"a base outside":        {"resources: [../../x]", "'../x' is not in or below the source root"},
	"a base outside, later": {"resources: [../one]", "'../y' is not in or below the source root"},
	"a component outside":   {"components: [../../x]", "not in or below the source root"},
	"a generator outside":   {"generators: [../../x]", "not in or below the source root"},
	"a transformer outside": {"transformers: [../../x]", "not in or below the source root"},
	"a validator outside":   {"validators: [../../x]", "not in or below the source root"},
	"a way out with lines":  {"transformers: [\"a\\n/../../../x\"]", "not in or below the source root"},
	"a resource beside":     {"resources: [../x.yaml]", "'x.yaml' is not in or below 'app': with --k"},
	"a patch beside":        {"patches: [{path: ../x.yaml}]", "'x.yaml' is not in or below 'app'"},
	"content beside": {
		"configMapGenerator: [{name: a, files: [k=../x.yaml]}]", "'x.yaml' is not in or below 'app'",
	},
	"a base that cannot be read":          {"resources: [../broken]", "failed to read broken/kustomization"},
	"a base with a key twice":             {"resources: [../twice]", "the key 'namePrefix' is there twice"},
	"a resource that expands without end": {"resources: [ring.yaml]", "YAML anchor that contains itself"},
}

func TestWhatIsNotHandedOver(t *testing.T) {
	for name, row := range notHandedOver {
		t.Run(name, func(t *testing.T) {
			folder := t.TempDir()
			err := handedTo(t, folder, tree(t, map[string]string{
				"app/kustomization.yaml": row.kustomization, "x.yaml": configMap, "app/ring.yaml": "a: &a [*a]\n",
				"one/kustomization.yaml":    "resources: [../../y]",
				"broken/kustomization.yaml": "resources: {a: b}",
				"twice/kustomization.yaml":  "namePrefix: a\nnamePrefix: b\n",
			}), nil)
			if err == nil || !strings.Contains(err.Error(), row.message) {
				t.Errorf("got %v", err)
			}
			if got := filesOf(t, folder); len(got) != 0 {
				t.Errorf("copied %v", got)
			}
		})
	}
}

func TestInputsAreAllThatIsHandedOver(t *testing.T) {
	source, err := OpenSource(tree(t, map[string]string{
		"app/kustomization.yaml": "resources: [a.yaml, ../base]", "app/a.yaml": configMap, "app/deep/x": "x",
		"other/b": "x",
	}), nil, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	if err := handed(t, t.TempDir(), source); err != nil {
		t.Fatal(err)
	}
	inputs := source.Inputs()
	want := []string{"app/a.yaml", "app/deep/x", "app/kustomization.yaml"}
	if !slices.Equal(inputs.Reads, want) {
		t.Errorf("reads %v", inputs.Reads)
	}
	if want = []string{"app", "app/deep"}; !slices.Equal(inputs.Lists, want) {
		t.Errorf("lists %v", inputs.Lists)
	}
	if !slices.Contains(inputs.Misses, "base") {
		t.Errorf("misses %v", inputs.Misses)
	}
}

func handedTo(t *testing.T, folder, root string, overrides map[string][]byte) error {
	t.Helper()
	source, err := OpenSource(root, overrides, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	return handed(t, folder, source)
}

// handed copies what a build of app needs, its kustomization generated or merged, as a build does.
func handed(t *testing.T, folder string, source *Source) error {
	t.Helper()
	if _, err := prepare(source, "app", Spec{}); err != nil {
		t.Fatal(err)
	}
	into, err := os.OpenRoot(folder)
	if err != nil {
		t.Fatal(err)
	}
	defer into.Close()
	_, err = handOver(source, "app", into)
	return err
}

func filesOf(t *testing.T, folder string) []string {
	t.Helper()
	var names []string
	err := fs.WalkDir(os.DirFS(folder), ".", func(name string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			names = append(names, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}
