import { isIP } from 'node:net'
import type { ListenAddress, Subnet } from '../base/address.ts'

/** Reads `host:port` and `[IPv6]:port`; null when it is neither. */
export function parseListenAddress(text: string): ListenAddress | null {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9._-]+)):(\d{1,5})$/.exec(text)
  const [, bracketed, plain, port] = match ?? []
  if (Number(port ?? Number.NaN) > 65535) return null
  if (bracketed !== undefined) {
    return isIP(bracketed) === 6 ? { host: bracketed, port: Number(port) } : null
  }
  if (plain === undefined) return null
  // What is written like an IPv4 address has to be one.
  return /^[\d.]+$/.test(plain) && isIP(plain) !== 4 ? null : { host: plain, port: Number(port) }
}

/** Reads an address, or a range as `address/prefix`; null when it is neither. */
export function parseSubnet(text: string): Subnet | null {
  const [, address = '', bits] = /^([0-9a-fA-F:.]+)(?:\/(\d{1,3}))?$/.exec(text) ?? []
  const version = isIP(address)
  if (version === 0) return null
  const width = version === 4 ? 32 : 128
  const prefix = bits === undefined ? width : Number(bits)
  return prefix > width ? null : { address, prefix, family: version === 4 ? 'ipv4' : 'ipv6' }
}
