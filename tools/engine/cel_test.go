package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

// askCEL sends one line, as the controller does.
func askCEL(t *testing.T, op string, args map[string]any) (any, *Failure) {
	t.Helper()
	encoded, err := json.Marshal(args)
	if err != nil {
		t.Fatal(err)
	}
	line, err := json.Marshal(Request{ID: 1, Op: op, Args: encoded})
	if err != nil {
		t.Fatal(err)
	}
	response := answer(line)
	return response.OK, response.Error
}

var ofDependency = []string{"self", "dep"}

func TestExpressionsThatCannotBeRead(t *testing.T) {
	cases := map[string]struct {
		expression string
		variables  []string
		want       string // "": it can
	}{
		"a field of the object":           {"status.phase == 'Ready'", nil, ""},
		"any name is a field":             {"anything.at.all", nil, ""},
		"half of one":                     {"foo.", nil, "failed to parse the CEL expression 'foo.': ERROR: <input>:1:5: Syntax error"},
		"nothing":                         {"", nil, "failed to parse the CEL expression ''"},
		"both objects":                    {"dep.metadata.name == self.metadata.name", ofDependency, ""},
		"a name that is not there":        {"other.status.ready == true", ofDependency, "undeclared reference to 'other'"},
		"another type than bool":          {"dep.metadata.name", ofDependency, "CEL expression output type mismatch: expected bool"},
		"a function that is not there":    {"dep.metadata.name.shout() == 'A'", ofDependency, "undeclared reference to 'shout'"},
		"more than anybody would write":   {strings.Repeat("true && ", 3000) + "true", nil, "limit 16384"},
		"deeper than anybody would write": {strings.Repeat("(", 5000) + "true" + strings.Repeat(")", 5000), nil, "failed to parse"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			ok, failure := askCEL(t, "check", map[string]any{
				"expressions": []string{tc.expression}, "variables": tc.variables,
			})
			if failure != nil {
				t.Fatal(failure.Message)
			}
			got := ok.(CheckAnswer).Messages[0]
			if (tc.want == "") != (got == "") || !strings.Contains(got, tc.want) {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func TestTheFirstExpressionThatIsTrue(t *testing.T) {
	object := json.RawMessage(`{
		"metadata": {"name": "x", "generation": 2, "labels": {"a/b": "c"}},
		"data": {"port": 80, "share": 0.5, "big": 9007199254740993},
		"status": {"conditions": [{"type": "Synced", "status": "True"}], "phase": "Bound"}}`)
	cases := map[string]struct {
		expressions []string
		want        int
		failure     string
	}{
		"the first":                 {[]string{"true", "true"}, 0, ""},
		"the second":                {[]string{"false", "status.phase == 'Bound'"}, 1, ""},
		"none":                      {[]string{"status.phase == 'Lost'"}, -1, ""},
		"conditions":                {[]string{"status.conditions.exists(c, c.type == 'Synced' && c.status == 'True')"}, 0, ""},
		"whole numbers stay whole":  {[]string{"data.big == 9007199254740993 && type(data.port) == int && data.share == 0.5"}, 0, ""},
		"numbers of two types":      {[]string{"data.port > 79.5"}, 0, ""},
		"optional fields":           {[]string{"status.?missing.orValue('none') == 'none'"}, 0, ""},
		"functions of strings":      {[]string{"metadata.name.upperAscii() == 'X' && 'a,b'.split(',').size() == 2"}, 0, ""},
		"functions of sets":         {[]string{"sets.contains([1, 2], [1])"}, 0, ""},
		"functions of encoders":     {[]string{"base64.encode(b'x') == 'eA=='"}, 0, ""},
		"a field that is not there": {[]string{"status.missing == 1"}, 0, "failed to evaluate the CEL expression 'status.missing == 1': no such key: missing"},
		"no bool":                   {[]string{"status.phase"}, 0, "failed to evaluate CEL expression as boolean: 'status.phase'"},
		"after one that is true":    {[]string{"true", "status.missing"}, 0, ""},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			ok, failure := askCEL(t, "evaluate", map[string]any{"expressions": tc.expressions, "data": object})
			if tc.failure != "" {
				if failure == nil || !strings.Contains(failure.Message, tc.failure) || failure.Reason != reasonCEL {
					t.Fatalf("got %v, %+v, want failure %q", ok, failure, tc.failure)
				}
				return
			}
			if failure != nil {
				t.Fatal(failure.Message)
			}
			if got := ok.(EvaluateAnswer).First; got != tc.want {
				t.Errorf("got %d, want %d", got, tc.want)
			}
		})
	}
}

// Reliability A53: an answer within a second, whatever a tenant writes.
func TestHostileExpressions(t *testing.T) {
	ten := "[1,2,3,4,5,6,7,8,9,10]"
	deep := ten
	for _, name := range []string{"a", "b", "c", "d", "e", "f", "g", "h"} {
		deep = ten + ".map(" + name + ", " + deep + ")"
	}
	doubled := "'" + strings.Repeat("x", 100) + "'"
	for range 12 {
		doubled = "[" + doubled + "].map(s, s + s)[0]"
	}
	replaced := "'xxxxxxxxxx'"
	for range 7 { // the sixth makes ten million characters of a million, and is the last one
		replaced += ".replace('x', 'xxxxxxxxxx')"
	}
	cases := map[string]string{
		"loops within loops":        deep + ".size() > 0",
		"a string that grows":       doubled + ".size() > 0 && " + deep + ".size() > 0",
		"a string that is replaced": replaced + ".matches('(x+x+)+y')",
	}
	for name, expression := range cases {
		t.Run(name, func(t *testing.T) {
			began := time.Now()
			_, failure := askCEL(t, "evaluate", map[string]any{
				"expressions": []string{expression}, "data": map[string]any{},
			})
			if failure == nil {
				t.Error("it was evaluated to an end")
			}
			if lasted := time.Since(began); lasted > time.Second {
				t.Errorf("it took %s", lasted)
			}
		})
	}
}
