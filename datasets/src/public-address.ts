import { lookup } from 'node:dns'
import { BlockList, isIP, type LookupFunction } from 'node:net'

const blocked = new BlockList()
for (const [net, bits] of [
  ...([
    ['0.0.0.0', 8],
    ['10.0.0.0', 8],
    ['100.64.0.0', 10],
    ['127.0.0.0', 8],
  ] as const),
  ...([
    ['169.254.0.0', 16],
    ['172.16.0.0', 12],
    ['192.0.0.0', 24],
    ['192.168.0.0', 16],
  ] as const),
  ...([
    ['198.18.0.0', 15],
    ['224.0.0.0', 4],
    ['240.0.0.0', 4],
  ] as const),
] as const)
  blocked.addSubnet(net, bits, 'ipv4')
for (const [net, bits] of [
  ...([
    ['::', 127],
    ['64:ff9b::', 96],
    ['fc00::', 7],
    ['fe80::', 10],
    ['ff00::', 8],
  ] as const),
] as const)
  blocked.addSubnet(net, bits, 'ipv6')

/** Whether an IP address belongs to a machine, a private net or no one (RFC 6890). */
export function isPrivateAddress(address: string): boolean {
  const kind = isIP(address)
  // An IPv4 address in IPv6 clothes is checked against the IPv4 nets by BlockList itself.
  return kind !== 0 && blocked.check(address, kind === 4 ? 'ipv4' : 'ipv6')
}

/** The error code of a name that leads to a private address. */
export const PRIVATE = 'EPRIVATE'

/**
 * Resolves as usual and refuses private addresses. The connection is made to what was checked, so a
 * name cannot answer differently the second time.
 */
export const lookupPublic: LookupFunction = (host, options, done) =>
  lookup(host, options, (error, found, family) => {
    const addresses = Array.isArray(found) ? found.map(({ address }) => address) : [found]
    if (error === null && addresses.some(isPrivateAddress))
      done(Object.assign(new Error(`${host} is a private address`), { code: PRIVATE }), found)
    else done(error, found, family)
  })
