// Package dev is "moldau dev": a cluster for a developer. Each broker is a process of its own, so that one can be killed, frozen and started
// again while the others go on. It owns their ports, directories and lives; what a broker does, it does by itself.
package dev

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/moldau/moldau/internal/cli/complete"
	"github.com/moldau/moldau/internal/cli/output"
)

// Options are what the command gets from its process.
type Options struct {
	Environment []string               // NAME=VALUE, of which the brokers get all but what is decided here
	Executable  func() (string, error) // the program that the brokers run; default os.Executable
}

// brokersMax bounds what one machine is asked to run.
const brokersMax = 20

// Command returns "moldau dev".
func Command(opts Options) *cobra.Command {
	if opts.Executable == nil {
		opts.Executable = os.Executable
	}
	var r runner
	var settings []string
	var input bool
	c := &cobra.Command{
		Use:   "dev",
		Short: "Run a whole cluster on this machine, to develop against and to break",
		Long: `Run a whole cluster on this machine, to develop against and to break: broker and controller in each of its processes. The first broker
takes --port, where the other commands look for one, the others the ports after it, their controllers those after these.

Each broker can be killed (kill -9 PID), frozen (kill -STOP PID, and kill -CONT PID) or stopped (kill PID) while the others go on.
"moldau serve --config DIRECTORY/server.properties" starts it again, or this command does by itself with --restart-after; "moldau
cluster" shows what becomes of its partitions. What a broker says of itself is in DIRECTORY/log.

With three brokers or more, topics that nobody gave a number have three replicas, and acks=all means two of them at least. The data is
removed at the end unless --data names a place for it. Ctrl-C, SIGTERM or SIGHUP stops all brokers cleanly; so does the end of this
process, however it comes.`,
		Example: `  moldau dev
  moldau dev --brokers 3
  moldau dev --brokers 3 --data ./cluster --restart-after 5s
  moldau dev --brokers 3 --port 0 --format json
  moldau dev --set log.retention.ms=60000`,
		Args: cobra.NoArgs,
	}
	c.Flags().IntVar(&r.brokers, "brokers", 1, "how many brokers; of a cluster in --data, as many as it has")
	c.Flags().IntVar(&r.port, "port", 9092, "port of the first broker; 0 takes ports that are free")
	c.Flags().StringVar(&r.data, "data", "", "directory of a cluster that stays (default a temporary one, removed at the end)")
	c.Flags().DurationVar(&r.restart, "restart-after", 0, "start a broker again so long after its end (default never)")
	c.Flags().StringArrayVar(&settings, "set", nil, "SETTING=VALUE for all brokers; may be repeated")
	c.Flags().BoolVar(&input, "until-input-ends", false, "stop also when the standard input ends, as it does with a script that keeps it open")
	format := output.Flag(c.Flags())
	for _, name := range []string{"brokers", "port", "restart-after", "set"} {
		_ = c.RegisterFlagCompletionFunc(name, complete.Nothing)
	}
	c.RunE = func(c *cobra.Command, _ []string) (err error) {
		switch {
		case r.brokers < 1 || r.brokers > brokersMax:
			return fmt.Errorf("--brokers %d: want 1 to %d", r.brokers, brokersMax)
		case r.port < 0 || r.port > 65535:
			return fmt.Errorf("--port %d: want a port, or 0 for any that are free", r.port)
		case r.restart < 0:
			return fmt.Errorf("--restart-after %v: want a time, such as 5s", r.restart)
		case strings.Contains(r.data, ","):
			return fmt.Errorf("--data %s: want one directory, without a comma in its name", r.data)
		case c.Flags().Lookup("data").Changed && r.data == "":
			return errors.New("--data: is empty; leave it out for a temporary directory")
		}
		var warnings []string
		if r.settings, err = parseSettings(settings); err != nil {
			return err
		}
		r.environment, warnings = withoutOwn(opts.Environment)
		r.counted, r.format, r.out, r.notes = c.Flags().Lookup("brokers").Changed, *format, c.OutOrStdout(), c.ErrOrStderr()
		for _, w := range warnings {
			r.note("warning: %s", w)
		}
		if r.exe, err = opts.Executable(); err != nil {
			return fmt.Errorf("find the program that the brokers are to run: %w", err)
		}
		ctx := c.Context()
		if input {
			var end context.CancelFunc
			ctx, end = UntilEnd(ctx, c.InOrStdin())
			defer end()
		}
		return r.run(ctx)
	}
	return c
}

// runner is one run of the command.
type runner struct {
	brokers     int
	counted     bool // brokers is what the user said
	port        int
	data        string
	restart     time.Duration // 0: never
	settings    []setting
	environment []string
	exe         string
	format      output.Format
	out, notes  io.Writer

	dir     string // absolute
	nodes   []node
	running []*process // by node; nil after its end
}

func (r *runner) note(format string, args ...any) {
	fmt.Fprintf(r.notes, "moldau: "+format+"\n", args...)
}

