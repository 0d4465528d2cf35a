import { clients } from '$lib/clients'
import createSubscriber from "pg-listen"
import { databaseURL } from "./config"

// Accepts the same connection config object that the "pg" package would take
const subscriber = createSubscriber({ connectionString: databaseURL })

subscriber.notifications.on("my-channel", (payload) => {
  clients.get('some-session-id')('my-channel', payload.message)
})

await subscriber.connect()
await subscriber.listenTo("my-channel")
