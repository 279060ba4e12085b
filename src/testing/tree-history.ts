import type { TreeEntry } from '../base/file-tree.ts'
import type { PseudoRandom } from './pseudo-random.ts'

/** A tree of files in memory that changes from set to set as a database's directory may. */
export type MemoryTree = Map<string, MemoryNode>

export type MemoryNode =
  | { readonly kind: 'directory'; readonly mode: number }
  | { readonly kind: 'link'; readonly mode: number; readonly target: string }
  | { readonly kind: 'file'; readonly mode: number; readonly content: Buffer }

const CHUNK = 16 * 1024
/** Lengths at which the shape of a file's map changes, and some between. */
const LENGTHS = [
  0,
  1,
  100,
  CHUNK - 1,
  CHUNK,
  CHUNK + 1,
  2 * CHUNK,
  4 * CHUNK,
  4 * CHUNK + 1,
  5 * CHUNK,
  63 * CHUNK,
  64 * CHUNK,
  64 * CHUNK + 1,
  70 * CHUNK,
  128 * CHUNK,
  256 * CHUNK,
  257 * CHUNK,
]
const FOLDERS = [
  'base',
  'base/1',
  'base/16384',
  'global',
  'pg_wal',
  'ünïcode',
  '\u{1f418}',
  '\ufb01',
]

export function firstTree(random: PseudoRandom): MemoryTree {
  const tree: MemoryTree = new Map()
  for (const folder of FOLDERS) tree.set(folder, { kind: 'directory', mode: 0o700 })
  for (let count = 0; count < 40; count += 1) addFile(tree, random)
  return tree
}

/** The next set's tree: some of everything that makes places appear, change and go. */
export function changeTree(before: MemoryTree, random: PseudoRandom): MemoryTree {
  const tree: MemoryTree = new Map(before)
  for (const [path, node] of before) {
    if (node.kind === 'file' && random.once(3)) changeFile(tree, path, node, random)
    else if (node.kind === 'directory' && path.includes('/') && random.once(8)) {
      for (const inside of tree.keys()) if (inside.startsWith(`${path}/`)) tree.delete(inside)
      tree.set(path, { kind: 'file', mode: 0o600, content: newContent(random) })
    } else if (node.kind === 'link' && random.once(3)) tree.delete(path)
  }
  for (let count = random.below(6); count > 0; count -= 1) addFile(tree, random)
  if (random.once(2)) tree.set('link', { kind: 'link', mode: 0o777, target: '/elsewhere' })
  return tree
}

/** The entries as a server sends them: folders first, otherwise in no order, in odd blocks. */
export function* entriesOf(tree: MemoryTree, random: PseudoRandom): Iterable<TreeEntry> {
  const nodes = [...tree].map(([path, node]) => ({ path, node, rank: random.below(1000) }))
  const depth = (path: string): number => path.split('/').length
  nodes.sort((left, right) =>
    left.node.kind === 'directory' && right.node.kind === 'directory'
      ? depth(left.path) - depth(right.path)
      : Number(right.node.kind === 'directory') - Number(left.node.kind === 'directory') ||
        left.rank - right.rank,
  )
  for (const { path, node } of nodes) {
    if (node.kind === 'file') {
      yield { kind: 'file', path, mode: node.mode, content: inBlocks(node.content, random) }
    } else {
      yield { path, ...node }
    }
  }
}

async function* inBlocks(content: Buffer, random: PseudoRandom): AsyncIterable<Uint8Array> {
  for (let at = 0; at < content.length; ) {
    const length = random.pick([0, 1, 500, CHUNK, 65536, 100_000])
    yield content.subarray(at, at + length)
    at += length
  }
}

function addFile(tree: MemoryTree, random: PseudoRandom): void {
  const path = `${random.pick(FOLDERS)}/${random.pick(['', 'a', 'b-', 'z.'])}${random.below(300)}`
  const folder = tree.get(path.slice(0, path.lastIndexOf('/')))
  if (folder?.kind !== 'directory' || tree.get(path)?.kind === 'directory') return
  tree.set(path, { kind: 'file', mode: 0o600, content: newContent(random) })
}

function changeFile(
  tree: MemoryTree,
  path: string,
  node: MemoryNode & { readonly kind: 'file' },
  random: PseudoRandom,
): void {
  const { mode } = node
  const act = random.pick(['spots', 'spots', 'append', 'truncate', 'replace', 'remove', 'folder'])
  if (act === 'remove') tree.delete(path)
  else if (act === 'folder') {
    tree.set(path, { kind: 'directory', mode: 0o700 })
    tree.set(`${path}/inside`, { kind: 'file', mode, content: newContent(random) })
  } else if (act === 'spots') {
    const content = Buffer.from(node.content)
    for (let count = 1 + random.below(3); count > 0 && content.length > 0; count -= 1) {
      content[random.below(content.length)] = random.below(256)
    }
    tree.set(path, { kind: 'file', mode, content })
  } else if (act === 'append') {
    const content = Buffer.concat([node.content, random.bytes(random.below(3 * CHUNK))])
    tree.set(path, { kind: 'file', mode, content })
  } else if (act === 'truncate') {
    const content = node.content.subarray(0, random.below(node.content.length + 1))
    tree.set(path, { kind: 'file', mode, content })
  } else {
    tree.set(path, { kind: 'file', mode, content: newContent(random) })
  }
}

function newContent(random: PseudoRandom): Buffer {
  const length = random.once(3) ? random.pick(LENGTHS) : random.below(5 * CHUNK)
  return random.once(10) ? Buffer.alloc(length) : pageContent(random, length)
}

/** Pages of which a third does not compress and no two are equal. */
export function pageContent(random: PseudoRandom, lengthBytes: number): Buffer {
  const page = Buffer.concat([random.bytes(Math.min(lengthBytes, 3000)), Buffer.alloc(5192)])
  const content = Buffer.alloc(lengthBytes)
  for (let at = 0; at < lengthBytes; at += page.length) {
    page.writeUInt32LE(random.below(2 ** 32), 8)
    page.copy(content, at)
  }
  return content
}
