package config

import (
	"fmt"
	"strings"
)

// Error is an answer for a client: the text of an INVALID_CONFIG, in Kafka's words.
type Error string

func (e Error) Error() string { return string(e) }

func errorf(format string, args ...any) error { return Error(fmt.Sprintf(format, args...)) }

// RequestError is an answer for a client as well: the text of an INVALID_REQUEST, which is what Kafka says of settings of brokers.
type RequestError string

func (e RequestError) Error() string { return string(e) }

func requestErrorf(format string, args ...any) error {
	return RequestError(fmt.Sprintf(format, args...))
}

// Problems is what Load found wrong, in the order of the sources. Its text is one line.
type Problems []error

func (p Problems) Error() string {
	const shown = 5
	texts := make([]string, 0, shown+1)
	for i, err := range p {
		if i == shown {
			texts = append(texts, fmt.Sprintf("and %d more", len(p)-shown))
			break
		}
		texts = append(texts, err.Error())
	}
	return strings.Join(texts, "; ")
}

func (p Problems) Unwrap() []error { return p }
