import { BlockList, isIP, type Socket } from 'node:net'
import type { Subnet } from '../base/address.ts'

/** Who called, and how, as far as it is to be believed. */
export interface Origin {
  readonly address: string
  readonly scheme: 'http' | 'https'
}

/**
 * The client behind a connection. What a trusted proxy says of it is believed, and so from proxy to
 * proxy; what anybody else says is not. `X-Forwarded-For` is read from its end, where the nearest
 * proxy writes; an entry that is no address ends what can be believed.
 */
export function originReader(
  trusted: readonly Subnet[],
): (socket: Socket, rawHeaders: readonly string[]) => Origin {
  const proxies = new BlockList()
  for (const { address, prefix, family } of trusted) proxies.addSubnet(address, prefix, family)
  const isTrusted = (address: string): boolean =>
    isIP(address) !== 0 && proxies.check(address, isIP(address) === 4 ? 'ipv4' : 'ipv6')
  return (socket, rawHeaders) => {
    const peer = plainAddress(socket.remoteAddress ?? '')
    const direct = 'encrypted' in socket && socket.encrypted === true ? 'https' : 'http'
    if (!isTrusted(peer)) return { address: peer, scheme: direct }
    const said = listed(rawHeaders, 'x-forwarded-proto').at(-1)?.toLowerCase()
    return {
      address: clientOf(peer, listed(rawHeaders, 'x-forwarded-for'), isTrusted),
      scheme: said === 'https' || said === 'http' ? said : direct,
    }
  }
}

function clientOf(
  peer: string,
  forwardedFor: readonly string[],
  isTrusted: (address: string) => boolean,
): string {
  let believed = peer
  for (const entry of forwardedFor.toReversed()) {
    if (!isTrusted(believed)) break
    const address = plainAddress(entry)
    if (isIP(address) === 0) break
    believed = address
  }
  return believed
}

/** The members of a header that is a list, over all its lines. */
function listed(rawHeaders: readonly string[], name: string): readonly string[] {
  return rawHeaders
    .filter((_, index) => index % 2 === 1 && rawHeaders[index - 1]?.toLowerCase() === name)
    .flatMap((value) => value.split(','))
    .map((member) => member.trim())
    .filter((member) => member !== '')
}

/** Without the brackets and the port that some proxies write, and IPv4 as such. */
function plainAddress(text: string): string {
  const [, bracketed, dotted] = /^(?:\[([^\]]+)\](?::\d+)?|([\d.]+):\d+)$/.exec(text) ?? []
  return (bracketed ?? dotted ?? text).replace(/^::ffff:(?=[\d.]+$)/i, '')
}
