package network

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// resolveMax bounds one look-up of a host's name.
const resolveMax = 3 * time.Second

// Loopback says whether an address, HOST:PORT with a literal host, is one that only this machine has.
func Loopback(addr string) bool {
	at, err := netip.ParseAddrPort(addr)
	return err == nil && at.Addr().Unmap().IsLoopback()
}

// Resolve returns the address that a name stands for: a literal in the forms that Java knows, at once, or a host's name, of whose
// addresses an IPv4 one is preferred. Addresses have no zone, and those of IPv4 the short form.
func Resolve(ctx context.Context, name string) (netip.Addr, error) {
	if a, ok := literal(name); ok {
		return a, nil
	}
	if !couldBeHost(name) {
		return netip.Addr{}, fmt.Errorf("resolve %q: neither an address nor the name of a host", name)
	}
	ctx, cancel := context.WithTimeout(ctx, resolveMax)
	defer cancel()
	all, err := net.DefaultResolver.LookupNetIP(ctx, "ip", name)
	if err != nil {
		return netip.Addr{}, fmt.Errorf("resolve %q: %w", name, err)
	}
	for _, a := range all {
		if a = a.Unmap(); a.Is4() {
			return a, nil
		}
	}
	if len(all) == 0 {
		return netip.Addr{}, fmt.Errorf("resolve %q: no address", name)
	}
	return all[0].WithZone(""), nil
}

// literal reads an address: IPv6, also in brackets and with a zone of this machine, or one to four decimal numbers of IPv4, the last of
// which fills what is left of the 32 bits.
func literal(name string) (netip.Addr, bool) {
	if inner, ok := strings.CutPrefix(name, "["); ok {
		if inner, ok = strings.CutSuffix(inner, "]"); !ok {
			return netip.Addr{}, false
		}
		name = inner
	} else if a, ok := literal4(name); ok {
		return a, true
	}
	a, err := netip.ParseAddr(name)
	if err != nil || a.Is4() {
		return netip.Addr{}, false
	}
	if zone := a.Zone(); zone != "" {
		if _, err := strconv.ParseUint(zone, 10, 31); err != nil {
			if _, err := net.InterfaceByName(zone); err != nil {
				return netip.Addr{}, false
			}
		}
	}
	return a.WithZone("").Unmap(), true
}

func literal4(name string) (netip.Addr, bool) {
	parts := strings.Split(name, ".")
	if len(name) > len("255.255.255.255") || len(parts) > 4 {
		return netip.Addr{}, false
	}
	var bits uint32
	for i, p := range parts {
		size := 8
		if i == len(parts)-1 {
			size = 32 - 8*i
		}
		n, err := strconv.ParseUint(p, 10, size)
		if err != nil {
			return netip.Addr{}, false
		}
		bits = bits<<size | uint32(n) // size is 32 at most where there is one part, and bits zero then
	}
	return netip.AddrFrom4([4]byte{byte(bits >> 24), byte(bits >> 16), byte(bits >> 8), byte(bits)}), true
}

// couldBeHost says whether it is worth asking for a name. RFC 6761 lets nothing under "invalid" exist.
func couldBeHost(name string) bool {
	if len(name) > 253 || strings.HasSuffix(name, ".invalid") || strings.TrimLeft(name, "0123456789.") == "" {
		return false
	}
	for label := range strings.SplitSeq(strings.TrimSuffix(name, "."), ".") {
		if label == "" || len(label) > 63 || label[0] == '-' {
			return false
		}
		for _, c := range label {
			if c != '-' && c != '_' && (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
				return false
			}
		}
	}
	return true
}
