package main

import (
	"encoding/json"
	"strings"
	"testing"
)

const noHash = ", options: {disableNameSuffixHash: true}"

var component = "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\n" +
	"configMapGenerator: [{name: part" + noHash + "}]\n"

// One row, one rule of the contract's section 4. want is what the objects' bodies hold; "!" before it: do not
// hold.
var kustomizations = map[string]struct {
	files map[string]string
	spec  string
	want  []string
}{
	"manifests without a kustomization": {
		map[string]string{"b.yml": deployment, "a.yaml": configMap}, `{}`,
		[]string{`"kind":"ConfigMap"`, `"kind":"Deployment"`, "!config.kubernetes.io/origin"},
	},
	"hidden files and folders": {
		map[string]string{".a.yaml": configMap, ".h/b.yaml": deployment}, `{}`, []string{"ConfigMap",
			"Deployment"},
	},
	"JSON is not scanned": {map[string]string{"a.json": "{", "b.yaml": configMap}, `{}`,
		[]string{"ConfigMap"}},
	"empty and comment files": {map[string]string{"a.yaml": "", "b.yaml": "# none\n---\n",
		"c.yaml": configMap}, `{}`, []string{"ConfigMap"}},
	"no manifest at all": {map[string]string{"README.md": "x"}, `{}`, []string{""}},
	"a sub-folder with a kustomization": {
		map[string]string{
			"a.yaml": configMap, "sub/kustomization.yml": "resources: [listed.yaml]\n",
			"sub/listed.yaml":   deployment,
			"sub/unlisted.yaml": "not: {an: object}\n",
		}, `{}`, []string{"ConfigMap", "Deployment", "!unlisted"},
	},
	"an existing file without resources": {
		map[string]string{"kustomization.yaml": "configMapGenerator: [{name: g" + noHash + "}]\n"}, `{}`,
		[]string{`"name":"g"`, "config.kubernetes.io/origin"},
	},
	"the same with spec.buildMetadata": {
		map[string]string{"kustomization.yaml": "configMapGenerator: [{name: g" + noHash + "}]\n"},
		`{"buildMetadata": ["transformerAnnotations"]}`, []string{`"name":"g"`,
			"!config.kubernetes.io/origin"},
	},
	"an empty kustomization": {map[string]string{"kustomization.yaml": "", "a.yaml": configMap}, `{}`,
		[]string{"!ConfigMap"}},
	"targetNamespace": {
		map[string]string{"kustomization.yaml": "resources: [a.yaml, n.yaml]\nnamespace: old\n",
			"a.yaml": configMap,
			"n.yaml": "apiVersion: v1\nkind: Namespace\nmetadata: {name: mine}\n"},
		`{"targetNamespace": "new"}`, []string{`"name":"settings","namespace":"new"`,
			`"kind":"Namespace","metadata":{"labels":{"kustomize.toolkit.fluxcd.io/name":"ks"},"name":"new"}`},
	},
	"namePrefix and nameSuffix": {
		map[string]string{"kustomization.yaml": "resources: [a.yaml]\nnamePrefix: old-\n",
			"a.yaml": configMap},
		`{"namePrefix": "p-", "nameSuffix": "-s"}`, []string{`"name":"p-settings-s"`},
	},
	"a strategic merge patch": {
		map[string]string{"a.yaml": configMap},
		`{"patches": [{"patch": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata: {k: ` +
			`w}"}]}`,
		[]string{`"data":{"k":"w"}`},
	},
	"a JSON patch with a target": {
		map[string]string{"a.yaml": configMap},
		`{"patches": [{"patch": "[{\"op\": \"replace\", \"path\": \"/data/k\", \"value\": \"w\"}]", ` +
			`"target": {"kind": "ConfigMap", "name": "set.*"}}]}`,
		[]string{`"data":{"k":"w"}`},
	},
	"a JSON patch that matches nothing": {
		map[string]string{"a.yaml": configMap},
		`{"patches": [{"patch": "[{\"op\": \"remove\", \"path\": \"/data/k\"}]", "target": {"kind": ` +
			`"Secret"}}]}`, []string{`"data":{"k":"v"}`},
	},
	"an image that the file has too": {
		map[string]string{"kustomization.yaml": "resources: [a.yaml]\nimages: [{name: nginx, newTag: " +
			"old}]\n", "a.yaml": deployment},
		`{"images": [{"name": "nginx", "newName": "mirror/nginx", "newTag": "1.29"}, {"name": "envoy", ` +
			`"digest": "sha256:aa"}]}`,
		[]string{`"image":"mirror/nginx:1.29"`, `"image":"envoy@sha256:aa"`},
	},
	"a component": {
		map[string]string{"a.yaml": configMap, "../part/kustomization.yaml": component},
		`{"components": ["../part"]}`, []string{`"name":"part"`, "settings"},
	},
	"a missing component, ignored": {
		map[string]string{"a.yaml": configMap, "../part/kustomization.yaml": component},
		`{"components": ["gone", "../part"], "ignoreMissingComponents": true}`, []string{`"name":"part"`,
			"settings"},
	},
	"commonMetadata": {
		map[string]string{"a.yaml": deployment},
		`{"commonMetadata": {"labels": {"team": "x", "kustomize.toolkit.fluxcd.io/name": "other"}, ` +
			`"annotations": {"n": "y"}}}`,
		[]string{`"metadata":{"annotations":{"n":"y"},"labels":{"kustomize.toolkit.fluxcd.io/name":"other","team":"x"},"name":"web"}`,
			`"template":{"metadata":{"labels":{"app":"web"}}`},
	},
	"owner labels": {
		map[string]string{"a.yaml": configMap}, `{}`,
		[]string{`"labels":{"kustomize.toolkit.fluxcd.io/name":"ks"}`},
	},
	"configuration of kustomize itself": {
		map[string]string{"a.yaml": configMap,
			"b.yaml": "apiVersion: kustomize.config.k8s.io/v1\nkind: X\nmetadata: {name: x}\n"},
		`{}`, []string{"settings", `!"X"`},
	},
}

