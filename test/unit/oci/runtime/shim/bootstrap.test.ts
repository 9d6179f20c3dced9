import { describe, expect, it } from 'vitest';
import { FaultError } from '../../../../../src/base/fault.ts';
import type { FaultKind } from '../../../../../src/base/fault.ts';
import { BootstrapParamsSchema, BootstrapResultSchema } from '../../../../../src/gen/shim/bootstrap_pb.ts';
import { decodeMessage, encodeMessage } from '../../../../../src/ttrpc/protocol.ts';
import {
  bootstrapParams,
  parseBootstrap,
  shimArgv,
  shimEnv,
} from '../../../../../src/oci/runtime/shim/bootstrap.ts';
import type { ShimAddress } from '../../../../../src/oci/runtime/shim/bootstrap.ts';

const id = 'a'.repeat(64);
const command = {
  program: '/opt/kata/shim',
  namespace: 'troupe-1',
  id,
  events: '/run/troupe/shims/events.sock',
};
const parsed = (text: string): ShimAddress => parseBootstrap(Buffer.from(text));
const kindOf = (work: () => unknown): FaultKind | 'none' => {
  try {
    work();
    return 'none';
  } catch (thrown) {
    return thrown instanceof FaultError ? thrown.fault.kind : 'bug';
  }
};

describe('the output of a shim at its start', () => {
  it('is an address, JSON, or a message', () => {
    expect(parsed('unix:///run/s/1\n')).toEqual({ path: '/run/s/1', api: 2 });
    expect(parsed('/run/s/1')).toEqual({ path: '/run/s/1', api: 2 });
    expect(parsed('unix://@/containerd-shim/1.sock')).toEqual({ path: '\0/containerd-shim/1.sock', api: 2 });
    expect(parsed('{"version":3,"address":"unix:///run/s/1","protocol":"ttrpc"}')).toEqual({
      path: '/run/s/1',
      api: 3,
    });
    expect(
      parseBootstrap(
        encodeMessage(BootstrapResultSchema, { version: 3, address: 'unix:///run/s/1', protocol: 'ttrpc' }),
      ),
    ).toEqual({ path: '/run/s/1', api: 3 });
  });

  it.each<[string, string, FaultKind]>([
    ['nothing', '', 'outside'],
    ['broken JSON', '{"version":', 'outside'],
    ['another protocol', '{"version":3,"address":"unix:///run/s/1","protocol":"grpc"}', 'unsupported'],
    ['another version', '{"version":9,"address":"unix:///run/s/1","protocol":"ttrpc"}', 'unsupported'],
    ['a virtual socket', '{"version":3,"address":"vsock://3:1024","protocol":"ttrpc"}', 'unsupported'],
    ['a path that no socket can have', `unix:///${'x'.repeat(120)}`, 'unsupported'],
    ['no message', 'panic: runtime error', 'outside'],
  ])('%s is refused', (_name, text, kind) => {
    expect(kindOf(() => parsed(text))).toBe(kind);
  });
});

describe('the call of a shim', () => {
  it('has arguments for old ones and a message for new ones, and nothing of our environment (S64)', () => {
    expect(shimArgv(command, 'start')).toEqual([
      '/opt/kata/shim',
      '-namespace',
      'troupe-1',
      '-id',
      id,
      '-address',
      command.events,
      'start',
    ]);
    expect(shimArgv(command, 'delete', '/b').slice(-3)).toEqual(['-bundle', '/b', 'delete']);
    expect(Object.keys(shimEnv(command, '/bin')).toSorted()).toEqual([
      'GOMAXPROCS',
      'GRPC_ADDRESS',
      'MAX_SHIM_VERSION',
      'NAMESPACE',
      'PATH',
      'TTRPC_ADDRESS',
    ]);
    const params = decodeMessage(
      BootstrapParamsSchema,
      bootstrapParams(command, '2.3.0', '/run/troupe/shims'),
    );
    expect(params).toMatchObject({
      instanceId: id,
      namespace: 'troupe-1',
      containerdTtrpcAddress: command.events,
      socketDir: '/run/troupe/shims',
    });
    expect(
      decodeMessage(BootstrapParamsSchema, bootstrapParams(command, '2.3.0', undefined)).socketDir,
    ).toBeUndefined();
  });
});
