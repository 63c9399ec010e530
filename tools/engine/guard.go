package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"path"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// YAML is bounded before kustomize parses it. A file's aliases may name each other, so that a few lines
// expand to more memory than there is (CVE-2019-11253 is the same in the API server), and kustomize converts
// trees recursively.
const (
	maxFileBytes     = 10 << 20
	maxExpandedBytes = 10 << 20
	maxAliasUses     = 10_000 // expanded, per document; 100 uses of one anchor are ordinary, 10^9 are not
	maxDepth         = 100
	maxDocuments     = 20_000 // of one file; kustomize takes time for empty ones too
)

// guard checks each file that a build reads and remembers what error messages and origins need.
type guard struct {
	limits   Limits
	seen     map[string]bool
	objects  map[objectID]bool       // of all files; group left empty
	defined  map[definition][]string // object -> files that hold one of that kind and name, first read first
	mistakes []mistake
	refusal  error // the first: kustomize takes some files that cannot be read for absent ones
}

type definition struct{ kind, name string }

// mistake is a syntax error. Whether it matters is kustomize's to say: a file may be mere data of a
// ConfigMap.
type mistake struct {
	file string
	line int
}

func newGuard(limits Limits) *guard {
	return &guard{
		limits: limits, seen: map[string]bool{}, objects: map[objectID]bool{},
		defined: map[definition][]string{},
	}
}

func tooLarge(name string) error {
	return fmt.Errorf("'%s' is larger than %d MiB", name, maxFileBytes>>20)
}

// check fails for a file that must not reach a YAML parser. Each file is checked once.
func (g *guard) check(name string, content []byte) error {
	err := g.examine(name, content)
	if g.refusal == nil {
		g.refusal = err
	}
	return err
}

func (g *guard) examine(name string, content []byte) error {
	if g.seen[name] {
		return nil
	}
	if len(content) > maxFileBytes {
		return tooLarge(name)
	}
	if bytes.Count(content, []byte("\n---")) > maxDocuments {
		return fmt.Errorf("'%s' has more than %d YAML documents", name, maxDocuments)
	}
	extension := path.Ext(name)
	isYAML := extension == ".yaml" || extension == ".yml" || path.Base(name) == "Kustomization"
	// A file of any name may be listed as a resource; without an alias or many levels it cannot do harm.
	if isYAML || bytes.ContainsRune(content, '*') || mayBeDeep(content) {
		if err := g.parse(name, content); err != nil {
			return err
		}
	}
	g.seen[name] = true
	return g.checkCount()
}

// checkCount gives up on a source that is too large before kustomize starts on it, which takes time in
// proportion to the square of the objects. Objects that a patch deletes again are counted here; nobody has
// thousands of those.
func (g *guard) checkCount() error {
	if g.limits.Objects > 0 && len(g.objects) > g.limits.Objects {
		return fmt.Errorf("build has at least %d objects, limit %d (--max-objects)", len(g.objects),
			g.limits.Objects)
	}
	return nil
}

var yamlLine = regexp.MustCompile(`line (\d+)`)

func (g *guard) parse(name string, content []byte) error {
	decoder := yaml.NewDecoder(bytes.NewReader(content))
	for {
		var document yaml.Node
		err := decoder.Decode(&document)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			if strings.Contains(err.Error(), "exceeded max depth") {
				return tooDeep(name)
			}
			wrong := mistake{file: name, line: 1} // the parser leaves the number out for the first line
			if found := yamlLine.FindStringSubmatch(err.Error()); found != nil {
				wrong.line, _ = strconv.Atoi(found[1])
			}
			g.mistakes = append(g.mistakes, wrong)
			return nil
		}
		if err := checkTree(name, &document); err != nil {
			return err
		}
		if isConfiguration(name, &document) {
			if err := checkConfiguration(name, &document); err != nil {
				return err
			}
		}
		g.remember(name, &document)
	}
}

// checkTree fails for a document that is too deep or expands beyond its limits.
func checkTree(name string, document *yaml.Node) error {
	sizes := map[*yaml.Node]cost{}
	total, err := measure(document, sizes, 0)
	switch {
	case errors.Is(err, errDeep):
		return tooDeep(name)
	case errors.Is(err, errRing):
		return fmt.Errorf("'%s' has a YAML anchor that contains itself", name)
	case total.bytes > maxExpandedBytes || total.aliases > maxAliasUses:
		return fmt.Errorf("'%s': YAML expands beyond %d MiB", name, maxExpandedBytes>>20)
	}
	return nil
}

var (
	errDeep = errors.New("too deep")
	errRing = errors.New("anchor ring")
)

func tooDeep(name string) error {
	return fmt.Errorf("'%s': YAML is nested deeper than %d levels", name, maxDepth)
}

type cost struct {
	bytes, aliases, depth int
	open                  bool // being measured: to meet it again is a ring
}

// measure gives the cost of a node once its aliases are expanded, in one visit of each node.
func measure(node *yaml.Node, known map[*yaml.Node]cost, depth int) (cost, error) {
	if depth > 2*maxDepth {
		return cost{}, errDeep
	}
	if node.Kind == yaml.AliasNode {
		of, ok := known[node.Alias]
		if !ok || of.open {
			return cost{}, errRing
		}
		if depth+of.depth > 2*maxDepth {
			return cost{}, errDeep
		}
		of.aliases++
		return saturate(of), nil
	}
	anchored := node.Anchor != ""
	if anchored {
		known[node] = cost{open: true}
	}
	sum := cost{bytes: len(node.Value) + 1}
	for _, child := range node.Content {
		of, err := measure(child, known, depth+1)
		if err != nil {
			return cost{}, err
		}
		sum.bytes += of.bytes
		sum.aliases += of.aliases
		sum.depth = max(sum.depth, of.depth+1)
		sum = saturate(sum)
	}
	if sum.depth+depth > maxDepth+1 {
		return cost{}, errDeep
	}
	if anchored {
		known[node] = sum
	}
	return sum, nil
}

// saturate keeps sums of sums from overflowing.
func saturate(of cost) cost {
	of.bytes = min(of.bytes, maxExpandedBytes+1)
	of.aliases = min(of.aliases, maxAliasUses+1)
	return of
}

// remember notes the objects that a document defines.
func (g *guard) remember(name string, document *yaml.Node) {
	for _, object := range manifests(document) {
		kind, metadata := child(object, "kind"), child(object, "metadata")
		if kind == nil || metadata == nil {
			continue
		}
		if called := child(metadata, "name"); called != nil {
			id := objectID{kind: kind.Value, name: called.Value}
			if namespace := child(metadata, "namespace"); namespace != nil {
				id.namespace = namespace.Value
			}
			g.objects[id] = true
			key := definition{kind.Value, called.Value}
			g.defined[key] = append(g.defined[key], name)
		}
	}
}

func child(node *yaml.Node, key string) *yaml.Node {
	if node.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(node.Content); i += 2 {
		if node.Content[i].Value == key {
			return node.Content[i+1]
		}
	}
	return nil
}

// origin is the file that defines an object. kustomize reads resources before the patches that repeat their
// names, so the first file read wins; an object whose name was changed on the way is not found.
func (g *guard) origin(kind, name string) string {
	if files := g.defined[definition{kind, name}]; len(files) > 0 {
		return files[0]
	}
	return ""
}
