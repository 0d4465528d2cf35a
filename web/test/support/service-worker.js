import * as ssekit from '/dist/ssekit.js'
import './worker.js'

globalThis.ssekit = ssekit
globalThis.addEventListener('install', () => globalThis.skipWaiting())
globalThis.addEventListener('activate', (event) => event.waitUntil(globalThis.clients.claim()))
