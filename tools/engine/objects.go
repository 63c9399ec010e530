package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"regexp"
	"strconv"
	"strings"

	goyaml "go.yaml.in/yaml/v3"
	kyaml "sigs.k8s.io/kustomize/kyaml/yaml"
	"sigs.k8s.io/yaml"
)

const steeringPrefix = "kustomize.toolkit.fluxcd.io/"

// collector makes objects of decoded manifests: flattened, normalised, labelled, bounded and unique.
type collector struct {
	limits  Limits
	labels  map[string]string
	common  CommonMetadata
	ignore  []ignoreRule
	text    bool
	origin  func(kind, name string) string
	locator *locator
	content hash.Hash // of what was built, before labels
	bytes   int64
	ids     map[objectID]bool
	objects []Object
	leftOut []string
}

// objectID is what the API server tells objects apart by; the version is not part of it.
type objectID struct{ group, kind, namespace, name string }

func (id objectID) String() string {
	if id.namespace == "" {
		return id.kind + "/" + id.name
	}
	return id.kind + "/" + id.namespace + "/" + id.name
}

func newCollector(limits Limits, labels map[string]string, common CommonMetadata) *collector {
	return &collector{
		limits: limits, labels: labels, common: common, content: sha256.New(), ids: map[objectID]bool{},
		origin: func(string, string) string { return "" }, objects: []Object{},
		locator: newLocator(nil), leftOut: []string{},
	}
}

func (c *collector) answer() *BuildAnswer {
	return &BuildAnswer{
		Objects: c.objects, Digest: "sha256:" + hex.EncodeToString(c.content.Sum(nil)), LeftOut: c.leftOut,
		Warnings: []string{},
		Inputs:   Inputs{Reads: []string{}, Lists: []string{}, Misses: []string{}},
	}
}

// add takes one manifest, or all items of a List.
func (c *collector) add(fields map[string]any) error {
	kind, _ := fields["kind"].(string)
	if items, ok := fields["items"].([]any); ok && strings.HasSuffix(kind, "List") {
		for index, item := range items {
			inner, ok := item.(map[string]any)
			if !ok {
				return fmt.Errorf("item %d of %s is not an object", index+1, kind)
			}
			if err := c.add(inner); err != nil {
				return err
			}
		}
		return nil
	}
	apiVersion, _ := fields["apiVersion"].(string)
	group, version, hasGroup := strings.Cut(apiVersion, "/")
	if !hasGroup {
		group, version = "", apiVersion
	}
	if group == "kustomize.config.k8s.io" {
		return nil // configuration of a build, not something to apply
	}
	metadata, _ := fields["metadata"].(map[string]any)
	name, _ := metadata["name"].(string)
	namespace, _ := metadata["namespace"].(string)
	object := Object{Group: group, Version: version, Kind: kind, Namespace: namespace, Name: name}
	object.Origin = c.origin(kind, name)
	if err := c.checkIdentity(object, metadata); err != nil {
		return err
	}
	if c.text {
		return c.addText(object, fields)
	}
	fields, dropped := normalise(group, version, kind, fields)
	c.leftOut = append(c.leftOut, c.locator.lines(object, dropped)...)
	metadata, _ = fields["metadata"].(map[string]any)
	encoded, err := encodeFields(fields)
	if err != nil {
		return fmt.Errorf("kustomize build failed: %s/%s%s: %w", kind, name, inFile(object.Origin), err)
	}
	c.content.Write(encoded.bytes())
	c.content.Write([]byte{'\n'})
	// Owner labels first: commonMetadata may overwrite them (the contract, section 14), which gives the
	// object up.
	setMetadata(metadata, "labels", c.labels, c.common.Labels)
	setMetadata(metadata, "annotations", c.common.Annotations)
	if encoded, err = encoded.with("metadata", metadata); err != nil {
		return fmt.Errorf("kustomize build failed: %s/%s: %w", kind, name, err)
	}
	body := encoded.bytes()
	object.Body, object.Digest, object.Steering = body, digest(body), c.steering(metadata)
	if object.Ignore, err = ignored(c.ignore, object, metadata); err != nil {
		return err
	}
	return c.keep(object, len(body))
}

func (c *collector) addText(object Object, fields map[string]any) error {
	text, err := yaml.Marshal(fields)
	if err != nil {
		return fmt.Errorf("kustomize build failed: %s/%s: %w", object.Kind, object.Name, err)
	}
	c.content.Write(text)
	metadata, _ := fields["metadata"].(map[string]any)
	object.Text, object.Digest, object.Steering = string(text), digest(text), c.steering(metadata)
	return c.keep(object, len(text))
}

func (c *collector) keep(object Object, size int) error {
	c.bytes += int64(size)
	if c.limits.Bytes > 0 && c.bytes > c.limits.Bytes {
		return tooManyBytes(c.limits.Bytes)
	}
	c.objects = append(c.objects, object)
	return checkCount(len(c.objects), c.limits) // again: a List may have hidden them
}

func tooManyBytes(limit int64) error {
	return fmt.Errorf("build has more than %d bytes of objects, the limit of one build", limit)
}

func (c *collector) checkIdentity(object Object, metadata map[string]any) error {
	where := inFile(object.Origin)
	switch {
	case object.Kind == "" || object.Version == "":
		return fmt.Errorf("object '%s'%s has no kind or apiVersion", object.Name, where)
	case object.Name == "" && metadata["generateName"] != nil:
		return fmt.Errorf("%s%s has metadata.generateName, which would create another object with every "+
			"run; "+
			"set metadata.name", object.Kind, where)
	case object.Name == "":
		return fmt.Errorf("%s%s has no metadata.name", object.Kind, where)
	}
	id := objectID{object.Group, object.Kind, object.Namespace, object.Name}
	if c.ids[id] {
		return fmt.Errorf("%s is built twice; give one of the two another name or leave it out", id)
	}
	c.ids[id] = true
	return nil
}

