import { createHash } from 'node:crypto'
import { chmod, mkdir, realpath } from 'node:fs/promises'
import { createServer, type Server } from 'node:net'
import { join } from 'node:path'
import { Fault, fileFault, systemCode } from '../base/fault.ts'

/** The paths of a data folder. */
export interface DataFolder {
  readonly root: string
  readonly catalogue: string
  readonly catalogueLog: string
  readonly cataloguePassword: string
  readonly accessKey: string
  readonly running: string
  readonly instances: string
  readonly scratch: string
  readonly binaries: string
}

/**
 * Makes the folder and what must be in it. It is passable for others (0711) when database servers
 * run as another user, else private; what is secret in it is private in any case.
 */
export async function openDataFolder(root: string, passable: boolean): Promise<DataFolder> {
  const mode = passable ? 0o711 : 0o700
  try {
    await mkdir(root, { recursive: true, mode })
    await chmod(root, mode)
    const instances = join(root, 'instances')
    await mkdir(instances, { recursive: true, mode })
    await chmod(instances, mode)
    const scratch = join(root, 'scratch')
    await mkdir(scratch, { recursive: true, mode: 0o700 })
    const logs = join(root, 'logs')
    await mkdir(logs, { recursive: true, mode: 0o700 })
    return {
      root: await realpath(root),
      catalogue: join(root, 'catalogue'),
      catalogueLog: join(logs, 'catalogue.log'),
      cataloguePassword: join(root, 'catalogue-password'),
      accessKey: join(root, 'access-key.json'),
      running: join(root, 'running.json'),
      instances,
      scratch,
      binaries: join(root, 'binaries'),
    }
  } catch (error) {
    throw fileFault(error, `the data folder ${root}`)
  }
}

/**
 * Holds the folder against other processes of this host. The kernel gives the lock back when this
 * process ends, however it ends, so there is no stale lock: it is a Unix socket in the abstract
 * namespace, named after the folder's real path.
 */
export async function lockDataFolder(folder: DataFolder): Promise<AsyncDisposable> {
  const name = `\0holdfast-${createHash('sha256').update(folder.root).digest('hex')}`
  const server = createServer((socket) => socket.destroy())
  try {
    await listen(server, name)
  } catch (error) {
    if (systemCode(error) !== 'EADDRINUSE') throw error
    throw new Fault('exists', `another process serves the data folder ${folder.root}`, {
      hint: 'stop it first, or use another HOLDFAST_DATA',
    })
  }
  server.unref()
  return {
    [Symbol.asyncDispose]: () => new Promise((resolve) => server.close(() => resolve())),
  }
}

function listen(server: Server, name: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(name, resolve)
  })
}
