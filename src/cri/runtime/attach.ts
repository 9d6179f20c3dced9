import { isAlive } from '../../actors/directory/phases.ts';
import { fail } from '../../base/fault.ts';
import type { RuntimeService } from '../../gen/runtime/v1/api_pb.ts';
import type { RpcHandler } from '../call/edge.ts';
import { listedContainer } from '../lookup/lookup.ts';
import type { ServiceOptions } from '../call/service-options.ts';
import type { UrlIssuer } from '../streaming/server.ts';
import { refuse } from '../validate/check.ts';
import { wantedStreams } from '../validate/streams.ts';

/** Attach: answers a URL for the streams of the container's own process; output is sent from the connection on. */
export function attach(
  { troupe }: Pick<ServiceOptions, 'troupe'>,
  urls: UrlIssuer,
): RpcHandler<typeof RuntimeService.method.attach> {
  return async (request) => {
    const wanted = wantedStreams('Attach', request);
    const view = listedContainer(troupe.directory, 'Attach', request.containerId);
    const { id, path, spec } = view;
    if (!isAlive(view))
      fail('wrongState', `Attach ${id}: the container is ${path}, not running`, { subject: id });
    if (wanted.tty !== spec.tty)
      refuse('Attach: tty', `container ${id} ${spec.tty ? 'has a' : 'has no'} terminal`);
    return { url: await urls.urlFor({ kind: 'attach', id, ...wanted }) };
  };
}
