package broker

import (
	"fmt"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/moldau/moldau/internal/cli/client"
	"github.com/moldau/moldau/internal/cli/output"
)

type listed struct {
	ID         int32  `json:"id"`
	Host       string `json:"host"`
	Port       int32  `json:"port"`
	Rack       string `json:"rack,omitempty"`
	Controller bool   `json:"controller"`
	Leads      int    `json:"leads"` // partitions
}

func listCommand(to *client.Options) *cobra.Command {
	c := &cobra.Command{
		Use:   "list",
		Short: "List brokers, and how many partitions each leads",
		Args:  cobra.NoArgs,
	}
	format := output.Flag(c.Flags())
	c.RunE = func(c *cobra.Command, _ []string) error {
		cl, err := to.Connect(c.Context())
		if err != nil {
			return err
		}
		defer cl.Close()
		m, err := kadm.NewClient(cl).Metadata(c.Context())
		if err != nil {
			return to.Explain("list brokers", err, "")
		}
		return brokersOf(m).Print(c.OutOrStdout(), *format)
	}
	return c
}

func brokersOf(m kadm.Metadata) output.List {
	leads := map[int32]int{}
	m.Topics.EachPartition(func(p kadm.PartitionDetail) { leads[p.Leader]++ })
	all := []listed{}
	list := output.List{Heading: []string{"BROKER", "ADDRESS", "RACK", "CONTROLLER", "LEADS"}}
	for _, b := range m.Brokers {
		one := listed{ID: b.NodeID, Host: b.Host, Port: b.Port, Controller: b.NodeID == m.Controller, Leads: leads[b.NodeID]}
		if b.Rack != nil {
			one.Rack = *b.Rack
		}
		controller := "-"
		if one.Controller {
			controller = "yes"
		}
		all = append(all, one)
		list.Rows = append(list.Rows, []string{fmt.Sprint(one.ID), fmt.Sprintf("%s:%d", one.Host, one.Port), output.Text(one.Rack), controller, fmt.Sprint(one.Leads)})
	}
	list.Document = all
	return list
}
