// Package log is "moldau log": reading the files of a data directory, Moldau's or Apache Kafka's, without a broker. It owns
// what is printed; it never writes to a file it reads.
package log

import "github.com/spf13/cobra"

// Command returns "moldau log".
func Command() *cobra.Command {
	c := &cobra.Command{
		Use:   "log",
		Short: "Look into the files of a data directory",
	}
	return c
}