func TestKustomizations(t *testing.T) {
	for name, row := range kustomizations {
		t.Run(name, func(t *testing.T) {
			args := BuildArgs{Path: "app", Labels: map[string]string{steeringPrefix + "name": "ks"}}
			if err := json.Unmarshal([]byte(row.spec), &args.Spec); err != nil {
				t.Fatal(err)
			}
			args.Root = tree(t, below("app", row.files))
			got := bodies(mustBuild(t, args))
			for _, want := range row.want {
				text, absent := strings.CutPrefix(want, "!")
				if strings.Contains(got, text) == absent {
					t.Errorf("want %s in\n%s", want, got)
				}
			}
		})
	}
}

// below puts files into a folder; "../x" leaves it again.
func below(folder string, files map[string]string) map[string]string {
	moved := map[string]string{}
	for name, content := range files {
		if outside, ok := strings.CutPrefix(name, "../"); ok {
			moved[outside] = content
		} else {
			moved[folder+"/"+name] = content
		}
	}
	return moved
}

var failures = map[string]struct {
	files   map[string]string
	spec    string
	message string
}{
	"two kustomization files": {
		map[string]string{"kustomization.yaml": "", "Kustomization": ""}, `{}`,
		"kustomize build failed: Found multiple kustomization files under: app",
	},
	"a manifest without a name": {
		map[string]string{"a.yaml": "apiVersion: v1\nkind: ConfigMap\n"}, `{}`,
		"failed to decode Kubernetes YAML from app/a.yaml: missing metadata.name",
	},
	"not a manifest": {
		map[string]string{"x/values.yaml": "a: b\n"}, `{}`,
		"failed to decode Kubernetes YAML from app/x/values.yaml: missing",
	},
	"the same object twice": {
		map[string]string{"a.yaml": configMap, "b.yaml": configMap}, `{}`, "kustomize build failed: ",
	},
	"the same object in two versions": {
		map[string]string{"a.yaml": deployment, "b.yaml": strings.Replace(deployment, "apps/v1",
			"apps/v1beta1", 1)}, `{}`,
		"Deployment/web is built twice",
	},
	"generateName": {
		map[string]string{"a.yaml": "apiVersion: batch/v1\nkind: Job\nmetadata: {generateName: x-}\n"}, `{}`,
		"metadata.name",
	},
	"generateName in a List": {
		map[string]string{"a.yaml": "apiVersion: v1\nkind: List\nitems: [{apiVersion: batch/v1, kind: " +
			"Job, metadata: {generateName: x-}}]\n"},
		`{}`, "metadata.",
	},
	"a strategic merge patch that matches nothing": {
		map[string]string{"a.yaml": configMap},
		`{"patches": [{"patch": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: other}\ndata: {k: ` +
			`CANARY-7f3a}"}]}`,
		"kustomize build failed: ",
	},
	"two objects that one namespace would make the same": {
		map[string]string{"a.yaml": "{apiVersion: v1, kind: Secret, metadata: {name: s, namespace: a}, " +
			"stringData: {k: CANARY-7f3a}}\n---\n{apiVersion: v1, kind: Secret, metadata: {name: s, " +
			"namespace: b}}\n"},
		`{"targetNamespace": "one"}`,
		"two objects of one kind and name would be in one namespace",
	},
	"a patch that cannot be read": {
		map[string]string{"a.yaml": configMap}, `{"patches": [{"patch": "CANARY-7f3a: ["}]}`,
		"kustomize build failed: ",
	},
	"a missing component": {
		map[string]string{"a.yaml": configMap}, `{"components": ["gone"]}`,
		"'app/gone' is not in the artifact",
	},
	"a remote component": {
		map[string]string{"a.yaml": configMap},
		`{"components": ["https://example.com/org/repo//part?ref=main"]}`,
		"component path 'https://example.com/org/repo//part' must be local and relative",
	},
	"an absolute component": {
		map[string]string{"a.yaml": configMap}, `{"components": ["/part"]}`,
		"component path '/part' must be local and relative",
	},
	"a secret in a generator that fails": {
		map[string]string{"kustomization.yaml": "secretGenerator: [{name: s, literals: ['CANARY-7f3a'], " +
			"type: 7}]\n"}, `{}`, "failed",
	},
}

