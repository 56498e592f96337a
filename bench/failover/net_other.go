//go:build !linux

package main

import (
	"context"
	"errors"

	"github.com/moldau/moldau/bench/node"
)

// net is the brokers' network, which can be cut on Linux alone.
type net struct{}

var errNoNamespaces = errors.New("links can be cut only on Linux, which has network namespaces")

func inside() bool { return false }

func enter(context.Context) error             { return errNoNamespaces }
func newNet([]node.Place) (*net, error)       { return nil, errNoNamespaces }
func (n *net) link(broker int, up bool) error { return errNoNamespaces }
func (n *net) close()                         {}
