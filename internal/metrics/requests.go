package metrics

import (
	"sync/atomic"
	"time"
)

const (
	maxAPIs     = 128 // keys of requests are below it
	maxVersions = 32  // the last stands for all that are not below it
	maxCodes    = 192 // codes from -1 on; the last but one stands for all that do not fit
)

// Closed stands, instead of an error code, for a request that was not answered because it closed its connection.
const Closed = maxCodes - 2

const (
	// OtherVersion is the version under which requests of versions are counted that no Kafka broker has.
	OtherVersion = maxVersions - 1
	otherCode    = maxCodes - 3
)

// Requests counts requests by API, version and error code, and their durations by API. What is made for a version at its first
// request is kept; there is one for each version that any client speaks, at most maxAPIs times maxVersions.
type Requests struct {
	apis [maxAPIs]atomic.Pointer[apiCounts]
}

type apiCounts struct {
	duration Histogram
	versions [maxVersions]atomic.Pointer[[maxCodes]Counter]
}

// Observe counts one request. Keys that no API has are passed over.
func (r *Requests) Observe(key, version, code int16, d time.Duration) {
	if key < 0 || key >= maxAPIs {
		return
	}
	a := r.apis[key].Load()
	if a == nil {
		a = new(apiCounts)
		if !r.apis[key].CompareAndSwap(nil, a) {
			a = r.apis[key].Load()
		}
	}
	if version < 0 || version > OtherVersion {
		version = OtherVersion
	}
	v := a.versions[version].Load()
	if v == nil {
		v = new([maxCodes]Counter)
		if !a.versions[version].CompareAndSwap(nil, v) {
			v = a.versions[version].Load()
		}
	}
	if code < -1 || code > Closed {
		code = otherCode
	}
	v[code+1].Inc()
	a.duration.Observe(d)
}

// Counts calls yield for every version and code of an API that was counted.
func (r *Requests) Counts(yield func(key, version, code int16, n int64)) {
	for key := range r.apis {
		a := r.apis[key].Load()
		if a == nil {
			continue
		}
		for version := range a.versions {
			v := a.versions[version].Load()
			if v == nil {
				continue
			}
			for i := range v {
				if n := v[i].Load(); n > 0 {
					yield(int16(key), int16(version), int16(i-1), n)
				}
			}
		}
	}
}

// Durations calls yield for every API that was counted.
func (r *Requests) Durations(yield func(key int16, h *Histogram)) {
	for key := range r.apis {
		if a := r.apis[key].Load(); a != nil {
			yield(int16(key), &a.duration)
		}
	}
}
