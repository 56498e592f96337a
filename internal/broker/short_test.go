package broker

import (
	"fmt"
	"strconv"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/moldau/moldau/internal/metadata"
	"github.com/moldau/moldau/internal/vfs"
)

// TestShortReplicaLeadsNothing: a broker whose folder of a partition is gone, or whose last segment was cut off while it was down, does not lead with what is left, though it was
// the last one in sync: it waits for one that has all, and takes the rest from that one.
func TestShortReplicaLeadsNothing(t *testing.T) {
	for name, harm := range map[string]func(t *testing.T, disk *vfs.Mem){
		"folder gone": func(t *testing.T, disk *vfs.Mem) {
			if err := disk.RemoveAll("data/orders-0"); err != nil {
				t.Fatal(err)
			}
		},
		"cut off": func(t *testing.T, disk *vfs.Mem) {
			f, err := disk.OpenFile("data/orders-0/00000000000000000000.log", vfs.ReadWrite, 0)
			if err == nil {
				err = f.Truncate(0)
			}
			if err != nil {
				t.Fatal(err)
			}
			f.Close()
		},
	} {
		for _, kill := range []bool{false, true} {
			if kill && name == "cut off" {
				continue // recovery tells of it
			}
			t.Run(fmt.Sprintf("%s, killed %v", name, kill), func(t *testing.T) {
				c := newSeveral(t, replicated)
				c.start(1, 2, 3)
				c.until("three brokers that serve", c.one(), unfenced(1, 2, 3))
				c.createOn("orders", 3, 1, 2)
				c.inSync("orders")
				cl := c.client()
				const count = 20
				for i := range count {
					if err := cl.ProduceSync(t.Context(), &kgo.Record{Topic: "orders", Value: []byte(strconv.Itoa(i))}).FirstErr(); err != nil {
						t.Fatal(err)
					}
				}
				c.same("orders")
				cl.Close()
				for _, id := range []int{1, 2, 3} {
					n := c.nodes[id]
					if kill {
						c.kill(id)
					} else if err := n.Stop(); err != nil {
						t.Fatal(err)
					}
					delete(c.nodes, id)
					if id < 3 {
						c.until("it to leave the ISR", c.nodes[3], func(img *metadata.Image) bool {
							return id == 2 || !metadata.Has(img.Topic("orders").Partitions[0].ISR, int32(id))
						})
					}
				}
				harm(t, c.disks[3])
				c.start(1, 3)
				c.until("brokers that serve", c.one(), unfenced(1, 3))
				c.start(2)
				c.inSync("orders")
				c.same("orders")
				if end := c.nodes[3].replicas.Partition(c.topicID("orders"), 0).Log().LogEnd(); end != count {
					t.Errorf("%d records are left of %d", end, count)
				}
			})
		}
	}
}
