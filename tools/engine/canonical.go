package main

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
)

// Canonical JSON: sorted keys, integers as integers, nothing escaped for HTML. It is what encoding/json
// makes of the same values; written out here since that takes three times as long over maps (a test
// compares the two).

// fieldsOfObject is an object as JSON, a piece for each field at its top, so that one of them can be
// exchanged.
type fieldsOfObject struct {
	names  []string
	values [][]byte
}

func encodeFields(fields map[string]any) (fieldsOfObject, error) {
	encoded := fieldsOfObject{names: slices.Sorted(maps.Keys(fields))}
	for _, name := range encoded.names {
		value, err := appendJSON(nil, fields[name])
		if err != nil {
			return encoded, err
		}
		encoded.values = append(encoded.values, value)
	}
	return encoded, nil
}

// with gives the same object with another value of one of its fields.
func (f fieldsOfObject) with(name string, value any) (fieldsOfObject, error) {
	at, found := slices.BinarySearch(f.names, name)
	if !found {
		return f, nil
	}
	encoded, err := appendJSON(nil, value)
	f.values = slices.Clone(f.values)
	f.values[at] = encoded
	return f, err
}

func (f fieldsOfObject) bytes() []byte {
	size := 2
	for i, name := range f.names {
		size += len(name) + len(f.values[i]) + 4
	}
	out := append(make([]byte, 0, size), '{')
	for i, name := range f.names {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(appendString(out, name), ':')
		out = append(out, f.values[i]...)
	}
	return append(out, '}')
}

func appendJSON(out []byte, value any) ([]byte, error) {
	switch of := value.(type) {
	case nil:
		return append(out, "null"...), nil
	case string:
		return appendString(out, of), nil
	case bool:
		return strconv.AppendBool(out, of), nil
	case int:
		return strconv.AppendInt(out, int64(of), 10), nil
	case int64:
		return strconv.AppendInt(out, of, 10), nil
	case map[string]any:
		return appendMap(out, of)
	case []any:
		return appendList(out, of)
	}
	return appendOther(out, value)
}

func appendMap(out []byte, fields map[string]any) ([]byte, error) {
	if fields == nil {
		return append(out, "null"...), nil
	}
	var err error
	out = append(out, '{')
	for i, key := range slices.Sorted(maps.Keys(fields)) {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(appendString(out, key), ':')
		if out, err = appendJSON(out, fields[key]); err != nil {
			return nil, err
		}
	}
	return append(out, '}'), nil
}

func appendList(out []byte, list []any) ([]byte, error) {
	if list == nil {
		return append(out, "null"...), nil
	}
	var err error
	out = append(out, '[')
	for i, item := range list {
		if i > 0 {
			out = append(out, ',')
		}
		if out, err = appendJSON(out, item); err != nil {
			return nil, err
		}
	}
	return append(out, ']'), nil
}

func appendString(out []byte, text string) []byte {
	for i := range len(text) {
		if c := text[i]; c < ' ' || c >= 0x7f || c == '"' || c == '\\' {
			other, _ := appendOther(out, text) // a string always has a JSON form
			return other
		}
	}
	out = append(out, '"')
	out = append(out, text...)
	return append(out, '"')
}

// appendOther is for what is rare: floats, dates, text with something to escape.
func appendOther(out []byte, value any) ([]byte, error) {
	var buffer bytes.Buffer
	encoder := json.NewEncoder(&buffer)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return nil, err
	}
	return append(out, bytes.TrimSuffix(buffer.Bytes(), []byte{'\n'})...), nil
}
