/** Seccomp profiles in files of the node, and the short form of the built-in one. */
import type { BundleInput } from '../../../ports/runtime.ts';
import { fail } from '../../../base/fault.ts';
import { driverLimits, specLimits } from '../bounds.ts';
import { readFileInRoot } from '../../../host/files/files.ts';
import type { OnPath } from './host/bundle-mounts.ts';
import { resolveCapabilities } from '../spec/capabilities.ts';
import type { SpecHandler, SpecHost, SpecInput } from '../spec/input.ts';
import { parseSeccompProfile } from '../spec/seccomp-profile.ts';
import { canBeShort, shortSeccomp } from '../spec/seccomp-short.ts';
import { OUTER_FILTER_VERSION } from '../spec/outer-filter.ts';
import { encodeSpec } from '../spec/types.ts';
import type { OciSeccomp, OciSpec } from '../spec/types.ts';

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

/**
 * The text of config.json: with the short form of the built-in profile, where it means the same and the handler can be
 * given the outer filter. The last step: NRI plugins that are asked about the container are shown the allow-list.
 */
export function configText(document: OciSpec, input: SpecInput): string {
  const short = withShortSeccomp(document, input);
  const text = short && encodeSpec(short);
  // the mark is read from no larger file, and without it the process would have no outer filter
  const isReadable = text !== undefined && Buffer.byteLength(text) <= driverLimits.stateFileBytes;
  return isReadable ? text : encodeSpec(document);
}

function withShortSeccomp(document: OciSpec, { host, handler, spec }: SpecInput): OciSpec | undefined {
  const { seccomp, privileged } = spec.security;
  const { bounding } = document.process.capabilities;
  if (handler.shortSeccomp !== true || handler.ownKernel === true) return undefined;
  if (seccomp.type !== 'runtimeDefault' || privileged || !canBeShort(host, bounding)) return undefined;
  return {
    ...document,
    linux: { ...document.linux, seccomp: shortSeccomp(host, bounding) },
    troupeShortSeccomp: OUTER_FILTER_VERSION,
  };
}
