package diff

import (
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Broker is a broker that cases are played to. Most need no settings and share the plain one. Groups have settings that decide how long
// things take, and offsets that expire would be in the way of those that must not, so that groups have brokers of their own.
type Broker struct {
	Name       string   // kept with the cases; the plain broker has none
	Properties []string // lines behind those of Properties
	TwoDirs    bool     // its data lies in two directories
	Together   bool     // its cases wait for minutes in all and are played at the same time
}

// The brokers by name.
const (
	plainBroker    = ""
	groupsBroker   = "groups"   // no time passes unless a case wants it to
	delayBroker    = "delay"    // the delay of a first rebalance and the limits of sessions are Kafka's; groups are small
	timersBroker   = "timers"   // sessions may be short, and offsets expire
	settingsBroker = "settings" // its settings change
	quotasBroker   = "quotas"   // clients have quotas
	dirsBroker     = "dirs"     // replicas move between its two data directories
	strictBroker   = "strict"   // it is started with settings that nobody leaves at these values
)

// Brokers lists the brokers that the cases need.
func Brokers() []Broker {
	const quick = "group.initial.rebalance.delay.ms=0"
	return []Broker{
		{Name: timersBroker, Together: true, Properties: []string{quick, "group.min.session.timeout.ms=500", "offsets.retention.minutes=1", "offsets.retention.check.interval.ms=1000"}},
		{Name: delayBroker, Together: true, Properties: []string{"group.max.size=2"}},
		{Name: settingsBroker},
		{Name: quotasBroker},
		{Name: dirsBroker, TwoDirs: true},
		{Name: strictBroker, Properties: strictProperties},
		{Name: plainBroker},
		{Name: groupsBroker, Properties: []string{quick}},
	}
}

// Of returns the cases of one broker, in their order.
func (b Broker) Of(cases []Case) []Case {
	var own []Case
	for _, c := range cases {
		if c.Broker == b.Name {
			own = append(own, c)
		}
	}
	return own
}

// PropertiesIn returns the properties of a broker that keeps its data below dir.
func (b Broker) PropertiesIn(dir string) []string {
	if !b.TwoDirs {
		return b.Properties
	}
	return append(slices.Clone(b.Properties), fmt.Sprintf("log.dirs=%s,%s", filepath.Join(dir, "one"), filepath.Join(dir, "two")))
}

// Title names the broker where a name cannot be empty.
func (b Broker) Title() string {
	if b.Name == plainBroker {
		return "plain"
	}
	return b.Name
}

// Warm waits until a broker that was just started does what its cases take for granted.
func (b Broker) Warm(target *Target) error {
	if err := Warm(target); err != nil || b.Name == plainBroker {
		return err
	}
	return warmGroups(target)
}

// Play plays cases to the broker, in their order or together, and hands over the answers one case after the other. Those that want to be
// alone must be the last.
func (b Broker) Play(target *Target, cases []Case, done func(c Case, answers []Answer, took time.Duration)) {
	type played struct {
		answers []Answer
		took    time.Duration
	}
	play := func(c Case) played {
		start := time.Now()
		answers := Play(target, c)
		return played{answers, time.Since(start)}
	}
	results := make([]chan played, len(cases))
	for i, c := range cases {
		results[i] = make(chan played, 1)
		if b.Together && !c.Alone {
			go func() { results[i] <- play(c) }()
		}
	}
	for i, c := range cases {
		if !b.Together || c.Alone {
			results[i] <- play(c)
		}
		p := <-results[i]
		done(c, p.answers, p.took)
	}
}

// warmGroups waits until a broker has coordinators: Kafka's makes the topic for their offsets when it is asked for the first one.
func warmGroups(target *Target) error {
	answers := Play(target, Case{Suite: "warm-groups", Run: func(s *Script) {
		for {
			resp, ok := s.quiet(findCoordinator(4, coordinateGroup, absentGroup)).(*kmsg.FindCoordinatorResponse)
			if !ok || len(resp.Coordinators) == 1 && !comesUp(resp.Coordinators[0].ErrorCode) {
				break
			}
			s.later("a coordinator")
		}
		s.coordinated(absentGroup)
		s.coordinated("")
	}})
	for _, a := range answers {
		return fmt.Errorf("warm coordinators up: %s", a.Outcome)
	}
	return nil
}

// comesUp reports the codes by which a coordinator asks for patience.
func comesUp(code int16) bool { return code == 14 || code == 15 || code == 16 }

// pollPause keeps scripts that wait for seconds from keeping the broker busy.
const pollPause = 20 * time.Millisecond

// later is again for what takes longer than a few round trips.
func (s *Script) later(what string) {
	s.again(what)
	time.Sleep(pollPause)
}
