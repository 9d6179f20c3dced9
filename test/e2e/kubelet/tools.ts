// What people ask the kubelet for with kubectl: logs, exec, attach, port-forward, top. On the pods that stay.
import { staticName } from './kubelet.ts';
import type { Outcome } from './outcome.ts';
import type { Scenario } from './scenarios.ts';
import { same, Skipped } from '../support/parts.ts';
import { holds, type Stage } from './stage.ts';

const passed = (note?: string): Outcome => ({ ...(note === undefined ? {} : { note }), remains: [] });

/** gRPC code 12: the runtime has no such call (yet). */
const isUnimplemented = (error: unknown): error is { readonly details: string } =>
  typeof error === 'object' && error !== null && 'code' in error && error.code === 12;

async function orSkip(call: Promise<unknown>): Promise<void> {
  try {
    await call;
  } catch (error) {
    if (isUnimplemented(error)) throw new Skipped(error.details);
    throw error;
  }
}

async function idOf(stage: Stage, name: string): Promise<string> {
  return (await stage.criContainers(name))[0]?.id ?? '';
}

interface Session {
  /** Bytes by channel, as they come. */
  readonly channels: ReadonlyMap<number, Buffer>;
  readonly send: (channel: number, bytes: Uint8Array) => void;
  readonly closed: Promise<void>;
  readonly close: () => void;
}

/** A WebSocket of Kubernetes' remote command or port-forward protocol: each message begins with its channel. */
async function openSession(stage: Stage, path: string, protocol: string): Promise<Session> {
  const socket = new WebSocket(`${stage.kubelet.address.replace('https', 'wss')}${path}`, [protocol]);
  socket.binaryType = 'arraybuffer';
  const channels = new Map<number, Buffer>();
  socket.addEventListener('message', ({ data }: { readonly data: unknown }) => {
    const bytes = data instanceof ArrayBuffer ? Buffer.from(data) : Buffer.from(String(data));
    const channel = bytes[0] ?? -1;
    channels.set(channel, Buffer.concat([channels.get(channel) ?? Buffer.alloc(0), bytes.subarray(1)]));
  });
  const closed = new Promise<void>((resolve) => {
    socket.addEventListener('close', () => resolve(), { once: true });
  });
  await new Promise<void>((resolve, reject) => {
    socket.addEventListener('open', () => resolve(), { once: true });
    socket.addEventListener('error', () => reject(new Error(`no WebSocket of ${protocol} on ${path}`)), {
      once: true,
    });
  });
  return {
    channels,
    closed,
    send: (channel, bytes) => socket.send(Buffer.concat([Buffer.of(channel), bytes])),
    close: () => socket.close(),
  };
}

const STDOUT = 1;
const STATUS = 3;

async function execStream(stage: Stage): Promise<Outcome> {
  await orSkip(
    stage.world.client.runtime.exec({ containerId: await idOf(stage, 'web'), cmd: ['true'], stdout: true }),
  );
  const words = ['cat', '/tmp/www/page'].map((word) => `command=${encodeURIComponent(word)}`).join('&');
  const session = await openSession(
    stage,
    `/exec/default/${staticName('web')}/main?${words}&output=1`,
    'v4.channel.k8s.io',
  );
  await session.closed;
  same('stdout', session.channels.get(STDOUT)?.toString(), 'page\n');
  holds('status', session.channels.get(STATUS)?.toString() ?? '', '"Success"');
  return passed();
}

async function attach(stage: Stage): Promise<Outcome> {
  await orSkip(
    stage.world.client.runtime.attach({ containerId: await idOf(stage, 'counter'), stdout: true }),
  );
  const session = await openSession(
    stage,
    `/attach/default/${staticName('counter')}/main?output=1`,
    'v4.channel.k8s.io',
  );
  await stage.until('a line of the counter', async () =>
    /\d+ 0{200}\n/.test(session.channels.get(STDOUT)?.toString() ?? ''),
  );
  session.close();
  await session.closed;
  return passed();
}

