package main

import (
	"net"
	"os"
	"strings"
	"sync/atomic"
	"testing"
)

// canary listens on loopback and counts who calls.
func canary(t *testing.T) (address string, calls *atomic.Int32) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	calls = &atomic.Int32{}
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			calls.Add(1)
			connection.Close()
		}
	}()
	return listener.Addr().String(), calls
}

// Every field of a kustomization that takes a file name or a base; URL stands for the canary's.
var remoteFields = map[string]string{
	"resources, a file":            "resources: ['URL/r.yaml']",
	"resources, a git repository":  "resources: ['URL/org/repo.git?ref=main']",
	"resources, ssh":               "resources: ['ssh://git@HOST/org/repo']",
	"resources, github shorthand":  "resources: ['github.com/org/repo?ref=v1']",
	"components":                   "components: ['URL/org/repo.git?ref=main']",
	"configMapGenerator.files":     "configMapGenerator: [{name: x, files: ['URL/f']}]",
	"configMapGenerator.files key": "configMapGenerator: [{name: x, files: ['k=URL/f']}]",
	"configMapGenerator.envs":      "configMapGenerator: [{name: x, envs: ['URL/e']}]",
	"secretGenerator.files":        "secretGenerator: [{name: x, files: ['URL/f']}]",
	"secretGenerator.envs":         "secretGenerator: [{name: x, envs: ['URL/e']}]",
	"patches.path": "resources: [c.yaml]\npatches: [{path: 'URL/p.yaml', target: {kind: " +
		"ConfigMap}}]",
	"patchesStrategicMerge": "resources: [c.yaml]\npatchesStrategicMerge: ['URL/p.yaml']",
	"patchesJson6902.path": "resources: [c.yaml]\npatchesJson6902: [{path: 'URL/p', target: " +
		"{version: v1, kind: ConfigMap, name: settings}}]",
	"replacements.path": "resources: [c.yaml]\nreplacements: [{path: 'URL/r.yaml'}]",
	"crds":              "resources: [c.yaml]\ncrds: ['URL/crd.json']",
	"configurations":    "resources: [c.yaml]\nconfigurations: ['URL/c.yaml']",
	"openapi.path":      "resources: [c.yaml]\nopenapi: {path: 'URL/s.json'}",
	"transformers":      "resources: [c.yaml]\ntransformers: ['URL/t.yaml']",
	"generators":        "resources: [c.yaml]\ngenerators: ['URL/g.yaml']",
	"validators":        "resources: [c.yaml]\nvalidators: ['URL/v.yaml']",
	"bases":             "bases: ['URL/org/repo.git']",
}

func TestRemoteFilesAreRefusedInEveryField(t *testing.T) {
	address, calls := canary(t)
	for name, kustomization := range remoteFields {
		t.Run(name, func(t *testing.T) {
			kustomization = strings.ReplaceAll(kustomization, "URL", "http://user:CANARY@"+address)
			kustomization = strings.ReplaceAll(kustomization, "HOST", address)
			failure := mustFail(t, BuildArgs{Root: tree(t, map[string]string{
				"kustomization.yaml": kustomization, "c.yaml": configMap,
			})})
			if failure.Reason != "BuildFailed" || !strings.Contains(failure.Message, "are disabled: ") {
				t.Errorf("got %+v", *failure)
			}
			if strings.Contains(failure.Message, "CANARY") {
				t.Errorf("the URL's password is shown: %s", failure.Message)
			}
		})
	}
	if got := calls.Load(); got != 0 {
		t.Errorf("%d connections were made", got)
	}
}

const tool = "apiVersion: example.com/v1\nkind: Tool\nmetadata:\n  name: t\n  annotations:\n    " +
	"config.kubernetes.io/function: |\n      "

var plugins = map[string]map[string]string{
	"exec function": {
		"kustomization.yaml": "resources: [c.yaml]\ntransformers: [t.yaml]\n",
		"t.yaml":             tool + "exec: {path: ./x.sh}\n", "x.sh": "#!/bin/sh\ntouch SENTINEL\n",
	},
	"container function": {
		"kustomization.yaml": "resources: [c.yaml]\ngenerators: [t.yaml]\n", "t.yaml": tool +
			"container: {image: x}\n",
	},
	"function as validator": {
		"kustomization.yaml": "resources: [c.yaml]\nvalidators: [t.yaml]\n", "t.yaml": tool +
			"exec: {path: ./x.sh}\n",
		"x.sh": "#!/bin/sh\ntouch SENTINEL\n",
	},
	"Helm chart": {"kustomization.yaml": "helmCharts: [{name: x, repo: 'https://charts.example.com', " +
		"version: 1.0.0}]\n"},
}

func TestPluginsAreRefused(t *testing.T) {
	for name, files := range plugins {
		t.Run(name, func(t *testing.T) {
			sentinel := t.TempDir() + "/pwned"
			all := map[string]string{"c.yaml": configMap}
			for file, content := range files {
				all[file] = strings.ReplaceAll(content, "SENTINEL", sentinel)
			}
			root := tree(t, all)
			_ = os.Chmod(root+"/x.sh", 0o755)
			failure := mustFail(t, BuildArgs{Root: root})
			if !strings.Contains(failure.Message, "plugins are disabled") {
				t.Errorf("got %s", failure.Message)
			}
			if _, err := os.Stat(sentinel); err == nil {
				t.Error("the plugin was run")
			}
		})
	}
}
