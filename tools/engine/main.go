// Command engine keeps kustomize warm: it builds kustomizations for a controller that speaks to it in JSON
// lines.
//
// protocol.go documents requests and answers. Whoever can push to a tenant's source chooses what is built
// here, and all tenants share the process, so: source.go keeps a build inside its artifact, network.go keeps
// it off the network, guard.go bounds its YAML before it is parsed, schema.go undoes what it changes in
// kustomize's globals.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime/debug"
)

// A runaway recursion should die of its stack long before the machine notices (Go's default is 1 GB).
const maxStackBytes = 256 << 20

func main() {
	debug.SetMaxStack(maxStackBytes)
	refuseNetwork()
	requests := make(chan []byte, 16)
	go read(os.Stdin, requests)
	if len(os.Args) > 1 && os.Args[1] == expressionsOnly {
		serve(requests, os.Stdout, func() {})
		return
	}
	if len(os.Args) == 4 && os.Args[1] == stockBinary {
		program := &stock{program: os.Args[2], folder: os.Args[3]}
		render, version = program.render, program.version
	}
	warmSchema()
	debug.FreeOSMemory() // parsing the schema took twice what it keeps
	serve(requests, os.Stdout, restoreSchema)
}

// read feeds lines to requests and ends the process when the controller is gone.
func read(input io.Reader, requests chan<- []byte) {
	lines := bufio.NewReaderSize(input, 1<<16)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			os.Exit(0) // not a return: a build may be running that nobody waits for
		}
		requests <- line
	}
}

// serve answers requests in order. settle runs after each answer, for which somebody waits.
func serve(requests <-chan []byte, output io.Writer, settle func()) {
	out := bufio.NewWriterSize(output, 1<<16)
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	for line := range requests {
		if err := encoder.Encode(answer(line)); err != nil {
			fmt.Fprintln(os.Stderr, "engine: cannot answer:", err)
			os.Exit(1)
		}
		if err := out.Flush(); err != nil {
			os.Exit(1)
		}
		settle()
	}
}

func answer(line []byte) Response {
	var request Request
	if err := json.Unmarshal(line, &request); err != nil {
		return Response{Error: &Failure{Reason: "BadRequest", Message: "request is not JSON: " + err.Error()}}
	}
	response := Response{ID: request.ID}
	ok, failure := dispatch(request)
	if failure != nil {
		response.Error = failure
	} else {
		response.OK = ok
	}
	return response
}

func dispatch(request Request) (any, *Failure) {
	switch request.Op {
	case "hello":
		return Hello{Protocol: protocolVersion, Engine: version()}, nil
	case "build":
		var args BuildArgs
		if err := json.Unmarshal(request.Args, &args); err != nil {
			return nil, &Failure{Reason: "BadRequest", Message: "build: " + err.Error()}
		}
		return guarded(func() (any, *Failure) { return build(args) })
	case "finish":
		var args FinishArgs
		if err := json.Unmarshal(request.Args, &args); err != nil {
			return nil, &Failure{Reason: "BadRequest", Message: "finish: " + err.Error()}
		}
		return guarded(func() (any, *Failure) { return finish(args) })
	case "check":
		var args CheckArgs
		if err := json.Unmarshal(request.Args, &args); err != nil {
			return nil, &Failure{Reason: "BadRequest", Message: "check: " + err.Error()}
		}
		return guarded(func() (any, *Failure) { return checkExpressions(args) })
	case "evaluate":
		var args EvaluateArgs
		if err := json.Unmarshal(request.Args, &args); err != nil {
			return nil, &Failure{Reason: "BadRequest", Message: "evaluate: " + err.Error()}
		}
		return guarded(func() (any, *Failure) { return evaluateExpressions(args) })
	default:
		return nil, &Failure{Reason: "BadRequest", Message: fmt.Sprintf("unknown op %q", request.Op)}
	}
}

// guarded turns a panic of kustomize's into a failure of this one request. Its trace goes to stderr, not to
// the tenant.
func guarded(run func() (any, *Failure)) (ok any, failure *Failure) {
	current = nil
	defer func() {
		if cause := recover(); cause != nil {
			fmt.Fprintf(os.Stderr, "engine: panic: %v\n%s", cause, debug.Stack())
			ok, failure = nil, panicFailure(cause)
		}
	}()
	return run()
}
