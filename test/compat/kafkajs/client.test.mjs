// What KafkaJS's list of features has, without security and transactions: producers, codecs, headers,
// consumers that pause, resume and seek, and the admin client. Groups are in admin.test.mjs and member.mjs.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import kafkajs from 'kafkajs'
import snappy from 'kafkajs-snappy'
import lz4 from 'lz4js'
import { ZstdCodec } from 'zstd-codec'

const { CompressionCodecs, CompressionTypes, ConfigResourceTypes, Kafka, logLevel, Partitioners } = kafkajs
const replicas = Number(process.env.REPLICAS) // of each partition
const kafka = new Kafka({ clientId: 'kafkajs-tests', brokers: [process.env.BOOTSTRAP], logLevel: logLevel.NOTHING, retry: { initialRetryTime: 100, retries: 4 } })
const zstd = await new Promise((resolve) => ZstdCodec.run((z) => resolve(new z.Simple())))
const codec = (compress, decompress) => () => ({
  compress: async (encoder) => Buffer.from(compress(encoder.buffer)),
  decompress: async (buffer) => Buffer.from(decompress(buffer))
})
CompressionCodecs[CompressionTypes.Snappy] = snappy
// lz4js says that blocks depend on one another, which Kafka refuses. One block depends on none: the frame's flags say so,
// and the byte that checks them.
const independent = (frame) => Object.assign(frame, { 4: 0x60, 6: 0x73 })
CompressionCodecs[CompressionTypes.LZ4] = codec((b) => independent(lz4.compress(b)), lz4.decompress)
CompressionCodecs[CompressionTypes.ZSTD] = codec((b) => zstd.compress(b, 3), (b) => zstd.decompress(b))

let topics = 0
// scene gives a test an admin client, and topics that are deleted after it.
const scene = async (t) => {
  const admin = kafka.admin()
  await admin.connect()
  const made = []
  t.after(async () => {
    await admin.deleteTopics({ topics: made }).catch(() => {}) // a test may have deleted one
    await admin.disconnect()
  })
  const create = async (numPartitions, configEntries = []) => {
    const topic = `kafkajs-client-${process.pid}-${topics++}`
    made.push(topic)
    assert.equal(await admin.createTopics({ topics: [{ topic, numPartitions, configEntries }], waitForLeaders: true }), true)
    return topic
  }
  return { admin, create }
}

const producing = async (t, options = {}) => {
  const producer = kafka.producer({ createPartitioner: Partitioners.DefaultPartitioner, ...options })
  await producer.connect()
  t.after(() => producer.disconnect())
  return producer
}

const consuming = async (t, topic) => {
  const consumer = kafka.consumer({ groupId: topic, maxWaitTimeInMs: 200 })
  await consumer.connect()
  t.after(() => consumer.disconnect())
  await consumer.subscribe({ topics: [topic], fromBeginning: true })
  return consumer
}