async function portForward(stage: Stage): Promise<Outcome> {
  const [sandbox] = await stage.criSandboxes('web');
  await orSkip(stage.world.client.runtime.portForward({ podSandboxId: sandbox?.id ?? '', port: [8080] }));
  const session = await openSession(
    stage,
    `/portForward/default/${staticName('web')}?port=8080`,
    'v4.channel.k8s.io',
  );
  session.send(0, Buffer.from('GET /page HTTP/1.0\r\n\r\n'));
  // The first two bytes of each channel are the port.
  await stage.until('the page', async () =>
    session.channels.get(0)?.subarray(2).toString().endsWith('page\n'),
  );
  session.close();
  await session.closed;
  return passed();
}

async function runCommand(stage: Stage): Promise<Outcome> {
  same('stdout', await stage.exec('web', ['cat', '/tmp/www/page']), 'page\n');
  const failed = await stage.exec('web', ['false']).then(
    () => 'success',
    (error: unknown) => String(error),
  );
  holds('answer of false', failed, 'exit');
  return passed();
}

async function logs(stage: Stage): Promise<Outcome> {
  const tail = await stage.until(
    'three lines',
    async () =>
      await stage
        .log('counter', 'main', '?tailLines=3')
        .then((text) => (text.split('\n').length === 4 ? text : undefined)),
  );
  const numbers = tail
    .trim()
    .split('\n')
    .map((line) => Number(line.split(' ')[0]));
  same('distance of the lines', (numbers[2] ?? 0) - (numbers[0] ?? 0), 2);
  same('bytes', (await stage.log('counter', 'main', '?limitBytes=10')).length, 10);
  holds('with times', await stage.log('counter', 'main', '?tailLines=1&timestamps=true'), 'T');
  return passed();
}

async function summary(stage: Stage): Promise<Outcome> {
  await orSkip(stage.world.client.runtime.listPodSandboxStats({}));
  const found = await stage.until('figures of all pods that stay', async () => {
    const { pods } = await stage.kubelet.summary();
    const pod = pods.find(({ podRef }) => podRef.name === staticName('counter'));
    const container = pod?.containers?.find(({ name }) => name === 'main');
    const missing = Object.entries({
      'container cpu': container?.cpu?.usageCoreNanoSeconds,
      'container cpu rate': container?.cpu?.usageNanoCores,
      'container working set': container?.memory?.workingSetBytes,
      'container rootfs': container?.rootfs?.usedBytes,
      'pod cpu': pod?.cpu?.usageCoreNanoSeconds,
      'pod working set': pod?.memory?.workingSetBytes,
      'pod network': pod?.network?.rxBytes,
      'pod processes': pod?.process_stats?.process_count,
    })
      .filter(([what, value]) => value === undefined || (value === 0 && what !== 'container rootfs'))
      .map(([what]) => what);
    if (missing.length > 0)
      throw new Error(
        `the summary of counter lacks ${missing.join(', ')}: ${JSON.stringify(pod).slice(0, 1500)}`,
      );
    return container;
  });
  return passed(`counter: ${Math.round((found?.memory?.workingSetBytes ?? 0) / 1024)} KiB`);
}

/** The pod's network as the host sees it: what a CNI plugin gave works both ways. */
async function fromHost(stage: Stage): Promise<Outcome> {
  const address = (await stage.pod('web'))?.status.podIP ?? '';
  const answer = await (await fetch(`http://${address}:8080/page`)).text();
  same('page from the host', answer, 'page\n');
  same(
    'page from another pod',
    await stage.exec('pair', ['wget', '-q', '-O', '-', `http://${address}:8080/page`]),
    'page\n',
  );
  return passed();
}

async function inPlace(): Promise<Outcome> {
  throw new Skipped('the kubelet resizes no static pod; UpdateContainerResources has tests of its own');
}

export const tools: readonly Scenario[] = [
  { title: 'exec without a stream (run)', play: runCommand },
  { title: 'exec', play: execStream },
  { title: 'attach', play: attach },
  { title: 'port-forward', play: portForward },
  { title: 'logs: tail, bytes, times', play: logs },
  { title: 'statistics in the summary', play: summary },
  { title: 'pod network from host and pod', play: fromHost },
  { title: 'in-place update', play: inPlace },
];
