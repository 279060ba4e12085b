import { z } from 'zod'
import type { Usage } from '../catalogue/usage.ts'

/** Ours: where stored bytes are; the first is the sum of the next five (see `Usage`). */
export const UsageFields = {
  StoredBytes: z.number(),
  KeptBytes: z.number(),
  UndeleteBytes: z.number(),
  DeadBytes: z.number(),
  FixedBytes: z.number(),
  PendingFreedBytes: z.number(),
  UndeleteFreedBytes: z.number(),
  ReleasedBytes: z.number(),
  FreedBytes: z.number(),
}

export function usageFields(usage: Usage) {
  return {
    StoredBytes: usage.storedBytes,
    KeptBytes: usage.keptBytes,
    UndeleteBytes: usage.undeleteBytes,
    DeadBytes: usage.deadBytes,
    FixedBytes: usage.fixedBytes,
    PendingFreedBytes: usage.pendingFreedBytes,
    UndeleteFreedBytes: usage.undeleteFreedBytes,
    ReleasedBytes: usage.releasedBytes,
    FreedBytes: usage.freedBytes,
  }
}
