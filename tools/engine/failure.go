package main

import (
	"errors"
	"fmt"
	"path"
	"regexp"
	"runtime/debug"
	"strings"
	"syscall"
)

const (
	reasonBuild = "BuildFailed"
	reasonPath  = "PathNotFound"

	// A status condition holds 32 KiB; kustomize repeats itself at each level, and the innermost part is the
	// useful one.
	maxMessageBytes = 4 << 10
)

// current is the source being built or built last, for the answer to a panic.
var current *Source

func isNotFolder(err error) bool { return errors.Is(err, syscall.ENOTDIR) }

func pathNotFound(source *Source, name string) *Failure {
	inputs := source.InputsOfFailure()
	return &Failure{
		Reason:  reasonPath,
		Message: fmt.Sprintf("kustomization path not found: %s", name),
		Inputs:  &inputs,
	}
}

// explain makes a failure of an error: the contract's prefix, what, where in the source; no folder of ours,
// no content.
func explain(source *Source, args BuildArgs, prefix string, err error) *Failure {
	inputs := source.InputsOfFailure()
	failure := &Failure{Reason: reasonBuild, Inputs: &inputs, OpenAPI: schemaChanged()}
	message := sanitise(err.Error(), args)
	if len(refusals) > 0 {
		message = refusedURL{strings.Join(unique(refusals), ", ")}.Error()
	} else if source.guard.refusal != nil {
		message = source.guard.refusal.Error()
	} else {
		message = inOurWords(message)
	}
	failure.Message = shorten(prefix + message)
	failure.File, failure.Line = source.guard.blame(message)
	if failure.Line > 0 {
		text := lineInDocument.ReplaceAllString(failure.Message, "yaml: ")
		failure.Message = fmt.Sprintf("%s (%s:%d)", text, failure.File, failure.Line)
	}
	return failure
}

func panicFailure(cause any) *Failure {
	failure := &Failure{Reason: reasonBuild, OpenAPI: schemaChanged()}
	if current != nil {
		inputs := current.InputsOfFailure()
		failure.Inputs = &inputs
	}
	failure.Message = "kustomize build failed: kustomize gave up on this source (internal error)"
	if err, ok := cause.(error); ok && strings.Contains(err.Error(), "invalid schema file") {
		failure.Message = "kustomize build failed: invalid schema: the file that openapi.path names is " +
			"not an OpenAPI document"
	}
	return failure
}

// contentDumps are the places where kustomize's errors quote what they are about: a manifest, a patch, a
// secret's line. Found by reading the Errorf calls of api v0.21.1 in its builtins, filters, kv, resmap and
// resource packages; look again when it is raised.
var contentDumps = []struct {
	pattern     *regexp.Regexp
	replacement string
}{
	{regexp.MustCompile("(?s) with config: `.*?`"), ""},
	{regexp.MustCompile(`\[patch: "(?:[^"\\]|\\.)*"\]`), "[inline patch]"},
	{regexp.MustCompile(`(?s) in object (?:\{\{|map\[).*`), ""},
	{regexp.MustCompile("(?s)(cannot unmarshal !!\\w+ )`.*?`"), "${1}value"},
	{regexp.MustCompile(`(?s)literal sources \[.*expected key=value`),
		"a literal is not of the form key=value"},
	{regexp.MustCompile(`(?s)(has invalid utf8 bytes) : .*`), "$1"},
	{regexp.MustCompile(`(?s)(must specify one of patch and path) in\n.*`), "$1"},
	{regexp.MustCompile(`(?s)(patch and path can't be set at the same time)\n.*`), "$1"},
	{regexp.MustCompile(`(?s)(must specify a target for patch) .*`), "$1"},
	{regexp.MustCompile(`(?s)(is out of bounds) for value .*`), "$1"},
	{regexp.MustCompile(`(?s)(cannot be found in)( roleRef)? .*`), "$1 a roleRef"},
	{regexp.MustCompile(`(?s)(found multiple possible referrals: [^\n]*)\n.*`), "$1"},
	{regexp.MustCompile(`(?s)(namespace transformation produces ID conflict): .*`),
		"$1: two objects of one kind and name would be in one namespace"},
	// An address, which makes another message of every run.
	{regexp.MustCompile(`(merging from generator) &\{[^}]*\}`), "$1"},
	// Said by the binary only, when it writes what it has built.
	{regexp.MustCompile(`(?s)map\[string\]interface \{\}(?:\(nil\)|\{.*\}): `),
		"an object cannot be written: "},
}

