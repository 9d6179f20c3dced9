/** DNS and port mappings of a sandbox. Pure. */
import type { DnsConfig, Namespaces, PortMapping } from '../../ports/specs.ts';
import { requestLimits } from '../bounds.ts';
import type { DNSConfig as DnsMessage, PortMapping as PortMessage } from '../../gen/runtime/v1/api_pb.ts';
import { Protocol } from '../../gen/runtime/v1/api_pb.ts';
import { isIpAddress } from './address.ts';
import { each, intIn, quoted, refuse, required, text, word } from './check.ts';

/** Highest number of a port (RFC 9293, RFC 768, RFC 9260). */
const PORT_MAX = 65_535;
const PROTOCOLS = { [Protocol.TCP]: 'tcp', [Protocol.UDP]: 'udp', [Protocol.SCTP]: 'sctp' } as const;

/**
 * Undefined means a copy of the host's resolv.conf: for no config at all. One that says nothing asks for just that, an empty
 * file: the kubelet sends it for a node whose own resolv.conf is empty (kubernetes/kubernetes#120748, mended by both peers).
 */
export function dnsConfig(field: string, config: DnsMessage | undefined): DnsConfig | undefined {
  if (config === undefined) return undefined;
  return {
    servers: each(`${field}.servers`, config.servers, server, requestLimits.dnsEntries),
    searches: each(`${field}.searches`, config.searches, resolverWord, requestLimits.dnsEntries),
    options: each(`${field}.options`, config.options, resolverWord, requestLimits.dnsEntries),
  };
}

/** An address, which may have a zone after `%` (resolv.conf(5) takes link-local servers). */
function server(field: string, value: string): string {
  text(field, value, requestLimits.dnsBytes);
  const [address = '', zone] = value.split('%', 2);
  const isZone = zone === undefined || /^[A-Za-z0-9_.-]{1,15}$/u.test(zone);
  return isIpAddress(address) && isZone && value.split('%').length <= 2
    ? value
    : refuse(field, `${quoted(value)} is no IP address`);
}

/** One word of a line in resolv.conf: what a blank or a line break lets in would be a word or line of its own. */
function resolverWord(field: string, value: string): string {
  text(field, required(field, value), requestLimits.dnsBytes);
  return /^[\u0021-\u007e]+$/u.test(value)
    ? value
    : refuse(field, `${quoted(value)} is not one word of printable ASCII`);
}

/**
 * Those with a host port; on the host's network none, since there is nothing to map. Two containers that state the same
 * mapping state it once; one host port that leads to two places is refused: only one of them would ever be reached.
 */
export function portMappings(
  field: string,
  mappings: readonly PortMessage[],
  namespaces: Namespaces,
): readonly PortMapping[] {
  const taken = new Map<string, PortMapping>();
  each(field, mappings, (at, message) => {
    const mapping = portMapping(at, message);
    if (mapping.hostPort === 0) return;
    const place = `${mapping.protocol} ${mapping.hostIp} ${mapping.hostPort}`;
    const other = taken.get(place);
    if (other !== undefined && other.containerPort !== mapping.containerPort) {
      refuse(`${at}.host_port`, `${mapping.hostPort} leads to container port ${other.containerPort} already`);
    }
    taken.set(place, other ?? mapping);
  });
  return namespaces.network === 'node' ? [] : [...taken.values()];
}

function portMapping(field: string, mapping: PortMessage): PortMapping {
  const hostIp = text(`${field}.host_ip`, mapping.hostIp);
  if (hostIp !== '' && !isIpAddress(hostIp)) refuse(`${field}.host_ip`, `${quoted(hostIp)} is no IP address`);
  return {
    protocol: word(`${field}.protocol`, mapping.protocol, PROTOCOLS),
    containerPort: intIn(`${field}.container_port`, mapping.containerPort, 1, PORT_MAX),
    hostPort: intIn(`${field}.host_port`, mapping.hostPort, 0, PORT_MAX),
    hostIp,
  };
}
