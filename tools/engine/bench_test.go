package main

import (
	"encoding/json"
	"fmt"
	"io"
	"syscall"
	"testing"
	"time"
)

// What one build costs, from the line that asks for it to the line that answers:
//
//	GOGC=300 go test -run '^$' -bench . -benchmem
//
// cpu-us/op is user and system time of the whole process, its garbage collector included.

const (
	benchDeployment = `apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
  namespace: shop
spec:
  replicas: 2
  selector:
    matchLabels:
      app: web
  template:
    metadata:
      labels:
        app: web
    spec:
      containers:
        - name: app
          image: registry.example.com/app:1.4.2
          ports:
            - name: http
              containerPort: 8080
          envFrom:
            - configMapRef:
                name: settings-1
          resources:
            requests:
              cpu: 50m
              memory: 64Mi
`
	benchService = `apiVersion: v1
kind: Service
metadata:
  name: web
  namespace: shop
spec:
  selector:
    app: web
  ports:
    - name: http
      port: 80
      targetPort: http
`
	benchConfigMap = `apiVersion: v1
kind: ConfigMap
metadata:
  name: settings-%d
  namespace: shop
data:
  log-level: info
  endpoint: http://web.shop.svc:8080
  limits.yaml: |
    requests_per_second: 100
    burst: 150
`
)

// Seven objects and no kustomization, as in the load of bench/.
func BenchmarkFolder(b *testing.B) {
	files := map[string]string{"deployment.yaml": benchDeployment, "service.yaml": benchService}
	for n := range 5 {
		files[fmt.Sprintf("settings-%d.yaml", n)] = fmt.Sprintf(benchConfigMap, n)
	}
	benchmark(b, files, ".")
}

// A base and an overlay that patches it, generates, and sets namespace and image.
func BenchmarkOverlay(b *testing.B) {
	benchmark(b, map[string]string{
		"base/kustomization.yaml": "resources: [settings.yaml, deployment.yaml, service.yaml]\n",
		"base/settings.yaml":      fmt.Sprintf(benchConfigMap, 1),
		"base/deployment.yaml":    benchDeployment,
		"base/service.yaml":       benchService,
		"overlay/kustomization.yaml": "resources: [../base]\nnamespace: staging\npatches: [{path: patch.yaml}]\n" +
			"images: [{name: registry.example.com/app, newTag: 2.0.0}]\n" +
			"configMapGenerator: [{name: made, literals: [a=b]}]\n",
		"overlay/patch.yaml": "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web, namespace: shop}\n" +
			"spec: {replicas: 3}\n",
	}, "overlay")
}

func benchmark(b *testing.B, files map[string]string, path string) {
	args, err := json.Marshal(BuildArgs{Root: tree(b, files), Path: path, Labels: map[string]string{
		steeringPrefix + "name": "shop", steeringPrefix + "namespace": "tenant"}})
	if err != nil {
		b.Fatal(err)
	}
	line, err := json.Marshal(Request{ID: 1, Op: "build", Args: args})
	if err != nil {
		b.Fatal(err)
	}
	encoder := json.NewEncoder(io.Discard)
	encoder.SetEscapeHTML(false)
	b.ReportAllocs()
	began := processTime(b)
	for b.Loop() {
		response := answer(line)
		if response.Error != nil {
			b.Fatalf("%+v", *response.Error)
		}
		if err := encoder.Encode(response); err != nil {
			b.Fatal(err)
		}
		restoreSchema()
	}
	b.ReportMetric(float64((processTime(b)-began).Microseconds())/float64(b.N), "cpu-us/op")
}

func processTime(b *testing.B) time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
