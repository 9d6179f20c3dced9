import type { RuntimeService } from '../../gen/runtime/v1/api_pb.ts';
import type { RpcHandler } from '../call/edge.ts';
import type { ServiceOptions } from '../call/service-options.ts';
import { translated } from '../validate/check.ts';
import { sandboxSpec } from '../validate/sandbox.ts';

/** RunPodSandbox: answers once the sandbox is ready. A call with the same name joins one in progress. */
export function runPodSandbox(
  options: ServiceOptions,
): RpcHandler<typeof RuntimeService.method.runPodSandbox> {
  return async ({ config, runtimeHandler }, context) => {
    const userNamespaces =
      options.troupe.handlers().find(({ name }) => name === runtimeHandler)?.userNamespaces ?? false;
    const spec = translated('RunPodSandbox', () =>
      sandboxSpec(config, runtimeHandler, { ...options, userNamespaces }),
    );
    return { podSandboxId: await options.troupe.runSandbox(spec, context) };
  };
}
