package commitlog

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/moldau/moldau/internal/uuid"
	"github.com/moldau/moldau/internal/vfs"
)

// metadataName is the file that says which topic a directory belongs to. Frozen: it is Kafka's.
const metadataName = "partition.metadata"

func encodeMetadata(id uuid.UUID) []byte { return []byte("version: 0\ntopic_id: " + id.String()) }

// decodeMetadata reads the two lines of partition.metadata.
func decodeMetadata(b []byte) (uuid.UUID, error) {
	first, second, _ := strings.Cut(strings.TrimSpace(string(b)), "\n")
	text, ok := strings.CutPrefix(strings.TrimSpace(second), "topic_id: ")
	if strings.TrimSpace(first) != "version: 0" || !ok {
		return uuid.UUID{}, fmt.Errorf("%s: want two lines with version 0 and a topic id, have %q", metadataName, b)
	}
	return uuid.Parse(text)
}

// ReadTopicID reads the topic id of a partition directory. The error is fs.ErrNotExist where the file is missing, as in a directory whose
// making a crash interrupted; it is not corrupt then, but belongs to nobody until New is given an id.
func ReadTopicID(fsys vfs.FS, dir string) (uuid.UUID, error) {
	b, err := vfs.ReadFile(fsys, filepath.Join(dir, metadataName))
	if err != nil {
		return uuid.UUID{}, err
	}
	id, err := decodeMetadata(b)
	if err != nil {
		return uuid.UUID{}, fmt.Errorf("read topic id of %s: %w: %w", dir, ErrCorrupt, err)
	}
	return id, nil
}
