package metadata

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/moldau/moldau/internal/uuid"
)

// Apply returns the image after the records, which stand at index of the log, and what changed. img stays as it is. Records
// that do not fit the image are an error, and then the log or the program is broken: the controller never writes such.
func Apply(img *Image, index uint64, records []Record) (*Image, *Delta, error) {
	if index < img.index {
		return nil, nil, fmt.Errorf("apply metadata at index %d to an image of index %d", index, img.index)
	}
	e := newEditor(img)
	for _, r := range records {
		if err := e.apply(r); err != nil {
			return nil, nil, fmt.Errorf("apply %T at index %d: %w", r, index, err)
		}
	}
	after, delta := e.finish(index)
	return after, delta, nil
}

// editor is an image while records are applied to it.
type editor struct {
	before    *Image
	img       Image // the parts that are not edited below
	byName    edit[string, *Topic]
	byID      edit[uuid.UUID, *Topic]
	byUnified edit[string, []string]
	byOrder   sortedEdit
	quotas    edit[QuotaEntity, map[string]float64]

	// What is ours and may be changed in place.
	topics     map[uuid.UUID]*openTopic
	opened     []*openTopic // the same in the order in which they were touched, which mostly is that of their names
	ownBrokers bool
	ownConfigs map[Resource]bool
	ownQuotas  map[QuotaEntity]bool
	brokers    map[int32]bool // registrations that changed
	recent     []*Partition   // that were added last, of whatever topic
	delta      Delta
}

// openTopic is a topic that was touched: the version before, nil for a new one, and the one being changed, nil once removed.
type openTopic struct {
	old, now      *Topic
	ownPartitions bool
	ownConfigs    bool
}

func newEditor(img *Image) *editor {
	e := &editor{before: img, img: *img, topics: make(map[uuid.UUID]*openTopic)}
	e.byName.sharded = img.byName
	e.byID.sharded = img.byID
	e.byUnified.sharded = img.byUnified
	e.byOrder.sorted = img.byOrder
	e.quotas.sharded = img.quotas
	return e
}

func (e *editor) finish(index uint64) (*Image, *Delta) {
	for _, t := range e.opened {
		if t.old != nil || t.now != nil {
			e.delta.Topics = append(e.delta.Topics, TopicChange{Old: t.old, New: t.now})
		}
	}
	slices.SortFunc(e.delta.Topics, compareChanges)
	for _, id := range slices.Sorted(maps.Keys(e.brokers)) {
		e.delta.Brokers = append(e.delta.Brokers, BrokerChange{Old: e.before.Broker(id), New: e.img.Broker(id)})
	}
	e.delta.Configs = sortedResources(e.ownConfigs)
	e.delta.Quotas = slices.SortedFunc(maps.Keys(e.ownQuotas), QuotaEntity.Compare)
	after := e.img
	after.index = index
	after.byName = e.byName.sharded
	after.byID = e.byID.sharded
	after.byUnified = e.byUnified.sharded
	after.byOrder = e.byOrder.sorted
	after.quotas = e.quotas.sharded
	return &after, &e.delta
}

// compareChanges orders by name; of two topics with one name the removed one comes first.
func compareChanges(a, b TopicChange) int {
	return cmp.Or(strings.Compare(a.name(), b.name()), boolInt(b.New == nil)-boolInt(a.New == nil))
}

