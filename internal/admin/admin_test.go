package admin

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/moldau/moldau/internal/clock"
	"github.com/moldau/moldau/internal/network"
)

// rig is a server on a port of its own.
type rig struct {
	*Server
	t       *testing.T
	address string
	health  error
	checks  []Check
}

func start(t *testing.T, change func(*Server)) *rig {
	t.Helper()
	r := &rig{t: t, checks: []Check{{Name: "registered"}}}
	r.Server = New(Options{
		Hosts: []string{"Broker-1.example", ""}, Clock: clock.Real, Log: slog.New(slog.DiscardHandler), ContentType: "text/plain; version=0.0.4",
		Metrics: func(context.Context) []byte { return []byte("a 1\n") },
		Healthy: func() error { return r.health }, Ready: func() []Check { return r.checks },
	})
	if change != nil {
		change(r.Server)
	}
	l, err := network.OS.Listen(context.Background(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r.address = l.Addr().String()
	done := make(chan error, 1)
	go func() { done <- r.Serve(l) }()
	t.Cleanup(func() {
		r.Close()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return r
}

// ask sends a request as its bytes stand and returns status and body. ADDR in it stands for the address.
func (r *rig) ask(request string) (int, string) {
	r.t.Helper()
	c := r.dial()
	defer c.Close()
	if _, err := io.WriteString(c, strings.ReplaceAll(strings.ReplaceAll(request, "\n", "\r\n"), "ADDR", r.address)); err != nil {
		r.t.Fatal(err)
	}
	method, _, _ := strings.Cut(request, " ")
	resp, err := http.ReadResponse(bufio.NewReader(c), &http.Request{Method: method})
	if err != nil {
		r.t.Fatalf("%.90q: %v", request, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil && resp.StatusCode < 400 { // whoever is refused may be cut off while he still sends
		r.t.Fatalf("%.90q: %v", request, err)
	}
	return resp.StatusCode, string(body)
}

func (r *rig) dial() net.Conn {
	r.t.Helper()
	c, err := net.Dial("tcp", r.address)
	if err != nil {
		r.t.Fatal(err)
	}
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		r.t.Fatal(err)
	}
	return c
}

func (r *rig) get(path string) (int, string) {
	r.t.Helper()
	return r.ask("GET " + path + " HTTP/1.1\nHost: ADDR\nConnection: close\n\n")
}

func TestPages(t *testing.T) {
	r := start(t, nil)
	for path, want := range map[string]string{
		"/": "/metrics\n", "/metrics": "a 1\n", "/healthz": "ok\n", "/readyz": "ready\n[+] registered\n", "/debug/pprof/": "profile?seconds=30\n",
		"/debug/pprof/goroutine?debug=1": "goroutine profile: total", "/debug/pprof/heap": "\x1f\x8b", "/debug/pprof/trace?seconds=1": "go 1.",
	} {
		if status, body := r.get(path); status != 200 || !strings.HasPrefix(body, want) {
			t.Errorf("%s: %d %.60q", path, status, body)
		}
	}
	if status, body := r.ask("HEAD /healthz HTTP/1.1\nHost: ADDR\nConnection: close\n\n"); status != 200 || body != "" {
		t.Errorf("HEAD: %d %q", status, body)
	}
}

func TestHealth(t *testing.T) {
	r := start(t, nil)
	r.health = errors.New("the quorum is gone")
	if status, body := r.get("/healthz"); status != 503 || body != "not healthy: the quorum is gone\n" {
		t.Errorf("%d %q", status, body)
	}
	r.checks = []Check{{Name: "registered"}, {Name: "groups loaded", Err: errors.New("3 are being loaded")}, {Name: "disk writable", Note: "/b is offline"}}
	if status, body := r.get("/readyz"); status != 503 ||
		body != "not ready\n[+] registered\n[-] groups loaded: 3 are being loaded\n[+] disk writable: /b is offline\n" {
		t.Errorf("%d %q", status, body)
	}
}

// Each row is a request that is refused, in the order of the checks: what is wrong first counts.
func TestHostileRequests(t *testing.T) {
	r := start(t, nil)
	const end = "\nConnection: close\n\n"
	for request, want := range map[string]int{
		// Host: names that were made to point here.
		"GET /metrics HTTP/1.1\nHost: evil.example" + end:            403,
		"GET /metrics HTTP/1.1\nHost: evil.example:9644" + end:       403,
		"GET /metrics HTTP/1.1\nHost: localhost.evil.example" + end:  403,
		"GET /metrics HTTP/1.1\nHost: 127.0.0.1.evil.example" + end:  403,
		"GET /metrics HTTP/1.1\nHost:" + end:                         403,
		"GET /metrics HTTP/1.0" + end:                                403,
		"GET /metrics HTTP/1.1" + end:                                400, // net/http: none at all
		"GET http://evil.example/metrics HTTP/1.1\nHost: ADDR" + end: 403,
		"GET /metrics HTTP/1.1\nHost: a\nHost: b" + end:              400,
		"GET /metrics HTTP/1.1\nHost: localhost:1" + end:             200,
		"GET /metrics HTTP/1.1\nHost: LOCALHOST" + end:               200,
		"GET /metrics HTTP/1.1\nHost: broker-1.EXAMPLE:9644" + end:   200,
		"GET /metrics HTTP/1.1\nHost: broker-1.example." + end:       200,
		"GET /metrics HTTP/1.1\nHost: [::1]:9644" + end:              200,
		"GET /metrics HTTP/1.1\nHost: 10.1.2.3" + end:                200,
		// Pages of other sites.
		"POST /metrics HTTP/1.1\nHost: ADDR\nOrigin: http://evil.example\nContent-Length: 0" + end:  403,
		"POST /metrics HTTP/1.1\nHost: ADDR\nOrigin: null\nContent-Length: 3\n\nabc":                403,
		"GET /metrics HTTP/1.1\nHost: ADDR\nOrigin: http://evil.example" + end:                      403,
		"GET /metrics HTTP/1.1\nHost: ADDR\nSec-Fetch-Site: cross-site" + end:                       403,
		"GET /metrics HTTP/1.1\nHost: ADDR\nSec-Fetch-Site: same-site" + end:                        403,
		"GET /metrics HTTP/1.1\nHost: ADDR\nOrigin: http://ADDR\nSec-Fetch-Site: same-origin" + end: 200,
		"GET /metrics HTTP/1.1\nHost: ADDR\nSec-Fetch-Site: none" + end:                             200,
		// Bodies, of which no byte is waited for.
		"POST /metrics HTTP/1.1\nHost: ADDR\nContent-Length: 1073741824" + end:            413,
		"GET /metrics HTTP/1.1\nHost: ADDR\nContent-Length: 1073741824" + end:             413,
		"POST /metrics HTTP/1.1\nHost: ADDR\nTransfer-Encoding: chunked\n\nffffffff\nabc": 413,
		"GET /metrics HTTP/1.1\nHost: ADDR\nContent-Length: -1" + end:                     400,
		"GET /metrics HTTP/1.1\nHost: ADDR\nContent-Length: 99999999999999999999" + end:   400,
		// Paths.
		"GET /metrics/../../../etc/passwd HTTP/1.1\nHost: ADDR" + end:      404,
		"GET /../../etc/passwd HTTP/1.1\nHost: ADDR" + end:                 404,
		"GET /%2e%2e/%2e%2e/etc/passwd HTTP/1.1\nHost: ADDR" + end:         404,
		"GET //metrics HTTP/1.1\nHost: ADDR" + end:                         404,
		"GET /metrics/ HTTP/1.1\nHost: ADDR" + end:                         404,
		"GET /%6detrics HTTP/1.1\nHost: ADDR" + end:                        404,
		"GET /debug/pprof/../../metrics HTTP/1.1\nHost: ADDR" + end:        404,
		"GET /debug/pprof/cmdline HTTP/1.1\nHost: ADDR" + end:              404,
		"GET /debug/vars HTTP/1.1\nHost: ADDR" + end:                       404,
		"GET /debug/pprof/profile?seconds=3600 HTTP/1.1\nHost: ADDR" + end: 400,
		"GET /debug/pprof/profile?seconds=-1 HTTP/1.1\nHost: ADDR" + end:   400,
		"GET /debug/pprof/trace?seconds=x HTTP/1.1\nHost: ADDR" + end:      400,
		"GET /metrics\x00 HTTP/1.1\nHost: ADDR" + end:                      400,
		"OPTIONS * HTTP/1.1\nHost: ADDR" + end:                             404,
		// Methods.
		"POST /metrics HTTP/1.1\nHost: ADDR\nContent-Length: 0" + end: 405,
		"DELETE /metrics HTTP/1.1\nHost: ADDR" + end:                  405,
		"TRACE /healthz HTTP/1.1\nHost: ADDR" + end:                   405,
		"PUT /readyz HTTP/1.1\nHost: ADDR" + end:                      405,
		"FOO /debug/pprof/heap HTTP/1.1\nHost: ADDR" + end:            405,
		"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\n\n":            400, // TLS
		// Headers.
		"GET /metrics HTTP/1.1\nHost: ADDR\nX: " + strings.Repeat("x", 64<<10) + end: 431,
	} {
		if status, body := r.ask(request); status != want {
			t.Errorf("%.90q: %d %.60q, want %d", request, status, body, want)
		}
	}
	if status, _ := r.get("/metrics"); status != 200 {
		t.Errorf("after all that: %d", status)
	}
}

// Whoever begins a request and does not go on is closed, and so are more clients than there is room for.
func TestSlowHeaders(t *testing.T) {
	r := start(t, func(s *Server) { s.http.ReadHeaderTimeout = 50 * time.Millisecond })
	var slow []net.Conn
	for range maxConns {
		c := r.dial()
		defer c.Close()
		_, _ = io.WriteString(c, "GET /metrics HTTP/1.1\r\nHost: ") // on a slow machine it is closed already
		slow = append(slow, c)
	}
	for _, c := range slow {
		if _, err := io.ReadAll(c); errors.Is(err, context.DeadlineExceeded) || isTimeout(err) {
			t.Fatal("a slow client is not closed")
		}
	}
	for deadline := time.Now().Add(20 * time.Second); ; { // this client may be slow too
		c := r.dial()
		_, _ = io.WriteString(c, "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
		answer, _ := io.ReadAll(c)
		c.Close()
		if strings.HasPrefix(string(answer), "HTTP/1.1 200 ") {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("after slow clients: %q", answer)
		}
	}
}

func isTimeout(err error) bool {
	var n net.Error
	return errors.As(err, &n) && n.Timeout()
}

func TestTooManyConnections(t *testing.T) {
	r := start(t, nil)
	var held []net.Conn
	for range maxConns {
		c := r.dial()
		defer c.Close()
		if _, err := io.WriteString(c, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		if resp, err := http.ReadResponse(bufio.NewReader(c), nil); err != nil || resp.StatusCode != 200 {
			t.Fatal(resp, err)
		}
		held = append(held, c)
	}
	more := r.dial()
	defer more.Close()
	if n, err := more.Read(make([]byte, 1)); n > 0 || err == nil || isTimeout(err) {
		t.Fatalf("connection %d is kept: %v", maxConns+1, err)
	}
	held[0].Close()
	for deadline := time.Now().Add(20 * time.Second); ; {
		c := r.dial()
		_, _ = io.WriteString(c, "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
		answer, _ := io.ReadAll(c)
		c.Close()
		if len(answer) > 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("there is no room again after a connection has ended")
		}
	}
}

func TestScrapesAreBounded(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	r := start(t, func(s *Server) {
		s.opts.Metrics = func(context.Context) []byte {
			entered <- struct{}{}
			<-leave
			return []byte("a 1\n")
		}
	})
	answers := make(chan string, maxWorking)
	for range maxWorking {
		go func() {
			resp, err := http.Get("http://" + r.address + "/metrics")
			if err != nil {
				answers <- err.Error()
				return
			}
			resp.Body.Close()
			answers <- fmt.Sprint(resp.StatusCode)
		}()
		<-entered
	}
	if status, _ := r.get("/metrics"); status != 503 {
		t.Errorf("one more: %d", status)
	}
	if status, _ := r.get("/healthz"); status != 200 {
		t.Errorf("health beside them: %d", status)
	}
	close(leave)
	for range maxWorking {
		if a := <-answers; a != "200" {
			t.Errorf("a scrape in time: %s", a)
		}
	}
}

// A client that goes ends its profile.
func TestProfileEndsWithItsClient(t *testing.T) {
	r := start(t, nil)
	c := r.dial()
	if _, err := io.WriteString(c, "GET /debug/pprof/trace?seconds=60 HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(make([]byte, 1)); err != nil { // it has begun
		t.Fatal(err)
	}
	c.Close()
	for deadline := time.Now().Add(20 * time.Second); ; {
		status, _ := r.get("/debug/pprof/trace?seconds=1")
		if status == 200 {
			return
		}
		if status != 409 || time.Now().After(deadline) {
			t.Fatalf("status %d", status)
		}
	}
}

func TestProfilesAreLocal(t *testing.T) {
	s := New(Options{Log: slog.New(slog.DiscardHandler), Clock: clock.Real})
	w := &recorder{header: http.Header{}}
	req, err := http.NewRequest("GET", "/debug/pprof/heap", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host, req.RemoteAddr = "localhost", "10.0.0.1:5"
	s.ServeHTTP(w, req)
	if w.status != 403 {
		t.Errorf("from another machine: %d", w.status)
	}
}

type recorder struct {
	header http.Header
	status int
}

func (r *recorder) Header() http.Header         { return r.header }
func (r *recorder) Write(b []byte) (int, error) { return len(b), nil }
func (r *recorder) WriteHeader(status int)      { r.status = status }
