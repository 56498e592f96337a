// KafkaJS's admin calls for groups, and two members in one process.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import kafkajs from 'kafkajs'

const { AssignerProtocol, Kafka, logLevel } = kafkajs
const kafka = new Kafka({ clientId: 'kafkajs-tests', brokers: [process.env.BOOTSTRAP], logLevel: logLevel.NOTHING })
const topic = 'kafkajs-admin-' + process.pid

test('lists, describes and deletes groups, sets, fetches and deletes offsets', async (t) => {
  const admin = kafka.admin()
  await admin.connect()
  await admin.createTopics({ topics: [{ topic, numPartitions: 2 }], waitForLeaders: true })
  t.after(async () => {
    await admin.deleteTopics({ topics: [topic] })
    await admin.disconnect()
  })
  const producer = kafka.producer()
  await producer.connect()
  await producer.send({ topic, messages: [...Array(10).keys()].map((n) => ({ partition: n % 2, value: String(n) })) })
  await producer.disconnect()
  const empty = topic + '-empty'
  const busy = topic + '-busy'
  const offsets = async (group) => {
    const [{ partitions }] = await admin.fetchOffsets({ groupId: group, topics: [topic] })
    return partitions.sort((a, b) => a.partition - b.partition).map((p) => p.offset)
  }

  await admin.resetOffsets({ groupId: empty, topic, earliest: true })
  assert.deepEqual(await offsets(empty), ['-2', '-2'])
  assert.deepEqual(
    (await admin.fetchOffsets({ groupId: empty, topics: [topic], resolveOffsets: true }))[0].partitions.map((p) => p.offset),
    ['0', '0']
  )
  await admin.setOffsets({ groupId: empty, topic, partitions: [{ partition: 0, offset: '3' }, { partition: 1, offset: '4' }] })
  assert.deepEqual(await offsets(empty), ['3', '4'])

  const consumer = kafka.consumer({ groupId: busy, maxWaitTimeInMs: 200 })
  await consumer.connect()
  await consumer.subscribe({ topics: [topic], fromBeginning: true })
  const read = new Set()
  await new Promise((resolve) =>
    consumer.run({
      eachMessage: async ({ message }) => {
        read.add(message.value.toString())
        if (read.size === 10) resolve()
      }
    })
  )
  const { groups } = await admin.listGroups()
  const kinds = Object.fromEntries(groups.map((g) => [g.groupId, g.protocolType]))
  assert.equal(kinds[busy], 'consumer')
  assert.ok(empty in kinds)
  const described = await admin.describeGroups([empty, busy])
  const [e, b] = [empty, busy].map((id) => described.groups.find((g) => g.groupId === id))
  assert.equal(e.state, 'Empty')
  assert.equal(b.state, 'Stable')
  assert.equal(b.protocol, 'RoundRobinAssigner')
  assert.equal(b.members.length, 1)
  assert.equal(b.members[0].clientId, 'kafkajs-tests')
  assert.deepEqual(AssignerProtocol.MemberAssignment.decode(b.members[0].memberAssignment).assignment, { [topic]: [0, 1] })

  await assert.rejects(admin.deleteGroups([busy]), (err) => err.groups[0].error.type === 'NON_EMPTY_GROUP')
  await consumer.disconnect()
  assert.deepEqual(await offsets(busy), ['5', '5'])
  await admin.deleteGroups([empty, busy])
  const left = (await admin.listGroups()).groups.map((g) => g.groupId)
  assert.ok(!left.includes(empty) && !left.includes(busy))
  assert.deepEqual(await offsets(empty), ['-1', '-1'])
})
