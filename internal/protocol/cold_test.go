package protocol

import (
	"errors"
	"fmt"
	"reflect"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// fill gives every field of a message a random value: strings, numbers, arrays, nils where a pointer is.
func (g gen) fill(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		if g.IntN(3) > 0 {
			v.Set(reflect.New(v.Type().Elem()))
			g.fill(v.Elem())
		}
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[kmsg.Tags]() {
			g.unknown(v.Addr().Interface().(*kmsg.Tags), g.tagged)
			return
		}
		for i := range v.NumField() {
			if f := v.Field(i); f.CanSet() && v.Type().Field(i).Name != "Version" {
				g.fill(f)
			}
		}
	case reflect.Slice:
		s := reflect.MakeSlice(v.Type(), g.IntN(4), 4)
		for i := range s.Len() {
			g.fill(s.Index(i))
		}
		v.Set(s)
	case reflect.Array:
		for i := range v.Len() {
			g.fill(v.Index(i))
		}
	case reflect.String:
		v.SetString(g.name())
	case reflect.Bool:
		v.SetBool(g.IntN(2) == 0)
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(int64(g.Uint64()) >> (64 - v.Type().Bits()))
	case reflect.Uint8:
		v.SetUint(uint64(g.Uint32() & 0xff))
	}
}

func eachCold(t *testing.T, f func(key APIKey, api API, version int16)) {
	t.Helper()
	for key := range coldShapes {
		api := apis[key]
		for v := api.Min; v <= api.Max; v++ {
			if k := kmsg.RequestForKey(int16(key)); v > k.MaxVersion() {
				t.Errorf("kmsg knows %s only to version %d", key, k.MaxVersion())
				continue
			}
			f(key, api, v)
		}
	}
}

func randomCold(g gen, key APIKey, version int16) kmsg.Request {
	k := kmsg.RequestForKey(int16(key))
	k.SetVersion(version)
	g.tagged = k.IsFlexible()
	g.fill(reflect.ValueOf(k).Elem())
	return k
}

// The walker must accept whatever kmsg encodes, at every version, and then decode to the same; and refuse it cut; bytes that follow are passed over.
func TestDecodeCold(t *testing.T) {
	eachCold(t, func(key APIKey, api API, v int16) {
		g := newGen(uint64(key)<<8 | uint64(v))
		for range 40 {
			body := randomCold(g, key, v).AppendTo(nil)
			got := kmsg.RequestForKey(int16(key))
			if err := DecodeCold(got, v, body, nil); err != nil {
				t.Fatalf("%s v%d %x: %v", key, v, body, err)
			}
			if again := got.AppendTo(nil); string(again) != string(body) {
				t.Fatalf("%s v%d: %x decoded to %x", key, v, body, again)
			}
			if err := DecodeCold(kmsg.RequestForKey(int16(key)), v, append(body[:len(body):len(body)], 0), nil); err != nil {
				t.Fatalf("%s v%d: a byte more than %d: %v", key, v, len(body), err)
			}
			if len(body) == 0 {
				continue
			}
			cut := body[:g.IntN(len(body))]
			if err := DecodeCold(kmsg.RequestForKey(int16(key)), v, cut, nil); !errors.Is(err, ErrMalformed) {
				t.Fatalf("%s v%d: %d of %d bytes: %v", key, v, len(cut), len(body), err)
			}
		}
	})
}

// What is charged covers what is allocated, and both stay a small multiple of the body, whatever it claims.
func TestDecodeColdIsBounded(t *testing.T) {
	const size = 1 << 20
	bodies := hostile(size)
	for n := range 8 {
		tags := make([]byte, n, size)
		tags = AppendUvarint(tags, 300_000)
		for i := 0; len(tags) < size; i++ {
			tags = append(AppendUvarint(tags, uint32(i)), 0)
		}
		bodies[fmt.Sprintf("tags at %d", n)] = tags
	}
	eachCold(t, func(key APIKey, api API, v int16) {
		for name, body := range bodies {
			var charged int64
			n := allocated(func() {
				_ = DecodeCold(kmsg.RequestForKey(int16(key)), v, body, func(n int64) bool { charged = n; return true })
			})
			if n > 2*charged+64<<10 { // twice, for what the race detector adds
				t.Errorf("%s v%d %s: %d bytes allocated, %d charged", key, v, name, n, charged)
			}
			if charged > 32*size {
				t.Errorf("%s v%d %s: %d bytes charged", key, v, name, charged)
			}
		}
	})
}

