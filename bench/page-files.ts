import { mkdir, open } from 'node:fs/promises'
import { join } from 'node:path'
import type { PseudoRandom } from '../src/testing/pseudo-random.ts'

/**
 * Files of heap pages as PostgreSQL lays them out: a header, line pointers, tuples of a customer
 * table whose notes do not compress. zstd 1 makes about two fifths of them.
 */
export interface PageFiles {
  readonly directory: string
  readonly paths: readonly string[]
  readonly pages: number
}

export const PAGE_BYTES = 8192
/** More than any window of a compressor at level 1: what repeats, repeats out of its sight. */
const MODEL_PAGES = 4096
const BLOCK_PAGES = 128
const FILE_PAGES = 32_768
const TUPLE_BYTES = 168
const HEADER_BYTES = 24
const WORDS = [
  ...['Anna', 'Boris', 'Chen', 'Dilara', 'Emeka', 'Fatima', 'Goran', 'Hana', 'Ivo', 'Jasmin'],
  ...['Main Street', 'Station Road', 'Harbour Lane', 'Park Avenue', 'Mill Yard', 'Church Square'],
  ...['paid', 'open', 'shipped', 'cancelled', 'returned', 'standard', 'express', 'unknown'],
]

/** Makes model pages with a seeded generator: the same seed gives the same bytes. */
export function modelPages(random: PseudoRandom): readonly Buffer[] {
  return Array.from({ length: MODEL_PAGES }, () => modelPage(random))
}

/** Writes `bytes` of pages, rounded to whole pages, in files of 256 MiB and less. */
export async function writePageFiles(
  directory: string,
  bytes: number,
  models: readonly Buffer[],
  random: PseudoRandom,
): Promise<PageFiles> {
  const pages = Math.round(bytes / PAGE_BYTES)
  const paths: string[] = []
  await mkdir(join(directory, 'base'), { recursive: true })
  for (let first = 0; first < pages; first += FILE_PAGES) {
    const path = join(directory, 'base', `${16384 + paths.length}`)
    paths.push(path)
    const handle = await open(path, 'w')
    const end = Math.min(first + FILE_PAGES, pages)
    for (let page = first; page < end; page += BLOCK_PAGES) {
      const block = Buffer.alloc(Math.min(BLOCK_PAGES, end - page) * PAGE_BYTES)
      for (let at = 0; at < block.length; at += PAGE_BYTES) {
        freshPage(models, random).copy(block, at)
      }
      await handle.write(block)
    }
    await handle.close()
  }
  return { directory, paths, pages }
}

/** Replaces so many pages, spread at random over all files; a page may be hit twice. */
export async function changePages(
  files: PageFiles,
  count: number,
  models: readonly Buffer[],
  random: PseudoRandom,
): Promise<void> {
  const handles = await Promise.all(files.paths.map((path) => open(path, 'r+')))
  for (let change = 0; change < count; change += 1) {
    const page = random.below(files.pages)
    const handle = handles[Math.floor(page / FILE_PAGES)]
    const at = (page % FILE_PAGES) * PAGE_BYTES
    await handle?.write(freshPage(models, random), 0, PAGE_BYTES, at)
  }
  for (const handle of handles) await handle.close()
}

/** One of the models with a position in the log and a checksum of its own; valid until the next. */
function freshPage(models: readonly Buffer[], random: PseudoRandom): Buffer {
  const page = random.pick(models)
  page.writeUInt32LE(random.below(2 ** 32), 4)
  page.writeUInt16LE(random.below(2 ** 16), 8)
  return page
}

function modelPage(random: PseudoRandom): Buffer {
  const page = Buffer.alloc(PAGE_BYTES)
  const tuples = Math.floor((PAGE_BYTES - HEADER_BYTES) / (TUPLE_BYTES + 4))
  page.writeUInt16LE(HEADER_BYTES + 4 * tuples, 12)
  page.writeUInt16LE(PAGE_BYTES - tuples * TUPLE_BYTES, 14)
  page.writeUInt16LE(PAGE_BYTES, 16)
  page.writeUInt16LE(PAGE_BYTES | 4, 18)
  for (let tuple = 0; tuple < tuples; tuple += 1) {
    const at = PAGE_BYTES - (tuple + 1) * TUPLE_BYTES
    page.writeUInt32LE((at << 0) | (1 << 15) | (TUPLE_BYTES << 17), HEADER_BYTES + 4 * tuple)
    writeTuple(page, at, tuple, random)
  }
  return page
}

function writeTuple(page: Buffer, at: number, number: number, random: PseudoRandom): void {
  page.writeUInt32LE(700 + random.below(5000), at)
  page.writeUInt16LE(number + 1, at + 16)
  page.writeUInt16LE(8, at + 18)
  page.writeUInt16LE(0x0902, at + 20)
  page.writeUInt8(24, at + 22)
  page.writeUInt32LE(random.below(10_000_000), at + 24)
  page.writeUInt32LE(random.below(100_000), at + 28)
  const text = `${random.pick(WORDS)} ${random.pick(WORDS)}, ${random.pick(WORDS)} `
  page.write(text, at + 32, 68, 'latin1')
  const note = Buffer.from(random.bytes(32)).toString('hex')
  page.write(note, at + 100, 64, 'latin1')
}
