import { isAbsolute, join, resolve } from 'node:path'
import type { ListenAddress, Subnet } from '../base/address.ts'
import { DAY_MS } from '../base/clock.ts'
import type { DiskLow } from '../base/disk-low.ts'
import { PAUSABLE, type Pausable } from '../base/pausable.ts'
import { Secret } from '../base/secret.ts'
import { parseSpan } from '../base/span.ts'
import { parseListenAddress, parseSubnet } from './address.ts'
import { type DatabaseUrl, readDatabaseUrl } from './database-url.ts'
import { parseDiskLow } from './disk-low.ts'
import { type Place, type Setting, setting } from './setting.ts'

/** The data folder of root: its home is closed to the user under which database servers run. */
const ROOT_DATA = '/var/lib/holdfast'
const SECRET_CHARACTERS_MIN = 8
const UNDELETE_WINDOW_MAX_MS = 730 * DAY_MS

/** Every setting there is, in the order of the reference page. The service reads nothing else. */
export const SETTINGS = {
  dataDirectory: setting({
    name: 'HOLDFAST_DATA',
    group: 'places',
    meaning: 'the data folder: catalogue, local instances, first access key',
    otherwise: `\`~/.holdfast\`; of root \`${ROOT_DATA}\``,
    secret: false,
    read: (text, { directory, root, home }, tell) => {
      if (text?.includes('\n')) tell('must not contain a line break')
      if (text !== null) return resolve(directory, text)
      if (root) return ROOT_DATA
      if (home !== null && isAbsolute(home)) return join(home, '.holdfast')
      tell('is not set: it names the data folder')
      return directory
    },
  }),
  storageDirectory: setting({
    name: 'HOLDFAST_STORAGE',
    group: 'places',
    meaning: 'the directory of the repository: every stored byte of the backup sets',
    otherwise: '`storage` in the data folder',
    secret: false,
    read: (text, { directory, dataDirectory }) =>
      resolve(directory, text ?? join(dataDirectory, 'storage')),
  }),
  keyFile: setting({
    name: 'HOLDFAST_KEY_FILE',
    group: 'places',
    meaning: 'the key that seals passwords and access keys in the catalogue; keep a copy elsewhere',
    otherwise: '`key` in the data folder, made at the first start (0600)',
    secret: false,
    read: (text, { directory, dataDirectory }) =>
      resolve(directory, text ?? join(dataDirectory, 'key')),
  }),
  database: setting({
    name: 'HOLDFAST_DATABASE_URL',
    group: 'places',
    meaning:
      'a PostgreSQL (15 or newer) that holds the catalogue, as ' +
      '`postgresql://user:password@host:5432/database?sslmode=verify-full&sslrootcert=/path`, whose ' +
      'parts mean what they mean to `psql`. Several processes can then share the work; see ' +
      '[scale.md](scale.md)',
    otherwise: "the service's own PostgreSQL, in the data folder",
    secret: true,
    read: readDatabase,
  }),
  listen: setting({
    name: 'HOLDFAST_LISTEN',
    group: 'network',
    meaning:
      'address of the API, as `host:port` or `[IPv6]:port`. Beyond loopback it needs TLS, or ' +
      '`serve --allow-plain-http`',
    otherwise: '`127.0.0.1:8787`',
    secret: false,
    read: (text, _place, tell) => readListen(text ?? '127.0.0.1:8787', tell),
  }),
  tlsCertificateFile: setting({
    name: 'HOLDFAST_TLS_CERT',
    group: 'network',
    meaning:
      'certificate of the service, then those of its issuers (PEM file). With it the API speaks ' +
      'HTTPS only. Read again when the file changes',
    otherwise: 'none: plain HTTP',
    secret: false,
    read: (text, { directory }) => (text === null ? null : resolve(directory, text)),
  }),
  tlsKeyFile: setting({
    name: 'HOLDFAST_TLS_KEY',
    group: 'network',
    meaning:
      'private key of that certificate (PEM file, not encrypted). Nobody but its owner may read ' +
      'it; of a file of root, its group may',
    otherwise: 'none',
    secret: false,
    read: (text, { directory }) => (text === null ? null : resolve(directory, text)),
  }),
  trustedProxies: setting({
    name: 'HOLDFAST_TRUSTED_PROXIES',
    group: 'network',
    meaning:
      'addresses and ranges (`10.0.0.5, 10.1.0.0/16, fd00::/8`) of proxies whose ' +
      '`X-Forwarded-For` and `X-Forwarded-Proto` are believed; see [proxy.md](proxy.md)',
    otherwise: 'none: those headers are ignored',
    secret: false,
    read: (text, _place, tell) => readSubnets(text ?? '', tell),
  }),
  accessKeyId: setting({
    name: 'HOLDFAST_ACCESS_KEY_ID',
    group: 'access',
    meaning: 'ID of the access key: 1–64 letters, digits, dots, dashes, underscores',
    otherwise: 'made at the first start, kept in `access-key.json` in the data folder (0600)',
    secret: false,
    read: (text, _place, tell) => {
      if (text !== null && !/^[A-Za-z0-9._-]{1,64}$/.test(text)) {
        tell('must be 1–64 letters, digits, dots, dashes, underscores')
      }
      return text
    },
  }),
  accessKeySecret: setting({
    name: 'HOLDFAST_ACCESS_KEY_SECRET',
    group: 'access',
    meaning: 'secret of the access key, at least 8 characters',
    otherwise: 'made together with the ID',
    secret: true,
    read: readSecret,
  }),
  region: setting({
    name: 'HOLDFAST_REGION',
    group: 'access',
    meaning: 'name of the region that this service is: `a`–`z`, `0`–`9`, `-`',
    otherwise: '`local`',
    secret: false,
    read: (text, _place, tell) => {
      const region = text ?? 'local'
      if (!/^[a-z0-9][a-z0-9-]{0,62}$/.test(region)) {
        tell(`is not a region name (a–z, 0–9, -): ${region}`)
      }
      return region
    },
  }),
  serverUser: setting({
    name: 'HOLDFAST_SERVER_USER',
    group: 'servers',
    meaning: 'the user under which servers of local instances run when the service is root',
    otherwise: '`postgres` if there is one, else `nobody`',
    secret: false,
    read: (text) => text,
  }),
  catalogueUser: setting({
    name: 'HOLDFAST_CATALOGUE_USER',
    group: 'servers',
    meaning: "the user under which the catalogue's own server runs when the service is root",
    otherwise: '`holdfast` if there is one, else an account other than that of local instances',
    secret: false,
    read: (text) => text,
  }),
  undeleteWindowMs: setting({
    name: 'HOLDFAST_UNDELETE_WINDOW',
    group: 'sets',
    meaning:
      'how long a deleted set can be brought back, whatever deleted it, before its bytes go: `24h`, ' +
      '`7d`, `1d12h`; `0`: not at all. Sets that are deleted already keep the window they got',
    otherwise: '`24h`',
    secret: false,
    read: (text, _place, tell) => {
      const span = text === '0' ? 0 : parseSpan(text ?? '24h')
      if (span === null || span > UNDELETE_WINDOW_MAX_MS) {
        tell(`is not a span of at most 730d, such as 24h, 7d or 0: ${text}`)
      }
      return span ?? DAY_MS
    },
  }),
  paused: setting({
    name: 'HOLDFAST_PAUSE',
    group: 'sets',
    meaning:
      'what the service does not begin by itself: `backups`, `expiry`, or both with a comma. Each ' +
      'start warns of it. What is asked for is done all the same',
    otherwise: 'nothing',
    secret: false,
    read: (text, _place, tell): ReadonlySet<Pausable> => {
      const words = (text ?? '').split(/[\s,]+/).filter((word) => word !== '')
      const known = PAUSABLE.filter((word) => words.includes(word))
      const strange = words.find((word) => !PAUSABLE.some((one) => one === word))
      if (strange !== undefined) tell(`can pause ${PAUSABLE.join(' and ')}, not ${strange}`)
      return new Set(known)
    },
  }),
  metricsToken: setting({
    name: 'HOLDFAST_METRICS_TOKEN',
    group: 'watching',
    meaning:
      'what `GET /metrics` has to carry as `Authorization: Bearer …`, at least 8 characters. ' +
      'Without it metrics are shown on loopback, and on the listener of their own',
    otherwise: 'none',
    secret: true,
    read: (text, place, tell) => {
      if (text !== null && !/^[\x21-\x7e]+$/.test(text)) {
        tell('must be printable ASCII without blanks: it travels in a header')
      }
      return readSecret(text, place, tell)
    },
  }),
  metricsListen: setting({
    name: 'HOLDFAST_METRICS_LISTEN',
    group: 'watching',
    meaning:
      'address of a listener that serves `GET /metrics` and nothing else, as `host:port`; the ' +
      'API serves no metrics then. Beyond loopback the same holds as for `HOLDFAST_LISTEN`',
    otherwise: 'none: metrics are part of the API',
    secret: false,
    read: (text, _place, tell) => (text === null ? null : readListen(text, tell)),
  }),
  notifyUrl: setting({
    name: 'HOLDFAST_NOTIFY_URL',
    group: 'watching',
    meaning: 'where events are sent, as JSON by POST (`http` or `https`)',
    otherwise: 'none: nothing is sent',
    secret: true,
    read: readUrl,
  }),
  notifySecret: setting({
    name: 'HOLDFAST_NOTIFY_SECRET',
    group: 'watching',
    meaning: 'signs what is sent to `HOLDFAST_NOTIFY_URL`, at least 8 characters',
    otherwise: 'none: not signed',
    secret: true,
    read: readSecret,
  }),
  deadManUrl: setting({
    name: 'HOLDFAST_DEAD_MAN_URL',
    group: 'watching',
    meaning: 'asked (GET) after each successful backup, for a watcher that misses it otherwise',
    otherwise: 'none',
    secret: true,
    read: readUrl,
  }),
  diskLow: setting({
    name: 'HOLDFAST_DISK_LOW',
    group: 'watching',
    meaning:
      'free space below which `disk low` is told: a share of the file system (`10%`) or an ' +
      'amount (`20GiB`; KiB, MiB, GiB, TiB, or bytes)',
    otherwise: '`10%`',
    secret: false,
    read: (text, _place, tell): DiskLow => {
      const parsed = parseDiskLow(text ?? '10%')
      if (parsed === null)
        tell(`is neither a share such as 10% nor an amount such as 20GiB: ${text}`)
      return parsed ?? { kind: 'percent', percent: 10 }
    },
  }),
  endpoint: setting({
    name: 'HOLDFAST_ENDPOINT',
    group: 'clients',
    meaning: 'where client commands find the service, such as `https://backup.example.org:8787`',
    otherwise: '`HOLDFAST_LISTEN`, with `https://` when there is a certificate',
    secret: false,
    read: (text) => text,
  }),
  caCertificateFile: setting({
    name: 'HOLDFAST_CA_CERT',
    group: 'clients',
    meaning:
      'certificates (PEM file) that client commands trust besides those of the system: for a ' +
      'service whose certificate a private authority issued',
    otherwise: 'none',
    secret: false,
    read: (text, { directory }) => (text === null ? null : resolve(directory, text)),
  }),
}

