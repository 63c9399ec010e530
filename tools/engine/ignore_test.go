package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

const labelled = `apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop, labels: {tier: front}, annotations: {scaled: "yes"}}
`

func TestIgnoreRulesSelectObjects(t *testing.T) {
	rows := map[string]struct {
		target  *SpecSelector
		selects bool
	}{
		"no target":            {nil, true},
		"an empty target":      {&SpecSelector{}, true},
		"a kind":               {&SpecSelector{Group: "apps", Version: "v1", Kind: "Deployment"}, true},
		"another kind":         {&SpecSelector{Kind: "StatefulSet"}, false},
		"kinds":                {&SpecSelector{Kind: "Deployment|StatefulSet"}, true},
		"a part of a name":     {&SpecSelector{Name: "we"}, false},
		"a pattern":            {&SpecSelector{Name: "w.*"}, true},
		"another namespace":    {&SpecSelector{Namespace: "bar"}, false},
		"labels":               {&SpecSelector{LabelSelector: "tier in (front,back)"}, true},
		"other labels":         {&SpecSelector{LabelSelector: "!tier"}, false},
		"annotations":          {&SpecSelector{AnnotationSelector: "scaled=yes"}, true},
		"labels, not the rest": {&SpecSelector{LabelSelector: "tier", AnnotationSelector: "scaled=no"}, false},
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			rules := []SpecIgnore{{Paths: []string{"/a"}, Target: row.target}, {Paths: []string{"/a", "/b"}}}
			answer, failure := ask(t, "finish", FinishArgs{Texts: []string{labelled}, Ignore: rules[:1]})
			if failure != nil || (len(answer.Objects[0].Ignore) == 1) != row.selects {
				t.Errorf("got %+v %+v", answer, failure)
			}
			args := BuildArgs{Root: tree(t, map[string]string{"a.yaml": labelled}), Spec: Spec{Ignore: rules}}
			if both := mustBuild(t, args).Objects[0].Ignore; !slices.Equal(both, []string{"/a", "/b"}) {
				t.Errorf("two rules: got %v", both)
			}
		})
	}
}

func TestIgnoreRulesThatCannotBeRead(t *testing.T) {
	for name, target := range map[string]SpecSelector{
		"no expression":  {Name: "("},
		"too long a one": {Name: strings.Repeat("(a{1000}", 3) + strings.Repeat("){1000}", 3)},
		"no selector":    {LabelSelector: "a in"},
	} {
		t.Run(name, func(t *testing.T) {
			rules := []SpecIgnore{{Paths: []string{"/a"}, Target: &target}}
			_, failure := ask(t, "finish", FinishArgs{Texts: []string{labelled}, Ignore: rules})
			if failure == nil || !strings.HasPrefix(failure.Message, "spec.ignore[].target: ") {
				t.Errorf("got %s", fmt.Sprint(failure))
			}
		})
	}
}

// A text is read by the rules by which it was written, where yes is a boolean unless quoted, and nothing gets
// lost of a number.
func TestFinishReadsTextsAsTheyWereWritten(t *testing.T) {
	text := strings.Replace(configMap, "v1", "example.test/v1", 1) + "plain: [12345678901234567890, 0.1, yes, \"yes\"]\n"
	answer, failure := ask(t, "finish", FinishArgs{Texts: []string{text}})
	want := `"plain":[12345678901234567890,0.1,true,"yes"]`
	if failure != nil || !strings.Contains(string(answer.Objects[0].Body), want) {
		t.Errorf("got %+v %+v", answer, failure)
	}
}
