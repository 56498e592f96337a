package diff

import (
	"bytes"
	"cmp"
	"encoding/hex"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// decode turns the bytes of a response into the leaves that are compared.
func (s *Script) decode(key, version int16, correlation int32, payload []byte) (resp kmsg.Response, outcome string, leaves []Leaf) {
	resp = kmsg.ResponseForKey(key)
	if resp == nil {
		return nil, "answered " + hex.EncodeToString(payload), nil
	}
	resp.SetVersion(version)
	if key == keyApiVersions && (version > resp.MaxVersion() || version < 0) {
		resp.SetVersion(0) // what a broker answers to a version it does not know
	}
	if len(payload) < 4 {
		return nil, "answered with no header: " + hex.EncodeToString(payload), nil
	}
	var got int32
	for _, b := range payload[:4] {
		got = got<<8 | int32(b)
	}
	if got != correlation {
		return nil, fmt.Sprintf("answered another request, %+d", got-correlation), nil
	}
	body := payload[4:]
	if resp.IsFlexible() && key != keyApiVersions {
		if len(body) == 0 || body[0] != 0 {
			return nil, "answered with a header that is not version 1: " + hex.EncodeToString(payload), nil
		}
		body = body[1:]
	}
	if err := resp.ReadFrom(body); err != nil {
		return nil, fmt.Sprintf("answer cannot be decoded (%v): %x", err, body), nil
	}
	leaves = s.norm.response(resp)
	if again := resp.AppendTo(nil); string(again) != string(body) {
		// Bytes behind the last field, null where an empty array belongs, tags out of order or at their default: kmsg reads over them.
		leaves = append(leaves, Leaf{"", "encoding", fmt.Sprintf("%d-bytes-but-%d-when-written-again", len(body), len(again))})
	}
	return resp, "", leaves
}

// walker renders one message.
type walker struct {
	norm   *normaliser
	leaves []Leaf
}

func (n *normaliser) response(resp kmsg.Response) []Leaf {
	w := &walker{norm: n}
	n.isResponse = true
	w.message("", reflect.ValueOf(resp).Elem(), "")
	return w.leaves
}

func (n *normaliser) request(req kmsg.Request) []Leaf {
	w := &walker{norm: n}
	n.isResponse = false
	w.message("", reflect.ValueOf(req).Elem(), "")
	return w.leaves
}

// message renders a struct: first its own fields, then what hangs below it, so that the fields of one struct stay together. The field
// that identifies it stands in the path already.
func (w *walker) message(path string, v reflect.Value, identity string) {
	t := v.Type()
	fresh := reflect.New(t)
	if d, ok := fresh.Interface().(interface{ Default() }); ok {
		d.Default()
	}
	var below []func()
	for i := range t.NumField() {
		field, value, name := t.Field(i), v.Field(i), t.Field(i).Name
		switch {
		case name == "Version" || name == identity:
			continue
		case field.Type == reflect.TypeOf(kmsg.Tags{}):
			tags := value.Interface().(kmsg.Tags)
			tags.Each(func(tag uint32, data []byte) {
				w.leaf(path, fmt.Sprintf("Tag%d", tag), hex.EncodeToString(data))
			})
			continue
		case name != "ErrorCode" && reflect.DeepEqual(value.Interface(), fresh.Elem().Field(i).Interface()):
			continue
		}
		if rule := ruleFor(t.Name(), name); rule != nil {
			if text := rule.apply(w.norm, value); text != "" {
				w.leaf(path, name, text)
			}
			continue
		}
		if value.Kind() == reflect.Pointer && !value.IsNil() && field.Type.Elem().Kind() == reflect.Struct {
			w.leaf(path, name, "present")
			below = append(below, func() { w.message(path+"."+name, value.Elem(), "") })
			continue
		}
		if kind := value.Kind(); kind == reflect.Struct || kind == reflect.Slice {
			if data, ok := value.Interface().([]byte); ok {
				if name == "RecordBatches" || name == "Records" {
					if data == nil {
						w.leaf(path, name, "null")
					} else if len(data) == 0 {
						w.leaf(path, name, "[]")
					}
					below = append(below, func() { w.batches(path+"."+name, data) })
				} else {
					w.leaf(path, name, hex.EncodeToString(w.norm.bytes(data)))
				}
				continue
			}
			if kind == reflect.Struct {
				below = append(below, func() { w.message(path+"."+name, value, "") })
				continue
			}
			if value.Type().Elem().Kind() == reflect.Struct {
				if value.Len() == 0 {
					w.leaf(path, name, "[]")
				}
				below = append(below, func() { w.list(t.Name()+"."+name, path+"."+name, value) })
				continue
			}
			w.leaf(path, name, w.scalars(value))
			continue
		}
		w.leaf(path, name, w.norm.scalar(value))
	}
	for _, f := range below {
		f()
	}
}

func (w *walker) leaf(path, name, value string) { w.leaves = append(w.leaves, Leaf{path, name, value}) }

// list renders a list of structs: by its identity where the order means nothing, else by position.
func (w *walker) list(field, path string, v reflect.Value) {
	identity := sets[field]
	if field == "DescribeLogDirsResponse.Dirs" && w.norm.dirs != nil {
		identity = []string{"Dir"}
	}
	type element struct {
		id       string
		identity string // the field id comes from
		value    reflect.Value
	}
	var elements []element
	for i := range v.Len() {
		e := element{strconv.Itoa(i), "", v.Index(i)}
		if identity != nil {
			e.id, e.identity = w.identity(e.value, identity)
			if w.norm.foreign(field, e.value) {
				continue
			}
		}
		elements = append(elements, e)
	}
	if identity != nil {
		slices.SortStableFunc(elements, func(a, b element) int {
			return cmp.Or(cmp.Compare(len(a.id), len(b.id))*boolInt(isNumber(a.id) && isNumber(b.id)), cmp.Compare(a.id, b.id))
		})
	}
	seen := map[string]int{}
	for _, e := range elements {
		id := e.id
		if seen[e.id]++; seen[e.id] > 1 {
			id = fmt.Sprintf("%s#%d", e.id, seen[e.id])
		}
		at, before := fmt.Sprintf("%s[%s]", path, id), len(w.leaves)
		w.message(at, e.value, e.identity)
		if len(w.leaves) == before {
			w.leaf(at, "present", "true") // everything in it is at its default
		}
	}
}

// identity renders the first of the identifying fields that is set.
func (w *walker) identity(v reflect.Value, fields []string) (id, field string) {
	for i, f := range fields {
		value := v.FieldByName(f)
		if i < len(fields)-1 && (value.IsZero()) {
			continue
		}
		if f == "Entity" {
			return w.norm.entity(value), f
		}
		if rule := ruleFor(v.Type().Name(), f); rule != nil {
			return rule.apply(w.norm, value), f
		}
		return w.norm.scalar(value), f
	}
	return "", ""
}

// entity renders an entity with quotas as one text. Kafka keeps its parts in a hash map.
func (n *normaliser) entity(v reflect.Value) string {
	var parts []string
	for i := range v.Len() {
		parts = append(parts, fmt.Sprintf("%s=%s", n.scalar(v.Index(i).FieldByName("Type")), n.scalar(v.Index(i).FieldByName("Name"))))
	}
	slices.Sort(parts)
	return strings.Join(parts, ",")
}

func (w *walker) scalars(v reflect.Value) string {
	parts := make([]string, v.Len())
	for i := range parts {
		parts[i] = w.norm.scalar(v.Index(i))
	}
	return "[" + strings.Join(parts, ",") + "]"
}

// scalar renders a value that is no list and no struct.
func (n *normaliser) scalar(v reflect.Value) string {
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return "null"
		}
		return n.scalar(v.Elem())
	case reflect.String:
		return strconv.Quote(n.text(v.String()))
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return strconv.FormatInt(v.Int(), 10) // not String(): kmsg names its enumerations
	case reflect.Array:
		return n.topicID([16]byte(v.Bytes()))
	default:
		return fmt.Sprint(v.Interface())
	}
}

// bytes hides the prefix of the script's topics in what only clients read.
func (n *normaliser) bytes(data []byte) []byte {
	return bytes.ReplaceAll(data, []byte(n.prefix), bytes.Repeat([]byte("~"), len(n.prefix)))
}

func isNumber(s string) bool { _, err := strconv.ParseInt(s, 10, 64); return err == nil }

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}
