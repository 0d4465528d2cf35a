import { LaggedError, SourceError, produce, source } from 'ssekit'
import type {
  Closed,
  CloseReason,
  EventFields,
  JsonFailure,
  Message,
  NestedOptions,
  Notice,
  ProduceOptions,
  Readable,
  ReconnectOptions,
  RequestOptions,
  Select,
  Source,
  SourceErrorCode,
  SourceErrorLike,
  SourceOptions,
  Start,
  StartContext,
  Status,
  Stop,
  Unsafe,
  Writable,
} from 'ssekit'
import { useReadable } from 'ssekit/react'
import { createServer } from 'node:http'
import { createServer as createServer2 } from 'node:http2'
import { send } from 'ssekit/node'
import { source as sourceOfOneFile } from 'ssekit/ssekit.js'
import { produce as produceOfOriginal, source as sourceOfOriginal } from 'ssekit/sveltekit-sse'
import type { Emitter, EventListener, SourceConfiguration } from 'ssekit/sveltekit-sse'

interface Quote {
  price: number
}

/** Fails to compile unless both are the same type. */
function same<One>() {
  return <Other>(_check: [One] extends [Other] ? ([Other] extends [One] ? true : never) : never): void => {}
}

const notice = (told: Notice): void => {
  const error: SourceErrorLike | undefined = told.error
  const code: SourceErrorCode | undefined = error?.code
  const reason: CloseReason | undefined = told.reason
  console.log(told.id, told.event, told.name, told.data, told.isLocal, told.status, told.statusText, code, reason)
  console.log(told.headers.get('x-request-id'), told.response?.url, error?.status, error?.body, error?.retryAfter)
  if (reason === 'ended') told.connect()
  else told.close()
}

const reconnect: ReconnectOptions = {
  preset: 'resilient',
  delay: 1_000,
  minDelay: 100,
  maxDelay: 30_000,
  maxServerDelay: 3_600_000,
  maxRetries: 5,
  jitter: true,
  afterEnd: 'asked',
  repeatLikeSafe: false,
}
const nested: NestedOptions = {
  method: 'GET',
  credentials: 'include',
  cache: 'no-store',
  onopen: (response) => void response.status,
  onmessage: ({ id, event, data }: Message) => console.log(id, event, data),
  onclose: () => {},
  onerror: (error) => console.error(error.message),
}
const request: RequestOptions = { headers: async () => ({ authorization: 'Bearer …' }), body: new URLSearchParams() }
const options: SourceOptions = {
  ...request,
  options: nested,
  mode: 'cors',
  signal: new AbortController().signal,
  openWhenHidden: false,
  fetch,
  cache: 'no-store',
  share: false,
  key: 'ada',
  acceptIncompleteEvent: true,
  reconnect,
  connectTimeout: 60_000,
  readTimeout: 45_000,
  lastEventId: '7',
  maxEventBytes: 1 << 20,
  buffer: 10,
  tabs: true,
  open: notice,
  onopen: notice,
  close: notice,
  onclose: notice,
  error: notice,
  onerror: notice,
  onmessage: notice,
}

const connection: Source = source(new URL('https://example.org/events'), options)
source('/events', { reconnect: 'never' })
const select: Select = connection.select('quote')
const text: Readable<string> = select
const quotes = select.json<Quote>((failure: JsonFailure<Quote>) => {
  console.log(failure.error.message, failure.raw)
  return failure.previous
})
const lengths = select.transform((data) => data.length)
same<Quote | null>()<ReturnType<typeof quotes.get>>(true)
same<unknown>()<ReturnType<ReturnType<typeof select.json>['get']>>(true)

/** A map of events gives their types. */
interface Events {
  quote: Quote
  message: string[]
}
const typed: Source<Events> = source<Events>('/events')
const mapped = typed.select('quote').json(({ previous }) => previous ?? undefined)
same<Quote | null>()<ReturnType<typeof mapped.get>>(true)
const messages = typed.select().json()
same<string[] | null>()<ReturnType<typeof messages.get>>(true)
// @ts-expect-error no such event
typed.select('qoute')
same<number | null>()<ReturnType<typeof lengths.get>>(true)
const leave: () => void = text.subscribe((value: string) => console.log(value))
leave()

connection.status.subscribe((status: Status) => {
  if (status.state === 'waiting') console.log(status.until, status.error?.code)
  if (status.state === 'closed') console.log(status.reason, status.retries)
  if (status.state === 'waiting') same<number>()<typeof status.until>(true)
  if (status.state === 'closed' && status.reason === 'gave-up') {
    same<number>()<typeof status.retries>(true)
    same<SourceErrorLike>()<typeof status.error>(true)
  }
  if (status.state === 'closed') {
    const closed: Closed = status
    same<CloseReason>()<typeof closed.reason>(true)
  }
})

export async function read(): Promise<void> {
  try {
    for await (const { id, event, data } of connection) console.log(id, event, data)
    for await (const message of select) same<Message>()<typeof message>(true)
    for await (const quote of quotes) same<Quote>()<typeof quote>(true)
    for await (const length of lengths) same<number>()<typeof length>(true)
  } catch (error) {
    if (error instanceof LaggedError) console.error(error.lost)
    else if (error instanceof SourceError && error.code === 'status') console.error(error.status)
  }
  connection.connect()
  connection.restart()
  connection.close()
  console.log(connection.lastEventId)
}

const stop: Stop = (stopped) => console.log(stopped)
const fields: EventFields = { id: 7, retry: 1_000 }
const start: Start = async ({ emit, send, comment, close, finish, lastEventId, lock, signal, source: stream }: StartContext) => {
  emit('message', lastEventId, fields)
  comment('…')
  if (lastEventId) finish()
  else close()
  const { value, error }: Unsafe<void> = emit('message', 'hello')
  if (error) console.error(error.message, value)
  await send('message', 'hello')
  const writable: Writable<boolean> = lock
  writable.update((locked) => !locked)
  signal.addEventListener('abort', () => console.log(stream))
  return stop
}
const producing: ProduceOptions = { ping: 4_000, pingAs: 'comment', stop, headers: { 'x-request-id': '7' }, buffer: 1 << 20, idsFrom: 1, retry: 0 }
export const POST = (): Response => produce(start, producing)
export const GET = (): Response => produce(({ lock }) => lock.set(false), { ping: false })

export function Price(): string {
  const quote = useReadable(quotes)
  return quote === null ? '' : String(quote.price)
}

same<typeof source>()<typeof sourceOfOneFile>(true)

createServer((request, response) => void send(response, produce(start, { request })))
createServer2((request, response) => void send(response, produce(start, { request })))
export const answer = (request: Request): Response => produce(start, { request })

const listener: EventListener = ({ status, connect }) => (status === 500 ? connect() : undefined)
const configuration: SourceConfiguration = { cache: false, close: listener, options: nested }
const original = sourceOfOriginal('/events', configuration)
same<string>()<ReturnType<ReturnType<typeof original.select>['get']>>(true)
export const emitters = new Map<string, Emitter>()
export const PUT = (): Response => produceOfOriginal(({ emit }) => void emitters.set('x', emit), { ping: 4_000 })
// @ts-expect-error or else nothing above is checked
same<number>()<string>(true)
// @ts-expect-error a name is a text
connection.select(7)
// @ts-expect-error no such preset
source('/events', { reconnect: 'sometimes' })
// @ts-expect-error it is `share` here
source('/events', { cache: false })
// @ts-expect-error data is a text
produce(({ emit }) => void emit('message', { hello: 1 }))
