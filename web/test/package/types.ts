import { LaggedError, SourceError, produce, source } from 'ssekit'
import type {
  CloseReason,
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
import { source as sourceOfOneFile } from 'ssekit/ssekit.js'

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
  cache: false,
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
same<number | null>()<ReturnType<typeof lengths.get>>(true)
const leave: () => void = text.subscribe((value: string) => console.log(value))
leave()

connection.status.subscribe((status: Status) => {
  if (status.state === 'waiting') console.log(status.until, status.error?.code)
  if (status.state === 'closed') console.log(status.reason, status.retries)
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
const start: Start = async ({ emit, send, lock, signal, source: stream }: StartContext) => {
  const { value, error }: Unsafe<void> = emit('message', 'hello')
  if (error) console.error(error.message, value)
  await send('message', 'hello')
  const writable: Writable<boolean> = lock
  writable.update((locked) => !locked)
  signal.addEventListener('abort', () => console.log(stream))
  return stop
}
const producing: ProduceOptions = { ping: 4_000, pingAs: 'comment', stop, headers: { 'x-request-id': '7' }, buffer: 1 << 20 }
export const POST = (): Response => produce(start, producing)
export const GET = (): Response => produce(({ lock }) => lock.set(false), { ping: false })

export function Price(): string {
  const quote = useReadable(quotes)
  return quote === null ? '' : String(quote.price)
}

same<typeof source>()<typeof sourceOfOneFile>(true)
// @ts-expect-error or else nothing above is checked
same<number>()<string>(true)
// @ts-expect-error a name is a text
connection.select(7)
// @ts-expect-error no such preset
source('/events', { reconnect: 'sometimes' })
// @ts-expect-error data is a text
produce(({ emit }) => void emit('message', { hello: 1 }))
