import { randomBytes } from 'node:crypto'
import { readFile, stat } from 'node:fs/promises'
import { createExclusive } from '../base/durable-file.ts'
import { Fault, isFault } from '../base/fault.ts'
import { randomName } from '../base/ids.ts'
import { SEALING_KEY_BYTES } from '../base/sealing.ts'
import { Secret } from '../base/secret.ts'

/**
 * Reads the key that seals secrets at rest. It is made (0600) only where nothing can have been
 * sealed yet; a missing one is a Fault otherwise.
 */
export async function readSealingKey(file: string, make: boolean): Promise<Secret<Uint8Array>> {
  const text = await readOrMake(file, () => {
    if (make) return `${randomBytes(SEALING_KEY_BYTES).toString('hex')}\n`
    throw new Fault('not-found', `the key file ${file} is missing`, {
      hint: 'HOLDFAST_KEY_FILE must be the file with which this service was first started',
    })
  })
  const key = Buffer.from(text.trim(), 'hex')
  if (key.length !== SEALING_KEY_BYTES || text.trim().length !== 2 * SEALING_KEY_BYTES) {
    throw new Fault('corrupt', `${file} is no key: it must hold ${SEALING_KEY_BYTES} bytes in hex`)
  }
  return new Secret(key)
}

/** Reads a password of the service's own, making it (0600) at the first start. */
export async function readPassword(file: string): Promise<Secret<string>> {
  return new Secret((await readOrMake(file, () => `${randomName(40)}\n`)).trim())
}

export interface AccessKey {
  readonly id: string
  readonly secret: Secret<string>
}

/** Reads the first access key, making it (0600, JSON) at the first start. */
export async function readAccessKey(file: string): Promise<AccessKey> {
  const text = await readOrMake(file, () => {
    const key = { accessKeyId: `HF${randomName(20)}`, accessKeySecret: randomName(40) }
    return `${JSON.stringify(key, null, 2)}\n`
  })
  return parseAccessKey(text, file)
}

/** The access key in the text of `file`, which only the Fault `corrupt` names. */
export function parseAccessKey(text: string, file: string): AccessKey {
  const key = parseJson(text)
  if (
    typeof key === 'object' &&
    key !== null &&
    'accessKeyId' in key &&
    'accessKeySecret' in key &&
    typeof key.accessKeyId === 'string' &&
    typeof key.accessKeySecret === 'string'
  ) {
    return { id: key.accessKeyId, secret: new Secret(key.accessKeySecret) }
  }
  throw new Fault('corrupt', `${file} holds no access key`)
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    // Null is no key either.
    return null
  }
}

async function readOrMake(file: string, make: () => string): Promise<string> {
  try {
    const { mode } = await stat(file)
    if ((mode & 0o077) !== 0) {
      throw new Fault('denied', `${file} can be read by others`, { hint: `chmod 600 ${file}` })
    }
    return await readFile(file, 'utf8')
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) throw error
  }
  try {
    await createExclusive(file, make())
  } catch (error) {
    // Two first starts at once: the other one's file is the one.
    if (!isFault(error, 'exists')) throw error
  }
  return readFile(file, 'utf8')
}
