package handler

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/moldau/moldau/internal/config"
	"github.com/moldau/moldau/internal/controller"
	"github.com/moldau/moldau/internal/metadata"
	"github.com/moldau/moldau/internal/protocol"
)

// DescribeConfigs, versions 1 to 4: every setting of a topic, of this broker, of a group or of a subscription to client metrics, with its
// effective value; what is set for all brokers; the loggers of this broker.
//
//	v1  synonyms        v3  types and documentation        v4  flexible
//
// A group or subscription need not exist to be described.

// Types of resources that have settings.
const (
	resourceTopic         = kmsg.ConfigResourceTypeTopic
	resourceBroker        = kmsg.ConfigResourceTypeBroker
	resourceLogger        = kmsg.ConfigResourceTypeBrokerLogger
	resourceClientMetrics = kmsg.ConfigResourceTypeClientMetrics
	resourceGroup         = kmsg.ConfigResourceTypeGroupConfig
)

// knownResources are all of them.
var knownResources = []kmsg.ConfigResourceType{resourceTopic, resourceBroker, resourceLogger, resourceClientMetrics, resourceGroup}

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
	// A resource is answered as often as it is named. What exists bounds the first answers for topics and brokers; more of them are paid
	// for, and all for what need not exist, since a few bytes ask for thousands.
	answered := make(map[resource]bool, len(req.Resources))
	for _, r := range req.Resources {
		out := kmsg.NewDescribeConfigsResponseResource()
		out.ResourceType, out.ResourceName = r.ResourceType, r.ResourceName
		if unknown { // Kafka refuses the whole request
			out.ErrorCode, out.ErrorMessage = int16(protocol.InvalidRequest), kmsg.StringPtr(invalidRequest)
			resp.Resources = append(resp.Resources, out)
			continue
		}
		pay := answered[resource{r.ResourceType, r.ResourceName}] || r.ResourceType == resourceGroup || r.ResourceType == resourceClientMetrics
		answered[resource{r.ResourceType, r.ResourceName}] = true
		entries, code, message := h.describeResource(r)
		out.ErrorCode, out.ErrorMessage = int16(code), kmsg.StringPtr(message) // Kafka sends "" for no message
		for _, e := range entries {
			if len(r.ConfigNames) > 0 && !slices.Contains(r.ConfigNames, e.Name) {
				continue
			}
			entry := configEntry(e, req)
			if pay && !c.charge(entrySize(&entry)) {
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
		least := 0 // the partitions may have different numbers of replicas, and Kafka has one value for all
		for _, p := range topic.Partitions {
			least = max(least, p.MinISR(0))
		}
		return h.Live().DescribeTopic(topic.Configs, least), protocol.None, ""
	case resourceBroker:
		if r.ResourceName == "" {
			return h.Live().DescribeBrokers(), protocol.None, ""
		}
		id, err := strconv.ParseInt(r.ResourceName, 10, 32)
		if err != nil {
			return nil, protocol.InvalidRequest, fmt.Sprintf("Broker id must be an integer, but it is: %s", r.ResourceName)
		}
		if int32(id) != h.BrokerID {
			return nil, protocol.InvalidRequest,
				fmt.Sprintf("Unexpected broker id, expected %d or empty string, but received %s", h.BrokerID, r.ResourceName)
		}
		return h.Live().DescribeBroker(), protocol.None, ""
	case resourceLogger:
		return h.describeLoggers(r.ResourceName)
	case resourceGroup:
		if r.ResourceName == "" {
			return nil, protocol.InvalidRequest, "Group name must not be empty"
		}
		return h.Live().DescribeGroup(h.settingsOf(r)), protocol.None, ""
	}
	if r.ResourceName == "" {
		return nil, protocol.InvalidRequest, "Client metrics subscription name must not be empty"
	}
	return config.DescribeClientMetrics(h.settingsOf(r)), protocol.None, ""
}

// settingsOf returns what is set of a resource.
func (h *Handler) settingsOf(r kmsg.DescribeConfigsRequestResource) map[string]string {
	return h.Metadata.Image().Config(metadata.Resource{Type: int8(r.ResourceType), Name: r.ResourceName})
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
	if req.IncludeDocumentation || e.Source == config.SourceLogger { // Kafka sends "" for its loggers
		out.Documentation = kmsg.StringPtr(e.Doc)
	}
	return out
}
