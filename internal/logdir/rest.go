package logdir

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"path/filepath"
	"slices"
	"sync"

	"github.com/moldau/moldau/internal/commitlog"
	"github.com/moldau/moldau/internal/uuid"
	"github.com/moldau/moldau/internal/vfs"
)

// restFile lists the logs that rest, so that a start need not open them. It is a cache: nothing that it says is believed before the
// files of the log say the same and the recovery point does, and a start without it opens every log, as it does for logs of which it says something else.
//
// # File format: logs-at-rest, version 1 (frozen; integers are big-endian)
//
//	byte  0, 8 bytes: magic "MLDAURST"
//	byte  8, 4 bytes: version, 1
//	byte 12, 16 bytes: directory id, as in meta.properties
//	byte 28, 4 bytes: CRC-32C of bytes 0-27
//	byte 32: entries, to the end
//
// An entry:
//
//	byte 0, 4 bytes: length of what follows the CRC
//	byte 4, 4 bytes: CRC-32C of that
//	byte 8, 16 bytes: topic id
//	byte 24: signed varints (encoding/binary): partition; then of commitlog.Rest End, Base, Bytes, Written, Changed, Size, Segments,
//	         Epoch, First, FirstBytes, FirstEnd, FirstNewest
//	then, to the end of the entry: the topic's name
//
// Of several entries of one partition the last one counts. The file is written whole by a clean stop, and when it has grown to
// twice its size; in between entries are added for logs whose files have been synced. That is not synced itself: an entry that a crash
// tears ends the list.
const restFile = "logs-at-rest"

