/** Seccomp profiles in files of the node. */
import type { BundleInput } from '../../../ports/runtime.ts';
import { fail } from '../../../base/fault.ts';
import { specLimits } from '../bounds.ts';
import { readFileInRoot } from '../../../host/files/files.ts';
import type { OnPath } from './host/bundle-mounts.ts';
import { resolveCapabilities } from '../spec/capabilities.ts';
import type { SpecHandler, SpecHost } from '../spec/input.ts';
import { parseSeccompProfile } from '../spec/seccomp-profile.ts';
import type { OciSeccomp } from '../spec/types.ts';

interface HostOption {
  readonly host: SpecHost;
}

/** The profile in a file: the requested one, or the handler's profile for RuntimeDefault. */
export async function localSeccomp(
  options: HostOption,
  input: BundleInput,
  handler: SpecHandler,
  onPath: OnPath,
): Promise<OciSeccomp | undefined> {
  const { seccomp, privileged, capabilities } = input.spec.security;
  const path =
    seccomp.type === 'localhost'
      ? seccomp.path
      : seccomp.type === 'runtimeDefault'
        ? (handler.seccompProfile ?? '')
        : '';
  if (privileged || (path === '' && seccomp.type !== 'localhost')) return undefined;
  const { bounding } = resolveCapabilities(capabilities, options.host.boundingCapabilities, privileged);
  return readSeccomp(options, path, bounding, onPath);
}

/** Throws `invalidRequest` if the file does not exist or is not a profile. */
export async function readSeccomp(
  { host }: HostOption,
  path: string,
  capabilities: readonly string[],
  onPath: OnPath,
): Promise<OciSeccomp> {
  if (!path.startsWith('/') || path.includes('\0')) {
    fail('invalidRequest', `read seccomp profile ${JSON.stringify(path)}: not an absolute path`, {
      subject: 'seccomp.localhost_ref',
    });
  }
  const bytes = await onPath(path, `read seccomp profile ${path}`, () =>
    readFileInRoot('/', path, { bytesMax: specLimits.seccompBytes }),
  );
  if (bytes === undefined)
    fail('invalidRequest', `read seccomp profile ${path}: not found`, {
      subject: 'seccomp.localhost_ref',
    });
  return parseSeccompProfile(bytes, path, {
    arch: host.arch,
    kernelRelease: host.kernelRelease,
    capabilities,
  });
}
