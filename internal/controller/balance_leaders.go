package controller

import "github.com/moldau/moldau/internal/metadata"

type (
	// BalanceLeaders gives leadership back to preferred leaders that are in sync, of as many partitions as it says. Response: BalanceLeadersResponse.
	BalanceLeaders struct{ Most int }

	// BalanceLeadersResponse says how many partitions got another leader, and whether there may be more of them.
	BalanceLeadersResponse struct {
		Elected int
		More    bool
	}
)

func (*BalanceLeaders) urgent() bool { return false }

func (r *BalanceLeaders) step(s *step) Response {
	response := new(BalanceLeadersResponse)
	for t := range s.img.Topics() {
		for i, p := range t.Partitions {
			preferred := p.Replicas[0]
			if p.Leader == preferred || p.Leader == metadata.NoLeader || !metadata.Has(p.ISR, preferred) || !s.active(preferred) || !s.online(p, preferred) {
				continue
			}
			if response.Elected == r.Most {
				response.More = true
				return response
			}
			s.add(&metadata.PartitionChangeRecord{TopicID: t.ID, Number: int32(i), Leader: &preferred})
			response.Elected++
		}
	}
	return response
}
