package broker

import (
	"errors"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/moldau/moldau/internal/config"
	"github.com/moldau/moldau/internal/metadata"
)

// liveConfig is the configuration in force: what the node was started with, under what the metadata say was changed since. This is the one
// place that puts both together; whoever acts on a setting that may change reads it from here, or is told by changed.
type liveConfig struct {
	started *config.Config
	log     *slog.Logger
	changed func(*config.Config) // tells the parts that do not ask themselves
	current atomic.Pointer[config.Config]
}

func newLiveConfig(started *config.Config, log *slog.Logger, changed func(*config.Config)) *liveConfig {
	l := &liveConfig{started: started, log: log, changed: changed}
	l.current.Store(started)
	return l
}

// now returns the configuration in force.
func (l *liveConfig) now() *config.Config { return l.current.Load() }

// ofBroker and ofAll are the resources that settings of this broker are kept under.
func (l *liveConfig) ofBroker() metadata.Resource {
	return metadata.Resource{Type: metadata.ResourceBroker, Name: strconv.Itoa(int(l.started.NodeID))}
}

func (l *liveConfig) ofAll() metadata.Resource {
	return metadata.Resource{Type: metadata.ResourceBroker}
}

// at returns the configuration as an image has it.
func (l *liveConfig) at(img *metadata.Image) (*config.Config, error) {
	return l.started.With(img.Config(l.ofAll()), img.Config(l.ofBroker()))
}

// follow is a metadata subscriber, and the first: the others act on the settings that come with an image.
func (l *liveConfig) follow(before, after *metadata.Image, delta *metadata.Delta) {
	if !slices.Contains(delta.Configs, l.ofBroker()) && !slices.Contains(delta.Configs, l.ofAll()) {
		return
	}
	next, err := l.at(after)
	if err != nil { // it was sound when it was let in: what it is put over has changed with a restart
		l.log.Error("settings that were changed while the broker ran do not go with those it was started with: they are left out", "error", err)
		return
	}
	l.tell("settings of this broker", before.Config(l.ofBroker()), after.Config(l.ofBroker()))
	l.tell("settings of all brokers", before.Config(l.ofAll()), after.Config(l.ofAll()))
	idle := slices.DeleteFunc(next.Idle(), func(name string) bool { return slices.Contains(l.now().Idle(), name) })
	if len(idle) > 0 {
		l.log.Warn("accepted, but nothing in this release acts on it", "settings", strings.Join(idle, ", "))
	}
	l.current.Store(next)
	l.changed(next)
}

// tell logs which settings changed. Their values are not told: some are secrets.
func (l *liveConfig) tell(what string, before, after map[string]string) {
	var names []string
	for name := range maps.Keys(merged(before, after)) {
		old, had := before[name]
		if now, has := after[name]; had != has || old != now {
			names = append(names, name)
		}
	}
	if len(names) > 0 {
		slices.Sort(names)
		l.log.Info("changed "+what, "settings", strings.Join(names, ", "))
	}
}

func merged(a, b map[string]string) map[string]string {
	all := make(map[string]string, len(a)+len(b))
	maps.Copy(all, a)
	maps.Copy(all, b)
	return all
}

// isRequestError says of a refusal that Kafka calls it a wrong request, not a wrong setting.
func isRequestError(err error) bool {
	var request config.RequestError
	return errors.As(err, &request)
}

// settingsChanged hands new settings to those parts that do not look for themselves. The metadata log waits for it.
func (b *Broker) settingsChanged(now *config.Config) {
	select { // what it has not taken up is old
	case <-b.cleaning:
	default:
	}
	b.cleaning <- now.Cleaner()
	b.limit()
}

// limit tells the server of the limits in force, once there is one. The start, a change and the look-up of a host may all come to it at once:
// none may overtake another with settings that are old.
func (b *Broker) limit() {
	b.limiting.Lock()
	defer b.limiting.Unlock()
	if s := b.serverNow.Load(); s != nil {
		limits := b.connectionLimits(b.live.now())
		s.Limit(limits)
		if own := b.together.server; own != nil { // there before the other
			own.Limit(limits)
		}
	}
}
