// Package broker assembles a node: it builds every part, starts and stops them in order, and lets the partition replicas follow
// the metadata. It decides nothing: what a part does, it does by itself.
package broker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/moldau/moldau/internal/admin"
	"github.com/moldau/moldau/internal/clock"
	"github.com/moldau/moldau/internal/commitlog"
	"github.com/moldau/moldau/internal/config"
	"github.com/moldau/moldau/internal/controller"
	"github.com/moldau/moldau/internal/fetcher"
	"github.com/moldau/moldau/internal/handler"
	"github.com/moldau/moldau/internal/logdir"
	"github.com/moldau/moldau/internal/memory"
	"github.com/moldau/moldau/internal/metadata"
	"github.com/moldau/moldau/internal/network"
	"github.com/moldau/moldau/internal/quorum"
	"github.com/moldau/moldau/internal/quota"
	"github.com/moldau/moldau/internal/random"
	"github.com/moldau/moldau/internal/repair"
	"github.com/moldau/moldau/internal/server"
	"github.com/moldau/moldau/internal/uuid"
	"github.com/moldau/moldau/internal/vfs"
)

// Options configures a Broker. A zero field means its default.
type Options struct {
	Config  *config.Config  // default config.Default()
	FS      vfs.FS          // default vfs.OS
	Clock   clock.Clock     // default clock.Real
	Random  random.Source   // default random.Real
	Network network.Network // default network.OS
	Log     *slog.Logger    // default: discards
}

