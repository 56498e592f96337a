package controller

import (
	"go/ast"
	"go/parser"
	"go/token"
	"math"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/moldau/moldau/internal/metadata"
	"github.com/moldau/moldau/internal/protocol"
	"github.com/moldau/moldau/internal/uuid"
)

// TestWireKnowsAllRequests finds every type with a step in the source.
func TestWireKnowsAllRequests(t *testing.T) {
	names, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || f.Name.Name != "step" || f.Recv == nil {
				continue
			}
			found++
			name := f.Recv.List[0].Type.(*ast.StarExpr).X.(*ast.Ident).Name
			if types, known := wire[name]; !known {
				t.Errorf("%s is missing in the table of requests between nodes", name)
			} else if response := nameOf(types.response); response != name+"Response" {
				t.Errorf("%s is answered by %s", name, response)
			}
		}
	}
	if found != len(wire) {
		t.Errorf("%d requests in the source, %d in the table", found, len(wire))
	}
}

// fill gives every field a value that is not zero.
func fill(v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i))
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem())
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range 2 {
			fill(v.Index(i))
		}
	case reflect.Array:
		for i := range v.Len() {
			fill(v.Index(i))
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		fill(key)
		fill(value)
		v.SetMapIndex(key, value)
	case reflect.String:
		v.SetString("ž<")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int, reflect.Int64:
		v.SetInt(math.MaxInt8)
	case reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(math.MaxUint8)
	case reflect.Float64:
		v.SetFloat(math.Inf(1))
	}
}

func TestWireKeepsAllFields(t *testing.T) {
	for name, types := range wire {
		request := reflect.New(reflect.TypeOf(types.request).Elem())
		fill(request.Elem())
		got, body, err := Encode(request.Interface().(Request))
		if err != nil || got != name {
			t.Fatalf("%s: %q, %v", name, got, err)
		}
		back, err := Decode(name, body)
		if err != nil || !reflect.DeepEqual(back, request.Interface()) {
			t.Errorf("%s: sent %+v, arrived %+v, %v", name, request.Interface(), back, err)
		}
		response := reflect.New(reflect.TypeOf(types.response).Elem())
		fill(response.Elem())
		if body, err = EncodeResponse(response.Interface()); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		answer, err := DecodeResponse(name, body)
		if err != nil || !reflect.DeepEqual(answer, response.Interface()) {
			t.Errorf("%s: answered %+v, arrived %+v, %v", name, response.Interface(), answer, err)
		}
	}
}

// TestWireKeepsWhatIsNil: nil, empty and zero mean different things in requests.
func TestWireKeepsWhatIsNil(t *testing.T) {
	for _, request := range []Request{
		&AlterConfigs{Resources: []AlterResource{{Resource: metadata.Resource{Type: 2}, Ops: []ConfigOp{{Name: "a"}, {Name: "b", Value: new("")}}}}},
		&Reassign{Partitions: []Reassignment{{Topic: "a", Replicas: nil}, {Topic: "b", Replicas: []int32{}}}},
		&AlterQuotas{Alterations: []QuotaAlteration{{Changes: []QuotaChange{{Name: "a"}, {Name: "b", Value: new(0.0)}}}}},
		&DeleteTopics{Topics: []TopicRef{{ID: uuid.UUID{1}}, {Name: new("")}}},
	} {
		name, body, err := Encode(request)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := Decode(name, body); err != nil || !reflect.DeepEqual(back, request) {
			t.Errorf("sent %+v, arrived %+v, %v", request, back, err)
		}
	}
	body, err := EncodeResponse(&AlterBrokerResponse{Error: Error{Code: protocol.StaleBrokerEpoch}})
	if err != nil {
		t.Fatal(err)
	}
	if r, err := DecodeResponse("AlterBroker", body); err != nil || r.(*AlterBrokerResponse).Error.Code != protocol.StaleBrokerEpoch {
		t.Errorf("%+v, %v", r, err)
	}
}

func FuzzDecode(f *testing.F) {
	for name := range wire {
		f.Add(name, []byte(`{"Topics":[{"Name":"a"}]}`))
	}
	f.Fuzz(func(t *testing.T, name string, body []byte) {
		request, err := Decode(name, body)
		if err != nil {
			return
		}
		if _, _, err := Encode(request); err != nil {
			t.Errorf("%s %q: %v", name, body, err)
		}
	})
}
