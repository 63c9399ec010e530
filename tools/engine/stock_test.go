package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Here a script stands where the binary would, for what a real one does not do on demand; tests/oracle and
// tests/integration build with the real one.

// inPlace makes builds of this test go through a script; it gives the folder of the copies.
func inPlace(t *testing.T, lines ...string) string {
	t.Helper()
	program, folder := script(t, lines...), filepath.Join(t.TempDir(), "copies")
	render = (&stock{program: program, folder: folder}).render
	t.Cleanup(func() { render = library })
	return folder
}

func script(t *testing.T, lines ...string) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "kustomize")
	content := "#!/bin/sh\n" + strings.Join(lines, "\n") + "\n"
	if err := os.WriteFile(program, []byte(content), 0o755); err != nil {
		t.Fatal(err)
	}
	return program
}

func app(t *testing.T, files map[string]string) BuildArgs {
	t.Helper()
	all := map[string]string{"app/a.yaml": configMap}
	for name, content := range files {
		all[name] = content
	}
	return BuildArgs{Root: tree(t, all), Path: "app", Limits: Limits{Objects: 2, Bytes: 1000}}
}

func TestWhatTheProgramPrintsIsTheBuild(t *testing.T) {
	folder := inPlace(t, `printf '%s\n' "kind: ConfigMap" "apiVersion: v1" "metadata: {name: one}" --- \
		"kind: ConfigMap" "apiVersion: v1" "metadata: {name: two}" "data: {t: \"a\n---\nb\"}"`)
	answer := mustBuild(t, app(t, nil))
	want := `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"one"}}` + "\n" +
		`{"apiVersion":"v1","data":{"t":"a\n---\nb"},"kind":"ConfigMap","metadata":{"name":"two"}}`
	if got := bodies(answer); got != want {
		t.Errorf("got %s", got)
	}
	if _, err := os.Stat(folder); err == nil {
		t.Error("the copy is still there")
	}
}

func TestNothingPrintedIsNoObjects(t *testing.T) {
	inPlace(t, "exit 0")
	if answer := mustBuild(t, app(t, nil)); len(answer.Objects) != 0 {
		t.Errorf("got %s", bodies(answer))
	}
}

// What a program does instead of building, and what is said of it.
var misbehaviour = map[string]struct{ line, message string }{
	"it complains":           {"echo 'Error: no such thing' >&2; exit 1", "build failed: no such thing"},
	"it warns and complains": {"echo 'Flag is old\nError: no' >&2; exit 1", "kustomize build failed: no"},
	"it names the copy":      {`echo "Error: $PWD/app/a in $PWD" >&2; exit 1`, "build failed: app/a in ."},
	"it runs out of memory":  {"echo 'fatal error: out of memory' >&2; exit 2", "kustomize ran out of memory"},
	"it is killed":           {"kill -9 $$", "gave up on this source (signal: killed)"},
	"it fails with a trace":  {"echo 'panic: CANARY-7f3a' >&2; exit 2", "this source (exit status 2)"},
	"it prints without end":  {"while :; do echo 0123456789; done", "has more than 1000 bytes of objects"},
	"it prints too many":     {`for n in 1 2 3; do echo "{a: $n}"; echo ---; done`, "has 4 objects, limit 2"},
	"it prints no object":    {"echo text", "is not an object"},
	"it prints no YAML":      {"echo 'a: [CANARY-7f3a'", "yaml: "},
	"it quotes an object": {
		`echo 'Error: map[string]interface {}{"k":"CANARY-7f3a"}: no' >&2; exit 1`,
		"an object cannot be written: no",
	},
	"it wants a proxy": {
		`echo 'Error: x: Get "https://u:CANARY-7f3a@host/p?q=CANARY-7f3a": proxyconnect tcp: no' >&2; exit 1`,
		"remote files are disabled: https://host/p",
	},
}

func TestWhatIsSaidOfTheProgram(t *testing.T) {
	for name, row := range misbehaviour {
		t.Run(name, func(t *testing.T) {
			folder := inPlace(t, row.line)
			failure := mustFail(t, app(t, nil))
			if failure.Reason != "BuildFailed" || !strings.Contains(failure.Message, row.message) {
				t.Errorf("got %+v", *failure)
			}
			for _, text := range []string{"CANARY", folder} {
				if strings.Contains(failure.Message, text) {
					t.Errorf("%s is shown: %s", text, failure.Message)
				}
			}
		})
	}
}