func (o Options) withDefaults() Options {
	if o.Config == nil {
		o.Config = config.Default()
	}
	if o.FS == nil {
		o.FS = vfs.OS
	}
	if o.Clock == nil {
		o.Clock = clock.Real
	}
	if o.Random == nil {
		o.Random = random.Real
	}
	if o.Network == nil {
		o.Network = network.OS
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

// quorumDir is the folder of the metadata quorum in the metadata directory.
const quorumDir = "quorum"

// stopTimeout is how long a stop waits for requests under way.
const stopTimeout = 5 * time.Second

// hangs is how long a call of the disk may take, while the node stops, before its disk is taken for one that will not answer.
const hangs = 30 * time.Second

// Broker is a running node.
type Broker struct {
	opts        Options
	dirs        []*logdir.Dir
	absent      []absentDir // data directories that the node was started without
	live        *liveConfig
	logLevel    *slog.LevelVar      // of opts.Log
	cleaning    chan config.Cleaner // settings of the cleaner that it has not taken up yet
	publisher   *metadata.Publisher
	quorum      *quorum.Node // of a node that is alone
	quorumLock  io.Closer
	control     handler.Controller // changes the cluster's metadata
	state       handler.Quorum
	incarnation uuid.UUID
	clusterID   string   // of a cluster that was joined before the data directories were opened
	together    together // the other nodes, where the configuration names any
	replicas    *replicas
	fetcher     *fetcher.Fetcher // of one of several nodes
	groups      *groups
	quotas      *quota.Clients
	connections *quota.Connections
	hosts       hosts      // whose addresses are looked up
	limiting    sync.Mutex // held while the server is told of limits
	handler     *handler.Handler
	server      *server.Server
	serverNow   atomic.Pointer[server.Server] // server, for those who do not wait for the start
	listeners   []boundListener               // for clients and brokers
	controllers []boundListener               // for controllers, and for tools that ask them
	counts      counts
	memory      *memory.Keeper // runs where the process has nothing but the node
	repairs     *repair.Repairer

	admin       *admin.Server // nil where the configuration opens none
	adminSocket network.Listener
	watching    sync.WaitGroup // the admin server
	startedAt   time.Time
	up          atomic.Bool // all parts above are there; until then nobody but Start touches them
	stopping    atomic.Bool
	stage       atomic.Pointer[stage] // of a stop
	hangs       time.Duration         // the constant, but in tests

	failed context.Context // ends, with the cause, when the node must not go on
	fail   context.CancelCauseFunc
	lost   chan lostDir // directories that went offline

	upkeep     sync.WaitGroup // the controller's loop of a node that is alone, the retention tick, who hears of lost directories
	stopUpkeep context.CancelFunc
	voting     sync.WaitGroup // the quorum
	stopVoting context.CancelFunc
	serving    sync.WaitGroup // acceptors
}

// lostDir is a data directory, by its number, that is offline for good.
type lostDir struct {
	dir int
	err error
}

// boundListener is a listener of the configuration with its socket.
type boundListener struct {
	config.Listener
	socket network.Listener
}

// Run runs a node until ctx ends, and returns once it has stopped cleanly, or says why it could not start or go on. It prints one
// line to out when it serves.
func Run(ctx context.Context, cfg *config.Config, out io.Writer, log *slog.Logger) error {
	vfs.KeepSpare(spareFiles)
	started := memory.CollectSooner()
	b, err := startUntil(ctx, Options{Config: cfg, Log: log})
	started()
	if err != nil && ctx.Err() != nil {
		return nil // it was stopped while it waited for others
	}
	if err != nil {
		return err
	}
	if at := b.Addresses(); len(at) > 0 {
		fmt.Fprintf(out, "moldau: broker %d serves on %s\n", cfg.NodeID, strings.Join(at, ", "))
	}
	if at := b.ControllerAddresses(); len(at) > 0 {
		fmt.Fprintf(out, "moldau: controller %d serves on %s\n", cfg.NodeID, strings.Join(at, ", "))
	}
	if at := b.AdminAddress(); at != "" {
		fmt.Fprintf(out, "moldau: metrics and health on http://%s\n", at)
	}
	idle, stop := context.WithCancel(ctx)
	var tidying sync.WaitGroup
	tidying.Go(func() { b.memory.Run(idle) })
	defer tidying.Wait()
	defer stop()
	return b.until(ctx)
}

// until stops the node when ctx ends, or when it must not go on.
func (b *Broker) until(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return b.stopInTime()
	case <-b.failed.Done():
		b.giveUp()
		return context.Cause(b.failed)
	}
}

// stopInTime is Stop that does not wait for a disk which does not answer: what was acknowledged is safe, and the next start recovers.
func (b *Broker) stopInTime() error {
	done := make(chan error, 1)
	go func() { done <- b.Stop() }()
	for {
		select {
		case err := <-done:
			return err
		case <-b.opts.Clock.After(time.Second):
		}
		for _, d := range b.dirs {
			if waits := d.Waiting(); waits >= b.hangs {
				return fmt.Errorf("stop: the disk of %s does not answer, a call has been waiting for %s; the next start recovers the directory", d.Path(), waits.Round(time.Second))
			}
		}
		if s := b.stage.Load(); s != nil {
			if took := b.opts.Clock.Now().Sub(s.since); took >= s.grace+b.hangs {
				return fmt.Errorf("stop: a disk does not answer, it takes %s already to %s; the next start recovers what is left", took.Round(time.Second), s.what)
			}
		}
	}
}

// stage is a part of a stop in which nobody watches the calls of the disk, and which has an end of its own.
type stage struct {
	what  string
	since time.Time
	grace time.Duration // that it may take where every disk answers
}

// enter begins a stage of the stop; with nothing it ends one.
func (b *Broker) enter(what string, grace time.Duration) {
	if what == "" {
		b.stage.Store(nil)
		return
	}
	b.stage.Store(&stage{what, b.opts.Clock.Now(), grace})
}

// giveUp is Abort that does not wait for ever: what panicked may have left locks behind that a stop needs.
func (b *Broker) giveUp() {
	done := make(chan struct{})
	go func() {
		defer close(done)
		b.Abort()
	}()
	select {
	case <-done:
	case <-b.opts.Clock.After(2 * stopTimeout):
		b.opts.Log.Error("stop: parts of the broker do not end and are left behind")
	}
}

// Start builds and starts a node. When it returns without an error the node serves.
func Start(opts Options) (*Broker, error) { return startUntil(context.Background(), opts) }

// startUntil is Start that ends with ctx: a node of several waits for others.
func startUntil(ctx context.Context, opts Options) (_ *Broker, err error) {
	b := &Broker{opts: opts.withDefaults(), hangs: hangs}
	b.startedAt = b.opts.Clock.Now()
	b.incarnation = uuid.New(b.opts.Random)
	b.opts.Log, b.logLevel = withLevel(b.opts.Log)
	b.failed, b.fail = context.WithCancelCause(context.Background())
	b.live = newLiveConfig(b.opts.Config, b.opts.Log, b.settingsChanged)
	b.quotas, b.connections = quota.NewClients(quotaOptions(b.opts)), quota.NewConnections(quotaOptions(b.opts))
	b.memory = memory.New(memory.Options{Clock: b.opts.Clock, Log: b.opts.Log, StateMax: b.opts.Config.StateMaxBytes, Requests: b.requestMemory})
	b.hosts.start(b.opts.Log)
	b.cleaning = make(chan config.Cleaner, 1)
	b.lost = make(chan lostDir, len(b.opts.Config.LogDirs)) // each tells once, and must not wait
	defer func() {
		if err != nil {
			b.Abort()
		}
	}()
	defer context.AfterFunc(ctx, func() { b.fail(context.Cause(ctx)) })()
	for _, step := range b.steps() {
		if err := step(); err != nil {
			return nil, err
		}
	}
	b.up.Store(true)
	return b, nil
}

// steps are those of a start, in their order.
func (b *Broker) steps() []func() error {
	switch cfg := b.opts.Config; {
	case cfg.Alone():
		return []func() error{b.listenAdmin, b.listen, b.openDirs, b.startQuorum, b.register, b.startReplicas, b.serve}
	case !cfg.Broker:
		return []func() error{b.listenAdmin, b.listen, b.join, b.openDirs, b.host, b.serve}
	}
	return []func() error{b.listenAdmin, b.listen, b.join, b.openDirs, b.host, b.enroll, b.startReplicas, b.serve, b.beat}
}

// Addresses returns where clients reach the node, one for each listener.
func (b *Broker) Addresses() []string { return addresses(b.listeners) }

// ControllerAddresses returns where the node is reached as a controller, one for each listener that controller.listener.names names.
func (b *Broker) ControllerAddresses() []string { return addresses(b.controllers) }

func addresses(bound []boundListener) []string {
	var all []string
	for _, l := range bound {
		all = append(all, l.socket.Addr().String())
	}
	return all
}

// Failed ends when the node must not go on; its cause says why.
func (b *Broker) Failed() context.Context { return b.failed }

// listen takes the ports before anything on the disk is touched.
func (b *Broker) listen() error {
	for _, group := range []struct {
		of []config.Listener
		to *[]boundListener
	}{{b.opts.Config.Listeners, &b.listeners}, {b.opts.Config.ControllerListeners, &b.controllers}} {
		for _, l := range group.of {
			socket, err := b.opts.Network.Listen(context.Background(), l.Address())
			if err != nil {
				return fmt.Errorf("listen on %s: %w", l.Address(), err)
			}
			*group.to = append(*group.to, boundListener{l, socket})
		}
	}
	return nil
}

// lookAtDirs refuses Kafka's directories, and those of several clusters, before anything is touched, and finds those that cannot be read. It returns the
// cluster that the others belong to, "" if they are new.
func (b *Broker) lookAtDirs() (cluster string, err error) {
	cfg := b.opts.Config
	if err := logdir.RefuseKafka(b.opts.FS, cfg.MetadataLogDir); err != nil {
		return "", err
	}
	cluster = cfg.ClusterID
	for _, path := range cfg.LogDirs {
		own, err := "", logdir.RefuseKafka(b.opts.FS, path)
		if err == nil {
			own, err = logdir.ReadClusterID(b.opts.FS, path)
		}
		if err != nil && !b.passOver(path, err) {
			return "", err
		}
		if cluster != "" && own != "" && own != cluster {
			return "", fmt.Errorf("data directory %s belongs to cluster %s, not to %s", path, own, cluster)
		}
		cluster = max(cluster, own)
	}
	if cluster == "" && len(b.absent) > 0 {
		return "", fmt.Errorf("no data directory that can be read says which cluster this node belongs to: %w", b.absent[0].err)
	}
	return cluster, nil
}

// absentDir is a data directory that the node was started without.
type absentDir struct {
	path string
	err  error
}

// passOver notes that a data directory cannot be used, and says whether the node starts without it, as Kafka's does: where others are left, and the
// metadata are not in it.
func (b *Broker) passOver(path string, err error) bool {
	cfg := b.opts.Config
	if path == cfg.MetadataLogDir || len(b.absent)+1 >= len(cfg.LogDirs) || !logdir.Unreadable(err) {
		return false
	}
	b.opts.Log.Error("log directory is offline: the node starts without it", "directory", path, "error", err)
	b.absent = append(b.absent, absentDir{path, fmt.Errorf("%w: %w", commitlog.ErrOffline, err)})
	return true
}

// presentDirs are the data directories that were not passed over.
func (b *Broker) presentDirs() []string {
	return slices.DeleteFunc(slices.Clone(b.opts.Config.LogDirs), func(path string) bool {
		return slices.ContainsFunc(b.absent, func(a absentDir) bool { return a.path == path })
	})
}

func (b *Broker) openDirs() error {
	cfg := b.opts.Config
	files := commitlog.NewFileCache(openFilesMax, indexBytesMax)
	b.repairs = b.newRepairs()
	files.OnDamage(b.repairs.Found)
	files.OnUnreadable(b.repairs.Add)
	cluster := b.clusterID
	if cluster == "" {
		var err error
		if cluster, err = b.lookAtDirs(); err != nil {
			return err
		}
		if err := b.refuseLost(cluster); err != nil {
			return err
		}
	}
	claims, err := b.claimDirs(cluster)
	if err != nil {
		return err
	}
	defer func() {
		for _, c := range claims { // those that no directory was opened with
			if err := c.Release(); err != nil {
				b.opts.Log.Warn("give a log directory back", "error", err)
			}
		}
	}()
	if b.quorumLock == nil {
		if err := b.lockQuorum(); err != nil {
			return err
		}
	}
	for len(claims) > 0 {
		i, path, claim := len(b.dirs), claims[0].path, claims[0].Claim
		claims = claims[1:]
		dir, err := logdir.Open(logdir.Options{
			FS: b.opts.FS, Clock: b.opts.Clock, Random: b.opts.Random, Path: path, NodeID: cfg.NodeID, ClusterID: cluster,
			Claim: claim, Files: files,
			OnFailure: func(err error) {
				b.opts.Log.Error("log directory is offline", "directory", path, "error", err)
				b.lost <- lostDir{i, err}
			},
			OnFull: func(full bool) {
				if full {
					b.opts.Log.Error("disk is full: producers are refused until there is space again, consumers go on", "directory", path)
				} else {
					b.opts.Log.Info("disk has space again: producers are served", "directory", path)
				}
			},
			OnSlow: func(slow bool, took time.Duration) {
				if slow {
					b.opts.Log.Warn("disk is slow: acks=all waits for it", "directory", path, "sync", took.Round(time.Millisecond))
				} else {
					b.opts.Log.Info("disk is not slow any more", "directory", path, "longest", took.Round(time.Millisecond))
				}
			},
			Warn: func(err error) { b.opts.Log.Warn("log directory", "directory", path, "error", err) },
		})
		if err != nil && b.passOver(path, err) {
			b.unlose(i)
			continue
		}
		if err != nil {
			return err
		}
		b.tellRecovery(dir)
		b.dirs = append(b.dirs, dir)
		cluster = dir.ClusterID()
	}
	if err := logdir.FinishMoves(b.dirs); err != nil {
		return err
	}
	return nil
}

// tellRecovery says what the start went through where the last stop was not clean, and for how long.
func (b *Broker) tellRecovery(d *logdir.Dir) {
	if r := d.Recovery(); r.Recovered+r.Failed > 0 {
		b.opts.Log.Info("recovered a data directory: its last stop was not clean", "directory", d.Path(), "logs", r.Logs, "opened", r.Recovered, "failed", r.Failed,
			"scanned bytes", r.ScannedBytes, "cut off bytes", r.TruncatedBytes, "journal bytes", r.ReplayedBytes, "took", r.Took.Round(time.Millisecond))
	}
}

// unlose takes back that the directory of a number, which is another's now, was lost while it was opened. Nobody hears of losses yet.
func (b *Broker) unlose(number int) {
	for range len(b.lost) {
		if l := <-b.lost; l.dir != number {
			b.lost <- l
		}
	}
}

type claimedDir struct {
	path string
	*logdir.Claim
}

// claimDirs locks all data directories before anything is written in one of them, or none.
func (b *Broker) claimDirs(cluster string) (claims []claimedDir, err error) {
	for _, path := range b.presentDirs() {
		c, err := logdir.Take(logdir.Options{FS: b.opts.FS, Path: path, NodeID: b.opts.Config.NodeID, ClusterID: cluster})
		if err != nil && b.passOver(path, err) {
			continue
		}
		if err != nil {
			for _, c := range claims {
				err = errors.Join(err, c.Release())
			}
			return nil, err
		}
		claims = append(claims, claimedDir{path, c})
	}
	return claims, nil
}

// refuseLost refuses to begin a cluster beside what is left of one, before anything is written: a directory that is given a cluster of its own by mistake is refused
// at every start from then on, and partitions of which new metadata know nothing would be set aside, so that the cluster came up empty.
func (b *Broker) refuseLost(cluster string) error {
	_, err := quorum.ReadID(b.opts.FS, b.quorumPath())
	if err == nil && cluster == "" {
		return fmt.Errorf("%s holds the metadata of a cluster, but meta.properties is missing in %s: "+
			"restore it, or name the directory that has it", b.quorumPath(), strings.Join(b.opts.Config.LogDirs, ", "))
	}
	if !errors.Is(err, quorum.ErrMissing) {
		return nil // there, or damaged, of which the quorum tells
	}
	for _, path := range b.opts.Config.LogDirs {
		n, err := logdir.CountPartitions(b.opts.FS, path)
		if err != nil {
			return err
		}
		if n > 0 {
			return fmt.Errorf("data directory %s holds %d partitions, but their metadata is missing in %s: "+
				"restore it, or move the partitions away to begin anew", path, n, b.quorumPath())
		}
	}
	return nil
}

// lockQuorum keeps a second node off the metadata. They may lie outside the data directories, whose locks then say nothing of them.
func (b *Broker) lockQuorum() error {
	dir := b.quorumPath()
	if err := vfs.MkdirAllSynced(b.opts.FS, dir, 0o700); err != nil {
		return fmt.Errorf("make metadata directory: %w", err)
	}
	lock, err := b.opts.FS.Lock(filepath.Join(dir, ".lock"))
	if errors.Is(err, vfs.ErrLocked) {
		return fmt.Errorf("metadata directory %s is in use by another process", dir)
	}
	if err != nil {
		return fmt.Errorf("lock metadata directory: %w", err)
	}
	b.quorumLock = lock
	return nil
}

func (b *Broker) quorumPath() string { return filepath.Join(b.opts.Config.MetadataLogDir, quorumDir) }

// Bounds of what is kept of segments that nobody reads or writes at the moment.
const (
	openFilesMax  = 512      // open files
	spareFiles    = 16       // descriptors that connections cannot take
	indexBytesMax = 16 << 20 // indexes of old segments in memory
)

func (b *Broker) startQuorum() error {
	b.newHosts()
	b.replicas.hosts(b.dirs, b.absent)
	var err error
	b.quorum, err = quorum.Open(quorum.Options{
		FS: b.opts.FS, Clock: b.opts.Clock, Random: b.opts.Random, Dir: b.quorumPath(),
		StateMachine: b.publisher, Log: b.opts.Log, OnFull: b.metadataFull,
	})
	if err != nil {
		return err
	}
	voting, stop := context.WithCancel(context.Background())
	b.stopVoting = stop
	b.voting.Go(func() {
		if err := b.quorum.Run(voting); err != nil {
			b.fail(fmt.Errorf("run the metadata quorum: %w", err))
		}
	})
	loop := controller.NewLoop(controller.LoopOptions{Log: b.quorum, Images: b.publisher, Random: b.opts.Random, Settings: b.controllerSettings()})
	b.control, b.state = loop, quorumState{b.opts.Config.NodeID, b.quorum, b.opts.Clock}
	upkeep := b.startUpkeep()
	b.upkeep.Go(func() {
		if err := loop.Run(upkeep); err != nil && upkeep.Err() == nil {
			b.fail(fmt.Errorf("run the controller: %w", err))
		}
	})
	return nil
}

// newHosts makes what follows the metadata.
func (b *Broker) newHosts() {
	b.replicas = newReplicas(b.live, b.opts.Clock, b.opts.Log)
	b.groups = b.newGroups()
	b.publisher = metadata.NewPublisher(b.live.follow, b.quotas.Follow, b.followAddresses, b.replicas.follow, b.followFenced, b.groups.follow)
}

func (b *Broker) controllerSettings() controller.Settings {
	cfg := b.opts.Config
	return controller.Settings{Partitions: cfg.NumPartitions, ReplicationFactor: cfg.DefaultReplicationFactor, Configs: settingsTable{b.live},
		InternalFactors: map[string]int16{offsetsTopic: int16(cfg.Number("offsets.topic.replication.factor"))}}
}

// metadataFull tells of the beginning and the end of a time without space for metadata.
func (b *Broker) metadataFull(full bool) {
	if full {
		b.opts.Log.Error("disk is full: topics can be deleted, but other changes of metadata are refused until there is space again", "directory", b.quorumPath())
	} else {
		b.opts.Log.Info("disk has space again: changes of metadata are taken", "directory", b.quorumPath())
	}
}

// startUpkeep starts what looks after the data directories, until the context that it returns ends.
func (b *Broker) startUpkeep() context.Context {
	upkeep, stop := context.WithCancel(context.Background())
	b.stopUpkeep = stop
	b.upkeep.Go(func() { b.retain(upkeep) })
	b.upkeep.Go(func() { b.compact(upkeep) })
	b.scrub(upkeep)
	b.upkeep.Go(func() { b.repairs.Run(upkeep) })
	b.upkeep.Go(func() { b.moveReplicas(upkeep) })
	b.upkeep.Go(func() { b.tellPlaces(upkeep) })
	b.upkeep.Go(func() { b.hearLost(upkeep) })
	b.upkeep.Go(func() { b.replicas.isr.run(upkeep, b.control) })
	b.upkeep.Go(func() { b.replicas.tick(upkeep, b.opts.Clock) })
	return upkeep
}

// register makes this node, which is alone, a cluster. When it returns, all metadata that was ever committed is applied.
func (b *Broker) register() error {
	cfg := b.opts.Config
	start := &controller.StartCluster{ClusterID: b.dirs[0].ClusterID()}
	request := b.registration()
	request.Unfence = true
	started, err := b.control.Do(b.failed, start)
	if err != nil {
		return b.startError("start the cluster", err)
	}
	request.ClusterID = started.(*controller.StartClusterResponse).ClusterID
	if own := b.dirs[0].ClusterID(); own != request.ClusterID {
		return fmt.Errorf("data directory %s belongs to cluster %s, the metadata in %s to cluster %s",
			b.dirs[0].Path(), own, cfg.MetadataLogDir, request.ClusterID)
	}
	registered, err := b.control.Do(b.failed, request)
	if err != nil {
		return b.startError("register broker", err)
	}
	response := registered.(*controller.RegisterBrokerResponse)
	if response.Error.Failed() {
		return fmt.Errorf("register broker %d: %s: %s", cfg.NodeID, response.Error.Code, response.Error.Message)
	}
	b.registered(response.Epoch)
	return nil
}

// registration is what this broker says of itself to the controller, at the start and whenever it must be said anew.
func (b *Broker) registration() *controller.RegisterBroker {
	request := &controller.RegisterBroker{ClusterID: b.clusterID, ID: b.opts.Config.NodeID, Incarnation: b.incarnation, Rack: b.opts.Config.Rack, Absent: len(b.absent)}
	for _, d := range b.dirs {
		if errors.Is(d.Err(), commitlog.ErrOffline) {
			continue // it has gone since the start
		}
		request.Directories = append(request.Directories, d.ID())
		if len(d.Recovery().Lost) > 0 {
			request.Lossy = append(request.Lossy, d.ID())
		}
	}
	for _, l := range b.listeners {
		request.Listeners = append(request.Listeners, b.advertised(l))
	}
	return request
}

// registered hears under which epoch.
func (b *Broker) registered(epoch int64) {
	for _, d := range b.dirs {
		d.SetBrokerEpoch(epoch)
	}
	b.replicas.registered(epoch)
}

// startError prefers the reason for which the quorum or the controller ended.
func (b *Broker) startError(what string, err error) error {
	if cause := context.Cause(b.failed); cause != nil {
		err = cause
	}
	return fmt.Errorf("%s: %w", what, err)
}

// advertised is what the metadata says of a listener: what the configuration advertises, or else where it is bound.
func (b *Broker) advertised(l boundListener) metadata.Listener {
	for _, a := range b.opts.Config.Advertised {
		if a.Name == l.Name {
			return metadata.Listener{Name: a.Name, Host: a.Host, Port: int32(a.Port)}
		}
	}
	return metadata.Listener{Name: l.Name, Host: l.Host, Port: int32(l.bound().Port)}
}

// bound is the listener with the port that it has got, where the configuration leaves it open.
func (l boundListener) bound() config.Listener {
	if l.Port == 0 {
		if bound, err := strconv.Atoi(l.socket.Addr().String()[strings.LastIndexByte(l.socket.Addr().String(), ':')+1:]); err == nil {
			l.Port = bound
		}
	}
	return l.Listener
}

// giveWay tells the controller of replicas that have less than they had, before it lets the broker lead: others may have all.
func (b *Broker) giveWay() error {
	if short := b.replicas.takeShort(); len(short) > 0 && !b.opts.Config.Alone() {
		const what = "tell the controller of replicas that have less than they had"
		response, err := b.insist(what, &controller.LoseReplicas{Broker: b.opts.Config.NodeID, Epoch: b.replicas.brokerEpoch(), Replicas: short})
		if err != nil {
			return err
		}
		if e := response.(*controller.LoseReplicasResponse).Error; e.Failed() {
			return fmt.Errorf("%s: %s: %s", what, e.Code, e.Message)
		}
		b.opts.Log.Warn("replicas have less than they had when the broker stopped, or cannot be opened: others that are in sync lead", "partitions", len(short))
	}
	for _, d := range b.dirs {
		if err := d.Told(); err != nil {
			b.opts.Log.Warn("note that the controller knows what is missing; the next start tells it again", "directory", d.Path(), "error", err)
		}
	}
	return nil
}

// insistPause passes before a request of the start is repeated.
const insistPause = 50 * time.Millisecond

// insist has the controller carry out a request of the start, which may be carried out twice: the one that was asked may lose its place meanwhile.
func (b *Broker) insist(what string, request controller.Request) (controller.Response, error) {
	for {
		response, err := b.control.Do(b.failed, request)
		if err == nil {
			return response, nil
		}
		if b.failed.Err() == nil {
			b.opts.Log.Warn(what, "error", err)
		}
		select {
		case <-b.opts.Clock.After(insistPause):
		case <-b.failed.Done():
			return nil, b.startError(what, err)
		}
	}
}

// raiseEpochs lets the partitions that this broker leads go on where their logs end, also where these were brought from elsewhere.
func (b *Broker) raiseEpochs() error {
	ahead := b.replicas.ahead()
	if len(ahead) == 0 {
		return nil
	}
	if _, err := b.insist("raise leader epochs", &controller.RaiseLeaderEpochs{Broker: b.opts.Config.NodeID, Partitions: ahead}); err != nil {
		return err
	}
	b.opts.Log.Info("raised the leader epochs of partitions whose logs were brought from elsewhere", "partitions", len(ahead))
	return nil
}

func (b *Broker) startReplicas() error {
	b.publisher.While(func() { b.replicas.start(b.publisher, b.groups.start) })
	if err := b.giveWay(); err != nil {
		return err
	}
	if err := b.raiseEpochs(); err != nil {
		return err
	}
	for i, d := range b.dirs {
		d.SetHighWatermarks(b.replicas.highWatermarks(i))
	}
	return nil
}

func (b *Broker) serve() error {
	cfg := b.opts.Config
	var controllers []config.Listener
	for _, l := range b.controllers {
		controllers = append(controllers, l.bound())
	}
	b.handler = handler.New(handler.Options{
		BrokerID: cfg.NodeID, Config: cfg, Controllers: controllers, Live: b.live.now, Metadata: b.publisher, Several: b.together.node != nil, Controller: b.control, Quorum: b.state, Partitions: b.replicas, LogDirs: b.replicas, Groups: b.groups, Quotas: b.quotas,
		Resolve: network.Resolve, Clock: b.opts.Clock, Random: b.opts.Random, Log: b.opts.Log, LogLevel: b.logLevel, Crowded: b.memory.Crowded, Full: b.memory.Full, Doubtful: b.doubtful,
		Lost: b.repairs.Lost,
	})
	idle := cfg.ConnectionsMaxIdle
	if idle <= 0 {
		idle = math.MaxInt64 // never
	}
	var err error
	b.server, err = server.New(server.Options{
		Handler: b.handler, Clock: b.opts.Clock, Logger: b.opts.Log,
		MaxRequestBytes: int(cfg.SocketRequestMaxBytes), MaxMemoryBytes: max(0, cfg.QueuedMaxRequestBytes),
		Rates: b.connections, IdleTimeout: idle,
		OnFatal: b.fail,
	})
	if err != nil {
		return err
	}
	b.serverNow.Store(b.server)
	b.limit() // what was changed before the start, or just now
	if cfg.Alone() {
		b.acceptAll(&b.serving, b.server, slices.Concat(b.listeners, b.controllers))
		return nil
	}
	b.together.answer(b.handler)
	b.acceptAll(&b.serving, b.server, b.listeners) // those for controllers are open already
	return nil
}

// requestMemory is what requests hold now, and what they may.
func (b *Broker) requestMemory() (inUse, budget int64) {
	if s := b.serverNow.Load(); s != nil {
		return s.Memory()
	}
	return 0, 0
}

// acceptAll lets a server accept connections.
func (b *Broker) acceptAll(acceptors *sync.WaitGroup, s *server.Server, listeners []boundListener) {
	for _, l := range listeners {
		acceptors.Go(func() {
			if err := s.Serve(context.Background(), l.Name, l.socket); err != nil && !errors.Is(err, server.ErrShutdown) {
				b.fail(fmt.Errorf("accept connections on %s: %w", l.socket.Addr(), err))
			}
		})
	}
}

// quorumState shows a quorum of one: its only voter leads, and is level with itself.
type quorumState struct {
	id    int32
	node  *quorum.Node
	clock clock.Clock
}

// State takes what is applied here for what is committed: between the two lie only entries that are being applied.
func (q quorumState) State(context.Context) (handler.QuorumState, error) {
	s := q.node.Status()
	end, now := int64(s.Applied)+1, q.clock.Now()
	state := handler.QuorumState{Leader: -1, Epoch: int32(s.Term), End: end, Voters: []handler.QuorumReplica{{Node: q.id, End: end, Heard: now, CaughtUp: now}}}
	if s.Leads {
		state.Leader = q.id
	}
	return state, nil
}

// Leader returns the node that leads the quorum.
func (q quorumState) Leader() int32 {
	if q.node.Status().Leads {
		return q.id
	}
	return -1
}

// retain lets retention act, time and again.
func (b *Broker) retain(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-b.opts.Clock.After(b.opts.Config.RetentionCheckInterval):
			b.replicas.retain(b.opts.Clock.Now(), &b.counts)
		}
	}
}

