/** The architecture as data: `tidy.test.ts` holds every file of the project to these tables. */

/** Layer = folder under `src/` → the layers that its files may import besides their own. */
export const LAYERS: Readonly<Record<string, readonly string[]>> = {
  base: [],
  series: ['base'],
  domain: ['base'],
  config: ['base'],
  storage: ['base'],
  servers: ['base'],
  repository: ['base', 'series', 'storage'],
  catalogue: ['base', 'series', 'domain'],
  engines: ['base', 'domain', 'servers'],
  jobs: ['base', 'series', 'domain', 'catalogue', 'repository', 'engines'],
  wire: ['base'],
  operations: ['base', 'series', 'domain', 'catalogue', 'wire'],
  app: [
    ...['base', 'series', 'domain', 'config', 'storage', 'servers', 'repository'],
    ...['catalogue', 'engines', 'jobs', 'wire', 'operations'],
  ],
  cli: ['base', 'domain', 'config', 'wire', 'app', 'demo'],
  demo: ['base', 'wire'],
  // What only tests import; it may import everything.
  testing: [
    ...['base', 'series', 'domain', 'config', 'storage', 'servers', 'repository'],
    ...['catalogue', 'engines', 'jobs', 'wire', 'operations', 'app', 'cli', 'demo'],
  ],
}

/** A subfolder is private to its layer; these may reach into the subfolders of `engines/` anyway. */
export const COMPOSERS = ['app', 'testing', 'tests']

/** Package → folders under `src/` that may import it. Tests and `testing/` may import any. */
export const PACKAGES: Readonly<Record<string, readonly string[]>> = {
  pg: ['catalogue', 'engines/postgres', 'demo'],
  kysely: ['catalogue'],
  'pg-boss': ['catalogue'],
  fastify: ['wire'],
  zod: ['wire', 'operations'],
  pino: ['base'],
  'prom-client': ['base'],
  'tar-stream': ['engines/postgres'],
  // The official SDK is a development dependency: only the demo uses it, where it is there.
  '@alicloud/pop-core': ['demo'],
  '@alicloud/rds20140815': ['demo'],
  '@alicloud/openapi-core': ['demo'],
}

export interface Ban {
  /** Looked for in code without comments and without the contents of strings. */
  readonly pattern: RegExp
  /** Paths under `src/`, of a file or (with a slash at the end) of a folder. */
  readonly allowedIn: readonly string[]
  readonly instead: string
  /** Whether tests are held to it too. */
  readonly inTests: boolean
}

export const BANS: readonly Ban[] = [
  {
    pattern: /\bDate\.now\(|\bnew Date\(|\bDate\.parse\(/,
    allowedIn: ['base/clock.ts', 'wire/timestamps.ts'],
    instead: 'use the injected Clock, or machineNow and isoSeconds of base/clock.ts',
    inTests: false,
  },
  {
    pattern: /(?<!\.)\bsetTimeout\(/,
    allowedIn: ['base/clock.ts'],
    instead: 'wait with pause, set deadlines with AbortSignal.timeout',
    inTests: false,
  },
  {
    pattern: /\bprocess\.env\b/,
    allowedIn: ['config/environment.ts'],
    instead: 'take the value from the configuration',
    inTests: false,
  },
  {
    pattern: /\bMath\.random\b/,
    allowedIn: [],
    instead: 'use randomName of base/ids.ts, or in tests a generator with a printed seed',
    inTests: true,
  },
  {
    pattern: /\bconsole\./,
    allowedIn: ['cli/', 'demo/'],
    instead: 'use the injected Logger',
    inTests: false,
  },
  {
    pattern: /\bprocess\.exit\(/,
    allowedIn: ['cli/main.ts'],
    instead: 'throw, or set process.exitCode',
    inTests: false,
  },
  {
    pattern: /\bexport\s+default\b|\bas\s+default\b/,
    allowedIn: [],
    instead: 'export by name',
    inTests: true,
  },
  {
    pattern: /\b(?:test|it|describe|suite)\.(?:only|skip|todo)\b|\b(?:only|skip):\s*true\b/,
    allowedIn: [],
    instead: 'a test runs or does not exist',
    inTests: true,
  },
]

/** Names that say nothing about what a file or folder holds. */
export const VAGUE_NAME =
  /^(?:utils?|helpers?|common|core|lib|misc|shared|types|interfaces|constants|manager|service)$/
/** The service is what `app/` composes: there the name says it. */
export const VAGUE_NAME_EXCEPTION = 'src/app/service.ts'

export const LINES_MAX = 400
export const FUNCTION_LINES_MAX = 70
export const FOLDER_DEPTH_MAX = 2
export const APP_FILES_MAX = 6
