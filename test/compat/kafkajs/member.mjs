// A member of a group, which prints what it reads as JSON lines and leaves when its standard input ends.
import kafkajs from 'kafkajs'

const { Kafka, logLevel } = kafkajs
const s = JSON.parse(process.argv[2])
const say = (what) => process.stdout.write(JSON.stringify(what) + '\n')
const kafka = new Kafka({ clientId: 'kafkajs-tests', brokers: [s.addr], logLevel: logLevel.NOTHING, retry: { initialRetryTime: 100 } })
const consumer = kafka.consumer({
  groupId: s.group,
  sessionTimeout: s.session,
  heartbeatInterval: s.heartbeat,
  rebalanceTimeout: s.rebalance,
  maxWaitTimeInMs: 200
})
consumer.on(consumer.events.CRASH, (e) => say({ failed: String(e.payload.error) }))
process.stdin.on('end', async () => {
  await consumer.disconnect()
  process.exit(0)
})
process.stdin.resume()
await consumer.connect()
await consumer.subscribe({ topics: [s.topic], fromBeginning: true })
await consumer.run({
  autoCommit: s.commits === 'auto',
  eachMessage: async ({ topic, partition, message }) => {
    say({ partition, value: message.value.toString() })
    if (s.commits === 'each') {
      await consumer.commitOffsets([{ topic, partition, offset: (BigInt(message.offset) + 1n).toString() }])
    }
  }
})
