package handler

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/moldau/moldau/internal/config"
	"github.com/moldau/moldau/internal/controller"
	"github.com/moldau/moldau/internal/protocol"
)

// DescribeConfigs, versions 1 to 4: every setting of a topic or of this broker, with its effective value.
//
//	v1  synonyms        v3  types and documentation        v4  flexible
//
// Settings of a broker are those it was started with. Groups, loggers and client metrics are not served yet.

// Types of resources whose configurations are served.
const (
	resourceTopic  = kmsg.ConfigResourceTypeTopic
	resourceBroker = kmsg.ConfigResourceTypeBroker
)

// knownResources are all types that Kafka has, served or not.
var knownResources = []kmsg.ConfigResourceType{resourceTopic, resourceBroker, kmsg.ConfigResourceTypeBrokerLogger,
	kmsg.ConfigResourceTypeClientMetrics, kmsg.ConfigResourceTypeGroupConfig}

// invalidRequest is what Kafka says of INVALID_REQUEST where it has nothing more to say.
const invalidRequest = "This most likely occurs because of a request being malformed by the client library or the message was sent " +
	"to an incompatible broker. See the broker logs for more details."

// resource names what is configured.
type resource struct {
	kind kmsg.ConfigResourceType
	name string
}

func serveDescribeConfigs(h *Handler, c call, req *kmsg.DescribeConfigsRequest) kmsg.Response {
	resp := kmsg.NewPtrDescribeConfigsResponse()
	unknown := slices.ContainsFunc(req.Resources, func(r kmsg.DescribeConfigsRequestResource) bool {
		return !slices.Contains(knownResources, r.ResourceType)
	})
	// A resource is answered as often as it is named. What exists bounds the first answers; more of them are paid for, since a few bytes
	// ask for thousands.
	answered := make(map[resource]bool, len(req.Resources))
	for _, r := range req.Resources {
		out := kmsg.NewDescribeConfigsResponseResource()
		out.ResourceType, out.ResourceName = r.ResourceType, r.ResourceName
		if unknown { // Kafka refuses the whole request
			out.ErrorCode, out.ErrorMessage = int16(protocol.InvalidRequest), kmsg.StringPtr(invalidRequest)
			resp.Resources = append(resp.Resources, out)
			continue
		}
		again := answered[resource{r.ResourceType, r.ResourceName}]
		answered[resource{r.ResourceType, r.ResourceName}] = true
		entries, code, message := h.describeResource(r)
		out.ErrorCode, out.ErrorMessage = int16(code), kmsg.StringPtr(message) // Kafka sends "" for no message
		for _, e := range entries {
			if len(r.ConfigNames) > 0 && !slices.Contains(r.ConfigNames, e.Name) {
				continue
			}
			entry := configEntry(e, req)
			if again && !c.charge(entrySize(&entry)) {
				return nil
			}
			out.Configs = append(out.Configs, entry)
		}
		resp.Resources = append(resp.Resources, out)
	}
	return resp
}

func (h *Handler) describeResource(r kmsg.DescribeConfigsRequestResource) ([]config.Entry, protocol.ErrorCode, string) {
	switch r.ResourceType {
	case resourceTopic:
		if why := controller.InvalidTopicName(r.ResourceName); why != "" {
			return nil, protocol.InvalidTopic, why
		}
		topic := h.Metadata.Image().Topic(r.ResourceName)
		if topic == nil {
			return nil, protocol.UnknownTopicOrPartition, ""
		}
		return h.Config.DescribeTopic(topic.Configs), protocol.None, ""
	case resourceBroker:
		if r.ResourceName == "" {
			return nil, protocol.None, "" // no setting of all brokers can be changed yet
		}
		id, err := strconv.ParseInt(r.ResourceName, 10, 32)
		if err != nil {
			return nil, protocol.InvalidRequest, fmt.Sprintf("Broker id must be an integer, but it is: %s", r.ResourceName)
		}
		if int32(id) != h.BrokerID {
			return nil, protocol.InvalidRequest,
				fmt.Sprintf("Unexpected broker id, expected %d or empty string, but received %s", h.BrokerID, r.ResourceName)
		}
		return h.Config.DescribeBroker(), protocol.None, ""
	}
	return nil, protocol.InvalidRequest, fmt.Sprintf("Configurations of resource type %d are not served yet.", r.ResourceType)
}

// entrySize is about what an entry takes in memory.
func entrySize(e *kmsg.DescribeConfigsResponseResourceConfig) int64 {
	n := 160 + len(e.Name) + 128*len(e.ConfigSynonyms)
	for _, s := range []*string{e.Value, e.Documentation} {
		if s != nil {
			n += len(*s)
		}
	}
	return int64(n)
}

func configEntry(e config.Entry, req *kmsg.DescribeConfigsRequest) kmsg.DescribeConfigsResponseResourceConfig {
	out := kmsg.NewDescribeConfigsResponseResourceConfig()
	out.Name, out.Value = e.Name, e.Value
	out.ReadOnly, out.IsSensitive = e.ReadOnly, e.Sensitive
	out.Source = kmsg.ConfigSource(e.Source)
	out.ConfigType = kmsg.ConfigType(e.Type)
	if req.IncludeSynonyms {
		for _, s := range e.Synonyms {
			syn := kmsg.NewDescribeConfigsResponseResourceConfigConfigSynonym()
			syn.Name, syn.Value, syn.Source = s.Name, s.Value, kmsg.ConfigSource(s.Source)
			out.ConfigSynonyms = append(out.ConfigSynonyms, syn)
		}
	}
	if req.IncludeDocumentation {
		out.Documentation = kmsg.StringPtr(e.Doc)
	}
	return out
}
