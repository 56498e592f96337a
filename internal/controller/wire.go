package controller

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strconv"
)

// Requests travel between nodes as JSON under the name of their type: every field is exported, and who sends one and who decides it may be of
// different releases. What a Quota does is not sent; whoever passes a request on puts one in its place.

// wire names every request, and its response.
var wire = func() map[string]wireTypes {
	table := make(map[string]wireTypes)
	for _, t := range []wireTypes{
		{new(AlterBroker), new(AlterBrokerResponse)},
		{new(AlterConfigs), new(AlterConfigsResponse)},
		{new(AlterPartition), new(AlterPartitionResponse)},
		{new(AlterQuotas), new(AlterQuotasResponse)},
		{new(AlterScram), new(AlterScramResponse)},
		{new(AllocateProducerIDs), new(AllocateProducerIDsResponse)},
		{new(AssignDirectories), new(AssignDirectoriesResponse)},
		{new(BalanceLeaders), new(BalanceLeadersResponse)},
		{new(CreatePartitions), new(CreatePartitionsResponse)},
		{new(CreateTopics), new(CreateTopicsResponse)},
		{new(DeleteTopics), new(DeleteTopicsResponse)},
		{new(ElectLeaders), new(ElectLeadersResponse)},
		{new(LoseDirectories), new(LoseDirectoriesResponse)},
		{new(LoseReplicas), new(LoseReplicasResponse)},
		{new(RaiseLeaderEpochs), new(RaiseLeaderEpochsResponse)},
		{new(Reassign), new(ReassignResponse)},
		{new(RegisterBroker), new(RegisterBrokerResponse)},
		{new(ReviseELRs), new(ReviseELRsResponse)},
		{new(StartCluster), new(StartClusterResponse)},
	} {
		table[nameOf(t.request)] = t
	}
	return table
}()

type wireTypes struct {
	request  Request
	response Response
}

// ErrUnknownRequest is returned for a request that this release does not know.
var ErrUnknownRequest = errors.New("unknown request to the controller")

func nameOf(request any) string { return reflect.TypeOf(request).Elem().Name() }

// Encode returns the name of a request and its fields.
func Encode(request Request) (name string, body []byte, err error) {
	name = nameOf(request)
	if _, known := wire[name]; !known {
		return "", nil, fmt.Errorf("%w: %s", ErrUnknownRequest, name)
	}
	body, err = json.Marshal(request)
	if err != nil {
		err = fmt.Errorf("encode %s: %w", name, err)
	}
	return name, body, err
}

// Decode reads what Encode wrote.
func Decode(name string, body []byte) (Request, error) {
	types, known := wire[name]
	if !known {
		return nil, fmt.Errorf("%w: %.64q", ErrUnknownRequest, name)
	}
	request := reflect.New(reflect.TypeOf(types.request).Elem()).Interface().(Request)
	if err := json.Unmarshal(body, request); err != nil {
		return nil, fmt.Errorf("decode %s: %w", name, err)
	}
	return request, nil
}

// EncodeResponse returns the fields of a response.
func EncodeResponse(response Response) ([]byte, error) {
	b, err := json.Marshal(response)
	if err != nil {
		err = fmt.Errorf("encode %T: %w", response, err)
	}
	return b, err
}

// DecodeResponse reads the response to a request of that name.
func DecodeResponse(name string, body []byte) (Response, error) {
	types, known := wire[name]
	if !known {
		return nil, fmt.Errorf("%w: %.64q", ErrUnknownRequest, name)
	}
	response := reflect.New(reflect.TypeOf(types.response).Elem()).Interface()
	if err := json.Unmarshal(body, response); err != nil {
		return nil, fmt.Errorf("decode response to %s: %w", name, err)
	}
	return response, nil
}

// QuotaOf returns the quota that a request is to keep, and WithQuota puts another one in its place. Requests without any are left alone.
func QuotaOf(request Request) Quota {
	if q := quotaField(request); q != nil {
		return *q
	}
	return nil
}

// WithQuota is described with QuotaOf.
func WithQuota(request Request, quota Quota) {
	if q := quotaField(request); q != nil {
		*q = quota
	}
}

func quotaField(request Request) *Quota {
	switch r := request.(type) {
	case *CreateTopics:
		return &r.Quota
	case *DeleteTopics:
		return &r.Quota
	case *CreatePartitions:
		return &r.Quota
	}
	return nil
}

// quotaChange is QuotaChange as JSON has it, which knows no infinity and no NaN; clients may send both, to be refused.
type quotaChange struct {
	Name  string
	Value *string
}

// MarshalJSON writes a quota so that every value survives.
func (c QuotaChange) MarshalJSON() ([]byte, error) {
	out := quotaChange{Name: c.Name}
	if c.Value != nil {
		out.Value = new(strconv.FormatFloat(*c.Value, 'g', -1, 64))
	}
	return json.Marshal(out)
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (c *QuotaChange) UnmarshalJSON(b []byte) error {
	var in quotaChange
	if err := json.Unmarshal(b, &in); err != nil {
		return err
	}
	*c = QuotaChange{Name: in.Name}
	if in.Value == nil {
		return nil
	}
	v, err := strconv.ParseFloat(*in.Value, 64)
	c.Value = &v
	return err
}