// steering picks what tells us how to treat an object: labels and annotations under our prefix, but for its
// owner.
func (c *collector) steering(metadata map[string]any) map[string][]string {
	found := map[string][]string{}
	for _, field := range []string{"labels", "annotations"} {
		values, _ := metadata[field].(map[string]any)
		for key, value := range values {
			text, isText := value.(string)
			name, ours := strings.CutPrefix(key, steeringPrefix)
			if ours && isText && (field != "labels" || c.labels[key] != text) {
				found[name] = append(found[name], text)
			}
		}
	}
	return found
}

func inFile(origin string) string {
	if origin == "" {
		return ""
	}
	return " in " + origin
}

func setMetadata(metadata map[string]any, field string, layers ...map[string]string) {
	values, _ := metadata[field].(map[string]any)
	for _, layer := range layers {
		for key, value := range layer {
			if values == nil {
				values = map[string]any{}
				metadata[field] = values
			}
			values[key] = value
		}
	}
}

// decode gives the fields of a built object as the stock binary prints them. That one writes each object as
// YAML and reads it again, which takes eight times as long and, but for a few odd nodes, gives what the node
// says anyway. Its one other difference, found by comparing 400,000 random scalars, is an error of its own
// for text that begins with a tab.
func decode(object *kyaml.RNode) (map[string]any, error) {
	fields := map[string]any{}
	if isPlain(object.YNode()) {
		return fields, object.YNode().Decode(&fields)
	}
	if foreign := foreignTag(object.YNode()); foreign != nil {
		return nil, fmt.Errorf("line %d: the YAML tag '%.80s' has no meaning in a manifest", foreign.Line,
			foreign.Tag)
	}
	text, err := object.String()
	if err != nil {
		return nil, err
	}
	return fields, kyaml.Unmarshal([]byte(text), &fields)
}

// foreignTag finds a tag that is not YAML's own: it asks for a type of some program's, which would be lost.
func foreignTag(node *goyaml.Node) *goyaml.Node {
	switch node.ShortTag() {
	case "", "!", "!!str", "!!int", "!!float", "!!bool", "!!null", "!!map", "!!seq", "!!binary", "!!timestamp",
		"!!merge", "!!set", "!!omap", "!!pairs":
	default:
		return node
	}
	for _, inner := range node.Content {
		if found := foreignTag(inner); found != nil {
			return found
		}
	}
	return nil
}

// isPlain says whether writing and reading a node cannot change it.
func isPlain(node *goyaml.Node) bool {
	switch node.Kind {
	case goyaml.ScalarNode:
		switch node.ShortTag() {
		case "!!str", "!!int", "!!bool":
			return true
		case "!!null":
			return node.Value != "" // within [] and {} it is written as an empty string
		}
		return false
	case goyaml.MappingNode, goyaml.SequenceNode, goyaml.DocumentNode:
		if tag := node.ShortTag(); tag != "" && tag != "!!map" && tag != "!!seq" {
			return false
		}
		for _, each := range node.Content {
			if !isPlain(each) {
				return false
			}
		}
		return node.Anchor == ""
	}
	return false
}

// parseOne decodes the YAML of exactly one object, with the limits that files have, as the library reads it
// that wrote the text: YAML's versions differ about yes and on.
func parseOne(text string) (map[string]any, error) {
	if len(text) > maxFileBytes {
		return nil, tooLarge("object")
	}
	decoder := goyaml.NewDecoder(strings.NewReader(text))
	var document goyaml.Node
	if err := decoder.Decode(&document); err != nil {
		return nil, withoutValues(err)
	}
	if err := checkTree("object", &document); err != nil {
		return nil, err
	}
	var second goyaml.Node
	if err := decoder.Decode(&second); !errors.Is(err, io.EOF) {
		return nil, errors.New("holds more than one YAML document")
	}
	content, err := yaml.YAMLToJSONStrict([]byte(text))
	if err != nil {
		return nil, withoutValues(err)
	}
	fields := map[string]any{}
	numbers := json.NewDecoder(bytes.NewReader(content))
	numbers.UseNumber() // a float has 53 bits
	if err := numbers.Decode(&fields); err != nil {
		return nil, errors.New("is not an object")
	}
	return withNumbers(fields).(map[string]any), nil
}

// withNumbers puts in numbers of the kinds that a build has.
func withNumbers(value any) any {
	switch of := value.(type) {
	case map[string]any:
		for key, inner := range of {
			of[key] = withNumbers(inner)
		}
	case []any:
		for i, inner := range of {
			of[i] = withNumbers(inner)
		}
	case json.Number:
		text := of.String()
		if whole, err := strconv.ParseInt(text, 10, 64); err == nil {
			return whole
		}
		if whole, err := strconv.ParseUint(text, 10, 64); err == nil {
			return whole
		}
		if float, err := of.Float64(); err == nil && strings.ContainsAny(text, ".eE") {
			return float
		}
	}
	return value
}

// quoted is what an error about a text repeats of it: a value that was put in may be a secret.
var quoted = regexp.MustCompile("(?s)`.*?`|\"(?:[^\"\\\\]|\\\\.)*\"|anchor '[^']*'")

func withoutValues(err error) error {
	return errors.New(quoted.ReplaceAllString(dropContent(err.Error()), "…"))
}