// hearLost answers those who wait for a directory that is gone, has others lead what it held, and gives the node up with its last directory: nothing can be served
// then, and a new start may find the disk mended. It has a goroutine of its own because a failure is told from within the
// append or sync that met it, whatever that holds.
func (b *Broker) hearLost(ctx context.Context) {
	for left := len(b.dirs); ; {
		select {
		case <-ctx.Done():
			return
		case l := <-b.lost:
			b.replicas.lose(l)
			if b.opts.Config.Broker {
				b.replicas.places.lose(b.dirs[l.dir].ID())
			}
			if left--; left == 0 { // a directory is lost once
				b.fail(fmt.Errorf("no data directory is left: %w", l.err))
			}
		}
	}
}

// Stop stops the node cleanly: requests under way are answered, logs are synced and closed, and the next start scans nothing.
func (b *Broker) Stop() error {
	b.enter("hand over what it leads", leaveTimeout)
	b.leave()
	b.enter("end requests under way", stopTimeout)
	b.stopServing(stopTimeout)
	b.enter("", 0)
	var errs []error
	for _, d := range b.dirs {
		if err := d.Close(); err != nil {
			errs = append(errs, fmt.Errorf("close data directory %s: %w", d.Path(), err))
		}
	}
	b.enter("close the directory of the metadata, "+b.quorumPath(), partTimeout)
	b.part()
	b.stopQuorum()
	b.enter("", 0)
	b.stopAdmin()
	return errors.Join(errs...)
}

