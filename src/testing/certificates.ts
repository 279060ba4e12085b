import { execFile } from 'node:child_process'
import { chmod, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)

/** PEM files of a certificate and its key. */
export interface IssuedCertificate {
  readonly certificateFile: string
  /** Readable to its owner only. */
  readonly keyFile: string
}

/** A private authority, made with `openssl` in a folder of a test. */
export interface Authority {
  readonly certificateFile: string
  /**
   * `names` as in `subjectAltName`, such as `DNS:localhost,IP:127.0.0.1`. The common name is `file`.
   * With less than one day the certificate has expired.
   */
  issue(file: string, names: string, days?: number): Promise<IssuedCertificate>
}

const NEW_KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']

export async function createAuthority(folder: string, name: string): Promise<Authority> {
  const certificateFile = join(folder, `${name}.pem`)
  const caKey = join(folder, `${name}-key.pem`)
  await run('openssl', [
    ...['req', '-x509', ...NEW_KEY, '-keyout', caKey, '-out', certificateFile],
    ...['-days', '2', '-subj', `/CN=${name}`, '-addext', 'basicConstraints=critical,CA:TRUE'],
  ])
  const issue = async (file: string, names: string, days = 2): Promise<IssuedCertificate> => {
    const issued = join(folder, `${file}.pem`)
    const keyFile = join(folder, `${file}-key.pem`)
    const request = join(folder, `${file}.csr`)
    const extensions = join(folder, `${file}.ext`)
    await writeFile(extensions, `subjectAltName=${names}\n`)
    await run('openssl', [
      ...['req', ...NEW_KEY, '-keyout', keyFile, '-out', request, '-subj', `/CN=${file}`],
    ])
    await run('openssl', [
      ...['x509', '-req', '-in', request, '-CA', certificateFile, '-CAkey', caKey],
      ...['-CAcreateserial', '-days', String(days), '-extfile', extensions, '-out', issued],
    ])
    await chmod(keyFile, 0o600)
    return { certificateFile: issued, keyFile }
  }
  return { certificateFile, issue }
}
