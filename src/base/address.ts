import { isIP } from 'node:net'

/** What to listen on. Port 0: any free one. */
export interface ListenAddress {
  readonly host: string
  readonly port: number
}

/** A range of addresses; a single one has all its bits as prefix. */
export interface Subnet {
  readonly address: string
  readonly prefix: number
  readonly family: 'ipv4' | 'ipv6'
}

/** Whether only processes of this host can reach what listens there. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'))
}

/** `host:port`, with brackets around an IPv6 address. */
export function authority(host: string, port: number): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}
