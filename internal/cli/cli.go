// Package cli is the command line: a folder per noun, a file per verb. It owns flags, what is printed and the exit status; it
// talks to clusters as any client does, and knows of the broker only the function that runs it.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/moldau/moldau/internal/cli/broker"
	"github.com/moldau/moldau/internal/cli/client"
	"github.com/moldau/moldau/internal/cli/cluster"
	"github.com/moldau/moldau/internal/cli/complete"
	settings "github.com/moldau/moldau/internal/cli/config"
	"github.com/moldau/moldau/internal/cli/dev"
	"github.com/moldau/moldau/internal/cli/group"
	"github.com/moldau/moldau/internal/cli/log"
	"github.com/moldau/moldau/internal/cli/output"
	"github.com/moldau/moldau/internal/cli/quota"
	"github.com/moldau/moldau/internal/cli/topic"
	"github.com/moldau/moldau/internal/config"
)

// Broker runs a node until ctx ends and returns once it has stopped. What it prints, above all the line that it serves, goes
// to out.
type Broker func(ctx context.Context, cfg *config.Config, out io.Writer) error

// Process is what the command line gets from its process.
type Process struct {
	Args        []string // without the program's name
	Environment []string // NAME=VALUE
	In          io.Reader
	Out, Err    io.Writer
	Broker      Broker
}

// exitStatus is what an error may have that a script is to tell from others. It is not 0, and not 1.
type exitStatus interface{ ExitStatus() int }

// Main runs one command and returns the exit status: 0, or after an error, which it has printed, 1 or what the error says. When
// ctx ends, the command stops as cleanly as it can.
func Main(ctx context.Context, p Process) int {
	root := command(p)
	root.SetArgs(p.Args)
	root.SetIn(p.In)
	root.SetOut(p.Out)
	root.SetErr(p.Err)
	ran, err := root.ExecuteContextC(ctx)
	if err == nil || ctx.Err() != nil && isInterruption(err) {
		return 0
	}
	for line := range strings.SplitSeq(err.Error()+usage(ran, err), "\n") {
		fmt.Fprintf(p.Err, "moldau: %s\n", line)
	}
	var own exitStatus
	if errors.As(err, &own) {
		return own.ExitStatus()
	}
	return 1
}

// usage says how a command is called that was called wrongly, where the words of the library do not: they count arguments and name flags.
func usage(c *cobra.Command, err error) string {
	for _, begin := range []string{"requires at least ", "accepts ", "unknown flag: ", "unknown shorthand flag: ", "flag needs an argument: "} {
		if strings.HasPrefix(err.Error(), begin) {
			return "; it is called as \"" + c.UseLine() + "\", and --help says more"
		}
	}
	if strings.HasPrefix(err.Error(), "unknown command ") {
		return "; \"" + c.CommandPath() + " --help\" lists them"
	}
	return ""
}

func command(p Process) *cobra.Command {
	root := &cobra.Command{
		Use:           "moldau",
		Short:         "Moldau does Apache Kafka's job in one program",
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          cobra.NoArgs, // so that a mistyped command is an error and not the help text
		RunE:          func(c *cobra.Command, _ []string) error { return c.Help() },

		DisableSuggestions: true, // they take several lines
	}
	root.CompletionOptions.DisableDefaultCmd = true
	var to client.Options
	online := []*cobra.Command{topic.Command(&to), group.Command(&to), settings.Command(&to), quota.Command(&to), cluster.Command(&to), broker.Command(&to), produceCommand(&to), consumeCommand(&to)}
	for _, c := range online {
		to.Flags(c.PersistentFlags())
	}
	root.AddCommand(online...)
	root.AddCommand(serveCommand(p), dev.Command(dev.Options{Environment: p.Environment}), log.Command(), versionCommand(), completionCommand())
	completeFormats(root)
	return root
}

// completeFormats completes --format where it has no words of its own.
func completeFormats(c *cobra.Command) {
	for _, sub := range c.Commands() {
		completeFormats(sub)
	}
	if f := c.Flags().Lookup("format"); f != nil {
		if _, own := c.GetFlagCompletionFunc("format"); !own {
			_ = c.RegisterFlagCompletionFunc("format", complete.Words(output.Formats...))
		}
	}
}
