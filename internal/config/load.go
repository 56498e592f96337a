package config

import (
	"fmt"
	"slices"
	"strings"

	"github.com/moldau/moldau/internal/uuid"
)

// Sources is where settings come from. A flag beats the environment, the environment beats the file.
type Sources struct {
	FileName    string   // for messages
	File        []byte   // server.properties; nil if there is none
	Environment []string // NAME=VALUE, as os.Environ returns them
	Flags       Flags
}

// Flags are the settings of the serve command. An empty one is not set.
type Flags struct {
	Data   string // --data: log.dirs
	Listen string // --listen HOST:PORT: the one listener for clients
	Admin  string // --admin HOST:PORT: admin.listener
}

// setValue is one setting as a source gives it.
type setValue struct {
	key, text, origin string
}

func (v setValue) shown() string {
	if s := brokerIndex[v.key]; s != nil && s.Sensitive() || strings.Contains(v.key, "password") {
		return v.key + "=[hidden]"
	}
	return v.key + "=" + v.text
}

// Load reads all sources and checks them. The warnings are whole lines for the operator; an error is Problems or says why
// the file cannot be read.
func Load(src Sources) (*Config, []string, error) {
	l := loader{set: map[string]setValue{}, parsed: map[string]value{}}
	if src.File != nil {
		properties, err := parseProperties(string(src.File))
		if err != nil {
			return nil, nil, fmt.Errorf("read %s: %w", src.FileName, err)
		}
		for _, p := range properties {
			l.add(setValue{p.key, p.value, fmt.Sprintf("%s:%d", src.FileName, p.line)})
		}
	}
	env := readEnvironment(src.Environment)
	for _, v := range env.settings {
		l.add(v)
	}
	if src.Flags.Data != "" {
		l.add(setValue{"log.dirs", src.Flags.Data, "--data"})
	}
	if src.Flags.Admin != "" {
		l.add(setValue{"admin.listener", src.Flags.Admin, "--admin"})
	}
	l.parse()
	c := l.build(src.Flags.Listen)
	if env.clusterID != "" {
		if _, err := uuid.Parse(env.clusterID); err != nil {
			l.problems = append(l.problems, fmt.Errorf("CLUSTER_ID=%s: not a cluster id, which is 22 characters of URL-safe base64", env.clusterID))
		}
		c.ClusterID = env.clusterID
	}
	if len(l.problems) > 0 {
		return nil, nil, l.problems
	}
	return c, l.warnings(c, env.passed), nil
}

// loader collects settings and what is wrong with them.
type loader struct {
	order    []string            // keys as they were first set
	set      map[string]setValue // by key; a later source has replaced an earlier one
	parsed   map[string]value    // values of known settings that are sound
	problems Problems
	reasons  []string // of the problems, why alone
}

func (l *loader) add(v setValue) {
	if _, again := l.set[v.key]; !again {
		l.order = append(l.order, v.key)
	}
	l.set[v.key] = v
}

func (l *loader) fail(v setValue, why string) {
	l.problems = append(l.problems, fmt.Errorf("%s: %s: %s", v.origin, v.shown(), why))
}

// failKey is fail for a check that concerns a key which may be at its default.
func (l *loader) failKey(key, why string) {
	l.reasons = append(l.reasons, why)
	if v, ok := l.set[key]; ok {
		l.fail(v, why)
		return
	}
	l.problems = append(l.problems, fmt.Errorf("%s: %s", key, why))
}

func (l *loader) parse() {
	for i := range brokerTable {
		if s := &brokerTable[i]; !s.Unset {
			v, err := s.parse(s.Default)
			if err != nil {
				panic(fmt.Sprintf("default of %s: %v", s.Name, err)) // the table is wrong; a test reads every default
			}
			l.parsed[s.Name] = v
		}
	}
	for _, key := range l.order {
		v := l.set[key]
		s := brokerIndex[key]
		if s == nil {
			l.parseOther(v)
			continue
		}
		parsed, err := s.parse(v.text)
		switch {
		case err != nil:
			l.fail(v, err.Error())
		case s.turnsOn(parsed):
			l.fail(v, "this release does not serve it, so it refuses to start rather than ignore it")
		default:
			l.parsed[key] = parsed
		}
	}
}

// parseOther looks at a key that is not in the table.
func (l *loader) parseOther(v setValue) {
	s := listenerSetting(v.key)
	switch {
	case s != nil:
		parsed, err := s.parse(v.text)
		if err != nil {
			l.fail(v, err.Error())
		} else if s.turnsOn(parsed) {
			l.fail(v, "this release does not serve it, so it refuses to start rather than ignore it")
		}
	case known(v.key):
	default:
		why := "unknown setting"
		if near := nearest(v.key); near != "" {
			why += "; did you mean " + near + "?"
		}
		l.fail(v, why)
	}
}

// turnsOn says whether v asks for a feature that is refused: any value other than nothing and Kafka's default does.
func (s *Setting) turnsOn(v value) bool {
	if s.Class != Refused {
		return false
	}
	text := s.format(v)
	return text != "" && (s.Unset || text != s.Default)
}

// warnings says in one line each what is stored but does not act, what was passed over, and which doors are open.
func (l *loader) warnings(c *Config, passed []string) []string {
	var accepted, old, lines []string
	for _, key := range l.order {
		v, s := l.set[key], brokerIndex[key]
		switch where := fmt.Sprintf("%s (%s)", key, v.origin); {
		case s != nil && s.Class == Accepted, s == nil && !removed(key) && !actsForListener(key):
			accepted = append(accepted, where)
		case removed(key):
			old = append(old, where)
		}
	}
	line := func(what string, names []string) {
		if len(names) > 0 {
			lines = append(lines, what+": "+strings.Join(names, ", "))
		}
	}
	line("accepted, but nothing in this release acts on it", accepted)
	line("passed over, Kafka has no such setting any more", old)
	line("passed over, not a setting", passed)
	if at := c.Admin().Listener; at != nil && !at.Loopback() {
		lines = append(lines, fmt.Sprintf("admin.listener %s is open to other machines: metrics, with the names of topics and groups, and health are shown to whoever asks", at.Address()))
	}
	for _, at := range slices.Concat(c.Listeners, c.ControllerListeners) {
		if !at.Loopback() {
			lines = append(lines, fmt.Sprintf("listener %s is open to other machines and has neither TLS nor SASL", at))
		}
	}
	return lines
}
