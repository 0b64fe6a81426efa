// MQTT.js publishes COUNT readings and listens to them: node round.js PORT VERSION COUNT. It resends by itself whatever
// a lost connection left open. Prints one line of JSON: how many were acknowledged, and each that was heard.
const mqtt = require("mqtt")

const [port, protocolVersion, count] = process.argv.slice(2).map(Number)
const OPEN = 50 // published, and not acknowledged
const client = (clientId) => {
  const properties = protocolVersion === 5 ? { sessionExpiryInterval: 300 } : undefined
  return mqtt.connect({ port, host: "127.0.0.1", protocolVersion, clientId, clean: false, properties, reconnectPeriod: 100 })
}

async function round() {
  const heard = new Set()
  let enough
  const all = new Promise((resolve) => (enough = resolve))
  const eye = client("watch-js")
  eye.on("message", (_topic, payload) => {
    heard.add(JSON.parse(payload).seq)
    if (heard.size === count) enough()
  })
  await eye.subscribeAsync("f/BOS/+/t", { qos: 1 })
  const device = client("d1")
  let acknowledged = 0
  const publish = async (seq) => {
    await device.publishAsync("f/BOS/d1/t", JSON.stringify({ reading: 1, seq, epoch: 1 }), { qos: 1 })
    acknowledged += 1
  }
  for (let seq = 0; seq < count; seq += OPEN) {
    await Promise.all(Array.from({ length: OPEN }, (_, step) => publish(seq + step)))
  }
  await all
  console.log(JSON.stringify({ acknowledged, heard: [...heard] }))
  await Promise.all([eye.endAsync(), device.endAsync()])
}

round()
