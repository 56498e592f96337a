package diff

import (
	"encoding/binary"

	"github.com/twmb/franz-go/pkg/kmsg"
)

func wireSequences() []Case {
	return []Case{
		sequence("unknown-apis", func(x *Script) {
			for _, key := range []int16{-1, 4, 5, 6, 7, 1000, 32767} {
				x.On(0).Frame(key, 0, frame(header1(key, 0, 0, ptr(clientID), false), nil))
			}
		}),
		sequence("hidden-apis", func(x *Script) {
			// Telemetry, which nobody has asked for, and what is for the controller's listener.
			for _, key := range []int16{71, 72, 52, 53, 54, 56, 58, 59, 62, 63, 67, 70, 73, 82} {
				req := kmsg.RequestForKey(key)
				if key == 53 || key == 54 || key == 56 { // older versions are gone
					req.SetVersion(req.MaxVersion())
				}
				if push, ok := req.(*kmsg.PushTelemetryRequest); ok {
					push.Metrics = []byte("x")
				}
				x.Do(req)
			}
		}),
		sequence("unknown-versions", func(x *Script) {
			for _, api := range Table() {
				if api.Key == keyApiVersions {
					continue
				}
				for _, v := range []int16{api.Min - 1, api.Max + 1, 99, -1, 32767} {
					flexible := v > api.Min
					x.On(0).Frame(api.Key, v, frame(header1(api.Key, v, 0, ptr(clientID), flexible), []byte{0, 0, 0, 0, 0, 0, 0, 0}))
				}
			}
		}),
		sequence("unknown-api-versions", func(x *Script) {
			for _, v := range []int16{6, 7, 99, 32767, -1} {
				x.On(0).Frame(keyApiVersions, v, frame(header1(keyApiVersions, v, 0, ptr(clientID), true), []byte{1, 1, 0}))
				x.On(0).Frame(keyApiVersions, v, frame(header1(keyApiVersions, v, 0, ptr(clientID), false), nil))
			}
			x.Note("and the connection still works")
			x.Do(apiVersionsRequest(3))
		}),
		sequence("framing", func(x *Script) {
			size := func(n uint32, rest ...byte) []byte { return append(binary.BigEndian.AppendUint32(nil, n), rest...) }
			good := frame(header1(keyApiVersions, 0, 0, ptr(clientID), false), nil)
			for _, f := range []struct {
				about string
				bytes []byte
			}{
				{"length -1", size(0xffffffff)},
				{"length -2147483648", size(0x80000000)},
				{"length 0", size(0)},
				{"length 1", size(1, 0)},
				{"length 7", size(7, 0, 18, 0, 0, 0, 0, 0)},
				{"length 8, no client id", size(8, 0, 18, 0, 0, 0, 0, 0, 0)},
				{"length 9, half a client id", size(9, 0, 18, 0, 0, 0, 0, 0, 0, 0)},
				{"client id longer than the frame", size(12, 0, 18, 0, 0, 0, 0, 0, 0, 0, 99, 'x', 'y')},
				{"client id of length -2", size(10, 0, 18, 0, 0, 0, 0, 0, 0, 0xff, 0xfe)},
				{"length above socket.request.max.bytes", size(104_857_601)},
				{"text of another protocol", []byte("GET / HTTP/1.1\r\n\r\n")},
				{"one good request", good},
			} {
				x.Note(f.about)
				x.On(0).Frame(keyApiVersions, 0, f.bytes)
			}
		}),
		sequence("headers", func(x *Script) {
			t := x.Topic("a", 1)
			x.put(t, 0, "a")
			flexible := metadata(9, false, t.Name)
			body := flexible.AppendTo(nil)
			for _, h := range []struct {
				about  string
				client *string
				tags   []byte
			}{
				{"no client id", nil, []byte{0}},
				{"empty client id", ptr(""), []byte{0}},
				{"client id that is not UTF-8", ptr("\xff\xfe"), []byte{0}},
				{"unknown tags", ptr(clientID), []byte{2, 50, 1, 'x', 51, 0}},
				{"the same tag twice", ptr(clientID), []byte{2, 50, 1, 'x', 50, 0}},
				{"tags out of order", ptr(clientID), []byte{2, 51, 0, 50, 1, 'x'}},
				{"a tag longer than the frame", ptr(clientID), []byte{1, 50, 0xff, 0xff, 0xff, 0x7f}},
				{"very many tags", ptr(clientID), []byte{0xff, 0xff, 0xff, 0xff, 0x07}},
				{"varint without an end", ptr(clientID), []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}},
			} {
				x.Note(h.about)
				x.On(0).Frame(keyMetadata, 9, frame(append(header1(keyMetadata, 9, 0, h.client, false), h.tags...), body))
			}
		}),
		sequence("array-lengths", func(x *Script) {
			body := func(about string, key, version int16, flexible bool, bytes ...byte) {
				x.Note(about)
				x.On(0).Body(key, version, flexible, bytes)
			}
			body("Metadata: null topics in version 0", keyMetadata, 0, false, 0xff, 0xff, 0xff, 0xff)
			body("Metadata: -2 topics", keyMetadata, 1, false, 0xff, 0xff, 0xff, 0xfe)
			body("Metadata: 2^31-1 topics", keyMetadata, 1, false, 0x7f, 0xff, 0xff, 0xff)
			body("Metadata: topic name null", keyMetadata, 1, false, 0, 0, 0, 1, 0xff, 0xff)
			body("Metadata: topic name longer than the body", keyMetadata, 1, false, 0, 0, 0, 1, 0x7f, 0xff, 'x')
			body("Metadata: compact array of 2^28", keyMetadata, 9, true, 0x80, 0x80, 0x80, 0x80, 0x01)
			body("Metadata: boolean 2", keyMetadata, 4, false, 0, 0, 0, 0, 2)
			body("Produce: null topics", keyProduce, 3, false, 0xff, 0xff, 0xff, 0xff, 0, 0, 0x27, 0x10, 0xff, 0xff, 0xff, 0xff)
			body("Fetch: null topics", keyFetch, 4, false, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10, 0, 0, 0xff, 0xff, 0xff, 0xff)
			body("ListOffsets: null topics", keyListOffsets, 1, false, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff)
			body("DeleteTopics: null topics", keyDeleteTopics, 1, false, 0xff, 0xff, 0xff, 0xff, 0, 0, 0x27, 0x10)
			body("DeleteTopics: 2^20 empty names", keyDeleteTopics, 1, false, append([]byte{0, 0x10, 0, 0}, make([]byte, 1000)...)...)
			body("CreateTopics: null topics", keyCreateTopics, 2, false, 0xff, 0xff, 0xff, 0xff, 0, 0, 0x27, 0x10, 0)
			body("DescribeConfigs: null resources", keyDescribeConfigs, 1, false, 0xff, 0xff, 0xff, 0xff, 0)
		}),
		sequence("tags-in-answers", func(x *Script) {
			t := x.Topic("a", 1)
			req := produce(10, -1, on(t, 0, of("x")))
			req.UnknownTags.Set(9, []byte("root"))
			req.Topics[0].UnknownTags.Set(9, []byte("topic"))
			req.Topics[0].Partitions[0].UnknownTags.Set(9, []byte("partition"))
			x.Do(req)
			f := fetch(12, from(t, 0, 0))
			f.UnknownTags.Set(9, []byte("root"))
			f.Topics[0].Partitions[0].UnknownTags.Set(100, []byte("partition"))
			f.ClusterID = ptr("another-cluster")
			x.Do(f)
			g := fetch(17, from(t, 0, 0))
			g.Topics[0].Partitions[0].ReplicaDirectoryID = [16]byte{1}
			x.Do(g)
			h := fetch(12, from(t, 0, 0))
			h.ReplicaState.ID = -2
			x.Note("a tag of a later version")
			x.Do(h)
			x.Do(kmsg.NewPtrApiVersionsRequest())
		}),
	}
}
