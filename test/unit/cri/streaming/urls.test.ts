/** The three RPCs that give a URL of a stream. */
import { describe, expect, it } from 'vitest';
import { RuntimeService } from '../../../../src/gen/runtime/v1/api_pb.ts';
import type { StreamRequest } from '../../../../src/cri/streaming/stream-request.ts';
import { containerId, containerSpec, containerView, hex, sandboxId, sandboxView, stage } from '../stage.ts';

const { method } = RuntimeService;

describe('Exec, Attach, PortForward', () => {
  const asked: StreamRequest[] = [];
  const urls = {
    urlFor: (wanted: StreamRequest) =>
      Promise.resolve(`http://127.0.0.1:1/${wanted.kind}/${asked.push(wanted)}`),
  };
  const world = (): ReturnType<typeof stage> => {
    asked.length = 0;
    const made = stage({}, { urls });
    made.put(
      sandboxView(sandboxId('a')),
      sandboxView(sandboxId('b'), { ready: false, path: 'notReady' }),
      containerView(containerId('1')),
      containerView(containerId('2'), { criState: 'exited', path: 'exited' }),
      containerView(containerId('3'), { criState: 'created', path: 'created' }),
      containerView(containerId('4'), { spec: { ...containerSpec, tty: true } }),
      containerView(containerId('5'), { listed: false, claimed: false }),
    );
    return made;
  };
  const streams = { stdin: true, stdout: true, stderr: true, tty: false };

  it('give a URL for the request', async () => {
    const { send } = world();
    await send(method.exec, { containerId: hex('1'), cmd: ['ls', '-l'], ...streams });
    await send(method.attach, { containerId: hex('4'), ...streams, stderr: false, tty: true });
    await send(method.portForward, { podSandboxId: hex('a'), port: [80, 443] });
    expect(asked).toEqual([
      { kind: 'exec', id: hex('1'), argv: ['ls', '-l'], ...streams },
      { kind: 'attach', id: hex('4'), ...streams, stderr: false, tty: true },
      { kind: 'portforward', id: hex('a'), ports: [80, 443] },
    ]);
  });

  it.each([
    ['an empty id', method.exec, { containerId: '', cmd: ['ls'], ...streams }],
    ['a terminal with stderr', method.exec, { containerId: hex('1'), cmd: ['ls'], ...streams, tty: true }],
    ['no stream', method.exec, { containerId: hex('1'), cmd: ['ls'] }],
    ['no command', method.exec, { containerId: hex('1'), ...streams }],
    ['an empty command', method.exec, { containerId: hex('1'), cmd: [''], ...streams }],
    ['an empty id', method.attach, { ...streams }],
    ['a terminal with stderr', method.attach, { containerId: hex('4'), ...streams, tty: true }],
    ['no stream', method.attach, { containerId: hex('1') }],
    [
      'a terminal that is not there',
      method.attach,
      { containerId: hex('1'), ...streams, stderr: false, tty: true },
    ],
    ['no terminal where there is one', method.attach, { containerId: hex('4'), ...streams }],
    ['an empty id', method.portForward, {}],
    ['port 0', method.portForward, { podSandboxId: hex('a'), port: [0] }],
    ['port 65536', method.portForward, { podSandboxId: hex('a'), port: [65_536] }],
  ])('InvalidArgument: %s of %#', async (_name, rpc, wrong) => {
    expect(await world().fails(rpc, wrong)).toMatchObject({ code: 'invalidArgument' });
    expect(asked).toEqual([]);
  });

  it.each([
    ['notFound', method.exec, { containerId: hex('9'), cmd: ['ls'], ...streams }],
    ['notFound', method.exec, { containerId: hex('5'), cmd: ['ls'], ...streams }],
    ['failedPrecondition', method.exec, { containerId: hex('2'), cmd: ['ls'], ...streams }],
    ['failedPrecondition', method.exec, { containerId: hex('3'), cmd: ['ls'], ...streams }],
    ['notFound', method.attach, { containerId: hex('9'), ...streams }],
    ['failedPrecondition', method.attach, { containerId: hex('2'), ...streams }],
    ['notFound', method.portForward, { podSandboxId: hex('9') }],
    ['failedPrecondition', method.portForward, { podSandboxId: hex('b') }],
  ])('%s: %#', async (code, rpc, wrong) => {
    expect(await world().fails(rpc, wrong)).toMatchObject({ code });
    expect(asked).toEqual([]);
  });
});
