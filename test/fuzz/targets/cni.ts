/**
 * Results of CNI plugins and network configurations: what is published of a pod is sound, and a result converted means
 * the same.
 */
import { isIP } from 'node:net';
import type { CniVersion } from '../../../src/network/conflist.ts';
import { CNI_VERSIONS, parseList, parseSingle } from '../../../src/network/conflist.ts';
import { supportedVersions } from '../../../src/network/plugin.ts';
import { parseResult, podIps, resultIn } from '../../../src/network/result.ts';
import { violated } from '../target.ts';
import { learnerOf, type Kind } from './kinds.ts';

const NEW =
  '{"cniVersion":"1.0.0","interfaces":[{"name":"cni0","mac":"02:00:00:00:00:01"},{"name":"eth0","mac":"02:00:00:00:00:02","sandbox":"/run/netns/x","mtu":1500}],"ips":[{"address":"10.0.0.5/24","gateway":"10.0.0.1","interface":1},{"address":"FD00:0:0:0:0:0:0:5/64","interface":1}],"routes":[{"dst":"0.0.0.0/0","gw":"10.0.0.1"},{"dst":"::/0"}],"dns":{"nameservers":["10.0.0.2"],"domain":"d","search":["s"],"options":["o"]}}';
const MIDDLE =
  '{"cniVersion":"0.4.0","interfaces":[{"name":"eth0","sandbox":"/x"}],"ips":[{"version":"4","address":"10.0.0.5/24","interface":0}]}';
const OLD =
  '{"cniVersion":"0.2.0","ip4":{"ip":"10.0.0.5/24","gateway":"10.0.0.1","routes":[{"dst":"0.0.0.0/0"}]},"ip6":{"ip":"fd00::5/64"},"dns":{}}';
const LIST =
  '{"cniVersion":"1.0.0","name":"net","disableCheck":true,"plugins":[{"type":"bridge","bridge":"cni0","ipam":{"type":"host-local"},"capabilities":{"portMappings":true}},{"type":"portmap"}]}';

function checkResult(text: string, asked: CniVersion): boolean {
  const parsed = parseResult(text, asked);
  if (!parsed.ok) return false;
  const { result } = parsed;
  for (const { ip, prefixLength, family, interface: index } of result.ips) {
    if (isIP(ip) !== family || prefixLength < 0 || prefixLength > (family === 4 ? 32 : 128))
      violated(`an address ${ip}/${prefixLength} of family ${family}`);
    if (index !== undefined && result.interfaces[index] === undefined)
      violated(`an address of interface ${index}`);
  }
  const ips = podIps(result, 'eth0');
  if (ips.ok && (ips.ips.length === 0 || ips.ips.some((ip) => isIP(ip) === 0)))
    violated(`addresses of a pod: ${ips.ips.join()}`);
  for (const version of CNI_VERSIONS) {
    const converted = parseResult(JSON.stringify(resultIn(result, version)), version);
    if (!converted.ok) violated(`in version ${version} it is no result: ${converted.reason}`);
    // what an older form has no place for is lost; the first address of each family is not
    for (const family of [4, 6]) {
      const [one, other] = [result, converted.result].map(({ ips: all }) =>
        all.find((ip) => ip.family === family),
      );
      if (one?.ip !== other?.ip || one?.prefixLength !== other?.prefixLength)
        violated(`in version ${version} the address ${one?.ip ?? 'none'} is ${other?.ip ?? 'none'}`);
    }
  }
  return true;
}

const kinds: readonly Kind[] = [
  { name: 'result', seeds: [NEW, MIDDLE, OLD], run: (input) => checkResult(input.toString('utf8'), '1.0.0') },
  {
    name: 'older',
    seeds: [OLD, '{"ip4":{"ip":"10.0.0.5/24"}}'],
    run: (input) => checkResult(input.toString('utf8'), '0.2.0'),
  },
  {
    name: 'list',
    seeds: [LIST, LIST.replace('"plugins"', '"other"')],
    run: (input) => {
      const text = input.toString('utf8');
      const parsed = [
        parseList(text),
        parseList(text, [{ file: 'a', text: '{"type":"x"}' }]),
        parseSingle(text),
      ];
      for (const one of parsed)
        if (one.ok && (one.network.name === '' || one.network.name.includes('/')))
          violated(`a network named ${JSON.stringify(one.network.name)}`);
      return parsed.some(({ ok }) => ok);
    },
  },
  {
    name: 'single',
    seeds: ['{"cniVersion":"0.4.0","name":"n","type":"loopback"}'],
    run: (input) => parseSingle(input.toString('utf8')).ok,
  },
  {
    name: 'versions',
    seeds: ['{"cniVersion":"1.0.0","supportedVersions":["0.4.0","1.0.0"]}'],
    run: (input) => supportedVersions(input.toString('utf8')) !== undefined,
  },
];

export const cniLearner = learnerOf(
  kinds,
  [],
  ['"gateway":', '"interface":', '"version":"6"', '::ffff:1.2.3.4/96', '"ip6":'],
);
