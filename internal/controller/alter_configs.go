package controller

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/moldau/moldau/internal/metadata"
	"github.com/moldau/moldau/internal/protocol"
)

// What is done to one configuration, as the protocol numbers it.
const (
	OpSet      int8 = 0
	OpDelete   int8 = 1
	OpAppend   int8 = 2 // lists only
	OpSubtract int8 = 3 // lists only
)

// maxConfigValue is the longest value of a configuration; the number is Kafka's.
const maxConfigValue = 32767

type (
	// AlterConfigs changes configurations of resources, each resource as a whole or not at all. Response: AlterConfigsResponse.
	AlterConfigs struct {
		Resources    []AlterResource
		ValidateOnly bool
		Asked        int32 // the node that the client asked: brokers change their own settings
	}

	// AlterResource names a resource and what is done to its configurations.
	AlterResource struct {
		Resource metadata.Resource
		Ops      []ConfigOp
		Replace  bool // what is not named goes, as in the older AlterConfigs request
	}

	// ConfigOp is one change; Value is nil in a delete.
	ConfigOp struct {
		Name  string
		Op    int8
		Value *string
	}

	// AlterConfigsResponse has a result for each resource of the request, in its order.
	AlterConfigsResponse struct{ Resources []ResourceAltered }

	// ResourceAltered is the result for one resource.
	ResourceAltered struct {
		Resource metadata.Resource
		Error    Error
	}
)

func (*AlterConfigs) urgent() bool { return false }

func (r *AlterConfigs) step(s *step) Response {
	response := new(AlterConfigsResponse)
	times := make(map[metadata.Resource]int, len(r.Resources))
	for i := range r.Resources {
		times[r.Resources[i].Resource]++
	}
	for i := range r.Resources {
		a := &r.Resources[i]
		result := ResourceAltered{Resource: a.Resource}
		if times[a.Resource] > 1 {
			result.Error = Error{protocol.InvalidRequest, "Each resource must appear at most once."}
		} else {
			result.Error = s.alter(a, r.Asked)
		}
		response.Resources = append(response.Resources, result)
	}
	if r.ValidateOnly {
		s.drop()
	}
	return response
}

func (s *step) alter(a *AlterResource, asked int32) Error {
	if err := a.CheckForm(); err.Failed() {
		return err
	}
	if err := a.checkType(); err.Failed() {
		return err
	}
	return s.alterResource(a, asked)
}

// CheckForm judges what is the same for all types of resources, first of all as Kafka does.
func (a *AlterResource) CheckForm() Error {
	seen := make(map[string]bool, len(a.Ops))
	var null []string
	for _, op := range a.Ops {
		if seen[op.Name] {
			return Error{protocol.InvalidRequest, "Error due to duplicate config keys"}
		}
		seen[op.Name] = true
		if op.Op != OpDelete && op.Value == nil {
			null = append(null, op.Name)
		}
	}
	if null != nil {
		return Error{protocol.InvalidRequest, "Null value not supported for : " + strings.Join(null, ", ")}
	}
	return Error{}
}

// checkType refuses types of resources that there are not, or whose settings are not kept here.
func (a *AlterResource) checkType() Error {
	switch a.Resource.Type {
	case metadata.ResourceTopic, metadata.ResourceBroker, metadata.ResourceClientMetrics, metadata.ResourceGroup:
	default:
		return Error{protocol.InvalidRequest, fmt.Sprintf("Unknown resource type %d", a.Resource.Type)}
	}
	return Error{}
}

// checkOps refuses operations that there are not.
func (a *AlterResource) checkOps() Error {
	for _, op := range a.Ops {
		switch {
		case op.Op >= OpSet && op.Op <= OpSubtract:
		case a.Resource.Type == metadata.ResourceBroker:
			return Error{protocol.InvalidRequest, fmt.Sprintf("Unknown operations type %d", op.Op)}
		default:
			return Error{Code: protocol.UnknownServerError} // Kafka stumbles over the missing operation and has no words for it
		}
	}
	return Error{}
}

func (s *step) alterResource(a *AlterResource, asked int32) Error {
	if a.Resource.Type == metadata.ResourceBroker {
		if err := s.settings.Configs.CheckBroker(asked, a.Resource.Name); err.Failed() {
			return err
		}
	}
	if err := a.checkOps(); err.Failed() {
		return err
	}
	current := s.img.Config(a.Resource)
	named := make(map[string]bool, len(a.Ops))
	changed := make(map[string]*string)
	for _, op := range a.Ops {
		named[op.Name] = true
		old, had := current[op.Name]
		value := op.Value
		switch op.Op {
		case OpDelete:
			value = nil
		case OpAppend, OpSubtract:
			def, err := s.listDefault(a.Resource.Type, op)
			if err.Failed() {
				return err
			}
			if !had {
				old = def
			}
			value = new(editList(old, *op.Value, op.Op))
		}
		if had != (value != nil) || had && old != *value {
			changed[op.Name] = value
		}
	}
	if a.Replace {
		for name := range current {
			if !named[name] {
				changed[name] = nil
			}
		}
	}
	after := maps.Clone(current)
	if after == nil {
		after = make(map[string]string)
	}
	set := make(map[string]string)
	for name, value := range changed {
		if value == nil {
			delete(after, name)
			continue
		}
		after[name], set[name] = *value, *value
	}
	if err := s.checkResource(a, set, after); err.Failed() {
		return err
	}
	for _, name := range sortedKeys(changed) {
		s.add(&metadata.ConfigRecord{Resource: a.Resource, Name: name, Value: changed[name]})
	}
	if a.Resource.Type == metadata.ResourceTopic || a.Resource.Type == metadata.ResourceBroker {
		if _, ok := changed[minISR]; ok {
			s.revise()
		}
		if _, ok := changed[uncleanElection]; ok {
			s.permit()
		}
	}
	return Error{}
}