func TestAProgramThatIsNotThere(t *testing.T) {
	render = (&stock{program: "/nonexistent/kustomize", folder: filepath.Join(t.TempDir(), "x")}).render
	defer func() { render = library }()
	failure := mustFail(t, app(t, nil))
	want := "/nonexistent/kustomize does not start: no such file or directory"
	if !strings.Contains(failure.Message, want) {
		t.Errorf("got %s", failure.Message)
	}
}

func TestTheProgramInheritsNothing(t *testing.T) {
	for _, name := range []string{"HOME", "KUBECONFIG", "AWS_SECRET_ACCESS_KEY", "NO_PROXY", "ALL_PROXY"} {
		t.Setenv(name, "CANARY-7f3a")
	}
	t.Setenv("GOMEMLIMIT", "12345678")
	folder := inPlace(t, "set -- \"$*\"; printf 'Error: %s; ' \"$1\" >&2; export -p >&2; exit 1")
	said := mustFail(t, app(t, nil)).Message
	want := "build --reorder none --load-restrictor LoadRestrictionsRootOnly app; "
	if !strings.Contains(said, want) {
		t.Errorf("arguments: %s", said)
	}
	for _, want := range []string{"PATH='/nonexistent'", "HTTPS_PROXY='" + deadProxy, "GOMEMLIMIT='123"} {
		if !strings.Contains(said, want) {
			t.Errorf("%s is missing: %s", want, said)
		}
	}
	if strings.Contains(said, "CANARY") || strings.Contains(said, folder) {
		t.Errorf("more was inherited: %s", said)
	}
}

func TestAnUnusedFileIsBlamedOnlyIfItIsNamed(t *testing.T) {
	files := map[string]string{
		"app/kustomization.yaml": "resources: [a.yaml]", "app/ring.yaml": "a: &a [*a]\n",
	}
	inPlace(t, `echo "Error: something else, not '$PWD/other/app/ring.yaml'" >&2; exit 1`)
	if failure := mustFail(t, app(t, files)); !strings.Contains(failure.Message, "something else") {
		t.Errorf("got %s", failure.Message)
	}
	inPlace(t, "echo text")
	if failure := mustFail(t, app(t, files)); !strings.Contains(failure.Message, "is not an object") {
		t.Errorf("got %s", failure.Message)
	}
	inPlace(t, `echo "Error: failure on '$PWD/app/ring.yaml'" >&2; exit 1`)
	if failure := mustFail(t, app(t, files)); !strings.Contains(failure.Message, "contains itself") {
		t.Errorf("got %s", failure.Message)
	}
}

func TestRemoteFilesAreRefusedBeforeTheProgramStarts(t *testing.T) {
	address, calls := canary(t)
	for name, kustomization := range remoteFields {
		if strings.Contains(name, "ssh") || strings.Contains(name, "shorthand") {
			continue // left to the program, which finds no git
		}
		t.Run(name, func(t *testing.T) {
			inPlace(t, "echo 'Error: started' >&2; exit 1")
			args := app(t, map[string]string{
				"app/c.yaml":             configMap,
				"app/kustomization.yaml": strings.ReplaceAll(kustomization, "URL", "http://user:CANARY@"+address),
			})
			failure := mustFail(t, args)
			if !strings.Contains(failure.Message, "remote files are disabled: http://"+address) {
				t.Errorf("got %+v", *failure)
			}
		})
	}
	if got := calls.Load(); got != 0 {
		t.Errorf("%d connections were made", got)
	}
}

func TestTheEndOfInputEndsTheProgram(t *testing.T) {
	noted := filepath.Join(t.TempDir(), "pid")
	program := script(t, "echo $$ > "+noted, "exec /bin/sleep 60")
	_, requests, _ := start(t, stockBinary, program, filepath.Join(t.TempDir(), "copies"))
	fmt.Fprintf(requests, `{"id":1,"op":"build","args":{"root":%q,"path":"app"}}`+"\n", app(t, nil).Root)
	pid := 0
	eventually(t, "the program starts", func() bool {
		content, _ := os.ReadFile(noted)
		pid, _ = strconv.Atoi(strings.TrimSpace(string(content)))
		return pid != 0
	})
	requests.Close()
	eventually(t, "it ends with the engine", func() bool { return syscall.Kill(pid, 0) == syscall.ESRCH })
}

// eventually waits at most five seconds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); !holds(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within five seconds: %s", what)
		}
	}
}
