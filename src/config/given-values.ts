import { readFileSync, statSync } from 'node:fs'
import { resolve } from 'node:path'
import { describeError } from '../base/fault.ts'
import { isOpenToOthers } from '../base/private-file.ts'
import type { Environment } from './environment.ts'
import type { Setting } from './setting.ts'

const SECRET_BYTES_MAX = 64 * 1024

/**
 * What a setting is given as; null when it is not set or empty. A secret may be in a file instead,
 * whose last line break is not part of it.
 */
export function givenValue(
  { name, secret }: Setting<unknown>,
  environment: Environment,
  directory: string,
  tell: (problem: string) => void,
): string | null {
  const direct = environment[name] || null
  const file = secret ? environment[`${name}_FILE`] || null : null
  if (file === null) return direct
  if (direct !== null) {
    tell(`${name} and ${name}_FILE must not be set both`)
    return direct
  }
  return readSecretFile(`${name}_FILE`, resolve(directory, file), tell)
}

/** Names that begin like ours and mean nothing: most likely misspelt. */
export function unknownNames(
  rows: readonly Setting<unknown>[],
  environment: Environment,
): readonly string[] {
  const known = new Set(
    rows.flatMap(({ name, secret }) => (secret ? [name, `${name}_FILE`] : [name])),
  )
  return Object.keys(environment)
    .filter((name) => name.startsWith('HOLDFAST_') && !known.has(name))
    .sort()
}

function readSecretFile(
  name: string,
  file: string,
  tell: (problem: string) => void,
): string | null {
  try {
    const facts = statSync(file)
    if (!facts.isFile() || facts.size > SECRET_BYTES_MAX) {
      tell(`${name}: ${file} is no file of at most ${SECRET_BYTES_MAX} bytes`)
    } else if (isOpenToOthers(facts)) {
      tell(`${name}: ${file} can be read by others; chmod 600 ${file}`)
    } else {
      const text = readFileSync(file, 'utf8').replace(/\r?\n$/, '')
      if (text === '') tell(`${name}: ${file} is empty`)
      else return text
    }
  } catch (error) {
    tell(`${name}: ${describeError(error)}`)
  }
  return null
}