func TestFailures(t *testing.T) {
	for name, row := range failures {
		t.Run(name, func(t *testing.T) {
			args := BuildArgs{Path: "app"}
			if err := json.Unmarshal([]byte(row.spec), &args.Spec); err != nil {
				t.Fatal(err)
			}
			args.Root = tree(t, below("app", row.files))
			failure := mustFail(t, args)
			if failure.Reason != "BuildFailed" || !strings.Contains(failure.Message, row.message) {
				t.Errorf("got %s: %s", failure.Reason, failure.Message)
			}
			if strings.Contains(failure.Message, secretText) {
				t.Errorf("content is shown: %s", failure.Message)
			}
		})
	}
}

// Source of the rows: the contract, section 7.1.
func TestNormalisation(t *testing.T) {
	rows := map[string]struct{ manifest, want string }{
		"stringData": {
			"apiVersion: v1\nkind: Secret\nmetadata: {name: s}\ndata: {a: b2xk, b: Yg==}\nstringData: {a: " +
				"new}\n",
			`{"apiVersion":"v1","data":{"a":"bmV3","b":"Yg=="},"kind":"Secret","metadata":{"name":"s"}}`,
		},
		"stringData of another group": {
			"apiVersion: x.io/v1\nkind: Secret\nmetadata: {name: s}\nstringData: {a: new}\n",
			`{"apiVersion":"x.io/v1","kind":"Secret","metadata":{"name":"s"},"stringData":{"a":"new"}}`,
		},
		"status and creationTimestamp": {
			"apiVersion: x.io/v1\nkind: X\nmetadata: {name: s, creationTimestamp: null}\nstatus: {a: 1}\n",
			`{"apiVersion":"x.io/v1","kind":"X","metadata":{"name":"s"}}`,
		},
		"status of a CRD": {
			"apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: " +
				"s}\nstatus: {a: 1}\n",
			`{"apiVersion":"apiextensions.k8s.io/v1","kind":"CustomResourceDefinition","metadata":{"name":"s"},"status":{"a":1}}`,
		},
		"protocol of a Service": {
			"apiVersion: v1\nkind: Service\nmetadata: {name: s}\nspec: {ports: [{port: 1}, {port: 2, " +
				"protocol: UDP}]}\n",
			`{"apiVersion":"v1","kind":"Service","metadata":{"name":"s"},"spec":{"ports":` +
				`[{"port":1,"protocol":"TCP","targetPort":0},{"port":2,"protocol":"UDP","targetPort":0}]}}`,
		},
		"protocol in a CronJob, not of init containers": {
			"apiVersion: batch/v1\nkind: CronJob\nmetadata: {name: s}\nspec: {schedule: x, jobTemplate: {spec: " +
				"{template: {spec: {containers: [{name: c, ports: [{containerPort: 1}]}], initContainers: " +
				"[{name: i, ports: [{containerPort: 1}]}]}}}}}\n",
			`{"apiVersion":"batch/v1","kind":"CronJob","metadata":{"name":"s"},"spec":{"jobTemplate":{"metadata":{},` +
				`"spec":{"template":{"metadata":{},"spec":{"containers":[{"name":"c","ports":[{"containerPort":1,` +
				`"protocol":"TCP"}],"resources":{}}],"initContainers":[{"name":"i","ports":[{"containerPort":1}],` +
				`"resources":{}}]}}}},"schedule":"x"}}`,
		},
		"quantities, zeros and unknown fields": {
			"apiVersion: v1\nkind: Pod\nmetadata: {name: s, labels: {}}\nspec: {hostNetwork: false, containers: " +
				"[{name: c, imge: x, resources: {limits: {cpu: 1000m, memory: 1024Mi}, requests: {cpu: 0.5}}}]}\n",
			`{"apiVersion":"v1","kind":"Pod","metadata":{"name":"s"},"spec":{"containers":[{"name":"c","resources":` +
				`{"limits":{"cpu":"1","memory":"1Gi"},"requests":{"cpu":"500m"}}}]}}`,
		},
		"replicas of zero, a selector that is missing": {
			"apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: s}\nspec: {replicas: 0, paused: false}\n",
			`{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"s"},"spec":{"replicas":0,"selector":` +
				`null,"strategy":{},"template":{"metadata":{},"spec":{"containers":null}}}}`,
		},
		"an autoscaler": {
			"apiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata: {name: s}\nspec: {maxReplicas: 3, " +
				"metrics: [{type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: " +
				"80}}}], scaleTargetRef: {kind: Deployment, name: s}}\nstatus: {currentReplicas: 7}\n",
			`{"apiVersion":"autoscaling/v2","kind":"HorizontalPodAutoscaler","metadata":{"name":"s"},"spec":` +
				`{"maxReplicas":3,"metrics":[{"resource":{"name":"cpu","target":{"averageUtilization":80,"type":` +
				`"Utilization"}},"type":"Resource"}],"scaleTargetRef":{"kind":"Deployment","name":"s"}}}`,
		},
		"a Role as it is": {
			"apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {name: s, creationTimestamp: null}\n" +
				"rules: [{verbs: [get], nonResourceURLs: [/x]}]\nstatus: {}\n",
			`{"apiVersion":"rbac.authorization.k8s.io/v1","kind":"Role","metadata":{"creationTimestamp":null,` +
				`"name":"s"},"rules":[{"nonResourceURLs":["/x"],"verbs":["get"]}],"status":{}}`,
		},
		"a type that does not fit": {
			"apiVersion: v1\nkind: Service\nmetadata: {name: s, creationTimestamp: null}\nspec: {ports: [{port: " +
				"http}], extra: 1}\nstatus: {}\n",
			`{"apiVersion":"v1","kind":"Service","metadata":{"name":"s"},"spec":{"extra":1,"ports":` +
				`[{"port":"http"}]}}`,
		},
		"data that is not base64": {
			"apiVersion: v1\nkind: Secret\nmetadata: {name: s}\ndata: {a: '!'}\nstringData: {b: x}\n",
			`{"apiVersion":"v1","data":{"a":"!"},"kind":"Secret","metadata":{"name":"s"},"stringData":{"b":"x"}}`,
		},
		"what SOPS encrypted": {
			"apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {a: 'ENC[x]'}\nsops: {mac: 'ENC[y]'}\n",
			`{"apiVersion":"v1","kind":"Secret","metadata":{"name":"s"},"sops":{"mac":"ENC[y]"},"stringData":{"a":` +
				`"ENC[x]"}}`,
		},
		"numbers and strings": {
			"apiVersion: v1\nkind: X\nmetadata: {name: s}\nd: {a: 12345678901234567890, b: 1.5, c: on, e: " +
				"\"1\", f: 0x10, g: yes, h: ~, i: 1e3}\n",
			`{"apiVersion":"v1","d":{"a":12345678901234567890,"b":1.5,"c":"on","e":"1","f":16,"g":"yes","h":null,"i":1000},"kind":"X","metadata":{"name":"s"}}`,
		},
		"a List in a List": {
			"apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: List, items: [{apiVersion: v1, " +
				"kind: X, metadata: {name: s}}]}\n",
			`{"apiVersion":"v1","kind":"X","metadata":{"name":"s"}}`,
		},
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			if got := bodies(mustBuild(t, BuildArgs{Root: tree(t,
				map[string]string{"a.yaml": row.manifest})})); got != row.want {
				t.Errorf("got  %s\nwant %s", got, row.want)
			}
			var texts []string
			text := BuildArgs{Root: tree(t, map[string]string{"a.yaml": row.manifest}), Text: true}
			for _, object := range mustBuild(t, text).Objects {
				texts = append(texts, object.Text)
			}
			finished, failure := ask(t, "finish", FinishArgs{Texts: texts})
			if failure != nil {
				t.Fatalf("finish: %+v", *failure)
			}
			if got := bodies(finished); got != row.want {
				t.Errorf("finish: got  %s\nwant %s", got, row.want)
			}
		})
	}
}

