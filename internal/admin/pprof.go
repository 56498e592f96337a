package admin

import (
	"fmt"
	"net/http"
	"runtime/pprof"
	"runtime/trace"
	"strconv"
	"strings"
	"time"
)

// pprofPath is where "go tool pprof" looks. net/http/pprof is not used: it registers itself with http.DefaultServeMux, which a
// program that embeds a broker may serve to the world.
const pprofPath = "/debug/pprof/"

// How long is looked where the query does not say, and at most.
const (
	profileSecondsDefault = 30
	profileSecondsMax     = 60
)

// profile returns the handler of a profile by its name.
func (s *Server) profile(name string) (http.HandlerFunc, bool) {
	switch name {
	case "":
		return s.profiles, true
	case "profile":
		return s.work(s.timed(profileSecondsDefault, func(w http.ResponseWriter) error { return pprof.StartCPUProfile(w) }, pprof.StopCPUProfile)), true
	case "trace":
		return s.work(s.timed(1, func(w http.ResponseWriter) error { return trace.Start(w) }, trace.Stop)), true
	}
	p := pprof.Lookup(name)
	if p == nil {
		return nil, false
	}
	return s.work(func(w http.ResponseWriter, r *http.Request) {
		debug, _ := strconv.Atoi(r.URL.Query().Get("debug")) // 0 is the form for go tool pprof
		contentType(w, name, debug == 0)
		_ = p.WriteTo(w, debug) // a client that has gone misses nothing
	}), true
}

func (s *Server) profiles(w http.ResponseWriter, _ *http.Request) {
	var b strings.Builder
	b.WriteString("profile?seconds=30\ntrace?seconds=1\n")
	for _, p := range pprof.Profiles() {
		fmt.Fprintf(&b, "%s\t%d\n", p.Name(), p.Count())
	}
	text(w, http.StatusOK, b.String())
}

func contentType(w http.ResponseWriter, name string, binary bool) {
	if !binary {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Disposition", `attachment; filename="`+name+`"`)
}

// timed collects for as many seconds as the query says, or until the client goes.
func (s *Server) timed(seconds int, start func(http.ResponseWriter) error, stop func()) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if q := r.URL.Query().Get("seconds"); q != "" {
			n, err := strconv.Atoi(q)
			if err != nil || n < 1 || n > profileSecondsMax {
				text(w, http.StatusBadRequest, fmt.Sprintf("seconds must be a number from 1 to %d\n", profileSecondsMax))
				return
			}
			seconds = n
		}
		if r.Method == http.MethodHead {
			return
		}
		span := time.Duration(seconds) * time.Second
		// The time-out of the server counts from the request; what is collected comes at the end.
		_ = http.NewResponseController(w).SetWriteDeadline(s.opts.Clock.Now().Add(span + writeTimeout)) // else it is the default
		contentType(w, "profile", true)
		if err := start(w); err != nil { // another one is under way
			text(w, http.StatusConflict, err.Error()+"\n")
			return
		}
		defer stop()
		select {
		case <-s.opts.Clock.After(span):
		case <-r.Context().Done():
		}
	}
}
