package protocol

import "fmt"

// Bounds on what a request header may carry. Kafka's clients send ids of a few dozen bytes and no header tags at all.
const (
	MaxClientIDBytes = 256
	MaxHeaderTags    = 128
)

// RequestHeader is the header of a request, versions 1 and 2.
type RequestHeader struct {
	Key           APIKey
	Version       int16
	CorrelationID int32
	ClientID      string // "" stands for null too, as in Kafka
}

// UnsupportedError says that a request names an API or a version that Kafka 4.4 does not have. Kafka closes the connection on it.
type UnsupportedError struct {
	Key     APIKey
	Version int16
}

func (e *UnsupportedError) Error() string {
	return fmt.Sprintf("unsupported request %s version %d", e.Key, e.Version)
}

// Decode reads the header at the front of frame and returns the body, which aliases frame. It keeps the string that h.ClientID holds
// if the new one is the same. A request for ApiVersions is accepted in every version, because its answer is how a newer client
// finds out what this broker knows.
func (h *RequestHeader) Decode(frame []byte) (body []byte, err error) {
	r := Reader{buf: frame}
	h.Key = APIKey(r.Int16())
	h.Version = r.Int16()
	h.CorrelationID = r.Int32()
	if r.err != nil {
		return nil, fmt.Errorf("decode request header: %w", r.err)
	}
	api, ok := Lookup(h.Key)
	if !ok || !api.Knows(h.Version) && h.Key != KeyAPIVersions {
		return nil, &UnsupportedError{h.Key, h.Version}
	}
	id, _ := r.NullableString(false)
	if len(id) > MaxClientIDBytes {
		return nil, fmt.Errorf("decode request header: %w: client id of %d bytes", ErrMalformed, len(id))
	}
	h.ClientID = keep(h.ClientID, id)
	if api.Flexible(h.Version) {
		if len(r.buf) > 0 && r.buf[0] == 0 {
			r.buf = r.buf[1:]
		} else {
			ahead := r
			if n := ahead.Uvarint(); n > MaxHeaderTags {
				return nil, fmt.Errorf("decode request header: %w: %d tagged fields", ErrMalformed, n)
			}
			r.Tags(nil)
		}
	}
	if r.err != nil {
		return nil, fmt.Errorf("decode request header of %s version %d: %w", h.Key, h.Version, r.err)
	}
	return r.buf, nil
}

// AppendResponseHeader appends the response header of a request: its correlation id and, in flexible versions of all APIs but
// ApiVersions, an empty tag section.
func AppendResponseHeader(dst []byte, key APIKey, version int16, correlationID int32) []byte {
	dst = AppendInt32(dst, correlationID)
	if key != KeyAPIVersions {
		if api, ok := Lookup(key); ok && api.Flexible(version) {
			dst = append(dst, 0)
		}
	}
	return dst
}

// AppendRequestHeader appends the header of a request, as a client sends it.
func AppendRequestHeader(dst []byte, h RequestHeader) []byte {
	dst = AppendInt16(dst, int16(h.Key))
	dst = AppendInt16(dst, h.Version)
	dst = AppendInt32(dst, h.CorrelationID)
	dst = AppendString(dst, h.ClientID, false)
	if api, ok := Lookup(h.Key); ok && api.Flexible(h.Version) {
		dst = append(dst, 0)
	}
	return dst
}