func TestFinishRefuses(t *testing.T) {
	rows := map[string]struct{ text, message string }{
		"a second document": {configMap + "---\n" + configMap, "more than one YAML document"},
		"no object":         {"- a\n", "is not an object"},
		"a bomb":            {lol(), "YAML expands beyond"},
		"a syntax error":    {"a: [CANARY-7f3a\n", "yaml: "},
		"an unknown anchor": {"a: *CANARY-7f3a\n", "yaml: unknown …"},
		"a key twice":       {configMap + "kind: CANARY-7f3a\n", "already"},
		"a type it is not":  {"a: !!int CANARY-7f3a\n", "yaml: "},
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			_, failure := ask(t, "finish", FinishArgs{Texts: []string{configMap, row.text}})
			if failure == nil || failure.Position != 2 || !strings.Contains(failure.Message, row.message) {
				t.Errorf("got %+v", failure)
			}
			if failure != nil && strings.Contains(failure.Message, secretText) {
				t.Errorf("content is shown: %s", failure.Message)
			}
		})
	}
}

// A build in two steps, with nothing done in between, gives what one step gives.
func TestTextThenFinishIsTheSame(t *testing.T) {
	args := BuildArgs{Root: tree(t, victim), Labels: map[string]string{steeringPrefix + "name": "ks"}}
	args.Spec.CommonMetadata.Labels = map[string]string{"a": "b"}
	whole := bodies(mustBuild(t, args))
	args.Text = true
	var texts []string
	for _, object := range mustBuild(t, args).Objects {
		texts = append(texts, object.Text)
	}
	finished, failure := ask(t, "finish", FinishArgs{Texts: texts, Labels: args.Labels,
		CommonMetadata: args.Spec.CommonMetadata})
	if failure != nil || bodies(finished) != whole {
		t.Errorf("got %+v %s\nwant %s", failure, bodies(finished), whole)
	}
}

