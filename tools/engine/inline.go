package main

import (
	"bytes"
	"fmt"
	"path"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
	"sigs.k8s.io/kustomize/api/konfig"
)

// YAML within YAML: a kustomization, a patch in it, and a generator's or transformer's configuration hold
// manifests as text, which kustomize parses as it does files. So does the spec of a Kustomization.

// isConfiguration says whether kustomize reads a document as something to do rather than something to apply.
func isConfiguration(name string, document *yaml.Node) bool {
	if slices.Contains(konfig.RecognizedKustomizationFileNames(), path.Base(name)) {
		return true
	}
	if len(document.Content) == 0 {
		return false
	}
	version := child(document.Content[0], "apiVersion")
	return version != nil && version.Value == "builtin"
}

// checkConfiguration fails for a key that is there twice, of which YAML libraries take one without a word,
// and for text that would expand or nest beyond the limits of files.
func checkConfiguration(name string, node *yaml.Node) error {
	if node.Kind == yaml.ScalarNode {
		return checkText(name, node.Value)
	}
	if node.Kind == yaml.MappingNode {
		seen := map[string]bool{}
		for i := 0; i+1 < len(node.Content); i += 2 {
			key := node.Content[i]
			if key.Kind == yaml.ScalarNode && key.Value != "<<" && seen[key.Value] {
				return fmt.Errorf("'%s': the key '%s' is there twice (%s:%d)", name, key.Value, name, key.Line)
			}
			seen[key.Value] = true
		}
	}
	for _, inner := range node.Content {
		if err := checkConfiguration(name, inner); err != nil {
			return err
		}
	}
	return nil
}

// checkText bounds YAML that stands in a text. One that does not parse is kustomize's to complain about.
func checkText(name, text string) error {
	content := []byte(text)
	if !bytes.ContainsRune(content, '*') && !mayBeDeep(content) {
		return nil
	}
	decoder := yaml.NewDecoder(bytes.NewReader(content))
	for {
		var document yaml.Node
		if err := decoder.Decode(&document); err != nil {
			if strings.Contains(err.Error(), "exceeded max depth") {
				return tooDeep(name)
			}
			return nil
		}
		if err := checkTree(name, &document); err != nil {
			return err
		}
		if isConfiguration("", &document) { // a transformer within a kustomization may hold a patch
			if err := checkConfiguration(name, &document); err != nil {
				return err
			}
		}
	}
}

// mayBeDeep says whether YAML could be nested deeper than maxDepth, from its brackets, indents and the
// indicators that open a level on the same line ("- - - a"). A parse tells for certain.
func mayBeDeep(content []byte) bool {
	if bytes.Count(content, []byte{'['}) > maxDepth || bytes.Count(content, []byte{'{'}) > maxDepth {
		return true
	}
	for line := range bytes.Lines(content) {
		indent := 0
		for indent < len(line) && isOpening(line, indent) {
			indent++
		}
		if indent >= maxDepth { // a level takes one column at least
			return true
		}
	}
	return false
}

func isOpening(line []byte, at int) bool {
	switch line[at] {
	case ' ':
		return true
	case '-', '?', ':':
		return at+1 < len(line) && line[at+1] == ' '
	}
	return false
}