// Abort stops the node as a kill does, without telling the disk anything more.
func (b *Broker) Abort() {
	if !b.opts.Config.Alone() {
		b.closeSockets() // so that the others see it gone at once
	}
	b.part()
	b.stopServing(0)
	for _, d := range b.dirs {
		_ = d.Abort() // the node is given up already, for a reason that is worth more
	}
	b.stopQuorum()
	b.stopAdmin()
}

// closeSockets lets nobody in any more.
func (b *Broker) closeSockets() {
	for _, l := range slices.Concat(b.listeners, b.controllers) {
		l.socket.Close()
	}
}

// stopServing ends the service of clients. Requests under way get some time to be answered.
func (b *Broker) stopServing(grace time.Duration) {
	b.stopping.Store(true)
	b.hosts.stop()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	defer b.opts.Clock.AfterFunc(grace, cancel).Stop()
	wait := b.together.dismiss(ctx)
	if b.server != nil {
		if err := b.server.Shutdown(ctx); err != nil {
			b.opts.Log.Warn("stop serving: requests under way were cut off", "error", err)
		}
	}
	wait()
	if b.server != nil {
		b.handler.Wait()
	} else {
		b.closeSockets()
	}
	b.serving.Wait()
	if b.stopUpkeep != nil {
		b.stopUpkeep()
		b.upkeep.Wait()
	}
	if b.fetcher != nil {
		b.fetcher.Close()
	}
	if b.replicas != nil {
		b.groups.Close()
		b.replicas.close()
	}
}

func (b *Broker) stopQuorum() {
	if b.stopVoting != nil {
		b.stopVoting()
		b.voting.Wait()
	}
	if b.quorumLock != nil {
		b.quorumLock.Close()
	}
}
