package diff

import (
	"fmt"
	"strings"
)

// Properties is the server.properties that the recorded Kafka ran with, as bench/kafka.sh writes it for one broker, for the broker
// under test to run with too: listening on port and controllerPort of the loopback address, keeping its data in dir. What the broker of
// some cases needs on top stands behind it.
func Properties(port, controllerPort int, dir string, more ...string) string {
	return fmt.Sprintf(`process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:%[2]d
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:%[1]d,CONTROLLER://127.0.0.1:%[2]d
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
log.dirs=%[3]s
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
`, port, controllerPort, dir) + strings.Join(more, "\n") + "\n"
}
