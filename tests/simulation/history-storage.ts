import { mkdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { Repository } from '../../src/repository/repository.ts'
import type { Storage } from '../../src/storage/storage.ts'
import type { Made } from './history-model.ts'

const NEVER = new AbortController().signal

/** Sizes of objects as the file system has them. */
export interface Sizes {
  readonly total: number
  /** Of attempts that failed: they go whole, and no purge has promised them. */
  readonly failed: number
  /** Of a set that is being written: the catalogue knows them only as intended. */
  readonly writing: number
}

/** What the storage holds of a series, by one listing. */
export async function sizesOf(
  storage: Storage,
  series: number,
  made: readonly Made[],
): Promise<Sizes> {
  const states = new Map(made.map(({ set, state }) => [String(set.number), state]))
  const sizes = { total: 0, failed: 0, writing: 0 }
  for await (const { name, sizeBytes } of storage.list(`series/${series}/`, NEVER)) {
    const state = states.get(name.split('/')[2] ?? '')
    sizes.total += sizeBytes
    if (state === 'failed' || state === 'writing') sizes[state] += sizeBytes
  }
  return sizes
}

/** Thrown where the process is killed. */
export class Killed extends Error {}

/** A repository that is killed half way through its first rewrite: a draft and an intent are left. */
export function killedAtRewrite(repository: Repository, storageDirectory: string): Repository {
  return {
    ...repository,
    rewritePack: async ({ to }) => {
      const path = join(storageDirectory, `${to.object}~killed`)
      await mkdir(dirname(path), { recursive: true })
      await writeFile(path, 'half')
      throw new Killed()
    },
  }
}

/** A repository that is killed when objects are gone and the catalogue has not heard of it. */
export function killedAfterRemoval(repository: Repository): Repository {
  return {
    ...repository,
    removeObjects: async (names, signal) => {
      await repository.removeObjects(names, signal)
      throw new Killed()
    },
  }
}

/** A repository that is killed when a rewritten pack is whole and the catalogue has not heard of it. */
export function killedAfterRewrite(repository: Repository): Repository {
  return {
    ...repository,
    rewritePack: async (step, signal) => {
      await repository.rewritePack(step, signal)
      throw new Killed()
    },
  }
}
