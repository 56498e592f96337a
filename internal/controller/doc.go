// Package controller decides what the cluster's metadata becomes: topics, partitions, leaders, registrations, configurations,
// producer ids. It is a pure function from an image and a request to records and a response, Step, and a Loop that runs it:
// requests that wait together are stepped one after the other on the pending image, proposed as one entry and answered once the
// entry is committed and applied. The package does no I/O, keeps no state but the image, and never changes an image itself.
//
// Answers follow Apache Kafka 4.4's controller: its error codes and its words, since clients show them.
package controller
