import { registerHooks } from 'node:module'

/**
 * Preloaded by `node --import '…/with-chunk-bytes.ts?16384'`: the repository cuts at another size.
 * The size is a constant of the format; here alone it is another, in all threads of one process.
 */
const DEFINITION = /^export const CHUNK_BYTES = .*$/m
const chunkBytes = Number(new URL(import.meta.url).search.slice(1))

registerHooks({
  load(url, context, nextLoad) {
    const loaded = nextLoad(url, context)
    if (!url.endsWith('/src/repository/chunk-ref.ts')) return loaded
    const source = String(loaded.source)
    if (!DEFINITION.test(source) || !(chunkBytes > 0)) {
      throw new Error(`the chunk size cannot be made ${chunkBytes}`)
    }
    return {
      ...loaded,
      source: source.replace(DEFINITION, `export const CHUNK_BYTES = ${chunkBytes}`),
    }
  },
})
