package main

import (
	"fmt"

	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/kustomize/kyaml/resid"
	kyaml "sigs.k8s.io/kustomize/kyaml/yaml"
)

// ignoreRule is a SpecIgnore whose expressions are compiled. They are a stranger's, and take linear time here.
type ignoreRule struct {
	paths    []string
	selector *types.Selector // nil: every object
	regex    *types.SelectorRegex
}

func ignoreRules(rules []SpecIgnore) ([]ignoreRule, error) {
	var compiled []ignoreRule
	for _, rule := range rules {
		made := ignoreRule{paths: rule.Paths, selector: selector(rule.Target)}
		if made.selector != nil {
			regex, err := types.NewSelectorRegex(made.selector)
			if err != nil {
				return nil, fmt.Errorf("spec.ignore[].target: %w", err)
			}
			made.regex = regex
		}
		compiled = append(compiled, made)
	}
	return compiled, nil
}

// ignored gives the pointers of all rules that select an object, each once.
func ignored(rules []ignoreRule, object Object, metadata map[string]any) ([]string, error) {
	var found []string
	for _, rule := range rules {
		selected, err := rule.selects(object, metadata)
		if err != nil {
			return nil, fmt.Errorf("spec.ignore[].target: %w", err)
		}
		if selected {
			found = append(found, rule.paths...)
		}
	}
	return unique(found), nil
}

func (r ignoreRule) selects(object Object, metadata map[string]any) (bool, error) {
	if r.selector == nil {
		return true, nil
	}
	gvk := resid.Gvk{Group: object.Group, Version: object.Version, Kind: object.Kind}
	if !r.regex.MatchGvk(gvk) || !r.regex.MatchName(object.Name) || !r.regex.MatchNamespace(object.Namespace) {
		return false, nil
	}
	node := kyaml.NewMapRNode(nil)
	if err := node.SetLabels(texts(metadata["labels"])); err != nil {
		return false, err
	}
	if err := node.SetAnnotations(texts(metadata["annotations"])); err != nil {
		return false, err
	}
	selected := true
	if r.selector.LabelSelector != "" {
		matches, err := node.MatchesLabelSelector(r.selector.LabelSelector)
		if err != nil {
			return false, err
		}
		selected = matches
	}
	if r.selector.AnnotationSelector != "" {
		matches, err := node.MatchesAnnotationSelector(r.selector.AnnotationSelector)
		if err != nil {
			return false, err
		}
		selected = selected && matches
	}
	return selected, nil
}

func texts(values any) map[string]string {
	found := map[string]string{}
	fields, _ := values.(map[string]any)
	for key, value := range fields {
		if text, ok := value.(string); ok {
			found[key] = text
		}
	}
	return found
}
