/** The protocol between the daemon and a shim's program: its command line, and the output of its `start`. */
import { fail, printable } from '../../../base/fault.ts';
import { shimLimits } from '../bounds.ts';
import { BootstrapParamsSchema, BootstrapResultSchema } from '../../../gen/shim/bootstrap_pb.ts';
import { decodeMessage, encodeMessage } from '../../../ttrpc/protocol.ts';

/** Address of a shim's Task service. */
export interface ShimAddress {
  /** Path of a Unix socket; an abstract one begins with NUL. */
  readonly path: string;
  /** Version of the Task service. */
  readonly api: 2 | 3;
}

export interface ShimCommand {
  /** Absolute path of the shim's program. */
  readonly program: string;
  /** The containerd namespace in which this instance has all its containers; different in each instance. */
  readonly namespace: string;
  readonly id: string;
  /** Path of the daemon's socket for events. */
  readonly events: string;
}

/** The command line, as containerd has it: shims before 2.3 read these options, later ones their standard input. */
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

/** The shim's whole environment, which its runtime inherits: nothing of the daemon's. */
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

/** The standard input of `start`. Without `socketDir` the shim chooses its own. */
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
 * Parses the output of `start`: a protobuf message since containerd 2.3, JSON since 1.7, the bare address before.
 * Throws `outside` for anything else, `unsupported` for an unknown protocol or version.
 */
export function parseBootstrap(output: Uint8Array): ShimAddress {
  const text = Buffer.from(output).toString('utf8').trim();
  if (text === '' || output.length > shimLimits.startOutputBytes)
    fail('outside', `invalid address: ${output.length} bytes of output`);
  const { version, address, protocol } = /^(?:unix:|\/|@)/u.test(text)
    ? { version: 2, address: text, protocol: 'ttrpc' }
    : text.startsWith('{')
      ? parseJson(text)
      : decodeMessage(BootstrapResultSchema, output);
  if (protocol !== 'ttrpc' && protocol !== '')
    fail('unsupported', `protocol ${printable(protocol)} is not supported, only ttrpc`);
  if (version !== 2 && version !== 3)
    fail('unsupported', `version ${version} of the Task service is not supported, only 2 and 3`);
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
    return fail('outside', 'invalid address: not JSON');
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

/** The path in `unix:///run/x`, `/run/x`, or `@name` of an abstract socket. */
function socketPath(address: string): string {
  const path = address.startsWith('unix://') ? address.slice('unix://'.length) : address;
  if (path.length > shimLimits.socketPathChars || path.includes('\0') || !/^[/@]/u.test(path)) {
    fail(
      'unsupported',
      `address ${JSON.stringify(address.slice(0, shimLimits.socketPathChars))} is not a Unix socket`,
    );
  }
  return path.startsWith('@') ? `\0${path.slice(1)}` : path;
}