func TestSteeringAndOrigin(t *testing.T) {
	answer := mustBuild(t, BuildArgs{
		Labels: map[string]string{steeringPrefix + "name": "ks"},
		Root: tree(t, map[string]string{
			"kustomization.yaml": "resources: [base]\npatches: [{path: p.yaml}]\n",
			"p.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings, annotations: " +
				"{kustomize.toolkit.fluxcd.io/ssa: Merge, other: x}, labels: " +
				"{kustomize.toolkit.fluxcd.io/prune: disabled}}\n",
			"base/kustomization.yaml": "resources: [c.yaml]\n", "base/c.yaml": configMap,
		}),
	})
	object := answer.Objects[0]
	steering, _ := json.Marshal(object.Steering)
	if string(steering) != `{"prune":["disabled"],"ssa":["Merge"]}` || object.Origin != "base/c.yaml" {
		t.Errorf("got %s from %s", steering, object.Origin)
	}
}

func TestUnknownAndDeprecatedFieldsAreNamed(t *testing.T) {
	answer := mustBuild(t, BuildArgs{Root: tree(t, map[string]string{
		"kustomization.yaml":      "bases: [base]\nmystery: 1\n",
		"base/kustomization.yaml": "resources: [c.yaml]\n", "base/c.yaml": configMap,
	})})
	all := strings.Join(answer.Warnings, "\n")
	if !strings.Contains(all, "'bases' is deprecated") || strings.Contains(all, "mystery") {
		t.Errorf("got %s", all)
	}
	if all = strings.Join(answer.LeftOut, "\n"); !strings.Contains(all, "mystery is not a field") {
		t.Errorf("got %s", all)
	}
}
