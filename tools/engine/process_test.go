package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// start runs this test's program as the engine, with arguments.
func start(t *testing.T, arguments ...string) (command *exec.Cmd, requests io.WriteCloser, answers *bufio.Reader) {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	command = exec.Command(program, arguments...)
	command.Env = []string{runAsEngine + "=1"}
	requests, err = command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	output, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = command.Process.Kill() })
	return command, requests, bufio.NewReader(output)
}

func TestTheEndOfInputEndsABuild(t *testing.T) {
	files := map[string]string{}
	for i := range 3000 { // seconds of kustomize's time
		files[fmt.Sprintf("%d.yaml", i)] = strings.Replace(configMap, "settings", fmt.Sprintf("c%d", i), 1)
	}
	root := tree(t, files)
	command, requests, answers := start(t)
	fmt.Fprintln(requests, `{"id":1,"op":"hello","args":{}}`)
	if _, err := answers.ReadBytes('\n'); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(requests, `{"id":2,"op":"build","args":{"root":%q,"path":"."}}`+"\n", root)
	requests.Close()
	ended := make(chan error, 1)
	go func() { ended <- command.Wait() }()
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("ended with %v", err)
		}
	case <-time.After(2 * time.Second):
		t.Error("still building two seconds after its input ended")
	}
}

func TestOneLineAnAnswerInOrder(t *testing.T) {
	root := tree(t, map[string]string{"c.yaml": strings.Replace(configMap, "k: v",
		`k: "two\nlines \u2028 <&>"`, 1)})
	_, requests, answers := start(t)
	lines := []string{
		`{"id":1,"op":"hello","args":{}}`, `{"id":2,"op":"nonsense","args":{}}`, `not json`,
		fmt.Sprintf(`{"id":3,"op":"build","args":{"root":%q,"path":"","unknown":1}}`, root),
		`{"id":4,"op":"build","args":{"root":"relative"}}`,
		`{"id":5,"op":"build","args":{"root":7}}`,
	}
	fmt.Fprintln(requests, strings.Join(lines, "\n"))
	want := []string{
		`{"id":1,"ok":{"protocol":1,"engine":"headrace-engine/2 kustomize/`,
		`{"id":2,"error":{"reason":"BadRequest"`,
		`{"id":0,"error":{"reason":"BadRequest"`, `{"id":3,"ok":{"objects":[`,
		`{"id":4,"error":{"reason":"BadRequest"`,
		`{"id":5,"error":{"reason":"BadRequest"`,
	}
	for _, beginning := range want {
		line, err := answers.ReadString('\n')
		if err != nil || !strings.HasPrefix(line, beginning) || !json.Valid([]byte(line)) {
			t.Fatalf("want %s…, got %s (%v)", beginning, line, err)
		}
		if strings.HasPrefix(line, `{"id":3`) && !strings.Contains(line, `<&>`) {
			t.Errorf("escaped for HTML: %s", line)
		}
	}
}