const (
	restMagic   = "MLDAURST"
	restVersion = 1
	restHeader  = 32
	restMin     = 8 + 16 + 13 // the shortest entry: the topic's name may be missing, which is refused elsewhere
	restMax     = 8 + 16 + 13*binary.MaxVarintLen64 + 255
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// restEntry is one entry of the file.
type restEntry struct {
	topic     []byte // in the bytes of the file
	topicID   uuid.UUID
	partition int32
	rest      commitlog.Rest
}

func appendRestHeader(dst []byte, directory uuid.UUID) []byte {
	at := len(dst)
	dst = append(dst, restMagic...)
	dst = binary.BigEndian.AppendUint32(dst, restVersion)
	dst = append(dst, directory[:]...)
	return binary.BigEndian.AppendUint32(dst, crc32.Checksum(dst[at:], castagnoli))
}

func appendRestEntry(dst []byte, id commitlog.ID, r *commitlog.Rest) []byte {
	at := len(dst)
	dst = append(dst, make([]byte, 8)...)
	dst = append(dst, id.TopicID[:]...)
	for _, v := range [...]int64{int64(id.Partition), r.End, r.Base, r.Bytes, r.Written, r.Changed, r.Size, int64(r.Segments), int64(r.Epoch),
		r.First, r.FirstBytes, r.FirstEnd, r.FirstNewest} {
		dst = binary.AppendVarint(dst, v)
	}
	dst = append(dst, id.Topic...)
	body := dst[at+8:]
	binary.BigEndian.PutUint32(dst[at:], uint32(len(body)))
	binary.BigEndian.PutUint32(dst[at+4:], crc32.Checksum(body, castagnoli))
	return dst
}

// decodeRests gives take the entries of the file, in their order; err says why what follows was passed over.
func decodeRests(b []byte, directory uuid.UUID, take func(*restEntry)) error {
	if len(b) < restHeader || !bytes.Equal(b[:restHeader], appendRestHeader(nil, directory)) {
		return errors.New("its header is not that of this directory and version")
	}
	for at := restHeader; at < len(b); {
		rest := b[at:]
		if len(rest) < restMin {
			return fmt.Errorf("the entry at %d is torn", at)
		}
		n := int64(binary.BigEndian.Uint32(rest))
		if n+8 > restMax || n+8 > int64(len(rest)) || n+8 < restMin {
			return fmt.Errorf("the entry at %d is torn", at)
		}
		body := rest[8 : 8+n]
		if crc32.Checksum(body, castagnoli) != binary.BigEndian.Uint32(rest[4:]) {
			return fmt.Errorf("the entry at %d is torn", at)
		}
		e, ok := decodeRestEntry(body)
		if !ok {
			return fmt.Errorf("the entry at %d contradicts itself", at)
		}
		take(&e)
		at += 8 + int(n)
	}
	return nil
}

func decodeRestEntry(body []byte) (e restEntry, ok bool) {
	copy(e.topicID[:], body)
	body = body[16:]
	var v [13]int64
	for i := range v {
		n := 0
		if v[i], n = binary.Varint(body); n <= 0 {
			return e, false
		}
		body = body[n:]
	}
	e.topic, e.partition = body, int32(v[0])
	e.rest = commitlog.Rest{End: v[1], Base: v[2], Bytes: v[3], Written: v[4], Changed: v[5], Size: v[6], Segments: int32(v[7]), Epoch: int32(v[8]),
		First: v[9], FirstBytes: v[10], FirstEnd: v[11], FirstNewest: v[12]}
	r := &e.rest
	sound := v[0] == int64(e.partition) && e.partition >= 0 && len(e.topic) > 0 && !e.topicID.IsZero() &&
		v[7] == int64(r.Segments) && r.Segments > 0 && v[8] == int64(r.Epoch) && r.Epoch >= -1 &&
		0 <= r.First && r.First <= r.Base && r.Base <= r.End && r.End <= maxOffset && r.First <= r.FirstEnd && r.FirstEnd <= r.End &&
		0 <= r.Bytes && r.Bytes <= r.Size && 0 <= r.FirstBytes && r.FirstBytes <= r.Size && (r.Segments > 1) == (r.First < r.Base)
	return e, sound
}

// rests is what a Dir knows of logs that rest, or did when they were last looked at.
type rests struct {
	sync.Mutex                     // guards what is noted of each state, too
	candidates map[*state]struct{} // synced since they were last looked at
	denied     bool                // the file says of a log that it rests that was refused since
	size, base int64               // of the file, and when it was last written whole; 0: it is to be written whole
	buf        []byte
}

// rested is what the file says of a log that was found; rest is nil where it says nothing.
type rested struct {
	topicID uuid.UUID
	rest    *commitlog.Rest
}

// readRestsLocked reads the file, for the logs that were found, in their order. Whatever is wrong with it costs time only.
func (d *Dir) readRestsLocked() []rested {
	all := make([]rested, len(d.mu.order))
	path := filepath.Join(d.opts.Path, restFile)
	b, err := vfs.ReadFile(d.opts.FS, path)
	if errors.Is(err, fs.ErrNotExist) {
		return all
	}
	if err == nil {
		err = decodeRests(b, d.meta.directory, func(e *restEntry) {
			if st := d.mu.logs[partitionKey{string(e.topic), e.partition}]; st != nil {
				rest := e.rest // without the rest of the entry
				all[st.index] = rested{e.topicID, &rest}
			}
		})
	}
	if err != nil {
		d.opts.Warn(fmt.Errorf("pass over what follows in %s: %w", path, err))
		return all
	}
	d.rests.size, d.rests.base = int64(len(b)), int64(len(b))
	return all
}

// holds says whether that is true of the log. The files are looked at.
func (e rested) holds(d *Dir, st *state) bool {
	return e.rest != nil && e.rest.End == st.found.Point && e.rest.Holds(d.opts.FS, filepath.Join(d.opts.Path, st.id.DirName()))
}

// letRest notes that a log that was found rests. Nobody else uses it yet.
func (st *state) letRest(e rested) { st.id.TopicID, st.rest, st.noted = e.topicID, e.rest, e.rest }

// synced notes that a log was synced in its files, so that it may be described soon.
func (r *rests) synced(st *state) {
	r.Lock()
	defer r.Unlock()
	r.candidates[st] = struct{}{}
}

// waiting says whether there are logs that may be described.
func (r *rests) waiting() bool {
	r.Lock()
	defer r.Unlock()
	return len(r.candidates) > 0 || r.denied
}

// woken is told of a log that was opened at its first use, which may have made files, or could not be.
func (d *Dir) woken(l *commitlog.Log, refused error) {
	st := d.committer.find(l)
	switch {
	case refused != nil:
		d.opts.Warn(fmt.Errorf("%w: its files were changed behind us, and it is not served before the next start, which recovers what it can", refused))
		if st != nil {
			d.rests.deny(st)
		}
	case st != nil:
		d.rests.synced(st)
	}
}

// deny has the file say no more that a log rests: else the next start would believe it again.
func (r *rests) deny(st *state) {
	r.forget(st)
	r.Lock()
	defer r.Unlock()
	r.denied = true
}

func (r *rests) forget(st *state) {
	r.Lock()
	defer r.Unlock()
	delete(r.candidates, st)
	st.noted = nil
}

// noteRests adds the logs to the file that came to rest since it was last called. Its cost follows their number.
func (d *Dir) noteRests() error {
	r := &d.rests
	r.Lock()
	candidates := make([]*state, 0, len(r.candidates))
	for st := range r.candidates {
		candidates = append(candidates, st)
	}
	denied := r.denied
	r.Unlock()
	if len(candidates) == 0 && !denied {
		return nil
	}
	buf := r.buf[:0]
	for _, st := range candidates {
		l := st.log.Load()
		rest, ok := d.look(l)
		if !ok && l.UnflushedBytes() == 0 && !st.id.TopicID.IsZero() && st.looked < looksMax {
			st.looked++ // it was changed just now, and is looked at again
			continue
		}
		st.looked = 0
		r.Lock()
		_, there := r.candidates[st] // else it was removed just now
		delete(r.candidates, st)
		if ok && there && !st.id.TopicID.IsZero() {
			st.noted = &rest
			buf = appendRestEntry(buf, st.id, &rest)
		}
		r.Unlock()
	}
	r.buf = buf
	if len(buf) == 0 && !denied {
		return nil
	}
	if denied || r.base == 0 || r.size+int64(len(buf)) > 2*r.base+restSpare {
		return d.writeRests()
	}
	return d.during(func() error { return d.appendRests(buf) })
}

// rest lets a log return to rest that was noted so and that nobody has used since uses was what it had. It touches no file.
func (d *Dir) rest(st *state, l *commitlog.Log, uses uint64) {
	d.rests.Lock()
	noted := st.noted
	d.rests.Unlock()
	if noted != nil {
		l.LetRest(noted, uses)
	}
}

// look is l.Rest, which asks for times and sizes of files.
func (d *Dir) look(l *commitlog.Log) (rest commitlog.Rest, ok bool) {
	done := d.waiting()
	defer done()
	return l.Rest()
}

const (
	restSpare = 1 << 20 // that much may always be added before the file is written anew
	looksMax  = 10      // a log is looked at so often, in the hope that it is described
)

// appendRests adds entries to the file. Where that fails the file is written whole the next time.
func (d *Dir) appendRests(b []byte) (err error) {
	path := filepath.Join(d.opts.Path, restFile)
	f, err := d.opts.FS.OpenFile(path, vfs.ReadWrite, 0)
	if err == nil {
		_, err = f.WriteAt(b, d.rests.size)
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		d.rests.base = 0
		return fmt.Errorf("add to %s: %w", path, err)
	}
	d.rests.size += int64(len(b))
	return nil
}

// writeRests writes the file whole, with what was noted.
func (d *Dir) writeRests() error {
	b := appendRestHeader(nil, d.meta.directory)
	r := &d.rests
	r.Lock()
	denied := r.denied
	r.denied = false
	r.Unlock()
	for _, st := range d.states() {
		r.Lock()
		rest := st.noted
		r.Unlock()
		if rest != nil && !st.removing.Load() && !st.id.TopicID.IsZero() {
			b = appendRestEntry(b, st.id, rest)
		}
	}
	r.base = 0
	if err := d.writeSmall(restFile, b); err != nil {
		r.Lock()
		r.denied = r.denied || denied
		r.Unlock()
		return d.judge(err)
	}
	r.size, r.base = int64(len(b)), int64(len(b))
	return nil
}

// noteAtEnd notes all logs, which were closed cleanly, and writes the file.
func (d *Dir) noteAtEnd() error {
	states := d.states()
	each(states, d.opts.SyncWorkers, func(st *state) {
		l := st.log.Load()
		if l == nil {
			return // it rests since the start, or was never found
		}
		rest, ok := d.look(l)
		d.rests.Lock()
		defer d.rests.Unlock()
		if st.noted = nil; ok {
			st.noted = &rest
		}
	})
	if d.rests.size == 0 && !slices.ContainsFunc(states, func(st *state) bool { return st.noted != nil }) {
		return nil
	}
	return d.writeRests()
}
