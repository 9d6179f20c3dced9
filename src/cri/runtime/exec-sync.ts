import { requestLimits } from '../bounds.ts';
import type { RuntimeService } from '../../gen/runtime/v1/api_pb.ts';
import type { RpcHandler } from '../call/edge.ts';
import { knownContainer } from '../lookup/lookup.ts';
import { execSyncMessage } from '../present/exec-sync.ts';
import type { ServiceOptions } from '../call/service-options.ts';
import { refuse } from '../validate/check.ts';
import { words } from '../validate/container.ts';
import { seconds } from '../validate/seconds.ts';

/**
 * ExecSync: answers output and exit code of a command; a non-zero exit code is not an error. After `timeout` seconds
 * the command is killed and the call ends with DeadlineExceeded, by which the kubelet fails a probe.
 */
export function execSync({
  troupe,
}: Pick<ServiceOptions, 'troupe'>): RpcHandler<typeof RuntimeService.method.execSync> {
  return async ({ containerId, cmd, timeout }, context) => {
    const argv = words('ExecSync: cmd', cmd);
    if ((argv[0] ?? '') === '') refuse('ExecSync: cmd', 'names no command');
    const timeoutMs = seconds('ExecSync: timeout', timeout, requestLimits.execMaxMs);
    const { id } = knownContainer(troupe.directory, 'ExecSync', containerId);
    return execSyncMessage(await troupe.execSync(id, argv, timeoutMs, context));
  };
}