const until = async (what, done) => {
  for (let i = 0; !(await done()); i++) {
    assert.ok(i < 600, `not so: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}

const numbers = (n) => [...Array(n).keys()]
const value = (n) => `value ${n} `.repeat(20)

for (const [name, compression] of Object.entries(CompressionTypes)) {
  test(`records with keys, headers and timestamps, compressed by ${name}`, async (t) => {
    const { create } = await scene(t)
    const topic = await create(1)
    const producer = await producing(t)
    const sent = await producer.send({
      topic,
      compression,
      messages: numbers(100).map((n) => ({
        key: n % 2 ? `key ${n}` : null,
        value: n === 99 ? null : value(n),
        headers: { one: `header ${n}`, many: ['a', 'b'] },
        timestamp: String(1700000000000 + n)
      }))
    })
    assert.deepEqual(sent.map((s) => [s.topicName, s.partition, s.errorCode, s.baseOffset]), [[topic, 0, 0, '0']])
    const consumer = await consuming(t, topic)
    const read = []
    await consumer.run({ eachMessage: async ({ message }) => void read.push(message) })
    await until('all records are read', () => read.length === 100)
    read.forEach((m, n) => {
      assert.equal(m.offset, String(n))
      assert.equal(m.key?.toString() ?? null, n % 2 ? `key ${n}` : null)
      assert.equal(m.value?.toString() ?? null, n === 99 ? null : value(n))
      assert.equal(m.timestamp, String(1700000000000 + n))
      assert.equal(m.headers.one.toString(), `header ${n}`)
      assert.deepEqual(m.headers.many.map(String), ['a', 'b'])
    })
  })
}

test('acks of 0, 1 and all, several topics at once, an idempotent producer', async (t) => {
  const { admin, create } = await scene(t)
  const [one, two] = [await create(1), await create(3)]
  const producer = await producing(t)
  for (const acks of [0, 1, -1]) {
    await producer.sendBatch({ acks, topicMessages: [{ topic: one, messages: [{ value: 'x' }] }, { topic: two, messages: numbers(3).map((partition) => ({ partition, value: 'y' })) }] })
  }
  const idempotent = await producing(t, { idempotent: true, maxInFlightRequests: 1 })
  for (const n of numbers(3)) await idempotent.send({ topic: one, messages: [{ value: `once ${n}` }] })
  const ends = async (topic) => (await admin.fetchTopicOffsets(topic)).sort((a, b) => a.partition - b.partition).map((p) => p.offset)
  await until('what was sent without acks has come', async () => (await ends(one))[0] === '6')
  await until('all partitions have their records', async () => (await ends(two)).join() === '3,3,3')
})

test('equal keys go to one partition', async (t) => {
  const { create } = await scene(t)
  const topic = await create(5)
  const producer = await producing(t)
  const at = new Set()
  for (const n of numbers(5)) at.add((await producer.send({ topic, messages: [{ key: 'same', value: String(n) }] }))[0].partition)
  assert.equal(at.size, 1)
})

test('a consumer pauses, resumes and seeks', async (t) => {
  const { create } = await scene(t)
  const topic = await create(2)
  const producer = await producing(t)
  const send = (from) => producer.send({ topic, messages: numbers(20).map((n) => ({ partition: n % 2, value: String(from + n) })) })
  await send(0)
  const consumer = await consuming(t, topic)
  const read = []
  await consumer.run({ eachMessage: async ({ partition, message }) => void read.push([partition, Number(message.offset)]) })
  await until('both partitions are read', () => read.length === 20)
  consumer.pause([{ topic, partitions: [1] }])
  assert.deepEqual(consumer.paused(), [{ topic, partitions: [1] }])
  await send(20)
  await until('the partition that goes on is read', () => read.filter(([p]) => p === 0).length === 20)
  assert.equal(read.filter(([p]) => p === 1).length, 10)
  consumer.resume([{ topic, partitions: [1] }])
  await until('the other one is read', () => read.length === 40)
  consumer.seek({ topic, partition: 0, offset: '15' })
  await until('it is read again from there', () => read.length === 45)
  assert.deepEqual(read.slice(40), [15, 16, 17, 18, 19].map((o) => [0, o]))
})

test('whole batches, with heartbeats and commits of one’s own', async (t) => {
  const { admin, create } = await scene(t)
  const topic = await create(1)
  const producer = await producing(t)
  await producer.send({ topic, messages: numbers(50).map((n) => ({ value: String(n) })) })
  const consumer = await consuming(t, topic)
  let read = 0
  await consumer.run({
    autoCommit: false,
    eachBatchAutoResolve: false,
    eachBatch: async ({ batch, resolveOffset, heartbeat, commitOffsetsIfNecessary, uncommittedOffsets }) => {
      assert.equal(batch.highWatermark, '50')
      for (const message of batch.messages) {
        read++
        resolveOffset(message.offset)
        await heartbeat()
      }
      await commitOffsetsIfNecessary(uncommittedOffsets())
    }
  })
  await until('the batch is committed', async () => (await admin.fetchOffsets({ groupId: topic, topics: [topic] }))[0].partitions[0].offset === '50')
  assert.equal(read, 50)
})

test('a pattern of topics', async (t) => {
  const { create } = await scene(t)
  const made = [await create(1), await create(1)]
  const producer = await producing(t)
  for (const topic of made) await producer.send({ topic, messages: [{ value: topic }] })
  const consumer = kafka.consumer({ groupId: made[0] + '-pattern', maxWaitTimeInMs: 200 })
  await consumer.connect()
  t.after(() => consumer.disconnect())
  await consumer.subscribe({ topics: [new RegExp(`^(${made.join('|')})$`)], fromBeginning: true })
  const read = new Set()
  await consumer.run({ eachMessage: async ({ message }) => void read.add(message.value.toString()) })
  await until('both topics are read', () => read.size === 2)
})

test('topics: listed, described, grown, by offset and by time, cut, deleted', async (t) => {
  const { admin, create } = await scene(t)
  const topic = await create(1)
  assert.ok((await admin.listTopics()).includes(topic))
  assert.equal(await admin.createTopics({ topics: [{ topic }] }), false)
  await assert.rejects(admin.createTopics({ topics: [{ topic: 'not/valid' }] }), (err) => err.errors[0].type === 'INVALID_TOPIC_EXCEPTION')
  await admin.createPartitions({ topicPartitions: [{ topic, count: 3 }] })
  const [described] = (await admin.fetchTopicMetadata({ topics: [topic] })).topics
  assert.deepEqual(described.partitions.map((p) => [p.partitionErrorCode, p.partitionId, p.replicas.length, p.isr.length]).sort(), numbers(3).map((n) => [0, n, replicas, replicas]))
  const producer = await producing(t)
  await producer.send({ topic, messages: numbers(10).map((n) => ({ partition: 0, value: String(n), timestamp: String(1700000000000 + n * 1000) })) })
  const first = (list) => list.find((p) => p.partition === 0)
  assert.equal(first(await admin.fetchTopicOffsetsByTimestamp(topic, 1700000003500)).offset, '4')
  assert.equal(first(await admin.fetchTopicOffsetsByTimestamp(topic)).offset, '10')
  await admin.deleteTopicRecords({ topic, partitions: [{ partition: 0, offset: '6' }] })
  const { low, high } = first(await admin.fetchTopicOffsets(topic))
  assert.deepEqual([low, high], ['6', '10'])
  await admin.deleteTopics({ topics: [topic] })
  assert.ok(!(await admin.listTopics()).includes(topic))
})

test('the cluster, settings, reassignments', async (t) => {
  const { admin, create } = await scene(t)
  const topic = await create(1, [{ name: 'retention.ms', value: '1000000' }])
  const cluster = await admin.describeCluster()
  assert.equal(cluster.brokers.length, Number(process.env.BROKERS))
  assert.ok(cluster.brokers.some((b) => b.nodeId === cluster.controller))
  assert.match(cluster.clusterId, /^[\w-]{22}$/)
  const retention = async () => {
    const { resources } = await admin.describeConfigs({ includeSynonyms: true, resources: [{ type: ConfigResourceTypes.TOPIC, name: topic, configNames: ['retention.ms'] }] })
    return resources[0].configEntries[0].configValue
  }
  assert.equal(await retention(), '1000000')
  await admin.alterConfigs({ validateOnly: false, resources: [{ type: ConfigResourceTypes.TOPIC, name: topic, configEntries: [{ name: 'retention.ms', value: '2000000' }] }] })
  await until('the setting has changed', async () => (await retention()) === '2000000')
  const [{ partitions }] = (await admin.fetchTopicMetadata({ topics: [topic] })).topics // it keeps the replicas that it has
  await admin.alterPartitionReassignments({ topics: [{ topic, partitionAssignment: [{ partition: 0, replicas: partitions[0].replicas }] }] })
  const moving = await admin.listPartitionReassignments({ topics: [{ topic, partitions: [0] }] })
  assert.deepEqual(moving.topics, [])
})
