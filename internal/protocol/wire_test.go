package protocol

import (
	"bytes"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// captured is a request that a real client sent, without its size.
type captured struct {
	name   string // CLIENT/API_vVERSION
	frame  []byte
	header RequestHeader
	body   []byte
}

// requests reads what go run ./test/hostile/capture has written.
func requests(t testing.TB) (all []captured) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", "wire", "*", "*.hex"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no requests: %v", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		c := captured{name: filepath.ToSlash(strings.TrimPrefix(file, filepath.Join("testdata", "wire")+string(filepath.Separator)))}
		if c.frame, err = hex.DecodeString(strings.TrimSpace(string(text))); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		if c.body, err = c.header.Decode(c.frame); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		all = append(all, c)
	}
	return all
}

// TestRequestsOfRealClients decodes them and encodes what was decoded, which gives the same bytes.
func TestRequestsOfRealClients(t *testing.T) {
	for _, c := range requests(t) {
		v := c.header.Version
		var again []byte
		var err error
		switch c.header.Key {
		case KeyProduce:
			var req ProduceRequest
			err = req.Decode(v, c.body)
			again = req.AppendTo(nil, v)
		case KeyFetch:
			var req FetchRequest
			err = req.Decode(v, c.body)
			again = req.AppendTo(nil, v)
		default:
			req := kmsg.RequestForKey(int16(c.header.Key))
			err = DecodeCold(req, v, c.body, nil)
			again = req.AppendTo(nil)
		}
		if err != nil || !bytes.Equal(again, c.body) {
			t.Errorf("%s: %v\n%x became\n%x", c.name, err, c.body, again)
		}
		if h := AppendRequestHeader(nil, c.header); !bytes.Equal(append(h, c.body...), c.frame) {
			t.Errorf("%s: the header %+v became %x", c.name, c.header, h)
		}
	}
}
