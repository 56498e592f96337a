package handler

import (
	"reflect"
	"sync"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/moldau/moldau/internal/protocol"
)

// outcome is how a request is counted and logged: the first error code in its answer, and the topic it concerns and the words beside the
// code, where the answer has them.
type outcome struct {
	code    protocol.ErrorCode
	topic   string
	message string
}

// outcomeMax bounds how many elements of an answer are looked at. One with more and no error among them counts as one without.
const outcomeMax = 1000

// outcomeOf looks for the first error in an answer of any type.
func outcomeOf(resp kmsg.Response) outcome {
	v := reflect.ValueOf(resp).Elem()
	left := outcomeMax
	return shapeOf(v.Type()).first(v, "", &left)
}

// shape says where a struct of kmsg has its error code, its topic and lists of structs that have codes.
type shape struct {
	code, topic, message int // index of the field, -1: none
	kind                 int // of the field that says what kind of resource the topic's field names, -1: a topic
	lists                []list
}

type list struct {
	field int
	of    *shape
}

// shapes are those of answers by their type: what reflection finds out once.
var shapes sync.Map // reflect.Type to *shape

func shapeOf(t reflect.Type) *shape {
	if s, ok := shapes.Load(t); ok {
		return s.(*shape)
	}
	s := &shape{code: -1, topic: -1, message: -1, kind: -1}
	for i := range t.NumField() {
		f := t.Field(i)
		switch {
		case f.Name == "ErrorCode" && f.Type.Kind() == reflect.Int16:
			s.code = i
		case f.Name == "Topic" || f.Name == "TopicName", f.Name == "Name" && t.Name() == "CreateTopicsResponseTopic":
			s.topic = i
		case f.Name == "ResourceName":
			s.topic = i
		case f.Name == "ResourceType" && f.Type.Kind() == reflect.Int8:
			s.kind = i
		case f.Name == "ErrorMessage" && f.Type == reflect.TypeFor[*string]():
			s.message = i
		case f.Type.Kind() == reflect.Slice && f.Type.Elem().Kind() == reflect.Struct:
			if of := shapeOf(f.Type.Elem()); of.code >= 0 || len(of.lists) > 0 {
				s.lists = append(s.lists, list{i, of})
			}
		}
	}
	shapes.Store(t, s)
	return s
}

func (s *shape) first(v reflect.Value, topic string, left *int) outcome {
	if s.topic >= 0 && (s.kind < 0 || kmsg.ConfigResourceType(v.Field(s.kind).Int()) == kmsg.ConfigResourceTypeTopic) {
		if name := reflect.Indirect(v.Field(s.topic)); name.IsValid() && name.Kind() == reflect.String {
			topic = name.String()
		}
	}
	if s.code >= 0 {
		if code := v.Field(s.code).Int(); code != 0 {
			o := outcome{code: protocol.ErrorCode(code), topic: topic}
			if s.message >= 0 {
				if m := reflect.Indirect(v.Field(s.message)); m.IsValid() {
					o.message = m.String()
				}
			}
			return o
		}
	}
	for _, l := range s.lists {
		elements := v.Field(l.field)
		for i := range elements.Len() {
			if *left--; *left < 0 {
				return outcome{}
			}
			if o := l.of.first(elements.Index(i), topic, left); o.code != protocol.None {
				return o
			}
		}
	}
	return outcome{}
}
