import { invariant } from '../base/fault.ts'

const SEGMENT = /^[a-z0-9._-]{1,200}$/

/**
 * The segments of an object's name. Names are made by the program, so a bad one is a bug: it could
 * otherwise leave the storage's directory.
 */
export function nameSegments(name: string): readonly string[] {
  const segments = name.split('/')
  invariant(segments.every(isSegment), `"${name}" is an object's name`)
  return segments
}

export function isSegment(segment: string): boolean {
  return SEGMENT.test(segment) && segment !== '.' && segment !== '..'
}