// A body full of elements is within its charge, and is not decoded when the charge is refused.
func TestDecodeColdCharge(t *testing.T) {
	eachCold(t, func(key APIKey, api API, v int16) {
		g := newGen(3)
		for range 20 {
			k := randomCold(g, key, v)
			body := k.AppendTo(nil)
			var charged int64
			n := allocated(func() {
				if err := DecodeCold(kmsg.RequestForKey(int16(key)), v, body, func(n int64) bool { charged = n; return true }); err != nil {
					t.Fatal(err)
				}
			})
			if n > 2*charged+8<<10 {
				t.Errorf("%s v%d: %d bytes allocated for %d, %d charged", key, v, n, len(body), charged)
			}
		}
		body := randomCold(g, key, v).AppendTo(nil)
		if err := DecodeCold(kmsg.RequestForKey(int16(key)), v, body, func(int64) bool { return false }); !errors.Is(err, ErrNoMemory) {
			t.Errorf("%s v%d: refused charge: %v", key, v, err)
		}
	})
}

func TestDecodeColdRefuses(t *testing.T) {
	var u *UnsupportedError
	if err := DecodeCold(kmsg.NewPtrVoteRequest(), 0, nil, nil); !errors.As(err, &u) {
		t.Errorf("request without a shape: %v", err)
	}
	for name, body := range map[string][]byte{
		"null topics in version 0":    {0xff, 0xff, 0xff, 0xff},
		"array of -2":                 {0xff, 0xff, 0xff, 0xfe},
		"null name before version 10": {0, 0, 0, 1, 0xff, 0xff},
		"string past the end":         {0, 0, 0, 1, 0, 9, 'x'},
	} {
		if err := DecodeCold(kmsg.NewPtrMetadataRequest(), 0, body, nil); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzDecodeCold(f *testing.F) {
	for _, c := range requests(f) {
		if coldShapes[c.header.Key] != nil {
			f.Add(int16(c.header.Key), c.header.Version, c.body)
		}
	}
	for key := range coldShapes {
		for v := apis[key].Min; v <= apis[key].Max; v++ {
			f.Add(int16(key), v, randomCold(newGen(1), key, v).AppendTo(nil))
		}
	}
	f.Fuzz(func(t *testing.T, key, version int16, body []byte) {
		api, ok := Lookup(APIKey(key))
		if !ok || !api.Knows(version) || coldShapes[APIKey(key)] == nil {
			return
		}
		k := kmsg.RequestForKey(key)
		if DecodeCold(k, version, body, nil) != nil {
			return
		}
		again := kmsg.RequestForKey(key)
		wire := k.AppendTo(nil)
		if err := DecodeCold(again, version, wire, nil); err != nil {
			t.Fatal(err)
		}
		if string(again.AppendTo(nil)) != string(wire) {
			t.Fatal("decode and encode are not stable")
		}
	})
}

func BenchmarkDecodeColdMetadata(b *testing.B) {
	k := kmsg.NewPtrMetadataRequest()
	k.Version = 12
	for range 10 {
		name := "some-topic"
		k.Topics = append(k.Topics, kmsg.MetadataRequestTopic{Topic: &name})
	}
	body := k.AppendTo(nil)
	b.ReportAllocs()
	for b.Loop() {
		if err := DecodeCold(kmsg.NewPtrMetadataRequest(), 12, body, nil); err != nil {
			b.Fatal(err)
		}
	}
}
