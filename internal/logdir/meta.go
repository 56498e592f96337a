package logdir

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/moldau/moldau/internal/uuid"
	"github.com/moldau/moldau/internal/vfs"
)

// Names in a data directory, Kafka's but for the journal's.
const (
	lockFile         = ".lock"
	metaFile         = "meta.properties"
	cleanFile        = ".kafka_cleanshutdown"
	kafkaMetadataDir = "__cluster_metadata-0"
	journalDir       = "journal"
)

// meta is the content of meta.properties.
//
// # File format: meta.properties, Kafka's, version 1
//
// Lines key=value; lines that begin with # or ! are comments. version is 1; cluster.id, node.id and directory.id say whose
// directory it is. Kafka 3.7 and older wrote none of the last: then the directory gets one.
type meta struct {
	cluster   string
	node      int32
	directory uuid.UUID
}

func (m meta) encode() []byte {
	return fmt.Appendf(nil, "#\nversion=1\ncluster.id=%s\nnode.id=%d\ndirectory.id=%s\n", m.cluster, m.node, m.directory)
}

func decodeMeta(b []byte) (meta, error) {
	values := map[string]string{}
	for line := range strings.Lines(string(b)) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' || line[0] == '!' {
			continue
		}
		key, value, _ := strings.Cut(line, "=")
		values[strings.TrimSpace(key)] = strings.TrimSpace(value)
	}
	if v := values["version"]; v != "1" {
		return meta{}, fmt.Errorf("version is %q, want 1", v)
	}
	node, err := strconv.ParseInt(values["node.id"], 10, 32)
	if err != nil {
		return meta{}, fmt.Errorf("node.id is %q", values["node.id"])
	}
	m := meta{cluster: values["cluster.id"], node: int32(node)}
	if text, ok := values["directory.id"]; ok {
		if m.directory, err = uuid.Parse(text); err != nil {
			return meta{}, err
		}
	}
	return m, nil
}

// RefuseKafka refuses a directory that holds the metadata of an Apache Kafka node, or is none, and touches nothing.
func RefuseKafka(fsys vfs.FS, path string) error {
	if info, err := fsys.Stat(path); err == nil && !info.IsDir() {
		return fmt.Errorf("%s: %w", path, ErrNotDirectory)
	}
	_, err := fsys.Stat(filepath.Join(path, kafkaMetadataDir))
	if err == nil {
		return fmt.Errorf("%s: %w", path, ErrKafkaMetadata)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return fmt.Errorf("look into data directory: %w", err)
}

// ReadClusterID returns the cluster that the directory at path belongs to, "" where there is no directory or it has no
// meta.properties yet. It touches nothing.
func ReadClusterID(fsys vfs.FS, path string) (string, error) {
	if info, err := fsys.Stat(path); err == nil && !info.IsDir() {
		return "", fmt.Errorf("%s: %w", path, ErrNotDirectory)
	}
	path = filepath.Join(path, metaFile)
	b, err := vfs.ReadFile(fsys, path)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("read %s: %w", path, err)
	}
	m, err := decodeMeta(b)
	if err != nil {
		return "", fmt.Errorf("read %s: %w", path, err)
	}
	return m.cluster, nil
}

// readMeta reads meta.properties and refuses what is another node's. Where there is none yet, it returns what is known.
func readMeta(opts Options) (m meta, path string, err error) {
	path = filepath.Join(opts.Path, metaFile)
	b, err := vfs.ReadFile(opts.FS, path)
	if errors.Is(err, fs.ErrNotExist) {
		return meta{cluster: opts.ClusterID, node: opts.NodeID}, path, nil
	}
	if err == nil {
		m, err = decodeMeta(b)
	}
	if err != nil {
		return meta{}, path, fmt.Errorf("read %s: %w", path, err)
	}
	if m.node != opts.NodeID {
		return meta{}, path, fmt.Errorf("%w: %s has node.id %d, this is node %d", ErrWrongNode, path, m.node, opts.NodeID)
	}
	if opts.ClusterID != "" && m.cluster != opts.ClusterID {
		return meta{}, path, fmt.Errorf("%w: %s has cluster.id %s, this is cluster %s", ErrWrongNode, path, m.cluster, opts.ClusterID)
	}
	return m, path, nil
}

// openMeta reads meta.properties, or writes it in a directory that has none yet.
func (d *Dir) openMeta() error {
	m, path, err := readMeta(d.opts)
	if err != nil {
		return err
	}
	if !m.directory.IsZero() {
		d.meta = m
		return nil
	}
	if m.cluster == "" {
		m.cluster = uuid.New(d.opts.Random).String()
	}
	m.directory = uuid.New(d.opts.Random)
	// Who made the directory may have been killed before its name was durable.
	if err := d.opts.FS.SyncDir(filepath.Dir(d.opts.Path)); err != nil && !errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("make data directory: %w", err)
	}
	if err := vfs.WriteFileAtomic(d.opts.FS, path, m.encode()); err != nil {
		return err
	}
	d.meta = m
	return nil
}

// cleanShutdown is the content of .kafka_cleanshutdown, Kafka's JSON of version 0.
type cleanShutdown struct {
	Version     int   `json:"version"`
	BrokerEpoch int64 `json:"brokerEpoch"`
}

// readCleanShutdown notes whether the last stop was clean. The file stays until a log may be written to, so that a start that
// fails before costs no recovery.
func (d *Dir) readCleanShutdown() error {
	path := filepath.Join(d.opts.Path, cleanFile)
	b, err := vfs.ReadFile(d.opts.FS, path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	d.clean = true
	c := cleanShutdown{BrokerEpoch: -1}
	if json.Unmarshal(b, &c) == nil { // Kafka 3.6 and older left it empty
		d.epoch = c.BrokerEpoch
	}
	d.marked.Store(true)
	return nil
}

// touch removes the clean-shutdown file durably, if there is one: from here on it would be untrue. Whoever may change a log calls it before.
func (d *Dir) touch() error {
	if !d.marked.Load() {
		return nil
	}
	d.touching.Lock()
	defer d.touching.Unlock()
	if !d.marked.Load() {
		return nil
	}
	path := filepath.Join(d.opts.Path, cleanFile)
	if err := d.opts.FS.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return d.judge(fmt.Errorf("remove %s: %w", path, err))
	}
	if err := d.opts.FS.SyncDir(d.opts.Path); err != nil {
		if !vfs.NoDescriptors(err) { // else it is tried again before anything is changed
			err = d.gone(err)
		}
		return fmt.Errorf("sync %s: %w", d.opts.Path, err)
	}
	d.marked.Store(false)
	return nil
}

func (d *Dir) writeCleanShutdown() error {
	b, err := json.Marshal(cleanShutdown{BrokerEpoch: d.brokerEpoch.Load()})
	if err != nil {
		return err
	}
	return vfs.WriteFileAtomic(d.opts.FS, filepath.Join(d.opts.Path, cleanFile), b)
}
