import { fail } from '../../base/fault.ts';
import type { RuntimeService } from '../../gen/runtime/v1/api_pb.ts';
import type { RpcHandler } from '../call/edge.ts';
import { listedSandbox } from '../lookup/lookup.ts';
import type { ServiceOptions } from '../call/service-options.ts';
import type { UrlIssuer } from '../streaming/server.ts';
import { each, intIn } from '../validate/check.ts';

/** PortForward: answers a URL for connections to the pod's loopback; a request without ports allows every port. */
export function portForward(
  { troupe }: Pick<ServiceOptions, 'troupe'>,
  urls: UrlIssuer,
): RpcHandler<typeof RuntimeService.method.portForward> {
  return async ({ podSandboxId, port }) => {
    const ports = each('PortForward: port', port, (field, one) => intIn(field, one, 1, 65_535));
    const { id, ready, path } = listedSandbox(troupe.directory, 'PortForward', podSandboxId);
    if (!ready) fail('wrongState', `PortForward ${id}: the sandbox is ${path}, not ready`, { subject: id });
    return { url: await urls.urlFor({ kind: 'portforward', id, ports }) };
  };
}
