package config

import (
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
)

// Listener is one address to open or to tell to clients.
type Listener struct {
	Name     string // upper case, as in listener.security.protocol.map
	Protocol string // PLAINTEXT in this release
	Host     string // empty for every interface; an IPv6 address has no brackets
	Port     int    // 0 for any
}

// Address returns HOST:PORT as the network seam takes it.
func (l Listener) Address() string {
	if strings.Contains(l.Host, ":") {
		return fmt.Sprintf("[%s]:%d", l.Host, l.Port)
	}
	return fmt.Sprintf("%s:%d", l.Host, l.Port)
}

// Unspecified says whether the listener is open on every interface.
func (l Listener) Unspecified() bool {
	a, err := netip.ParseAddr(l.Host)
	return l.Host == "" || err == nil && a.IsUnspecified()
}

func (l Listener) String() string { return l.Name + "://" + l.Address() }

// Loopback says whether only this machine can reach the listener.
func (l Listener) Loopback() bool {
	if strings.EqualFold(l.Host, "localhost") {
		return true
	}
	a, err := netip.ParseAddr(l.Host)
	return err == nil && a.Unmap().IsLoopback()
}

// Voter is one entry of controller.quorum.voters.
type Voter struct {
	ID   int32
	Host string
	Port int
}

// Address returns HOST:PORT as the network seam takes it.
func (v Voter) Address() string { return Listener{Host: v.Host, Port: v.Port}.Address() }

var endpoint = regexp.MustCompile(`^(.*)://\[?([0-9a-zA-Z\-%._:]*)\]?:([0-9]+)$`)

// parseListeners reads a list of NAME://HOST:PORT and gives each its protocol. Its texts are Kafka's.
func parseListeners(texts []string, protocols map[string]string) ([]Listener, error) {
	fail := func(format string, args ...any) ([]Listener, error) {
		return nil, errorf("Error creating broker listeners from '[%s]': %s", strings.Join(texts, ", "), fmt.Sprintf(format, args...))
	}
	all := make([]Listener, 0, len(texts))
	for _, text := range texts {
		m := endpoint.FindStringSubmatch(text)
		if m == nil {
			return fail("Unable to parse %s to a broker endpoint", text)
		}
		l := Listener{Name: strings.ToUpper(m[1]), Host: m[2]}
		port, err := strconv.ParseUint(m[3], 10, 16)
		if err != nil {
			return fail("Port %s of %s is not between 0 and 65535", m[3], text)
		}
		l.Port = int(port)
		if l.Protocol = protocols[l.Name]; l.Protocol == "" {
			return fail("No security protocol defined for listener %s", l.Name)
		}
		for _, other := range all {
			if other.Name == l.Name {
				return fail("Each listener must have a different name, listeners: %s", "["+strings.Join(texts, ", ")+"]")
			}
		}
		all = append(all, l)
	}
	return all, nil
}

// samePort finds two listeners that want one port. One for IPv4 and one for IPv6 may share it.
func samePort(all []Listener) bool {
	for i, a := range all {
		for _, b := range all[:i] {
			if a.Port == b.Port && a.Port != 0 && !differentFamilies(a.Host, b.Host) {
				return true
			}
		}
	}
	return false
}

func differentFamilies(a, b string) bool {
	x, errX := netip.ParseAddr(a)
	y, errY := netip.ParseAddr(b)
	return errX == nil && errY == nil && x.Is4() != y.Is4()
}

// parseProtocols reads listener.security.protocol.map.
func parseProtocols(text string) (map[string]string, error) {
	protocols := map[string]string{}
	for _, entry := range splitList(strings.TrimSpace(text)) {
		at := strings.LastIndexByte(entry, ':')
		if at < 0 {
			return nil, errorf("Error parsing configuration property 'listener.security.protocol.map': %s has no colon", entry)
		}
		name, protocol := strings.ToUpper(strings.TrimSpace(entry[:at])), strings.TrimSpace(entry[at+1:])
		switch protocol {
		case "PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL":
			protocols[name] = protocol
		default:
			return nil, errorf("Invalid security protocol `%s` defined in listener.security.protocol.map", protocol)
		}
	}
	return protocols, nil
}

func parseVoters(texts []string) ([]Voter, error) {
	voters := make([]Voter, 0, len(texts))
	for _, text := range texts {
		id, address, ok := strings.Cut(text, "@")
		if !ok {
			return nil, errorf("Invalid configuration value for controller.quorum.voters. Each entry should be in the form `{id}@{host}:{port}`.")
		}
		n, err := strconv.ParseInt(id, 10, 32)
		if err != nil {
			return nil, errorf("Failed to parse voter ID as an integer from %s", id)
		}
		host, port, err := splitAddress(address)
		if err != nil {
			return nil, errorf("Failed to parse host name from %s for the configuration controller.quorum.voters. Each entry should be in the form `{id}@{host}:{port}`", text)
		}
		voters = append(voters, Voter{int32(n), host, port})
	}
	return voters, nil
}

func splitAddress(text string) (host string, port int, err error) {
	at := strings.LastIndexByte(text, ':')
	if at <= 0 {
		return "", 0, fmt.Errorf("%q is not HOST:PORT", text)
	}
	n, err := strconv.ParseUint(text[at+1:], 10, 16)
	if err != nil {
		return "", 0, fmt.Errorf("%q is not HOST:PORT", text)
	}
	return strings.Trim(text[:at], "[]"), int(n), nil
}
