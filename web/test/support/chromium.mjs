import { existsSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { chromium } from 'playwright-core'

const NAMES = ['chromium', 'chromium-browser', 'google-chrome', 'chrome']

/** Starts the machine's Chromium. The caller closes it. */
export function startChromium(flags = [], options = {}) {
  return chromium.launch({
    ...options,
    executablePath: findChromium(),
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
      '--disable-dev-shm-usage',
      // A host that is not loopback, so that being offline means something.
      '--host-resolver-rules=MAP ssekit.test 127.0.0.1',
      ...flags,
    ],
  })
}

/** The Chromium of this machine. */
export function findChromium() {
  if (process.env.CHROMIUM) return process.env.CHROMIUM
  const folders = (process.env.PATH ?? '').split(delimiter)
  const found = folders.flatMap((folder) => NAMES.map((name) => join(folder, name))).find((path) => existsSync(path))
  if (!found) {
    throw new Error(
      'these tests need Chromium: `apt-get install chromium` (Debian, Ubuntu), or set CHROMIUM to the program',
    )
  }
  return found
}
