package main

import (
	"bytes"
	"encoding/json"
	"math"
	"testing"
	"time"
)

func TestCanonicalIsWhatEncodingJSONMakes(t *testing.T) {
	rows := map[string]any{
		"texts": []any{"", "plain", "a\"b\\c", "<&>", "\n\t\x00\x1f\x7f", "ä日🚀", "\u2028\u2029",
			"bad\xff\xfeutf", "line\u0085", "/"},
		"numbers": []any{0, -1, math.MaxInt64, math.MinInt64, uint64(math.MaxUint64), int64(7), 1.5, -0.0, 1e21,
			1e-7, 0.1, 3.0, float64(1 << 53), math.SmallestNonzeroFloat64},
		"others": []any{nil, true, false, time.Date(2001, 12, 14, 0, 0, 0, 0, time.UTC), []string{"a"}},
		"maps": map[string]any{"b": 1, "a": map[string]any{}, "": []any{}, "ä": nil, "B": map[string]any(nil),
			"c": []any(nil), "a\"": map[string]any{"z": 1, "y": 2}},
	}
	var buffer bytes.Buffer
	encoder := json.NewEncoder(&buffer)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(rows); err != nil {
		t.Fatal(err)
	}
	want := string(bytes.TrimSpace(buffer.Bytes()))
	encoded, err := encodeFields(rows)
	if err != nil {
		t.Fatal(err)
	}
	if got := string(encoded.bytes()); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	exchanged, err := encoded.with("texts", []any{1})
	if err != nil {
		t.Fatal(err)
	}
	rows["texts"] = []any{1}
	again, err := encodeFields(rows)
	if err != nil || string(exchanged.bytes()) != string(again.bytes()) {
		t.Errorf("got  %s\nwant %s", exchanged.bytes(), again.bytes())
	}
	if string(encoded.bytes()) != want {
		t.Error("the first one was changed")
	}
}

func TestCanonicalRefuses(t *testing.T) {
	for name, value := range map[string]any{
		"infinity": math.Inf(1), "a map with other keys": map[any]any{1: 2},
		"deep": []any{map[string]any{"a": math.NaN()}},
	} {
		if _, err := encodeFields(map[string]any{"a": value}); err == nil {
			t.Errorf("%s has no JSON form", name)
		}
	}
}
