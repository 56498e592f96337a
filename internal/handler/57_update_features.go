package handler

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/moldau/moldau/internal/protocol"
)

// UpdateFeatures, versions 0 to 2: finalises levels of features (KIP-584).
//
//	v1  kinds of upgrades and dry runs (KIP-778)     v2  no results for single features
//
// No feature has levels here yet, so that each is unknown. Kafka answers the first that it refuses for all, in every version; of the order
// in which it looks at them it promises nothing, here it is the request's.

// Kinds of upgrades. The numbers are Kafka's and frozen.
const (
	upgradeFeature         = 1
	unsafeDowngradeFeature = 3
)

func serveUpdateFeatures(h *Handler, c call, req *kmsg.UpdateFeaturesRequest) kmsg.Response {
	resp := kmsg.NewPtrUpdateFeaturesResponse()
	if len(req.FeatureUpdates) == 0 {
		return resp
	}
	u := &req.FeatureUpdates[0]
	var why string
	switch {
	case c.version >= 1 && (u.UpgradeType < upgradeFeature || u.UpgradeType > unsafeDowngradeFeature):
		why = "The controller does not support the given upgrade type."
	case u.MaxVersionLevel < 0:
		why = "A feature version cannot be less than 0."
	case u.MaxVersionLevel == 0:
		why = fmt.Sprintf("Feature %s not found.", u.Feature)
	default:
		why = fmt.Sprintf("Local controller %d does not support this feature.", h.BrokerID)
	}
	resp.ErrorCode = int16(protocol.InvalidUpdateVersion)
	resp.ErrorMessage = new(fmt.Sprintf("The update failed for all features since the following feature had an error: Invalid update version %d for feature %s. %s",
		u.MaxVersionLevel, u.Feature, why))
	return resp
}
