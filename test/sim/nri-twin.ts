/** One NRI plugin that answers, refuses, hangs and changes limits as the rates of `outside` draw it. */
import type { NriNode, NriPort } from '../../src/ports/nri.ts';
import { fail } from '../../src/base/fault.ts';
import type { Outside } from './outside.ts';
import type { Surroundings } from './surroundings.ts';

/** Events that a plugin must be able to relate to something that the node has. */
const AFTER_THE_END: ReadonlySet<string> = new Set(['RemovePodSandbox', 'RemoveContainer']);

/** The twin of the plugins; `wrongs` gets what no right caller does. */
export function nriTwin(
  outside: Outside,
  epoch: number,
  wrongs: string[],
  peer: Pick<Surroundings, 'hasPlugin' | 'node'>,
): NriPort {
  const call = outside.life(epoch);
  let node: NriNode | undefined;
  const attached = (): NriNode => node ?? fail('bug', 'a plugin was called before the node was attached');
  const done = (): void => undefined;
  return {
    plugins: () => [{ id: '10-twin', gone: peer.hasPlugin ? '' : 'connection lost' }],
    isActive: () => peer.hasPlugin,
    attach: (given) => {
      node = given;
      peer.node = given;
    },
    notifyPod: (event, id, fx) => {
      if (!AFTER_THE_END.has(event) && attached().pod(id) === undefined)
        wrongs.push(`NRI ${event} of ${id}, which the node does not have`);
      return call(`nri.${event}`, fx, [], done);
    },
    notifyContainer: (event, id, fx) => {
      if (!AFTER_THE_END.has(event) && attached().container(id) === undefined)
        wrongs.push(`NRI ${event} of ${id}, which the node does not have`);
      return call(`nri.${event}`, fx, [], done);
    },
    updatePod: (_id, _wanted, fx) => call('nri.updatePod', fx, [], done),
    updateContainer: (_id, change, fx) => call('nri.updateContainer', fx, [], () => change),
  };
}
