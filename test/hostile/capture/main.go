// Capture keeps requests of real clients as seeds for the fuzz targets. It stands between clients and a broker that advertises its address,
// passes everything on, and writes the requests of each API and version that the client sends, a file each, up to a few of each. It never
// changes what it passes on, and knows no more of a request than its key and version.
//
//	go run ./test/hostile/capture -listen 127.0.0.1:19092 -broker 127.0.0.1:29092 -client librdkafka-2.8.0
//
// The files are internal/protocol/testdata/wire/CLIENT/API_vVERSION[-N].hex: one request, without its size, in hexadecimal.
package main

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/moldau/moldau/internal/protocol"
)

var (
	listen = flag.String("listen", "127.0.0.1:19092", "address that the broker advertises")
	target = flag.String("broker", "127.0.0.1:29092", "address where the broker is")
	client = flag.String("client", "", "name and version of the client")
	out    = flag.String("out", filepath.Join("internal", "protocol", "testdata", "wire"), "folder of the folders of clients")
)

// Of each API and version so many requests are kept, and none that is larger.
const (
	most    = 2
	largest = 2 << 10
)

type keeper struct {
	mu   sync.Mutex
	dir  string
	have map[string]map[string]bool
}

func (k *keeper) keep(request []byte) {
	if len(request) < 8 || len(request) > largest {
		return
	}
	key, version := protocol.APIKey(binary.BigEndian.Uint16(request)), binary.BigEndian.Uint16(request[2:])
	name := fmt.Sprintf("%s_v%d", strings.ToLower(key.String()), version)
	body := string(request[:4]) + string(request[8:]) // without the correlation id
	k.mu.Lock()
	defer k.mu.Unlock()
	seen := k.have[name]
	if seen == nil {
		seen = map[string]bool{}
		k.have[name] = seen
	}
	if seen[body] || len(seen) >= most {
		return
	}
	seen[body] = true
	if n := len(seen); n > 1 {
		name = fmt.Sprintf("%s-%d", name, n)
	}
	if err := os.WriteFile(filepath.Join(k.dir, name+".hex"), []byte(hex.EncodeToString(request)+"\n"), 0o644); err != nil {
		log.Fatal(err)
	}
}

// serve passes on one connection.
func (k *keeper) serve(from net.Conn) {
	defer from.Close()
	to, err := net.Dial("tcp", *target)
	if err != nil {
		log.Print(err)
		return
	}
	defer to.Close()
	go func() {
		_, _ = io.Copy(from, to)
		from.Close()
	}()
	in := bufio.NewReader(from)
	for {
		var size [4]byte
		if _, err := io.ReadFull(in, size[:]); err != nil {
			return
		}
		request := make([]byte, binary.BigEndian.Uint32(size[:]))
		if _, err := io.ReadFull(in, request); err != nil {
			return
		}
		k.keep(request)
		if _, err := to.Write(append(size[:], request...)); err != nil {
			return
		}
	}
}

func main() {
	flag.Parse()
	if *client == "" {
		log.Fatal("whose requests? -client NAME-VERSION")
	}
	k := &keeper{dir: filepath.Join(*out, *client), have: map[string]map[string]bool{}}
	if err := os.MkdirAll(k.dir, 0o755); err != nil {
		log.Fatal(err)
	}
	l, err := net.Listen("tcp", *listen)
	if err != nil {
		log.Fatal(err)
	}
	for {
		conn, err := l.Accept()
		if err != nil {
			log.Fatal(err)
		}
		go k.serve(conn)
	}
}
