package main

import "encoding/json"

// The protocol: one JSON object a line, a request on stdin, its answer on stdout, strictly in order.
//
//	{"id": 7, "op": "build", "args": {…}}
//	{"id": 7, "ok": {…}}     or     {"id": 7, "error": {"reason": "BuildFailed", "message": "…"}}
//
// Operations:
//
//	hello   no arguments          -> Hello
//	build   BuildArgs             -> BuildAnswer
//	finish  FinishArgs            -> BuildAnswer, without inputs
//	check     CheckArgs           -> CheckAnswer, of expressions: cel.go
//	evaluate  EvaluateArgs        -> EvaluateAnswer
//
// A process that is started with the argument "expressions" is for the last two only: it does not spend 40 MB
// on kustomize's schema. One that is started with "stock PROGRAM FOLDER" lets the stock kustomize binary
// PROGRAM do the builds, on copies in FOLDER, which is its own: stock.go. Answers have the same form; their
// inputs are all that was copied.
// End of input ends the process at once, in the middle of a build too. Stderr carries log lines for people.
// A change that an older client would misread raises protocolVersion; one that only changes what a build
// yields raises engineVersion, which enters every build's key.
const (
	protocolVersion = 1
	engineVersion   = "headrace-engine/2"
)

// Request is one line on stdin.
type Request struct {
	ID   int64           `json:"id"`
	Op   string          `json:"op"`
	Args json.RawMessage `json:"args"`
}

// Response is one line on stdout: exactly one of OK and Error is set.
type Response struct {
	ID    int64    `json:"id"`
	OK    any      `json:"ok,omitempty"`
	Error *Failure `json:"error,omitempty"`
}

// Hello says who answers.
type Hello struct {
	Protocol int    `json:"protocol"`
	Engine   string `json:"engine"` // enters build keys: engine and kustomize version
}

// BuildArgs asks for one build.
type BuildArgs struct {
	// Root is the absolute folder of an unpacked artifact; nothing outside it is read.
	Root   string            `json:"root"`
	Path   string            `json:"path"` // spec.path, relative to root
	Spec   Spec              `json:"spec"`
	Labels map[string]string `json:"labels"` // owner labels, set on every object
	// Overrides: file (relative to root) -> content in base64, used instead of the file's.
	Overrides map[string][]byte `json:"overrides"`
	Limits    Limits            `json:"limits"`
	// Text asks for YAML text without labels or commonMetadata instead of final objects, for a caller that
	// decrypts or substitutes in between and sends the result to finish.
	Text bool `json:"text"`
}

// FinishArgs turns the YAML text of single objects into final objects, as build does with its own.
type FinishArgs struct {
	Texts          []string          `json:"texts"` // one object each, in apply order
	CommonMetadata CommonMetadata    `json:"commonMetadata"`
	Ignore         []SpecIgnore      `json:"ignore"`
	Labels         map[string]string `json:"labels"`
	Limits         Limits            `json:"limits"`
	// Root and Origins say where each text came from, to find the line of a field that is left out. Both may
	// be missing.
	Root    string   `json:"root"`
	Origins []string `json:"origins"`
}

// Spec holds the fields of a Kustomization's spec that shape its build.
type Spec struct {
	TargetNamespace         string         `json:"targetNamespace"`
	NamePrefix              string         `json:"namePrefix"`
	NameSuffix              string         `json:"nameSuffix"`
	Patches                 []SpecPatch    `json:"patches"`
	Images                  []SpecImage    `json:"images"`
	Components              []string       `json:"components"`
	IgnoreMissingComponents bool           `json:"ignoreMissingComponents"`
	BuildMetadata           []string       `json:"buildMetadata"`
	CommonMetadata          CommonMetadata `json:"commonMetadata"`
	Ignore                  []SpecIgnore   `json:"ignore"`
}

// SpecIgnore names fields that others may change, by JSON pointers, and of which objects.
type SpecIgnore struct {
	Paths  []string      `json:"paths"`
	Target *SpecSelector `json:"target"`
}

// SpecPatch is an inline strategic merge or JSON6902 patch.
type SpecPatch struct {
	Patch  string        `json:"patch"`
	Target *SpecSelector `json:"target"`
}

// SpecSelector selects the objects that a patch applies to; name and namespace are regular expressions.
type SpecSelector struct {
	Group              string `json:"group"`
	Version            string `json:"version"`
	Kind               string `json:"kind"`
	Name               string `json:"name"`
	Namespace          string `json:"namespace"`
	LabelSelector      string `json:"labelSelector"`
	AnnotationSelector string `json:"annotationSelector"`
}

// SpecImage replaces name, tag or digest of an image.
type SpecImage struct {
	Name    string `json:"name"`
	NewName string `json:"newName"`
	NewTag  string `json:"newTag"`
	Digest  string `json:"digest"`
}

// CommonMetadata is set on every object over what it has.
type CommonMetadata struct {
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
}

// Limits bound what a build may yield; zero means no limit.
type Limits struct {
	Objects int   `json:"objects"`
	Bytes   int64 `json:"bytes"` // of all objects' JSON together
}

// BuildAnswer is a finished build.
type BuildAnswer struct {
	Objects  []Object `json:"objects"`  // in kustomize's output order
	Digest   string   `json:"digest"`   // of the built content before labels and commonMetadata
	Inputs   Inputs   `json:"inputs"`   // what the build depends on
	LeftOut  []string `json:"leftOut"`  // fields that the types of objects do not have, a line each
	Warnings []string `json:"warnings"` // for people
	OpenAPI  bool     `json:"openapi"`  // a kustomization has its own schema: build it in the side process
}

// Inputs are what a build looked at, relative to root, sorted; the root folder itself is ".".
// Artifacts hold no links, so a name says what was read.
type Inputs struct {
	Reads  []string `json:"reads"`  // files whose content was read
	Lists  []string `json:"lists"`  // folders whose entries were listed
	Misses []string `json:"misses"` // names that were looked for and are neither a file nor a folder
}

// Object is one built object.
type Object struct {
	Group     string `json:"group"`
	Version   string `json:"version"`
	Kind      string `json:"kind"`
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	Digest    string `json:"digest"` // sha256 of Body, or of Text
	// Steering: values of labels and annotations by their name below kustomize.toolkit.fluxcd.io/.
	Steering map[string][]string `json:"steering"`
	// Origin is the file that defines the object, relative to root, where known.
	Origin string `json:"origin,omitempty"`
	// Ignore: JSON pointers of the spec's rules that select the object.
	Ignore []string `json:"ignore,omitempty"`
	// Body is canonical JSON: sorted keys, nothing escaped for HTML.
	Body json.RawMessage `json:"body,omitempty"`
	Text string          `json:"text,omitempty"` // YAML, when BuildArgs.Text asks for it
}

// Failure is why a request has no result. Reason is one of the contract's, or PathNotFound for a spec.path
// that the artifact does not have, or BadRequest for a mistake of the client's.
type Failure struct {
	Reason  string `json:"reason"`
	Message string `json:"message"`
	File    string `json:"file,omitempty"` // in the source, where known
	Line    int    `json:"line,omitempty"`
	// Position, from 1, of the text that finish failed for.
	Position int     `json:"position,omitempty"`
	OpenAPI  bool    `json:"openapi,omitempty"`
	Inputs   *Inputs `json:"inputs,omitempty"` // the same inputs fail again
}
