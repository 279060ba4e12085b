import { Fault, isFault } from '../base/fault.ts'
import type { NewSet } from '../series/series.ts'
import type { Stores } from './stores.ts'

/**
 * Writes an object of the attempt whose name the ledger has on record. Names are announced once, so
 * whatever already has this one is somebody else's: it is disowned before Fault 'exists' is thrown,
 * or cleaning up after the attempt would remove it.
 */
export async function writeAnnounced(
  { storage, ledger }: Pick<Stores, 'storage' | 'ledger'>,
  set: NewSet,
  name: string,
  bytes: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  signal: AbortSignal,
): Promise<{ readonly sizeBytes: number }> {
  // Not stopped by an abort: the clean-up after it would remove the object.
  const lasting = new AbortController().signal
  try {
    // Seen before the first byte too: an attempt that stops half way would never learn of it.
    if ((await storage.size(name, lasting)) !== null) {
      throw new Fault('exists', `object ${name} is in the storage before it was written`, {
        hint: 'see whether another service uses the storage, or the catalogue is an old copy',
      })
    }
    return await storage.write(name, bytes, signal)
  } catch (error) {
    if (isFault(error, 'exists')) await ledger.disown(set, name, lasting)
    throw error
  }
}
