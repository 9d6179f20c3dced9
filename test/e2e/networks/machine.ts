// A network namespace that plays the machine: the daemon, its plugins and the networks' own daemons live in it, so that
// nothing of a network reaches the real machine, and everything that is left behind can be listed.
import type { ChildProcess } from 'node:child_process';
import { readdir, readlink, readFile } from 'node:fs/promises';
import { type Ended, run, runOrThrow } from '../../support/run.ts';
import { endServer, spawnLogged } from '../support/servers.ts';

let made = 0;

export interface Machine {
  /** Path of the namespace. */
  readonly netns: string;
  /** What a program's command line begins with to run in there. */
  readonly prefix: readonly [string, ...string[]];
  /** Runs a program in there to its end, and answers its output; throws when it ends with another code than 0. */
  readonly exec: (...argv: readonly string[]) => Promise<string>;
  readonly tryExec: (...argv: readonly string[]) => Promise<Ended>;
  /** Starts a program in there that serves until the machine is closed. */
  readonly serve: (argv: readonly string[], log: string) => ChildProcess;
  /** Every link, address, route, rule, packet filter rule, queue and process in there, as lines that compare. */
  readonly snapshot: () => Promise<string[]>;
  /** Another namespace with a link to this one: the machine's end of it and the other's. */
  readonly neighbour: (ownEnd: string, otherEnd: string) => Promise<Machine>;
  readonly close: () => Promise<void>;
}

export async function makeMachine(): Promise<Machine> {
  made += 1;
  const name = `trnet${process.pid}x${made}`;
  await runOrThrow(['ip', 'netns', 'add', name]);
  const machine = machineIn(name);
  await machine.exec('ip', 'link', 'set', 'lo', 'up');
  return machine;
}

function machineIn(name: string): Machine {
  const netns = `/run/netns/${name}`;
  const prefix = ['nsenter', `--net=${netns}`, '--'] as const;
  const servers: ChildProcess[] = [];
  const neighbours: Machine[] = [];
  const exec = async (...argv: readonly string[]): Promise<string> => await runOrThrow([...prefix, ...argv]);
  return {
    netns,
    prefix: [...prefix],
    exec,
    tryExec: async (...argv) => await run([...prefix, ...argv]),
    serve: (argv, log) => {
      const [program, ...args] = prefix;
      const child = spawnLogged(program, [...args, ...argv], log);
      servers.push(child);
      return child;
    },
    snapshot: async () => await snapshotOf(netns, async (...argv) => await run([...prefix, ...argv])),
    neighbour: async (ownEnd, otherEnd) => {
      const other = await makeMachine();
      neighbours.push(other);
      await exec('ip', 'link', 'add', ownEnd, 'type', 'veth', 'peer', 'name', otherEnd, 'netns', other.netns);
      await exec('ip', 'link', 'set', ownEnd, 'up');
      await other.exec('ip', 'link', 'set', otherEnd, 'up');
      return other;
    },
    close: async () => {
      for (const child of servers.toReversed()) await endServer(child);
      for (const other of neighbours) await other.close();
      for (const pid of await processesIn(netns)) killOne(pid);
      await runOrThrow(['ip', 'netns', 'delete', name]);
    },
  };
}

function killOne(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // it has ended in the meantime
  }
}

/** Pids of the processes whose network namespace it is. */
async function processesIn(netns: string): Promise<number[]> {
  const { stdout } = await run(['stat', '-L', '-c', 'net:[%i]', netns]);
  const found: number[] = [];
  for (const pid of await readdir('/proc')) {
    if (!/^\d+$/u.test(pid)) continue;
    const link = await readlink(`/proc/${pid}/ns/net`).catch(() => '');
    if (link === stdout.trim()) found.push(Number(pid));
  }
  return found;
}

type TryRun = (...argv: readonly string[]) => Promise<Ended>;

/** Commands whose lines describe the namespace, and what of a line changes by itself: numbers, counters, times. */
const LISTS: readonly (readonly [kind: string, argv: readonly string[], volatile: RegExp])[] = [
  ['address', ['ip', '-o', 'addr'], /^\d+: | +\\ +valid_lft.*$|@\S+/gu],
  ['route', ['ip', '-4', 'route', 'show', 'table', 'all'], / (?:linkdown|expires \S+)/gu],
  ['route6', ['ip', '-6', 'route', 'show', 'table', 'all'], / (?:linkdown|expires \S+)/gu],
  ['rule', ['ip', '-4', 'rule'], /$^/u],
  ['rule6', ['ip', '-6', 'rule'], /$^/u],
  ['queue', ['tc', 'qdisc', 'show'], /$^/u],
  ['iptables', ['iptables-save'], /^#.*$| \[\d+:\d+\]$/gu],
  ['ip6tables', ['ip6tables-save'], /^#.*$| \[\d+:\d+\]$/gu],
  ['nftables', ['nft', 'list', 'ruleset', 'inet'], / counter packets \d+ bytes \d+/gu],
];

/** Link-local addresses and multicast routes of IPv6 come and go with the kernel's own timers. */
const BY_ITSELF = /\bfe80::|\bff00::/u;

async function snapshotOf(netns: string, tryRun: TryRun): Promise<string[]> {
  const lines: string[] = [];
  for (const [kind, argv, volatile] of LISTS) {
    const { stdout } = await tryRun(...argv);
    for (const line of stdout.split('\n')) {
      const text = line.replaceAll(new RegExp(volatile, 'gu'), '').replaceAll(/\s+/gu, ' ').trim();
      if (text !== '' && !BY_ITSELF.test(text)) lines.push(`${kind}: ${text}`);
    }
  }
  const links = JSON.parse((await tryRun('ip', '-j', 'link')).stdout) as { ifname: string }[];
  for (const { ifname } of links) lines.push(`link: ${ifname}`);
  for (const pid of await processesIn(netns)) {
    const name = (await readFile(`/proc/${pid}/comm`, 'utf8').catch(() => '')).trim();
    if (name !== '') lines.push(`process: ${name}`);
  }
  return lines;
}

/** Lines that are more (`+`) or less (`-`) than before. */
export function changes(before: readonly string[], after: readonly string[]): string[] {
  const left = new Map<string, number>();
  for (const line of before) left.set(line, (left.get(line) ?? 0) + 1);
  const found: string[] = [];
  for (const line of after) {
    const count = left.get(line) ?? 0;
    if (count > 0) left.set(line, count - 1);
    else found.push(`+ ${line}`);
  }
  for (const [line, count] of left) for (let at = 0; at < count; at += 1) found.push(`- ${line}`);
  return found.toSorted();
}
