// Package metadata is what the cluster knows about itself: the records that change it, the immutable Image they fold into, and
// the Delta between two images. The controller writes the records, the quorum makes them durable, everybody else reads an Image.
// The package does no I/O, takes no lock while reading and never decides anything: a record that does not fit is an error.
//
// An Image never changes once it is made. Apply copies what a record touches and shares the rest, so an old Image stays valid
// for whoever still holds it and costs what has changed since.
package metadata
