package main

import (
	"bytes"
	"cmp"
	"encoding"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"reflect"
	"slices"
	"strings"
)

// printJSON writes v as one JSON object on one line: struct fields in order under their json tags, numbers unrounded,
// NaN and Inf as null (encoding/json refuses them), no HTML escapes.
func printJSON(w io.Writer, v any) error {
	var b bytes.Buffer
	if err := appendJSON(&b, reflect.ValueOf(v)); err != nil {
		return fmt.Errorf("printing JSON: %w", err)
	}
	b.WriteByte('\n')
	_, err := w.Write(b.Bytes())
	return err
}

func appendJSON(b *bytes.Buffer, v reflect.Value) error {
	if !v.IsValid() {
		b.WriteString("null")
		return nil
	}
	switch v.Interface().(type) {
	case json.Marshaler, encoding.TextMarshaler, []byte:
		return appendLeaf(b, v)
	}
	switch v.Kind() {
	case reflect.Float32, reflect.Float64:
		if x := v.Float(); math.IsNaN(x) || math.IsInf(x, 0) {
			b.WriteString("null")
			return nil
		}
	case reflect.Pointer, reflect.Interface:
		return appendJSON(b, v.Elem()) // of nil: the zero Value, null
	case reflect.Struct:
		b.WriteByte('{')
		first := true
		err := appendFields(b, v, &first)
		b.WriteByte('}')
		return err
	case reflect.Map:
		return appendMap(b, v)
	case reflect.Slice, reflect.Array: // a nil slice is an empty list: readers need no second case
		b.WriteByte('[')
		for i := range v.Len() {
			if i > 0 {
				b.WriteByte(',')
			}
			if err := appendJSON(b, v.Index(i)); err != nil {
				return err
			}
		}
		b.WriteByte(']')
		return nil
	}
	return appendLeaf(b, v)
}

func appendLeaf(b *bytes.Buffer, v reflect.Value) error {
	enc := json.NewEncoder(b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v.Interface()); err != nil {
		return err
	}
	b.Truncate(b.Len() - 1) // the encoder's newline
	return nil
}

// appendFields writes a struct's fields without braces; those of an embedded struct stand among them.
func appendFields(b *bytes.Buffer, v reflect.Value, first *bool) error {
	for i := range v.NumField() {
		f := v.Type().Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous && name == "" && f.Type.Kind() == reflect.Struct:
			if err := appendFields(b, v.Field(i), first); err != nil {
				return err
			}
			continue
		case !f.IsExported() || name == "-" || strings.Contains(options, "omit") && v.Field(i).IsZero():
			continue
		}
		if err := appendKey(b, cmp.Or(name, f.Name), first); err != nil {
			return err
		}
		if err := appendJSON(b, v.Field(i)); err != nil {
			return err
		}
	}
	return nil
}

func appendKey(b *bytes.Buffer, key string, first *bool) error {
	if !*first {
		b.WriteByte(',')
	}
	*first = false
	if err := appendLeaf(b, reflect.ValueOf(key)); err != nil {
		return err
	}
	b.WriteByte(':')
	return nil
}

// appendMap writes a map with sorted keys, so that equal results give equal bytes.
func appendMap(b *bytes.Buffer, v reflect.Value) error {
	if v.IsNil() {
		b.WriteString("null")
		return nil
	}
	if v.Type().Key().Kind() != reflect.String {
		return appendLeaf(b, v)
	}
	keys := v.MapKeys()
	slices.SortFunc(keys, func(x, y reflect.Value) int { return strings.Compare(x.String(), y.String()) })
	b.WriteByte('{')
	first := true
	for _, k := range keys {
		if err := appendKey(b, k.String(), &first); err != nil {
			return err
		}
		if err := appendJSON(b, v.MapIndex(k)); err != nil {
			return err
		}
	}
	b.WriteByte('}')
	return nil
}
