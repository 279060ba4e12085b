import { randomBytes } from 'node:crypto'
import { copyFile, mkdir, mkdtemp, open, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { performance } from 'node:perf_hooks'
import { syncFile } from '../src/base/durable-file.ts'
import type { TreeEntry } from '../src/base/file-tree.ts'
import type { SealedSet, StoredSet } from '../src/series/series.ts'
import { newSet, openTestRepository, writeTestSet } from '../src/testing/open-test-repository.ts'

/**
 * Backup and restore of files of made-up pages, beside a plain copy of the same files, as JSON
 * lines: `node bench/repository.ts [files] [MiB per file]`.
 */
const MEBIBYTE = 1024 * 1024
const PAGE_BYTES = 8192
const BLOCK_BYTES = 64 * 1024
const CHANGED_PAGES = 0.02
const { signal } = new AbortController()

/** Rows of a fixed vocabulary with random numbers between: zstd 1 makes about a third of it. */
function page(number: number): Buffer {
  const rows: string[] = []
  for (let length = 0; length < PAGE_BYTES; length += rows.at(-1)?.length ?? 1) {
    rows.push(`${number}|customer ${randomBytes(12).toString('base64')}|street, town, paid|`)
  }
  return Buffer.from(rows.join('')).subarray(0, PAGE_BYTES)
}

async function makeFile(path: string, lengthBytes: number): Promise<void> {
  const handle = await open(path, 'w')
  for (let at = 0; at < lengthBytes; at += MEBIBYTE) {
    const pages = Array.from({ length: MEBIBYTE / PAGE_BYTES }, (_, index) => page(at + index))
    await handle.write(Buffer.concat(pages))
  }
  await handle.close()
}

async function changePages(path: string, lengthBytes: number): Promise<void> {
  const handle = await open(path, 'r+')
  const every = Math.round(1 / CHANGED_PAGES)
  for (let number = 0; number < lengthBytes / PAGE_BYTES; number += every) {
    await handle.write(page(number), 0, PAGE_BYTES, number * PAGE_BYTES)
  }
  await handle.close()
}

async function* content(path: string): AsyncIterable<Uint8Array> {
  const handle = await open(path, 'r')
  try {
    for (;;) {
      const { bytesRead, buffer } = await handle.read(Buffer.allocUnsafe(BLOCK_BYTES))
      if (bytesRead === 0) return
      yield buffer.subarray(0, bytesRead)
    }
  } finally {
    await handle.close()
  }
}

async function measure(name: string, bytes: number, work: () => Promise<object>): Promise<void> {
  const start = performance.now()
  const facts = await work()
  const seconds = (performance.now() - start) / 1000
  const rate = Math.round(bytes / MEBIBYTE / seconds)
  const line = { name, seconds, mebibytesPerSecond: rate, ...facts }
  process.stdout.write(`${JSON.stringify(line)}\n`)
}

function factsOf(sealed: SealedSet): object {
  const retiredBytes = sealed.retirements.reduce((total, row) => total + row.bytes, 0)
  const { newBytes, manifestBytes } = sealed
  return { newBytes, manifestBytes, packs: sealed.packs.length, retiredBytes }
}

async function main(fileCount: number, lengthBytes: number): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'holdfast-bench-'))
  try {
    await using opened = await openTestRepository()
    const total = fileCount * lengthBytes
    const paths = Array.from({ length: fileCount }, (_, index) => join(folder, `${index}`))
    for (const path of paths) await makeFile(path, lengthBytes)
    const entries = (): TreeEntry[] =>
      paths.map((path, index) => ({
        kind: 'file',
        path: `base/${index}`,
        mode: 0o600,
        content: content(path),
      }))
    const backup = async (number: number, base: StoredSet | null): Promise<SealedSet> =>
      writeTestSet(opened, newSet(number, base), entries(), signal)

    await measure('copy', total, async () => {
      await mkdir(join(folder, 'copy'))
      for (const [index, path] of paths.entries()) {
        const target = join(folder, 'copy', `${index}`)
        await copyFile(path, target)
        await syncFile(target)
      }
      return {}
    })
    let last: SealedSet | null = null
    for (const [number, name] of ['backup full', 'backup unchanged', 'backup 2 %'].entries()) {
      if (number === 2) for (const path of paths) await changePages(path, lengthBytes)
      await measure(name, total, async () => {
        last = await backup(number + 1, last?.stored ?? null)
        return factsOf(last)
      })
    }
    await measure('restore', total, async () => {
      const reader = await opened.repository.readSet(newestOf(last), signal)
      await mkdir(join(folder, 'base'))
      for await (const entry of reader.entries(signal)) {
        if (entry.kind !== 'file') continue
        const target = join(folder, entry.path)
        await writeFile(target, entry.content)
        await syncFile(target)
      }
      return {}
    })
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

function newestOf(sealed: SealedSet | null): StoredSet {
  if (!sealed) throw new Error('nothing was backed up')
  return sealed.stored
}

const [files = '4', mebibytes = '128'] = process.argv.slice(2)
await main(Number(files), Number(mebibytes) * MEBIBYTE)
