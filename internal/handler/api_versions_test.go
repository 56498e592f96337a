package handler

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// TestNoMoreIsPromisedThanServed: clients turn capabilities on by what ApiVersions lists, so that what is not served must be neither an
// API nor a feature there, and what old clients look for must be.
func TestNoMoreIsPromisedThanServed(t *testing.T) {
	w := newRig(t, "").dial()
	for v := int16(0); v <= 5; v++ {
		req := kmsg.NewPtrApiVersionsRequest()
		req.ClientSoftwareName, req.ClientSoftwareVersion = "test", "1"
		resp := roundTrip[*kmsg.ApiVersionsResponse](w, v, req)
		if resp.ErrorCode != 0 || len(resp.SupportedFeatures) != 0 || len(resp.FinalizedFeatures) != 0 || resp.FinalizedFeaturesEpoch != -1 {
			t.Errorf("version %d: error %d, features %v and %v of epoch %d", v, resp.ErrorCode, resp.SupportedFeatures, resp.FinalizedFeatures, resp.FinalizedFeaturesEpoch)
		}
		listed := map[int16]kmsg.ApiVersionsResponseApiKey{}
		for _, k := range resp.ApiKeys {
			listed[k.ApiKey] = k
		}
		for _, key := range []int16{24, 25, 26, 28, 65, 66, 68, 69, 71, 72, 76, 77, 78, 79, 88, 89} {
			if k, ok := listed[key]; ok {
				t.Errorf("version %d lists %s", v, kmsg.NameForKey(k.ApiKey))
			}
		}
		for key, want := range map[int16][2]int16{0: {0, 13}, 1: {4, 18}, 10: {0, 6}, 11: {0, 9}, 22: {0, 5}} {
			if k, ok := listed[key]; !ok || k.MinVersion != want[0] || k.MaxVersion != want[1] {
				t.Errorf("version %d lists %s as %+v, want %v", v, kmsg.NameForKey(key), k, want)
			}
		}
	}
}
