package cli

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/moldau/moldau/internal/cli/dev"
	"github.com/moldau/moldau/internal/config"
)

func serveCommand(p Process) *cobra.Command {
	var flags config.Flags
	var file string
	var input bool
	c := &cobra.Command{
		Use:   "serve",
		Short: "Run a node: broker and controller in one",
		Long: `Run a node: broker and controller in one. Without flags it keeps its data in ./moldau-data and listens on
127.0.0.1:9092. SIGTERM, SIGINT or SIGHUP stops it cleanly; another one, a second or more later, ends it at once.`,
		Example: `  moldau serve
  moldau serve --data /var/lib/moldau --listen 0.0.0.0:9092
  moldau serve --admin 127.0.0.1:9644
  moldau serve --config server.properties`,
		Args: cobra.NoArgs,
	}
	c.Flags().StringVar(&flags.Data, "data", "", "directory of the data; several separated by commas (setting log.dirs)")
	c.Flags().StringVar(&flags.Listen, "listen", "", "HOST:PORT to listen on; port 0 takes any (setting listeners)")
	c.Flags().StringVar(&flags.Admin, "admin", "", "HOST:PORT for metrics and health over HTTP; none without it (setting admin.listener)")
	c.Flags().StringVar(&file, "config", "", "settings in the format of Kafka's server.properties; KAFKA_* variables count too")
	c.Flags().BoolVar(&input, "until-input-ends", false, "stop cleanly when the standard input ends, as it does with the process that started this one")
	_ = c.Flags().MarkHidden("until-input-ends") // for "moldau dev"
	c.RunE = func(c *cobra.Command, _ []string) error {
		for _, name := range []string{"data", "listen", "admin", "config"} {
			if f := c.Flags().Lookup(name); f.Changed && f.Value.String() == "" {
				return fmt.Errorf("--%s: is empty; leave it out for the default", name)
			}
		}
		src := config.Sources{FileName: file, Environment: p.Environment, Flags: flags}
		if file != "" {
			data, err := os.ReadFile(file)
			if err != nil {
				return fmt.Errorf("read settings: %w", err)
			}
			src.File = data
		}
		cfg, warnings, err := config.Load(src)
		if err != nil {
			return err
		}
		for _, w := range warnings {
			fmt.Fprintf(c.ErrOrStderr(), "moldau: warning: %s\n", w)
		}
		if p.Broker == nil {
			return errors.New("this program was built without a broker")
		}
		ctx := c.Context()
		if input {
			var end context.CancelFunc
			ctx, end = dev.UntilEnd(ctx, c.InOrStdin())
			defer end()
		}
		return p.Broker(ctx, cfg, c.OutOrStdout())
	}
	return c
}

// isInterruption says whether err is no more than the end of the context, which the operator asked for.
func isInterruption(err error) bool { return errors.Is(err, context.Canceled) }