func (r *runner) run(ctx context.Context) (err error) {
	leave, err := r.enter()
	if err != nil {
		return err
	}
	defer func() {
		if last := leave(); err == nil {
			err = last
		}
	}()
	if err := r.plan(); err != nil {
		return err
	}
	r.running = make([]*process, len(r.nodes))
	defer r.stop()
	for i, n := range r.nodes {
		if r.running[i], err = start(r.exe, r.environment, n); err != nil {
			return err
		}
	}
	if err := r.awaitAll(ctx); err != nil {
		return err
	}
	if err := r.print(); err != nil {
		return err
	}
	return r.watch(ctx)
}

// startTimeout is how long all brokers together may take to serve.
const startTimeout = 60 * time.Second

// awaitAll returns when every broker serves.
func (r *runner) awaitAll(ctx context.Context) error {
	late := time.After(startTimeout)
	for _, p := range r.running {
		select {
		case <-p.ready:
		case <-p.ended:
			return fmt.Errorf("broker %d did not start: %w%s", p.node.id, p.err, p.node.lastWords())
		case <-late:
			return fmt.Errorf("broker %d does not serve after %v%s", p.node.id, startTimeout, p.node.lastWords())
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// line is what is said of a broker that serves.
type line struct {
	ID         int    `json:"id"`
	Address    string `json:"address"`
	Controller string `json:"controller,omitempty"` // where the node is reached as a controller
	PID        int    `json:"pid"`
	Directory  string `json:"directory"` // of data, server.properties and log
}

func (r *runner) print() error {
	list := output.List{Heading: []string{"BROKER", "ADDRESS", "CONTROLLER", "PID", "DIRECTORY"}}
	var lines []line
	var addresses []string
	for _, p := range r.running {
		l := line{p.node.id, p.node.address(), p.node.controllerAddress(), p.cmd.Process.Pid, p.node.dir}
		lines, addresses = append(lines, l), append(addresses, l.Address)
		list.Rows = append(list.Rows, []string{fmt.Sprint(l.ID), l.Address, output.Text(l.Controller), fmt.Sprint(l.PID), l.Directory})
	}
	bootstrap := strings.Join(addresses, ",")
	list.Document = struct {
		Bootstrap string `json:"bootstrap"`
		Brokers   []line `json:"brokers"`
	}{bootstrap, lines}
	if err := list.Print(r.out, r.format); err != nil || r.format != output.Table {
		return err
	}
	serve, after := "broker serves", "the data is removed at the end"
	if len(lines) > 1 {
		serve = fmt.Sprintf("%d brokers serve", len(lines))
	}
	if r.data != "" {
		after = "the data stays in " + r.dir
	}
	_, err := fmt.Fprintf(r.out, "moldau: %s on %s; %s\n", serve, bootstrap, after)
	if bootstrap != "127.0.0.1:9092" && err == nil {
		_, err = fmt.Fprintf(r.out, "moldau: other commands find it with: export MOLDAU_BOOTSTRAP=%s\n", bootstrap)
	}
	return err
}

// watch tells of brokers that end, until ctx does.
func (r *runner) watch(ctx context.Context) error {
	ended := make(chan int)
	due := make(chan int)
	quit := make(chan struct{})
	defer close(quit)
	tell := func(to chan<- int, i int) {
		select {
		case to <- i:
		case <-quit:
		}
	}
	follow := func(i int) {
		p := r.running[i]
		go func() { <-p.ended; tell(ended, i) }()
	}
	for i := range r.running {
		follow(i)
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case i := <-ended:
			p := r.running[i]
			r.running[i] = nil
			r.tellEnd(p)
			if r.restart > 0 {
				time.AfterFunc(r.restart, func() { tell(due, i) })
			} else if r.none() {
				return errors.New("no broker is left of those that this command has started")
			}
		case i := <-due:
			p, err := start(r.exe, r.environment, r.nodes[i])
			if err != nil {
				return err
			}
			r.running[i] = p
			r.note("broker %d is started again, pid %d", p.node.id, p.cmd.Process.Pid)
			follow(i)
		}
	}
}

func (r *runner) none() bool {
	for _, p := range r.running {
		if p != nil {
			return false
		}
	}
	return true
}

// tellEnd says how a broker ended, and how it comes back.
func (r *runner) tellEnd(p *process) {
	how := "it was stopped"
	if p.err != nil {
		how = p.err.Error()
	}
	if p.failed() {
		how += p.node.lastWords()
	}
	then := fmt.Sprintf("start it again with: %s serve --config %s", r.exe, p.node.file())
	if r.restart > 0 {
		then = fmt.Sprintf("it is started again in %v", r.restart)
	}
	r.note("broker %d, pid %d, has ended: %s; %s", p.node.id, p.cmd.Process.Pid, how, then)
}

// stopTimeout is how long brokers may take to stop cleanly before they are killed.
const stopTimeout = 20 * time.Second

// stop ends all brokers, at the same time: cleanly, and if that takes too long, without.
func (r *runner) stop() {
	late := time.After(stopTimeout)
	for _, p := range r.running {
		if p != nil {
			p.ask()
		}
	}
	for _, p := range r.running {
		if p == nil {
			continue
		}
		select {
		case <-p.ended:
		case <-late:
			r.note("broker %d does not stop and is killed", p.node.id)
			_ = p.cmd.Process.Kill()
			<-p.ended
			late = time.After(0)
		}
	}
}
