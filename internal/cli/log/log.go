// Package log is "moldau log": reading the files of a data directory, Moldau's or Apache Kafka's, without a broker. It owns
// what is printed; it never writes to a file it reads. Snapshots, lists of aborted transactions and journals are decoded here a
// second time, straight from their documented formats, so that the tool shows what lies on the disk and not what the broker
// would make of it.
package log

import "github.com/spf13/cobra"

// Command returns "moldau log".
func Command() *cobra.Command {
	c := &cobra.Command{
		Use:   "log",
		Short: "Look into the files of a data directory",
		Args:  cobra.NoArgs,
		RunE:  func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(dumpCommand(), verifyCommand())
	return c
}
