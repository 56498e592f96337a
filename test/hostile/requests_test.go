package hostile

import (
	"reflect"
	"runtime"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/moldau/moldau/internal/handler"
)

// eachServed calls f for every version of every API that is served.
func eachServed(f func(key, version int16)) {
	for _, row := range handler.Table() {
		for v := row.Min; v <= row.Max; v++ {
			f(int16(row.Key), v)
		}
	}
}

// filled is a request whose arrays have as many elements as counts says, level by level (1 where it says nothing), and whose strings,
// numbers and optional parts are all there.
func filled(key, version int16, counts ...int) kmsg.Request {
	req := kmsg.RequestForKey(key)
	req.SetVersion(version)
	fill(reflect.ValueOf(req).Elem(), counts, 0)
	req.SetVersion(version)
	return req
}

func fill(v reflect.Value, counts []int, depth int) {
	switch v.Kind() {
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[kmsg.Tags]() {
			return
		}
		for i := range v.NumField() {
			if v.Field(i).CanSet() {
				fill(v.Field(i), counts, depth)
			}
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), counts, depth)
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			v.SetBytes([]byte("bytes"))
			return
		}
		n := 1
		if depth < len(counts) {
			n = counts[depth]
		}
		v.Set(reflect.MakeSlice(v.Type(), n, n))
		if n > 0 {
			fill(v.Index(0), counts, depth+1)
			for i := 1; i < n; i++ { // what they point to is shared: nobody changes it
				v.Index(i).Set(v.Index(0))
			}
		}
	case reflect.String:
		v.SetString("x")
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(1)
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Array: // ids
		if v.Type().Elem().Kind() == reflect.Uint8 {
			v.Index(0).SetUint(1)
		}
	}
}

// TestFilledIsWellFormed holds the generator of requests against the decoder of another hand.
func TestFilledIsWellFormed(t *testing.T) {
	eachServed(func(key, version int16) {
		req := filled(key, version, 2, 2)
		again := kmsg.RequestForKey(key)
		again.SetVersion(version)
		body := req.AppendTo(nil)
		if err := again.ReadFrom(body); err != nil || string(again.AppendTo(nil)) != string(body) {
			t.Errorf("%s version %d: %v", kmsg.NameForKey(key), version, err)
		}
	})
}

// nameOf is the name of a function of this package.
func nameOf(f func(*testing.T)) string {
	name := runtime.FuncForPC(reflect.ValueOf(f).Pointer()).Name()
	return name[strings.LastIndexByte(name, '.')+1:]
}