var (
	gitMissing = regexp.MustCompile(`(?s)accumulating resources from '([^']*)'.*no 'git' program on path`)
	// kustomize counts from the last "---", see blame.
	lineInDocument = regexp.MustCompile(`yaml: line \d+: `)
)

// sanitise removes what must not reach a status: our folders, and the content of files.
func sanitise(message string, args BuildArgs) string {
	message = strings.ReplaceAll(message, args.Root+"/", "")
	message = strings.ReplaceAll(message, args.Root, ".")
	message = strings.ReplaceAll(message, virtualRoot+"/", "")
	message = strings.ReplaceAll(message, virtualRoot, ".")
	message = dropContent(message)
	for _, content := range args.Overrides { // decrypted: errors about them may quote a line
		for line := range strings.SplitSeq(string(content), "\n") {
			for _, part := range []string{line, afterSeparator(line)} {
				if part = strings.Trim(part, " \t\r\"'"); len(part) >= 4 {
					message = strings.ReplaceAll(message, part, "***")
				}
			}
		}
	}
	return strings.TrimSpace(message)
}

func dropContent(message string) string {
	for _, dump := range contentDumps {
		message = dump.pattern.ReplaceAllString(message, dump.replacement)
	}
	return message
}

func withoutContent(err error) error { return errors.New(dropContent(err.Error())) }

func afterSeparator(line string) string {
	if at := strings.IndexAny(line, ":="); at >= 0 {
		return line[at+1:]
	}
	return ""
}

// inOurWords replaces texts of kustomize's that speak of its command line.
func inOurWords(message string) string {
	if found := gitMissing.FindStringSubmatch(message); found != nil {
		return "remote bases are disabled: " + displayURL(found[1])
	}
	if strings.Contains(message, "no 'git' program on path") { // a component: kustomize does not say which
		return "remote bases are disabled: copy them into the source, or make each a source of its own"
	}
	if strings.Contains(message, "must specify --enable-helm") {
		return "plugins are disabled: helmCharts are not inflated in a build; use a HelmRelease"
	}
	if strings.Contains(message, "external plugins disabled") {
		return "plugins are disabled: " + message
	}
	return message
}

func shorten(message string) string {
	if len(message) <= maxMessageBytes {
		return message
	}
	half := maxMessageBytes / 2
	first, last := message[:half], message[len(message)-half:]
	return strings.ToValidUTF8(first, "") + " … " + strings.ToValidUTF8(last, "")
}

func unique(names []string) []string {
	seen := map[string]bool{}
	var kept []string
	for _, name := range names {
		if !seen[name] {
			seen[name] = true
			kept = append(kept, name)
		}
	}
	return kept
}

// blame finds the file and line of a syntax error that a message is about. kustomize counts lines from the
// last "---"; the guard counted them from the top of the file.
func (g *guard) blame(message string) (string, int) {
	if !strings.Contains(message, "yaml: ") {
		return "", 0
	}
	for _, wrong := range g.mistakes {
		if strings.Contains(message, wrong.file) {
			return wrong.file, wrong.line
		}
	}
	for _, wrong := range g.mistakes {
		if strings.Contains(message, path.Base(wrong.file)) {
			return wrong.file, wrong.line
		}
	}
	return "", 0
}

// version enters build keys.
var version = versionString

// versionString says what this program builds with.
func versionString() string {
	kustomize, types := moduleVersion("sigs.k8s.io/kustomize/api"), moduleVersion("k8s.io/api")
	return engineVersion + " kustomize/" + kustomize + " types/" + types
}

// moduleVersion is the version of a module that this program was built with.
func moduleVersion(path string) string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, module := range info.Deps {
			if module.Path == path {
				return module.Version
			}
		}
	}
	return "unknown"
}
