import { isAlive } from '../../actors/directory/phases.ts';
import { fail } from '../../base/fault.ts';
import type { RuntimeService } from '../../gen/runtime/v1/api_pb.ts';
import type { RpcHandler } from '../call/edge.ts';
import { listedContainer } from '../lookup/lookup.ts';
import type { ServiceOptions } from '../call/service-options.ts';
import type { UrlIssuer } from '../streaming/server.ts';
import { refuse } from '../validate/check.ts';
import { words } from '../validate/container.ts';
import { wantedStreams } from '../validate/streams.ts';

/** Exec: answers a URL for the streams of a new process, which is started when a client connects. */
export function exec(
  { troupe }: Pick<ServiceOptions, 'troupe'>,
  urls: UrlIssuer,
): RpcHandler<typeof RuntimeService.method.exec> {
  return async (request) => {
    const wanted = wantedStreams('Exec', request);
    const argv = words('Exec: cmd', request.cmd);
    if ((argv[0] ?? '') === '') refuse('Exec: cmd', 'names no command');
    const view = listedContainer(troupe.directory, 'Exec', request.containerId);
    const { id, path } = view;
    if (!isAlive(view))
      fail('wrongState', `Exec ${id}: the container is ${path}, not running`, { subject: id });
    return { url: await urls.urlFor({ kind: 'exec', id, argv: [...argv], ...wanted }) };
  };
}