// listDefault returns what a list has that is not set, for append and subtract.
func (s *step) listDefault(kind int8, op ConfigOp) (string, Error) {
	if kind == metadata.ResourceBroker {
		return s.settings.Configs.BrokerList(op.Name, strings.ToLower(opName(op.Op)))
	}
	if kind == metadata.ResourceTopic {
		if def, list := s.settings.Configs.TopicList(op.Name); list {
			return def, Error{}
		}
	} // Kafka takes no setting of the other resources for a list
	return "", Error{protocol.InvalidConfig, fmt.Sprintf("Can't %s to key %s because its type is not LIST.", opName(op.Op), op.Name)}
}

// checkResource judges what a resource would have, of which set is new.
func (s *step) checkResource(a *AlterResource, set, after map[string]string) Error {
	if a.Resource.Type == metadata.ResourceTopic {
		if err := s.checkTopicResource(a.Resource.Name); err.Failed() {
			return err
		}
		if err := s.checkConfigs(set, after); err.Failed() {
			return err
		}
		if s.img.Topic(a.Resource.Name) == nil {
			return Error{protocol.UnknownTopicOrPartition, fmt.Sprintf("The topic '%s' does not exist.", a.Resource.Name)}
		}
		return Error{}
	}
	for _, name := range sortedKeys(set) {
		if len(set[name]) > maxConfigValue {
			return Error{protocol.InvalidConfig, fmt.Sprintf("The configuration value cannot be added because it exceeds the maximum value size of %d bytes.", maxConfigValue)}
		}
	}
	switch a.Resource.Type {
	case metadata.ResourceBroker:
		if err := s.settings.Configs.ValidateBroker(s.img, a.Resource.Name, after); err.Failed() {
			return err
		}
		return a.checkMinISR(after)
	case metadata.ResourceGroup:
		if a.Resource.Name == "" {
			return Error{protocol.InvalidRequest, "Default group resources are not allowed."}
		}
		return s.settings.Configs.ValidateGroup(after)
	}
	if a.Resource.Name == "" {
		return Error{protocol.InvalidRequest, "Subscription name can't be empty"}
	}
	return s.settings.Configs.ValidateClientMetrics(after)
}

// checkMinISR keeps min.insync.replicas the same for all brokers, which eligible leader replicas rely on.
func (a *AlterResource) checkMinISR(after map[string]string) Error {
	named := slices.ContainsFunc(a.Ops, func(op ConfigOp) bool { return op.Name == minISR })
	_, stays := after[minISR]
	switch {
	case a.Resource.Name != "" && named:
		return Error{protocol.InvalidConfig, "Broker-level min.insync.replicas cannot be altered while ELR is enabled."}
	case a.Resource.Name == "" && !stays && (named || a.Replace):
		return Error{protocol.InvalidConfig, "Cluster-level min.insync.replicas cannot be removed while ELR is enabled."}
	}
	return Error{}
}

func (s *step) checkTopicResource(name string) Error {
	if name == "" {
		return Error{protocol.InvalidRequest, "Default topic resources are not allowed."}
	}
	if why := InvalidTopicName(name); why != "" {
		return Error{protocol.InvalidTopic, why}
	}
	return Error{}
}

// checkConfigs judges the overrides that are set now, and all that the topic then has.
func (s *step) checkConfigs(set, all map[string]string) Error {
	for _, name := range sortedKeys(set) {
		if len(set[name]) > maxConfigValue {
			return Error{protocol.InvalidConfig, fmt.Sprintf("The configuration value cannot be added because it exceeds the maximum value size of %d bytes.", maxConfigValue)}
		}
	}
	if err := s.settings.Configs.ValidateTopicSet(all); err != nil {
		return Error{protocol.InvalidConfig, err.Error()}
	}
	return Error{}
}

func opName(op int8) string {
	if op == OpAppend {
		return "APPEND"
	}
	return "SUBTRACT"
}

// editList appends the elements of edit to a comma-separated list where they are missing, or takes the first of each out.
func editList(list, edit string, op int8) string {
	parts := slices.DeleteFunc(splitList(list), func(p string) bool { return p == "" })
	for _, p := range splitList(edit) {
		at := slices.Index(parts, p)
		switch {
		case op == OpAppend && at < 0:
			parts = append(parts, p)
		case op == OpSubtract && at >= 0:
			parts = slices.Delete(parts, at, at+1)
		}
	}
	return strings.Join(parts, ",")
}

// splitList splits as Kafka does: empty elements at the end do not count, but the empty string is one empty element.
func splitList(s string) []string {
	parts := strings.Split(s, ",")
	for len(parts) > 0 && parts[len(parts)-1] == "" && s != "" {
		parts = parts[:len(parts)-1]
	}
	return parts
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