/** All rows, for those who read them by name. */
export const SETTING_ROWS: readonly Setting<unknown>[] = Object.values(SETTINGS)

type Tell = (problem: string) => void

function readListen(text: string, tell: Tell): ListenAddress {
  const address = parseListenAddress(text)
  if (address === null) tell(`is not host:port: ${text}`)
  return address ?? { host: '127.0.0.1', port: 0 }
}

function readSubnets(text: string, tell: Tell): readonly Subnet[] {
  const pieces = text.split(/[\s,]+/).filter((piece) => piece !== '')
  const subnets = pieces.map((piece) => {
    const subnet = parseSubnet(piece)
    if (subnet === null) tell(`is not an address or a range such as 10.0.0.0/8: ${piece}`)
    return subnet
  })
  return subnets.filter((subnet) => subnet !== null)
}

function readSecret(text: string | null, _place: unknown, tell: Tell): Secret<string> | null {
  if (text === null) return null
  if (text.length < SECRET_CHARACTERS_MIN) {
    tell(`is shorter than ${SECRET_CHARACTERS_MIN} characters`)
  }
  return new Secret(text)
}

function readDatabase(text: string | null, place: Place, tell: Tell): DatabaseUrl | null {
  if (text === null) return null
  const read = readDatabaseUrl(text)
  if ('problems' in read) {
    for (const problem of read.problems) tell(problem)
    return null
  }
  const fileOf = (path: string) => resolve(place.directory, path)
  const { rootCertificateFile: root, client } = read
  return {
    ...read,
    rootCertificateFile: root === null ? null : fileOf(root),
    client: client && {
      certificateFile: fileOf(client.certificateFile),
      keyFile: fileOf(client.keyFile),
    },
  }
}

/** Paths and queries of such URLs often hold a token, so all of it is a secret. */
function readUrl(text: string | null, _place: unknown, tell: Tell): Secret<string> | null {
  if (text === null) return null
  const url = URL.canParse(text) ? new URL(text) : null
  if (url === null || !/^https?:$/.test(url.protocol)) tell('is no http or https URL')
  else if (url.username !== '' || url.password !== '') tell('must not hold a user or a password')
  return new Secret(text)
}
