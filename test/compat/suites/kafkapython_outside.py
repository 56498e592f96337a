"""A plug-in of pytest, loaded with -p: kafka-python's fixtures use the broker of KAFKA_URI, instead of starting one of
a version of long ago with its ZooKeeper. It changes nothing but how a broker is had: clients and topics are still made
by kafka-python's own code."""
import os
from urllib.parse import urlparse

from test.fixtures import KafkaFixture, ZookeeperFixture
from test.service import ExternalService


class OutsideBroker(KafkaFixture):
    def open(self):
        uri = urlparse(os.environ["KAFKA_URI"])
        self.host, self.port = uri.hostname, uri.port
        (self._client,) = self.get_clients(1, client_id="_internal_client")
        self.child = self

    def close(self):
        if self._client is not None:
            self._client.close()
            self._client = None

    stop = close

    def dump_logs(self):
        pass

    def get_topic_names(self):
        (admin,) = self.get_admin_clients(1)
        return admin.list_topics()


def instance(broker_id, zookeeper, zk_chroot=None, host=None, port=None, **params):
    fixture = OutsideBroker(host, port, broker_id, zookeeper, zk_chroot, **params)
    fixture.open()
    return fixture


ZookeeperFixture.instance = staticmethod(lambda: ExternalService("127.0.0.1", 0))
KafkaFixture.instance = staticmethod(instance)
