//go:build !unix

package cli

func isClosedPipe(error) bool { return false }

func heedPipe() func() { return func() {} }
