// Package admin is the HTTP server for metrics, health and profiles. It owns who may ask what, and how long and how much: limits,
// time-outs, and the checks that keep web pages of others out. It knows no figure and no state of the broker, which it asks for
// through Options, never changes anything, and serves nothing from a file.
//
// Checked in this order, each before anything else is done for the request:
//
//	a Host that is not one of the node's names          403, against names that are made to point here (DNS rebinding)
//	a request that a page of another site made          403
//	a body                                              413
//	a path that is not one of ours, as it is written    404
//	a method other than GET and HEAD                    405
//	a profile, asked for from another machine           403
package admin

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/moldau/moldau/internal/clock"
	"github.com/moldau/moldau/internal/network"
)

// Options configures a Server. All fields but Hosts are required.
type Options struct {
	Hosts   []string // names of this node, besides addresses and localhost
	Clock   clock.Clock
	Log     *slog.Logger
	Metrics func(ctx context.Context) []byte // in ContentType
	// ContentType is that of what Metrics returns.
	ContentType string
	Healthy     func() error // nil while the process is sound
	Ready       func() []Check
}

// Check is one thing that must be so for the broker to be ready.
type Check struct {
	Name string
	Err  error  // why it is not so
	Note string // what to know although it is so
}

// Limits of what one client may use up.
const (
	headerTimeout = 5 * time.Second
	readTimeout   = 10 * time.Second
	writeTimeout  = 30 * time.Second // for a profile, after its seconds
	idleTimeout   = time.Minute
	scrapeTimeout = 10 * time.Second
	maxHeader     = 8 << 10 // net/http adds 4 KiB to it
	maxConns      = 64
	maxWorking    = 4 // scrapes and profiles at once; the rest is told to come again
)

// Server answers on one listener.
type Server struct {
	opts    Options
	names   map[string]bool
	http    *http.Server
	working chan struct{}
}

// New returns a server that serves nothing yet.
func New(opts Options) *Server {
	s := &Server{opts: opts, names: map[string]bool{"localhost": true}, working: make(chan struct{}, maxWorking)}
	for _, h := range opts.Hosts {
		if h != "" {
			s.names[strings.ToLower(h)] = true
		}
	}
	s.http = &http.Server{
		Handler: s, ReadHeaderTimeout: headerTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout, IdleTimeout: idleTimeout,
		MaxHeaderBytes: maxHeader, ErrorLog: slog.NewLogLogger(opts.Log.Handler(), slog.LevelDebug),
		DisableGeneralOptionsHandler: true,
	}
	return s
}

// Serve answers on l until Close.
func (s *Server) Serve(l network.Listener) error {
	if err := s.http.Serve(limit(l, maxConns)); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve metrics and health: %w", err)
	}
	return nil
}

// Close ends the service and all connections. What is under way is cut off: it only reads.
func (s *Server) Close() { _ = s.http.Close() }

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", "default-src 'none'")
	handle, known := s.route(r.URL.EscapedPath())
	profile := strings.HasPrefix(r.URL.Path, pprofPath)
	switch {
	case !s.ours(r.Host):
		refuse(w, http.StatusForbidden, "this node is not called that: use its address, or add the name to admin.hosts")
	case s.foreign(r):
		refuse(w, http.StatusForbidden, "requests from pages of other sites are refused")
	case r.ContentLength != 0:
		refuse(w, http.StatusRequestEntityTooLarge, "no request here has a body")
	case !known:
		refuse(w, http.StatusNotFound, "there are /metrics, /healthz, /readyz and /debug/pprof/")
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		h.Set("Allow", "GET, HEAD")
		refuse(w, http.StatusMethodNotAllowed, "only GET and HEAD")
	case profile && !network.Loopback(r.RemoteAddr):
		refuse(w, http.StatusForbidden, "profiles are for requests from the same machine")
	default:
		handle(w, r)
	}
}

func (s *Server) route(path string) (http.HandlerFunc, bool) {
	switch path {
	case "/":
		return s.index, true
	case "/metrics":
		return s.work(s.metrics), true
	case "/healthz":
		return s.healthz, true
	case "/readyz":
		return s.readyz, true
	}
	if name, ok := strings.CutPrefix(path, pprofPath); ok {
		handle, known := s.profile(name)
		return handle, known
	}
	return nil, false
}

// ours says whether a Host header calls this node. An address cannot be made to point here by somebody else's name server.
func (s *Server) ours(host string) bool {
	if name, port, ok := strings.Cut(host, ":"); ok && !strings.Contains(port, ":") {
		host = name
	} else if end := strings.LastIndexByte(host, ']'); end > 0 && host[0] == '[' {
		host = host[1:end]
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return true
	}
	return s.names[strings.ToLower(strings.TrimSuffix(host, "."))]
}

// foreign says whether a browser sent the request for a page of another site. Programs send neither header.
func (s *Server) foreign(r *http.Request) bool {
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "same-origin", "none":
	default:
		return true
	}
	origin := r.Header.Get("Origin")
	if origin == "" {
		return false
	}
	u, err := url.Parse(origin)
	return err != nil || !strings.EqualFold(u.Host, r.Host)
}

func refuse(w http.ResponseWriter, status int, why string) {
	w.Header().Set("Connection", "close") // what else is sent is not worth reading
	text(w, status, why+"\n")
}

func text(w http.ResponseWriter, status int, body string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(body)) // a client that has gone misses nothing
}

// work bounds how many costly requests are worked on at once.
func (s *Server) work(handle http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		select {
		case s.working <- struct{}{}:
			defer func() { <-s.working }()
			handle(w, r)
		default:
			w.Header().Set("Retry-After", "5")
			text(w, http.StatusServiceUnavailable, "too many scrapes and profiles at once\n")
		}
	}
}

func (s *Server) index(w http.ResponseWriter, _ *http.Request) {
	text(w, http.StatusOK, "/metrics\n/healthz\n/readyz\n"+pprofPath+"\n")
}

func (s *Server) metrics(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer s.opts.Clock.AfterFunc(scrapeTimeout, cancel).Stop()
	body := s.opts.Metrics(ctx)
	w.Header().Set("Content-Type", s.opts.ContentType)
	_, _ = w.Write(body) // a client that has gone misses nothing
}

func (s *Server) healthz(w http.ResponseWriter, _ *http.Request) {
	if err := s.opts.Healthy(); err != nil {
		text(w, http.StatusServiceUnavailable, "not healthy: "+err.Error()+"\n")
		return
	}
	text(w, http.StatusOK, "ok\n")
}

func (s *Server) readyz(w http.ResponseWriter, _ *http.Request) {
	var body bytes.Buffer
	status := http.StatusOK
	for _, c := range s.opts.Ready() {
		switch {
		case c.Err != nil:
			status = http.StatusServiceUnavailable
			fmt.Fprintf(&body, "[-] %s: %v\n", c.Name, c.Err)
		case c.Note != "":
			fmt.Fprintf(&body, "[+] %s: %s\n", c.Name, c.Note)
		default:
			fmt.Fprintf(&body, "[+] %s\n", c.Name)
		}
	}
	word := "ready\n"
	if status != http.StatusOK {
		word = "not ready\n"
	}
	text(w, status, word+body.String())
}
