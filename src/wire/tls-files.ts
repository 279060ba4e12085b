import { createPrivateKey, X509Certificate } from 'node:crypto'
import type { Stats } from 'node:fs'
import { readFile, stat } from 'node:fs/promises'
import { createSecureContext } from 'node:tls'
import { pause, SECOND_MS } from '../base/clock.ts'
import { describeError, Fault, fileFault } from '../base/fault.ts'
import type { Logger } from '../base/logger.ts'
import { isOpenToOthers } from '../base/private-file.ts'
import { Secret } from '../base/secret.ts'

/** Two PEM files: a certificate, followed by those of its issuers, and its private key. */
export interface TlsFiles {
  readonly certificateFile: string
  readonly keyFile: string
}

/** A certificate and a key that belong together, as PEM text. */
export interface TlsPair {
  readonly certificate: string
  readonly key: Secret<string>
}

const POLL_MS = 2 * SECOND_MS
const PEM_BYTES_MAX = 1024 * 1024

/**
 * Reads both files and checks that they make a server: a Fault names the file, or says that they do
 * not belong together. A key that others can read is refused.
 */
export async function readTlsPair(files: TlsFiles): Promise<TlsPair> {
  const pair = await readFiles(files)
  requireFit(pair, files)
  return pair
}

/** What the certificate says of itself, for the log. */
export function describeCertificate({ certificate }: TlsPair): object {
  const { subject, subjectAltName, issuer, validTo, fingerprint256 } = new X509Certificate(
    certificate,
  )
  return { subject, subjectAltName, issuer, validTo, fingerprint: fingerprint256 }
}

/**
 * Tells of every new fit pair until `signal` aborts, beginning after `first`. Content is compared,
 * not times, so links that are swapped count too; and only once it was the same at two looks, since
 * the two files are seldom written at once. A pair that does not fit is logged once and passed over.
 */
export async function watchTlsFiles(
  files: TlsFiles,
  first: TlsPair,
  onChange: (pair: TlsPair) => void,
  log: Logger,
  signal: AbortSignal,
  pollMs: number = POLL_MS,
): Promise<void> {
  let judged: Look = first
  let before: Look = first
  while (await waited(pollMs, signal)) {
    const now: Look = await readFiles(files).catch((error: unknown) => describeError(error))
    const settled = isSame(now, before) && !isSame(now, judged)
    before = now
    if (!settled) continue
    judged = now
    try {
      if (typeof now === 'string') throw new Fault('unfit', now)
      requireFit(now, files)
      onChange(now)
      log.info('certificate reloaded', describeCertificate(now))
    } catch (error) {
      log.error('certificate not reloaded, the earlier one stays in use', {
        ...files,
        error: describeError(error),
      })
    }
  }
}

/** What one look at the files gives: their content, or why there is none. */
type Look = TlsPair | string

function isSame(left: Look, right: Look): boolean {
  if (typeof left === 'string' || typeof right === 'string') return left === right
  return left.certificate === right.certificate && left.key.reveal() === right.key.reveal()
}

async function readFiles({ certificateFile, keyFile }: TlsFiles): Promise<TlsPair> {
  const certificate = await readText(certificateFile, () => true)
  const key = await readText(keyFile, (facts) => !isOpenToOthers(facts))
  return { certificate, key: new Secret(key) }
}

async function readText(file: string, isClosed: (facts: Stats) => boolean): Promise<string> {
  try {
    const facts = await stat(file)
    if (!facts.isFile() || facts.size > PEM_BYTES_MAX) {
      throw new Fault('unfit', `${file} is no file of at most ${PEM_BYTES_MAX} bytes`)
    }
    if (!isClosed(facts)) {
      throw new Fault('denied', `${file} can be read by others`, { hint: `chmod 600 ${file}` })
    }
    return await readFile(file, 'utf8')
  } catch (error) {
    throw fileFault(error, `cannot read ${file}`)
  }
}

function requireFit({ certificate, key }: TlsPair, files: TlsFiles): void {
  const leaf = attempt(
    `${files.certificateFile} holds no certificate in PEM form`,
    () => new X509Certificate(certificate),
  )
  const own = attempt(
    `${files.keyFile} holds no private key in PEM form without a passphrase`,
    () => createPrivateKey(key.reveal()),
  )
  if (!leaf.checkPrivateKey(own)) {
    throw new Fault('unfit', `${files.keyFile} is not the key of ${files.certificateFile}`)
  }
  attempt(`${files.certificateFile} cannot be used for TLS`, () =>
    createSecureContext({ cert: certificate, key: key.reveal() }),
  )
}

function attempt<T>(otherwise: string, act: () => T): T {
  try {
    return act()
  } catch (error) {
    throw new Fault('unfit', otherwise, { cause: error })
  }
}

/** False when the wait was cut short by `signal`. */
async function waited(ms: number, signal: AbortSignal): Promise<boolean> {
  return pause(ms, signal).then(
    () => true,
    () => false,
  )
}
