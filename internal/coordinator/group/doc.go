// Package group is the machine of consumer groups: who is a member, who leads, which generation it is, and which offsets are
// committed. It is pure: (state, request, now) to (records, response). It owns the rules of classic groups and of offsets and the
// format of __consumer_offsets; it knows no log, no clock, no connection and no version of the protocol.
package group
