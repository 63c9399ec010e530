package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// The stock kustomize binary in the place of the library, for an operator who asks for it. All that comes
// before and after it is the engine's as always: the kustomization that is built, the limits, the objects
// made of the result. A process is started for each build, in this one's group, so that who kills the group
// at a deadline kills both; and it gets this one's memory limit from the kernel.
//
// It is a program of somebody's, over which the engine has no hold but its surroundings: a copy of what it
// may read, no PATH, no HOME, no credentials. Its HTTP client would take a proxy from its environment, so it
// is given one that nobody can listen on; Go asks no proxy for loopback, which therefore stays within reach.

// stockBinary is the argument that asks for it: `engine stock PROGRAM FOLDER`.
const stockBinary = "stock"

const (
	deadProxy      = "http://127.0.0.1:0" // port 0 takes no connection
	maxStderrBytes = 64 << 10
)

// stock runs one program in one folder of its own. One build at a time.
type stock struct {
	program string
	folder  string // for copies: made when it is missing, emptied before and after each build
}

// version enters build keys.
func (s *stock) version() string {
	file, err := os.Open(s.program)
	if err != nil {
		return versionString() + " stock/unknown"
	}
	defer file.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, file); err != nil {
		return versionString() + " stock/unknown"
	}
	return versionString() + " stock/" + hex.EncodeToString(sum.Sum(nil))
}

// render builds folder with the program.
func (s *stock) render(source *Source, folder string, limits Limits) ([]manifest, error) {
	if err := s.empty(); err != nil {
		return nil, withoutPlace(err)
	}
	defer func() { _ = os.RemoveAll(s.folder) }()
	into, err := os.OpenRoot(s.folder)
	if err != nil {
		return nil, withoutPlace(err)
	}
	defer into.Close()
	handed, err := handOver(source, folder, into)
	if err != nil {
		return nil, err
	}
	output, complaint, err := s.execute(filepath.Join(s.folder, folder), limits.Bytes)
	if err != nil {
		return nil, err
	}
	if complaint != "" {
		source.guard.refusal = handed.blamed(complaint)
		return nil, errors.New(s.inOurWords(complaint))
	}
	return printed(string(output)), nil
}

func (s *stock) empty() error {
	if err := os.RemoveAll(s.folder); err != nil {
		return err
	}
	if err := os.MkdirAll(s.folder, 0o700); err != nil {
		return err
	}
	resolved, err := filepath.EvalSymlinks(s.folder) // as kustomize names it in messages
	s.folder = resolved
	return err
}

// execute gives what the program wrote, or what it said when it failed.
func (s *stock) execute(folder string, limitBytes int64) (output []byte, complaint string, err error) {
	// The signal below comes when the thread ends that started the process, so that one is kept.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	said := &beginning{}
	command := exec.Command(s.program, "build", "--reorder", "none",
		"--load-restrictor", "LoadRestrictionsRootOnly", folder)
	command.Dir, command.Env, command.Stderr = s.folder, stockEnvironment(), said
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	command.WaitDelay = time.Second
	pipe, err := command.StdoutPipe()
	if err != nil {
		return nil, "", err
	}
	if err := command.Start(); err != nil {
		var detail *os.PathError
		if errors.As(err, &detail) {
			err = detail.Err
		}
		return nil, "", fmt.Errorf("%s does not start: %w", s.program, err)
	}
	output, err = readAtMost(pipe, limitBytes)
	if err != nil {
		_ = command.Process.Kill()
	}
	ended := command.Wait()
	switch {
	case err != nil:
		return nil, "", err
	case ended != nil:
		return nil, complaintOf(said.String(), command.ProcessState), nil
	}
	return output, "", nil
}

// stockEnvironment is all that the program inherits.
func stockEnvironment() []string {
	environment := []string{"PATH=/nonexistent", "HTTP_PROXY=" + deadProxy, "HTTPS_PROXY=" + deadProxy}
	if limit := os.Getenv("GOMEMLIMIT"); limit != "" {
		environment = append(environment, "GOMEMLIMIT="+limit)
	}
	return environment
}

func readAtMost(from io.Reader, limitBytes int64) ([]byte, error) {
	if limitBytes <= 0 {
		return io.ReadAll(from)
	}
	output, err := io.ReadAll(io.LimitReader(from, limitBytes+1))
	if err == nil && int64(len(output)) > limitBytes {
		err = tooManyBytes(limitBytes)
	}
	return output, err
}

// beginning keeps the first bytes of what is written to it: Go says first what is wrong.
type beginning struct{ bytes.Buffer }

func (b *beginning) Write(content []byte) (int, error) {
	if room := maxStderrBytes - b.Len(); room > 0 {
		b.Buffer.Write(content[:min(room, len(content))])
	}
	return len(content), nil
}

// outOfMemory is how Go puts it: shared/runtime/child.py has the same list, and why.
var outOfMemory = []string{
	"out of memory", "cannot allocate memory", "errno=12", "SIGSEGV: segmentation violation\nPC=",
}

// memoryLimit is the kernel's for this process, which those that it starts inherit.
func memoryLimit() string {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_DATA, &limit); err != nil || limit.Cur > 1<<60 {
		return ""
	}
	return fmt.Sprintf(", limit %d MiB", limit.Cur>>20)
}

// complaintOf is what a failed kustomize says without its warnings, or how it ended: a trace of its may
// quote content, and is no help to a tenant.
func complaintOf(said string, ended *os.ProcessState) string {
	if _, message, ok := strings.Cut("\n"+said, "\nError: "); ok {
		return strings.TrimSpace(message)
	}
	for _, sign := range outOfMemory {
		if strings.Contains(said, sign) {
			return "kustomize ran out of memory" + memoryLimit()
		}
	}
	return "kustomize gave up on this source (" + ended.String() + ")"
}

var (
	refusedByProxy = regexp.MustCompile(`(?s)Get "([^"]+)": proxyconnect`)
	noSuchFile     = regexp.MustCompile(`evalsymlink failure on '([^']*)' : lstat [^:]*: no such file or directory`)
)

// inOurWords gives a message as the engine's own kustomize words it: without our folder, and with what a
// copy hides.
func (s *stock) inOurWords(message string) string {
	if found := refusedByProxy.FindStringSubmatch(message); found != nil {
		return refuse(found[1]).Error()
	}
	message = strings.ReplaceAll(message, s.folder+"/", "")
	message = strings.ReplaceAll(message, s.folder, ".")
	message = noSuchFile.ReplaceAllStringFunc(message, func(found string) string {
		return missing{noSuchFile.FindStringSubmatch(found)[1]}.Error()
	})
	return strings.ReplaceAll(message, "must resolve to a file", "is a folder")
}

// printed takes what kustomize printed apart. In its YAML no line of a text begins where a separator does.
func printed(output string) []manifest {
	var manifests []manifest
	if strings.TrimSpace(output) == "" {
		return manifests
	}
	for text := range strings.SplitSeq(output, "\n---\n") {
		manifests = append(manifests, func() (map[string]any, error) { return parseOne(text) })
	}
	return manifests
}
