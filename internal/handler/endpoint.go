package handler

import (
	"slices"
	"strconv"
	"strings"

	"github.com/moldau/moldau/internal/config"
	"github.com/moldau/moldau/internal/metadata"
	"github.com/moldau/moldau/internal/protocol"
	"github.com/moldau/moldau/internal/server"
)

// endpoint returns where a client that came in by conn's listener reaches a broker. This broker, where nothing is advertised
// for that listener, is told at the address that the client reached it at, so that tunnels and other hosts work.
func (h *Handler) endpoint(b *metadata.Broker, conn *server.Conn) (host string, port int32, ok bool) {
	if b.ID == h.BrokerID {
		advertised := slices.ContainsFunc(h.Config.Advertised, func(l config.Listener) bool { return l.Name == conn.Listener() })
		if !advertised {
			return splitAddress(conn.LocalAddr().String())
		}
	}
	l, ok := b.Listener(conn.Listener())
	return l.Host, l.Port, ok
}

// reachable says whether endpoint has an answer, for less: Metadata asks for each partition.
func (h *Handler) reachable(b *metadata.Broker, conn *server.Conn) bool {
	if b.ID == h.BrokerID && !slices.ContainsFunc(h.Config.Advertised, func(l config.Listener) bool { return l.Name == conn.Listener() }) {
		return true // where the client has reached it
	}
	_, ok := b.Listener(conn.Listener())
	return ok
}

// forControllers says whether conn came in by a listener that controller.listener.names names.
func (h *Handler) forControllers(conn *server.Conn) bool {
	for i := range h.Controllers {
		if h.Controllers[i].Name == conn.Listener() {
			return true
		}
	}
	return false
}

// controllerEndpoint returns where a listener of this node for controllers is reached: where it is advertised, or else where the client has
// reached it, or could.
func (h *Handler) controllerEndpoint(l config.Listener, conn *server.Conn) (host string, port int32, ok bool) {
	for _, a := range h.Config.AdvertisedControllers {
		if a.Name == l.Name {
			return a.Host, int32(a.Port), true
		}
	}
	host, port, ok = splitAddress(conn.LocalAddr().String())
	if l.Name == conn.Listener() {
		return host, port, ok
	}
	if !l.Unspecified() {
		host = l.Host
	}
	return host, int32(l.Port), ok
}

func splitAddress(addr string) (host string, port int32, ok bool) {
	i := strings.LastIndexByte(addr, ':')
	if i < 0 {
		return "", 0, false
	}
	n, err := strconv.ParseInt(addr[i+1:], 10, 32)
	return strings.Trim(addr[:i], "[]"), int32(n), err == nil
}

// addEndpoint adds the address of a broker that a response sends the client to, once.
func (h *Handler) addEndpoint(nodes []protocol.NodeEndpoint, id int32, conn *server.Conn) []protocol.NodeEndpoint {
	if slices.ContainsFunc(nodes, func(n protocol.NodeEndpoint) bool { return n.ID == id }) {
		return nodes
	}
	b := h.Metadata.Image().Broker(id)
	if b == nil || b.Fenced {
		return nodes
	}
	host, port, ok := h.endpoint(b, conn)
	if !ok {
		return nodes
	}
	n := protocol.NodeEndpoint{ID: id, Host: host, Port: port}
	if b.Rack != "" {
		n.Rack = &b.Rack
	}
	return append(nodes, n)
}
