/** DNS and port mappings of a sandbox. Pure. */
import type { DnsConfig, Namespaces, PortMapping } from '../../ports/specs.ts';
import { requestLimits } from '../bounds.ts';
import type { DNSConfig as DnsMessage, PortMapping as PortMessage } from '../../gen/runtime/v1/api_pb.ts';
import { Protocol } from '../../gen/runtime/v1/api_pb.ts';
import { isIpAddress } from './address.ts';
import { each, intIn, quoted, refuse, required, text, word } from './check.ts';

/** Highest port number (RFC 9293, RFC 768, RFC 9260). */
const PORT_MAX = 65_535;
const PROTOCOLS = { [Protocol.TCP]: 'tcp', [Protocol.UDP]: 'udp', [Protocol.SCTP]: 'sctp' } as const;

/**
 * The content of resolv.conf. Without a config it is undefined, which means a copy of the host's file. An empty config
 * means an empty file: the kubelet sends it on a node whose resolv.conf is empty (kubernetes/kubernetes#120748, fixed
 * in both peers).
 */
export function dnsConfig(field: string, config: DnsMessage | undefined): DnsConfig | undefined {
  if (config === undefined) return undefined;
  return {
    servers: each(`${field}.servers`, config.servers, server, requestLimits.dnsEntries),
    searches: each(`${field}.searches`, config.searches, resolverWord, requestLimits.dnsEntries),
    options: each(`${field}.options`, config.options, resolverWord, requestLimits.dnsEntries),
  };
}

/** An IP address, which may have a zone after `%`: resolv.conf(5) allows link-local servers. */
function server(field: string, value: string): string {
  text(field, value, requestLimits.dnsBytes);
  const [address = '', zone] = value.split('%', 2);
  const isZone = zone === undefined || /^[A-Za-z0-9_.-]{1,15}$/u.test(zone);
  return isIpAddress(address) && isZone && value.split('%').length <= 2
    ? value
    : refuse(field, `${quoted(value)} is not an IP address`);
}

/** One word of a line in resolv.conf. A space or line break would add another word or line. */
function resolverWord(field: string, value: string): string {
  text(field, required(field, value), requestLimits.dnsBytes);
  return /^[\u0021-\u007e]+$/u.test(value)
    ? value
    : refuse(field, `${quoted(value)} is not one word of printable ASCII`);
}

/**
 * The mappings with a host port; a pod on the host's network has none. Duplicates, as of two containers that declare
 * the same port, are merged. One host port for two container ports is refused: only one of them would be reachable.
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
    const hostAddress = `${mapping.protocol} ${mapping.hostIp} ${mapping.hostPort}`;
    const other = taken.get(hostAddress);
    if (other !== undefined && other.containerPort !== mapping.containerPort) {
      refuse(
        `${at}.host_port`,
        `${mapping.hostPort} is already mapped to container port ${other.containerPort}`,
      );
    }
    taken.set(hostAddress, other ?? mapping);
  });
  return namespaces.network === 'node' ? [] : [...taken.values()];
}

function portMapping(field: string, mapping: PortMessage): PortMapping {
  const hostIp = text(`${field}.host_ip`, mapping.hostIp);
  if (hostIp !== '' && !isIpAddress(hostIp))
    refuse(`${field}.host_ip`, `${quoted(hostIp)} is not an IP address`);
  return {
    protocol: word(`${field}.protocol`, mapping.protocol, PROTOCOLS),
    containerPort: intIn(`${field}.container_port`, mapping.containerPort, 1, PORT_MAX),
    hostPort: intIn(`${field}.host_port`, mapping.hostPort, 0, PORT_MAX),
    hostIp,
  };
}
