/**
 * What one process does of the service. `api` answers calls, `worker` does what takes time; both need
 * a catalogue that they can share. `all` does both.
 */
export const ROLES = ['all', 'api', 'worker'] as const
export type Role = (typeof ROLES)[number]
