package main

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"go.yaml.in/yaml/v3"
)

// Where a field was written. kustomize keeps no lines, so the files of the build are parsed again, which only
// happens when something is to be told.

const (
	maxLocated = 20  // fields of one build whose line is looked for
	maxPath    = 200 // bytes of a path that are shown; a field's name may be anything
)

// locator looks for fields in the files of one source.
type locator struct {
	source *Source
	parsed map[string][]*yaml.Node
	looked int
}

func newLocator(source *Source) *locator {
	return &locator{source: source, parsed: map[string][]*yaml.Node{}}
}

// lines tell of fields that were dropped from an object. An object's origin is the file that defines it.
func (l *locator) lines(object Object, paths []string) []string {
	var told []string
	for _, path := range paths {
		id := objectID{object.Group, object.Kind, object.Namespace, object.Name}
		place := inFile(object.Origin)
		if l.source != nil && l.looked < maxLocated {
			l.looked++
			if file, line := l.find(object, strings.Split(path, ".")); line > 0 {
				place = fmt.Sprintf(" (%s:%d)", file, line)
			}
		}
		of := strings.TrimPrefix(object.Group+"/"+object.Version, "/") + " " + object.Kind
		told = append(told, fmt.Sprintf("%s: %s is not a field of %s in Kubernetes %s and was left out%s",
			id, shortPath(path), of, typesVersion(), place))
	}
	return told
}

// unknownSetting tells of a field that a kustomization does not have.
func (l *locator) unknownSetting(file, field string) string {
	place := ""
	for _, document := range l.documents(file) {
		if line := lineOfKey(document, field); line > 0 {
			place = fmt.Sprintf(" (%s:%d)", file, line)
			break
		}
	}
	return fmt.Sprintf("%s: %s is not a field of a kustomization and was left out%s", file, shortPath(field),
		place)
}

// lineOfKey finds the first field of a name, at whatever depth.
func lineOfKey(node *yaml.Node, name string) int {
	for i, inner := range node.Content {
		if node.Kind == yaml.MappingNode && i%2 == 0 && inner.Value == name {
			return inner.Line
		}
		if line := lineOfKey(inner, name); line > 0 {
			return line
		}
	}
	return 0
}

// typesVersion is the Kubernetes release whose types this program has, such as "1.37": v0.37.2 of the module.
var typesVersion = sync.OnceValue(func() string {
	if parts := strings.Split(moduleVersion("k8s.io/api"), "."); len(parts) == 3 {
		return "1." + parts[1]
	}
	return "of this release"
})

func shortPath(path string) string {
	if len(path) <= maxPath {
		return path
	}
	return strings.ToValidUTF8(path[:maxPath], "") + "…"
}

func (l *locator) find(object Object, steps []string) (string, int) {
	for _, file := range l.files(object) {
		for _, document := range l.documents(file) {
			for _, manifest := range manifests(document) {
				if kind := child(manifest, "kind"); kind == nil || kind.Value != object.Kind {
					continue
				}
				if line := lineOf(manifest, steps); line > 0 {
					return file, line
				}
			}
		}
	}
	return "", 0
}

// files are those that may say something of an object: first the one that defines it, then patches, then
// those with an object of the kind whose name is part of this one's, since a prefix may have been put
// before it.
func (l *locator) files(object Object) []string {
	var files []string
	if object.Origin != "" {
		files = append(files, object.Origin)
	}
	defined := l.source.guard.defined
	files = append(files, defined[definition{object.Kind, object.Name}]...)
	var renamed []definition
	for one := range defined {
		if one.kind == object.Kind && one.name != "" && strings.Contains(object.Name, one.name) {
			renamed = append(renamed, one)
		}
	}
	slices.SortFunc(renamed, func(a, b definition) int {
		return cmp.Or(cmp.Compare(len(b.name), len(a.name)), cmp.Compare(a.name, b.name))
	})
	for _, one := range renamed {
		files = append(files, defined[one]...)
	}
	return unique(files)
}

func (l *locator) documents(file string) []*yaml.Node {
	documents, known := l.parsed[file]
	if known {
		return documents
	}
	if content, err := l.source.Read(file); err == nil {
		decoder := yaml.NewDecoder(bytes.NewReader(content))
		for {
			var document yaml.Node
			if decoder.Decode(&document) != nil {
				break
			}
			documents = append(documents, &document)
		}
	}
	l.parsed[file] = documents
	return documents
}

// manifests are the objects of a document: itself, or the items of a List.
func manifests(document *yaml.Node) []*yaml.Node {
	if len(document.Content) == 0 {
		return nil
	}
	top := document.Content[0]
	if items := child(top, "items"); items != nil && items.Kind == yaml.SequenceNode {
		return append(slices.Clone(items.Content), top)
	}
	return []*yaml.Node{top}
}

// lineOf follows a path such as spec, containers[0], imge; 0 if it does not lead there. In a patch an item
// may stand at another place of its list than in the result, so all items are tried after that place.
func lineOf(node *yaml.Node, steps []string) int {
	if node.Kind == yaml.AliasNode {
		node = node.Alias
	}
	if node.Kind != yaml.MappingNode {
		return 0
	}
	name, indexes, _ := strings.Cut(steps[0], "[")
	for i := 0; i+1 < len(node.Content); i += 2 {
		key, value := node.Content[i], node.Content[i+1]
		if key.Value == "<<" {
			if line := lineOf(value, steps); line > 0 {
				return line
			}
		}
		if key.Value != name {
			continue
		}
		if len(steps) == 1 {
			return key.Line
		}
		for _, inner := range items(value, indexes) {
			if line := lineOf(inner, steps[1:]); line > 0 {
				return line
			}
		}
	}
	return 0
}

// items are the nodes that indexes such as "0]" or "0][1]" may mean.
func items(node *yaml.Node, indexes string) []*yaml.Node {
	if indexes == "" {
		return []*yaml.Node{node}
	}
	if node.Kind == yaml.AliasNode {
		node = node.Alias
	}
	if node.Kind != yaml.SequenceNode {
		return nil
	}
	text, rest, _ := strings.Cut(indexes, "]")
	rest = strings.TrimPrefix(rest, "[")
	ordered := slices.Clone(node.Content)
	if at, err := strconv.Atoi(text); err == nil && at < len(ordered) {
		ordered[0], ordered[at] = ordered[at], ordered[0]
	}
	var found []*yaml.Node
	for _, item := range ordered {
		found = append(found, items(item, rest)...)
	}
	return found
}
