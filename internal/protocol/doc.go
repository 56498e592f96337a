// Package protocol is Kafka's wire format: primitives, request and response headers, the versions of every API, the error codes, and
// own codecs for Produce and Fetch, whose record bytes are never copied. Everything else is decoded with franz-go's kmsg, behind
// DecodeCold, which bounds what a hostile body may allocate. The package does no I/O and decides nothing: which API is served, and
// how it is answered, belongs to handler.
//
// # Frame
//
//	byte 0, 4 bytes: size of what follows, a signed big-endian number (framing belongs to server)
//	byte 4: the header, then the body
//
// # Request header
//
//	int16 API key, int16 API version, int32 correlation id, nullable string client id (int16 length, -1 is null)
//	flexible versions only: a tag section. The client id keeps its 2-byte length there too.
//
// # Response header
//
//	int32 correlation id
//	flexible versions only, except ApiVersions in every version: a tag section
//
// # Primitives
//
// Numbers are big-endian. A string has an int16 length, bytes and arrays have an int32 length, -1 means null. In flexible versions
// the length plus one is an unsigned varint and 0 means null, and every structure ends in a tag section: the number of tagged
// fields, then for each its tag, its size and its bytes, tags ascending, all three unsigned varints. A field at its default is left out.
package protocol
