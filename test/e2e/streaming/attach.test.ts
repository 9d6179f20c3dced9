/** `crictl attach`: several clients, stdin and stdin_once, terminals, slow readers, and nothing left (S27, F75). */
import { readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { connectSpdy, openCommand } from '../../integration/streaming/clients.ts';
import type { SpdyClient } from '../../integration/streaming/clients.ts';
import { Crictl, containerJson, describePods, untilHolds } from '../support/crictl.ts';
import type { Json } from '../support/crictl.ts';
import { openForOthers } from '../support/descriptors.ts';
import { makeWorld } from '../support/world.ts';
import type { World } from '../support/world.ts';
import { crictlStarted, inTerminal } from './support.ts';
import { injects } from '../../support/faults/injects.ts';
import { until } from '../../support/eventually.ts';

const ROUNDS = 500;
/** One in four ends its input, and stays a second for the answer. */
const AT_ONCE = 50;
/** KiB that a container writes at once, and how often, while one of its clients does not read. */
const FLOOD_KIB = 256;
const FLOODS = 128;

const killed = injects('F11', 'SIGKILL of the daemon while an attach stream is open');
const slowReader = injects('F75', 'a client of attach that stops to read');

describePods('crictl attach', () => {
  let world: World;
  let crictl: Crictl;
  let image: string;
  let pod: Awaited<ReturnType<Crictl['runPod']>>;

  beforeAll(async () => {
    world = await makeWorld({ name: 'stra' });
    crictl = new Crictl(world);
    image = await world.pull();
    pod = await crictl.runPod('attach');
  });
  afterAll(async () => {
    await world.instance.crictl(['rmp', '-f', '-a']);
    const left = await world.leftovers();
    await world.close();
    expect(left).toEqual([]);
  });

  const container = (name: string, script: string, more: Json = {}): Promise<string> =>
    crictl.runContainer(pod, containerJson(name, image, ['sh', '-c', script], more));
  const log = (name: string): string => join(pod.logs, `${name}.log`);

  interface Attached {
    readonly client: SpdyClient;
    readonly streams: Awaited<ReturnType<typeof openCommand<'stdin' | 'stdout' | 'stderr'>>>;
  }
  const attach = async (id: string): Promise<Attached> => {
    const { url } = await world.client.runtime.attach({
      containerId: id,
      stdin: true,
      stdout: true,
      stderr: true,
    });
    const { client } = await connectSpdy(url, 'v4.channel.k8s.io');
    return { client, streams: await openCommand(client, 'stdin', 'stdout', 'stderr') };
  };

  it('several clients see the same output and may type; one that leaves does not end the others', async () => {
    const id = await container(
      'several',
      'while read line; do echo "<$line>"; echo "err $line" >&2; done; sleep 3600',
      { stdin: true },
    );
    const [one, two] = [await attach(id), await attach(id)];
    // output counts from the moment a client is attached, and no message says when that is
    await until(() => {
      one.streams.stdin.write('first\n');
      return Promise.resolve(two.streams.stdout.size() > 0 && one.streams.stderr.size() > 0);
    });
    one.client.socket.destroy();
    two.streams.stdin.write('second\n');
    await untilHolds(log('several'), '<second>');
    // without stdin_once the end of a client's input is the end of its stay, not of the container's input
    two.streams.stdin.end();
    expect((await two.streams.stdout.all).toString()).toMatch(/^(<first>\n)+<second>\n$/u);
    expect(JSON.parse((await two.streams.error.all).toString())).toMatchObject({ status: 'Success' });
    two.client.close();
    const three = await attach(id);
    three.streams.stdin.write('third\n');
    // a client later: the first has left the container's input as it was
    await untilHolds(log('several'), '<third>');
    three.client.socket.destroy();
  });

  it.each([['spdy'], ['websocket']])(
    '%s: with stdin_once the first client’s end of stdin is the container’s, also after clients without stdin; the exit ends all',
    async (transport) => {
      const id = await container(`once-${transport}`, 'cat; echo over', { stdin: true, stdin_once: true });
      const { url } = await world.client.runtime.attach({ containerId: id, stdout: true });
      const looker = await connectSpdy(url, 'v4.channel.k8s.io');
      await openCommand(looker.client, 'stdout');
      looker.client.socket.destroy();
      const started = await crictlStarted(world, ['attach', '-i', '--transport', transport, id]);
      started.child.stdin?.end('all of it\n');
      const ended = await started.ended;
      expect(ended.stdout.toString()).toBe('all of it\nover\n');
      expect(ended.code).toBe(0);
      await until(async () => (await crictl.container(id)).status.state === 'CONTAINER_EXITED');
    },
  );

  it.each([['spdy'], ['websocket']])('%s: a terminal has the client’s size', async (transport) => {
    // the size comes on a stream of its own: what is typed may be there before it
    const script =
      'until stty size 2>/dev/null | grep -q 111; do sleep 0.05; done; stty size; read line; echo "got <$line>"';
    const id = await container(`tty-${transport}`, script, { stdin: true, tty: true });
    const said = await inTerminal(world, ['attach', '-it', '--transport', transport, id], 'typed\n');
    expect(said).toContain('33 111');
    expect(said).toContain('got <typed>');
  });

  it('a client that does not read is dropped; the container, its log and the other clients go on (F75)', async () => {
    const script = `while read line; do case $line in go) dd if=/dev/zero bs=1k count=${FLOOD_KIB} 2>/dev/null | tr '\\0' x; echo;; *) echo $line;; esac; done; sleep 3600`;
    const id = await container('flood', script, { stdin: true });
    const [slow, other] = [await attach(id), await attach(id)];
    await until(() => {
      slow.streams.stdin.write('ask\n');
      return Promise.resolve(slow.streams.stdout.size() > 0 && other.streams.stdout.size() > 0);
    });
    slow.client.socket.pause();
    // a piece at a time, the next when it was read: only the client that does not read is too slow
    for (let round = 1; round <= FLOODS; round += 1) {
      other.streams.stdin.write('go\n');
      await until(() => Promise.resolve(other.streams.stdout.size() >= round * FLOOD_KIB * 1024));
    }
    // it gets the reason: on its error stream, behind what was on its way
    slow.client.socket.resume();
    expect((await slow.streams.error.all).toString()).toContain('too slowly');
    slowReader.happened();
    expect(slow.streams.stdout.size()).toBeLessThan(FLOODS * FLOOD_KIB * 1024);
    for (const { client } of [slow, other]) client.socket.destroy();
    expect((await crictl.container(id)).status.state).toBe('CONTAINER_RUNNING');
  });

  it('F11 after a SIGKILL the container goes on without the daemon, its log has no gap, and clients attach anew', async () => {
    const script = 'i=0; while :; do i=$((i+1)); echo "line $i"; sleep 0.01; done';
    const id = await container('killed', script, { stdin: true });
    const lines = async (): Promise<string[]> =>
      (await readFile(log('killed'), 'utf8')).split('\n').slice(0, -1);
    const more = async (): Promise<void> => {
      const before = (await lines()).length;
      await until(async () => (await lines()).length > before + 10);
    };
    const lost = await attach(id);
    await until(() => Promise.resolve(lost.streams.stdout.size() > 0));
    await world.instance.kill();
    killed.happened();
    await expect(lost.streams.stdout.all).rejects.toThrow('the connection has closed');
    await more();
    await world.instance.start();
    const next = await attach(id);
    await until(() => Promise.resolve(next.streams.stdout.size() > 0));
    await more();
    next.client.socket.destroy();
    await crictl.ok('stop', '-t', '0', id);
    const written = await lines();
    expect(written.map((line) => line.split(' F ')[1])).toEqual(written.map((_line, at) => `line ${at + 1}`));
  });

  it(`${ROUNDS} clients that come and go leave nothing (S27)`, async () => {
    const id = await container('quiet', 'sleep 3600', { stdin: true });
    const ways: readonly ((attached: Attached) => void)[] = [
      ({ client }) => client.socket.destroy(),
      ({ client }) => client.close(),
      ({ streams }) => streams.stdin.end(),
      ({ client, streams }) => {
        streams.stdout.reset();
        client.socket.destroy();
      },
    ];
    const one = async (way: number): Promise<void> => {
      const attached = await attach(id);
      (ways[way % ways.length] ?? ways[0])?.(attached);
      if (way % ways.length === 2) await attached.streams.error.all;
      attached.client.socket.destroy();
    };
    await Promise.all(Array.from({ length: AT_ONCE }, (_none, index) => one(index)));
    const files = (): Promise<number> => openForOthers(world.instance);
    const monitorPid = (
      await readFile(join(world.instance.state, 'containers', id, 'conmon.pid'), 'utf8')
    ).trim();
    const monitorFiles = async (): Promise<number> => (await readdir(`/proc/${monitorPid}/fd`)).length;
    const before = [await files(), await monitorFiles()];
    for (let round = 0; round < ROUNDS / AT_ONCE; round += 1) {
      // those that end their input stay a second for the answer to it
      await Promise.all(Array.from({ length: AT_ONCE }, (_none, index) => one(index)));
    }
    await until(
      async () => (await files()) <= (before[0] ?? 0) && (await monitorFiles()) <= (before[1] ?? 0),
    );
  });
});