func (c TopicChange) name() string {
	if c.New != nil {
		return c.New.Name
	}
	return c.Old.Name
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

func (e *editor) apply(r Record) error {
	switch r := r.(type) {
	case *ClusterRecord:
		if e.img.clusterID != "" {
			return fmt.Errorf("the cluster is %s already", e.img.clusterID)
		}
		e.img.clusterID = r.ClusterID
	case *FeatureRecord:
		if !e.delta.Features {
			e.img.features, e.delta.Features = cloneMap(e.img.features), true
		}
		if r.Level == 0 {
			delete(e.img.features, r.Name)
		} else {
			e.img.features[r.Name] = r.Level
		}
	case *TopicRecord:
		return e.addTopic(r)
	case *PartitionRecord:
		return e.addPartition(r)
	case *PartitionChangeRecord:
		return e.changePartition(r)
	case *RemoveTopicRecord:
		return e.removeTopic(r.ID)
	case *ConfigRecord:
		return e.setConfig(r)
	case *BrokerRecord:
		return e.setBroker(r)
	case *BrokerChangeRecord:
		return e.changeBroker(r)
	case *RemoveBrokerRecord:
		return e.removeBroker(r)
	case *ScramRecord:
		e.setScram(r.User, &r.Credential)
	case *RemoveScramRecord:
		if _, ok := e.img.scram[r.User]; !ok {
			return fmt.Errorf("no credential of %s with mechanism %d", r.User.Name, r.User.Mechanism)
		}
		e.setScram(r.User, nil)
	case *QuotaRecord:
		if !e.setQuota(r) {
			return fmt.Errorf("no quota %s to remove", r.Name)
		}
	case *ProducerIDsRecord:
		if r.Next < e.img.nextProducerID {
			return fmt.Errorf("next producer id goes back from %d to %d", e.img.nextProducerID, r.Next)
		}
		e.img.nextProducerID = r.Next
	}
	return nil
}

// open returns a topic for changing.
func (e *editor) open(id uuid.UUID) (*openTopic, error) {
	if t := e.topics[id]; t != nil && t.now != nil {
		return t, nil
	}
	old, ok := e.byID.get(idShard(id), id)
	if !ok {
		return nil, fmt.Errorf("no topic has id %s", id)
	}
	t := &openTopic{old: old, now: new(*old)}
	e.topics[id] = t
	e.opened = append(e.opened, t)
	e.place(t.now)
	return t, nil
}

func (e *editor) place(t *Topic) {
	e.byName.set(nameShard(t.Name), t.Name, t)
	e.byID.set(idShard(t.ID), t.ID, t)
	e.byOrder.set(t)
}

func (e *editor) addTopic(r *TopicRecord) error {
	if t, ok := e.byName.get(nameShard(r.Name), r.Name); ok {
		return fmt.Errorf("topic %s exists with id %s", r.Name, t.ID)
	}
	if _, ok := e.byID.get(idShard(r.ID), r.ID); ok || e.topics[r.ID] != nil {
		return fmt.Errorf("topic id %s is used again for %s", r.ID, r.Name)
	}
	t := &openTopic{now: &Topic{Name: r.Name, ID: r.ID}, ownPartitions: true}
	e.topics[r.ID] = t
	e.opened = append(e.opened, t)
	e.placeNew(t.now)
	return nil
}

// placeNew puts a topic that is not there yet into every map and counts its partitions.
func (e *editor) placeNew(t *Topic) {
	e.place(t)
	e.img.partitions += len(t.Partitions)
	if strings.ContainsAny(t.Name, "._") {
		unified := unify(t.Name)
		names, _ := e.byUnified.get(nameShard(unified), unified)
		names = append(slices.Clone(names), t.Name)
		slices.Sort(names)
		e.byUnified.set(nameShard(unified), unified, names)
	}
}

func (e *editor) removeTopic(id uuid.UUID) error {
	t, err := e.open(id)
	if err != nil {
		return err
	}
	name := t.now.Name
	e.img.partitions -= len(t.now.Partitions)
	e.byName.remove(nameShard(name), name)
	e.byID.remove(idShard(id), id)
	e.byOrder.remove(name)
	if strings.ContainsAny(name, "._") {
		unified := unify(name)
		names, _ := e.byUnified.get(nameShard(unified), unified)
		names = slices.DeleteFunc(slices.Clone(names), func(n string) bool { return n == name })
		if len(names) == 0 {
			e.byUnified.remove(nameShard(unified), unified)
		} else {
			e.byUnified.set(nameShard(unified), unified, names)
		}
	}
	t.now = nil // the entry stays, so that the id cannot come back
	return nil
}

func (e *editor) addPartition(r *PartitionRecord) error {
	t, err := e.open(r.TopicID)
	if err != nil {
		return err
	}
	if int(r.Number) != len(t.now.Partitions) {
		return fmt.Errorf("partition %d of %s, which has %d", r.Number, t.now.Name, len(t.now.Partitions))
	}
	t.open()
	p := r.Partition
	e.share(&p)
	t.now.Partitions = append(t.now.Partitions, &p)
	e.img.partitions++
	return nil
}

// open makes the list of partitions ours.
func (t *openTopic) open() {
	if !t.ownPartitions {
		t.now.Partitions, t.ownPartitions = slices.Clone(t.now.Partitions), true
	}
}

func (e *editor) changePartition(r *PartitionChangeRecord) error {
	t, err := e.open(r.TopicID)
	if err != nil {
		return err
	}
	if r.Number < 0 || int(r.Number) >= len(t.now.Partitions) {
		return fmt.Errorf("%s has no partition %d", t.now.Name, r.Number)
	}
	t.open()
	p := *t.now.Partitions[r.Number]
	p.PartitionEpoch++
	if r.Leader != nil {
		p.Leader = *r.Leader
		p.LeaderEpoch++
	}
	if r.LeaderEpoch != nil {
		if *r.LeaderEpoch <= p.LeaderEpoch {
			return fmt.Errorf("leader epoch of %s-%d does not rise from %d to %d", t.now.Name, r.Number, p.LeaderEpoch, *r.LeaderEpoch)
		}
		p.LeaderEpoch = *r.LeaderEpoch
	}
	replace(&p.Replicas, r.Replicas)
	replace(&p.ISR, r.ISR)
	replace(&p.ELR, r.ELR)
	replace(&p.LastKnownELR, r.LastKnownELR)
	replace(&p.Directories, r.Directories)
	if r.Reassignment != nil {
		p.Reassignment = r.Reassignment
		if len(r.Reassignment.Adding)+len(r.Reassignment.Removing) == 0 {
			p.Reassignment = nil
		}
	}
	if r.Recovering != nil {
		p.Recovering = *r.Recovering
	}
	if r.Chosen != nil {
		p.Chosen = *r.Chosen
	}
	p.intern(t.now.Partitions[max(0, r.Number-internWindow):r.Number])
	t.now.Partitions[r.Number] = &p
	return nil
}

func replace[T any](field *[]T, with []T) {
	if with != nil {
		*field = with
	}
}

// internWindow is how many earlier partitions are looked at for equal lists. Placement goes round the brokers, so the lists
// repeat at a short distance, of one topic and from topic to topic; sharing them is most of what keeps a partition small.
const internWindow = 8

// share lets a new partition share lists with those that came before.
func (e *editor) share(p *Partition) {
	p.intern(e.recent)
	if len(e.recent) == internWindow {
		e.recent = slices.Delete(e.recent, 0, 1)
	}
	e.recent = append(e.recent, p)
}

// intern replaces the lists of p by equal ones of the partitions before it.
func (p *Partition) intern(before []*Partition) {
	if len(before) > internWindow {
		before = before[len(before)-internWindow:]
	}
	for _, list := range []*[]int32{&p.ELR, &p.LastKnownELR} {
		if len(*list) == 0 {
			*list = nil
		}
	}
	for _, q := range before {
		if slices.Equal(p.Replicas, q.Replicas) {
			p.Replicas = q.Replicas
		}
		if slices.Equal(p.ISR, q.ISR) {
			p.ISR = q.ISR
		}
		if slices.Equal(p.Directories, q.Directories) {
			p.Directories = q.Directories
		}
	}
	if slices.Equal(p.ISR, p.Replicas) {
		p.ISR = p.Replicas
	}
}

func (e *editor) setConfig(r *ConfigRecord) error {
	if r.Resource.Type == ResourceTopic {
		named, ok := e.byName.get(nameShard(r.Resource.Name), r.Resource.Name)
		if !ok {
			return fmt.Errorf("no topic is called %q", r.Resource.Name)
		}
		t, err := e.open(named.ID)
		if err != nil {
			return err
		}
		if !t.ownConfigs {
			t.now.Configs, t.ownConfigs = cloneMap(t.now.Configs), true
		}
		setOrDelete(t.now.Configs, r.Name, r.Value)
		if len(t.now.Configs) == 0 {
			t.now.Configs, t.ownConfigs = nil, false
		}
		return nil
	}
	if e.ownConfigs == nil {
		e.img.configs, e.ownConfigs = cloneMap(e.img.configs), make(map[Resource]bool)
	}
	values := e.img.configs[r.Resource]
	if !e.ownConfigs[r.Resource] || values == nil {
		values = cloneMap(values)
		e.ownConfigs[r.Resource] = true
	}
	setOrDelete(values, r.Name, r.Value)
	e.img.configs[r.Resource] = values
	if len(values) == 0 {
		delete(e.img.configs, r.Resource)
	}
	return nil
}

func (e *editor) openBrokers(id int32) {
	if !e.ownBrokers {
		e.img.brokers, e.ownBrokers, e.brokers = slices.Clone(e.img.brokers), true, make(map[int32]bool)
	}
	e.brokers[id] = true
}

func (e *editor) setBroker(r *BrokerRecord) error {
	if r.Epoch >= e.img.nextBrokerEpoch {
		e.img.nextBrokerEpoch = r.Epoch + 1
	} else if old := e.img.Broker(r.ID); old == nil || old.Epoch != r.Epoch || old.Incarnation != r.Incarnation {
		return fmt.Errorf("epoch %d of broker %d was given out before", r.Epoch, r.ID)
	}
	e.openBrokers(r.ID)
	b := r.Broker
	i, ok := e.img.findBroker(r.ID)
	if ok {
		e.img.brokers[i] = &b
	} else {
		e.img.brokers = slices.Insert(e.img.brokers, i, &b)
	}
	return nil
}

func (e *editor) changeBroker(r *BrokerChangeRecord) error {
	i, ok := e.img.findBroker(r.ID)
	if !ok || e.img.brokers[i].Epoch != r.Epoch {
		return fmt.Errorf("broker %d has no registration of epoch %d", r.ID, r.Epoch)
	}
	e.openBrokers(r.ID)
	b := *e.img.brokers[i]
	if r.Fenced != nil {
		b.Fenced = *r.Fenced
	}
	if r.ControlledShutdown != nil {
		b.ControlledShutdown = *r.ControlledShutdown
	}
	if r.Directories != nil {
		b.Directories = r.Directories
	}
	e.img.brokers[i] = &b
	return nil
}

func (e *editor) removeBroker(r *RemoveBrokerRecord) error {
	i, ok := e.img.findBroker(r.ID)
	if !ok || e.img.brokers[i].Epoch != r.Epoch {
		return fmt.Errorf("broker %d has no registration of epoch %d", r.ID, r.Epoch)
	}
	e.openBrokers(r.ID)
	e.img.brokers = slices.Delete(e.img.brokers, i, i+1)
	return nil
}

func setOrDelete(m map[string]string, name string, value *string) {
	if value == nil {
		delete(m, name)
	} else {
		m[name] = *value
	}
}

// cloneMap returns a copy that is never nil.
func cloneMap[K comparable, V any](m map[K]V) map[K]V {
	if m == nil {
		return make(map[K]V)
	}
	return maps.Clone(m)
}

func equalMaps[K, V comparable](a, b map[K]V) bool { return maps.Equal(a, b) }

func sortedResources[V any](m map[Resource]V) []Resource {
	return slices.SortedFunc(maps.Keys(m), func(a, b Resource) int {
		return cmp.Or(cmp.Compare(a.Type, b.Type), strings.Compare(a.Name, b.Name))
	})
}
