/** The words between us and a shim's program: how it is called, and what its `start` prints. Pure. */
import { fail, printable } from '../../../base/fault.ts';
import { shimLimits } from '../bounds.ts';
import { BootstrapParamsSchema, BootstrapResultSchema } from '../../../gen/shim/bootstrap_pb.ts';
import { decodeMessage, encodeMessage } from '../../../ttrpc/protocol.ts';

/** Where a shim answers. */
export interface ShimAddress {
  /** Path of a Unix socket; an abstract one begins with NUL. */
  readonly path: string;
  /** Version of the Task service. */
  readonly api: 2 | 3;
}

export interface ShimCommand {
  /** Absolute path of the shim's program. */
  readonly program: string;
  /** All that we have in one namespace of the shim's, told from that of other instances. */
  readonly namespace: string;
  readonly id: string;
  /** Path of our socket for events. */
  readonly events: string;
}

/** As containerd calls it: shims before 2.3 look at these words, later ones at their standard input. */
export function shimArgv(command: ShimCommand, action: 'start' | 'delete', bundle?: string): string[] {
  return [
    command.program,
    '-namespace',
    command.namespace,
    '-id',
    command.id,
    '-address',
    command.events,
    ...(bundle === undefined ? [] : ['-bundle', bundle]),
    action,
  ];
}

/** The whole environment of a shim, which its runtime inherits: nothing of the daemon's own. */
export function shimEnv(command: ShimCommand, toolPath: string): Readonly<Record<string, string>> {
  return {
    PATH: toolPath,
    TTRPC_ADDRESS: command.events,
    GRPC_ADDRESS: command.events,
    NAMESPACE: command.namespace,
    MAX_SHIM_VERSION: '3',
    GOMAXPROCS: '2',
  };
}

/** The standard input of `start`. `socketDir`: undefined for the shim's own choice. */
export function bootstrapParams(
  command: ShimCommand,
  version: string,
  socketDir: string | undefined,
): Uint8Array {
  return encodeMessage(BootstrapParamsSchema, {
    instanceId: command.id,
    namespace: command.namespace,
    containerdVersion: version,
    containerdTtrpcAddress: command.events,
    containerdGrpcAddress: command.events,
    ...(socketDir === undefined ? {} : { socketDir }),
  });
}

/**
 * What `start` has printed: a message since containerd 2.3, JSON since 1.7, the bare address before. Throws `outside` for
 * anything else, `unsupported` for a protocol or a version that we don't speak.
 */
export function parseBootstrap(output: Uint8Array): ShimAddress {
  const text = Buffer.from(output).toString('utf8').trim();
  if (text === '' || output.length > shimLimits.startOutputBytes)
    fail('outside', `it has printed ${output.length} bytes in the place of its address`);
  const { version, address, protocol } = /^(?:unix:|\/|@)/u.test(text)
    ? { version: 2, address: text, protocol: 'ttrpc' }
    : text.startsWith('{')
      ? parseJson(text)
      : decodeMessage(BootstrapResultSchema, output);
  if (protocol !== 'ttrpc' && protocol !== '')
    fail('unsupported', `it speaks ${printable(protocol)}, and we speak ttrpc only`);
  if (version !== 2 && version !== 3)
    fail('unsupported', `it serves version ${version} of the Task service, and we speak 2 and 3`);
  return { path: socketPath(address), api: version };
}

function parseJson(text: string): {
  readonly version: number;
  readonly address: string;
  readonly protocol: string;
} {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return fail('outside', 'it has printed broken JSON in the place of its address');
  }
  const { version, address, protocol } = value as {
    readonly version?: unknown;
    readonly address?: unknown;
    readonly protocol?: unknown;
  };
  return {
    version: typeof version === 'number' ? version : 0,
    address: typeof address === 'string' ? address : '',
    protocol: typeof protocol === 'string' ? protocol : '',
  };
}

/** Of `unix:///run/x`, of `/run/x`, of an abstract name as `@name`. */
function socketPath(address: string): string {
  const path = address.startsWith('unix://') ? address.slice('unix://'.length) : address;
  if (path.length > shimLimits.socketPathChars || path.includes('\0') || !/^[/@]/u.test(path)) {
    fail(
      'unsupported',
      `it answers at ${JSON.stringify(address.slice(0, shimLimits.socketPathChars))}, which is no Unix socket`,
    );
  }
  return path.startsWith('@') ? `\0${path.slice(1)}` : path;
}
