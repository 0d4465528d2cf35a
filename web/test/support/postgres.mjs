import { execFileSync } from 'node:child_process'
import { chownSync, existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { freePort, run, startProgram } from './program.mjs'

/** Keeps others on this machine out for the seconds that the server runs. */
const PASSWORD = 'only-for-this-test'

/** Starts a PostgreSQL server of a test's own, on 127.0.0.1 alone. The caller stops it. */
export async function startPostgres() {
  const programs = findPrograms()
  const folder = mkdtempSync(join(tmpdir(), 'ssekit-postgres-'))
  const user = process.getuid() === 0 ? unprivileged() : undefined
  writeFileSync(join(folder, 'password'), PASSWORD)
  if (user) for (const path of [folder, join(folder, 'password')]) chownSync(path, user.uid, user.gid)
  const options = { cwd: folder, user }
  const port = await freePort()
  const making = ['--no-sync', '--no-locale', '--encoding=UTF8', '--auth=scram-sha-256', '--username=ssekit']
  await run([join(programs, 'initdb'), ...making, '--pwfile=password', '-D', 'data'], options)
  const settings = ['listen_addresses=127.0.0.1', `port=${port}`, 'unix_socket_directories=', 'fsync=off']
  const command = [join(programs, 'postgres'), '-D', 'data', ...settings.flatMap((setting) => ['-c', setting])]
  const server = await startProgram(command, { ...options, ready: /ready to accept connections/ })
  return {
    url: `postgres://ssekit:${PASSWORD}@127.0.0.1:${port}/postgres`,
    async stop() {
      // SIGINT, at which it does not wait for those who are connected.
      await server.stop('SIGINT')
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

/** Where `initdb` and `postgres` are: in PATH, or where Debian has them, the latest version first. */
function findPrograms() {
  const debian = '/usr/lib/postgresql'
  const versions = existsSync(debian) ? readdirSync(debian).sort((one, other) => Number(other) - Number(one)) : []
  const folders = [...(process.env.PATH ?? '').split(delimiter), ...versions.map((version) => join(debian, version, 'bin'))]
  const found = folders.find((folder) => ['initdb', 'postgres'].every((name) => existsSync(join(folder, name))))
  if (found) return found
  throw new Error(
    'this test needs a PostgreSQL server: initdb and postgres in PATH or below /usr/lib/postgresql; ' +
      'on Debian: apt-get install -y --no-install-recommends postgresql',
  )
}

/** PostgreSQL does not run as root: the user that Debian's package makes. */
function unprivileged() {
  const id = (what) => Number(execFileSync('id', [what, 'postgres'], { encoding: 'utf8' }))
  return { uid: id('-u'), gid: id('-g') }
}
