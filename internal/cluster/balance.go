package cluster

import "github.com/moldau/moldau/internal/controller"

// balanceMost is how many partitions get their preferred leader back in one request.
const balanceMost = 1000

// balance gives leadership back to preferred leaders, now and then, while this node is the active controller: brokers that were away lead again.
func (n *Node) balance() {
	for n.pause(n.Balance) {
		elected := 0
		for more := true; more && n.quorum.Status().Ready; {
			ctx, cancel := n.within(n.life, doTimeout)
			response, err := n.loop.Do(ctx, &controller.BalanceLeaders{Most: balanceMost})
			cancel()
			if err != nil {
				n.Log.Debug("give leadership back to preferred leaders", "error", err) // another node may be the controller by now
				break
			}
			r := response.(*controller.BalanceLeadersResponse)
			elected, more = elected+r.Elected, r.More
		}
		if elected > 0 {
			n.Log.Info("gave leadership back to preferred leaders", "partitions", elected)
		}
	}
}
