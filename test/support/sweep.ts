// Takes away what an instance of troupe left on the machine, found by words that only this instance uses. A test
// asserts first that there is nothing; this is so that one failed test doesn't spoil the next.
import { readdir, readFile, rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import { run } from './run.ts';

const read = async (path: string): Promise<string> => await readFile(path, 'utf8').catch(() => '');
const holdsAny = (text: string, words: readonly string[]): boolean =>
  words.some((word) => text.includes(word));

/** Rounds of killing: a process may fork while we check the others. */
const KILL_ROUNDS = 20;

/**
 * Programs of ours that may be outside the instance's cgroups. Others, say a pager on its log, are nobody's leftovers.
 */
const OWN_PROGRAMS = [
  'node',
  'conmon',
  'runc',
  'crun',
  'bridge',
  'portmap',
  'host-local',
  'loopback',
] as const;

/**
 * Whether a process is the instance's: in one of its cgroups, or a program of ours with one of the words as an
 * argument.
 */
async function isOurs(pid: string, words: readonly string[]): Promise<boolean> {
  if (holdsAny(await read(`/proc/${pid}/cgroup`), words)) return true;
  const name = (await read(`/proc/${pid}/comm`)).trim();
  return (
    OWN_PROGRAMS.some((own) => name.startsWith(own)) && holdsAny(await read(`/proc/${pid}/cmdline`), words)
  );
}

/** Kills the instance's processes, never ourselves or our ancestors. */
async function sweepProcesses(words: readonly string[]): Promise<void> {
  const spared = new Set<string>();
  for (let pid = String(process.pid); pid !== '0' && pid !== '';) {
    spared.add(pid);
    pid = /^PPid:\s+(\d+)/m.exec(await read(`/proc/${pid}/status`))?.[1] ?? '';
  }
  for (let round = 0; round < KILL_ROUNDS; round += 1) {
    let killed = 0;
    for (const pid of await readdir('/proc')) {
      if (!/^\d+$/.test(pid) || spared.has(pid)) continue;
      const isZombie = /^State:\s+Z/m.test(await read(`/proc/${pid}/status`));
      if (isZombie || !(await isOurs(pid, words))) continue;
      try {
        process.kill(Number(pid), 'SIGKILL');
        killed += 1;
      } catch {
        // It ended by itself.
      }
    }
    if (killed === 0) return;
  }
}

/** Mount points are octal-escaped in mountinfo (proc(5)). */
const unescaped = (path: string): string =>
  path.replace(/\\(\d{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));

async function sweepMounts(words: readonly string[]): Promise<void> {
  const points = (await read('/proc/self/mountinfo')).split('\n').map((line) => line.split(' ')[4] ?? '');
  for (const point of points.filter((path) => holdsAny(path, words)).reverse())
    await run(['umount', '--lazy', unescaped(point)]);
}

async function sweepCgroups(words: readonly string[], path = '/sys/fs/cgroup', depth = 0): Promise<void> {
  for (const entry of await readdir(path, { withFileTypes: true }).catch(() => [])) {
    if (!entry.isDirectory()) continue;
    const child = join(path, entry.name);
    await sweepCgroups(words, child, depth + 1);
    // Deepest first; one that still has a process stays and shows in the differences.
    if (holdsAny(child, words)) await rmdir(child).catch(() => undefined);
  }
}

/** The words of a rule as iptables-save writes it: a quoted comment is one, with its own quotes escaped. */
const ruleWords = (rule: string): string[] =>
  (rule.match(/"(?:\\.|[^"\\])*"|\S+/g) ?? []).map((word) =>
    word.startsWith('"') ? word.slice(1, -1).replace(/\\(.)/g, '$1') : word,
  );

/** Tables of nftables whose name holds a word: the masquerade rules of an instance's own network. */
async function sweepTables(words: readonly string[]): Promise<void> {
  const { stdout } = await run(['nft', 'list', 'tables']).catch(() => ({ stdout: '' }));
  for (const line of stdout.split('\n').filter((one) => holdsAny(one, words)))
    await run(['nft', 'delete', ...line.split(' ')]);
}

/** Rules that hold a word, and the chains of CNI plugins and of ours that such rules jump to. */
async function sweepPacketRules(words: readonly string[]): Promise<void> {
  for (const tool of ['iptables', 'ip6tables']) {
    for (const table of ['nat', 'filter']) {
      const { stdout } = await run([`${tool}-save`, '-t', table]).catch(() => ({ stdout: '' }));
      const rules = stdout
        .split('\n')
        .filter((line) => line.startsWith('-A ') && holdsAny(line, words))
        .map(ruleWords);
      for (const [, ...rule] of rules) await run([tool, '-w', '-t', table, '-D', ...rule]);
      const chains = new Set(
        rules
          .map((rule) => rule[rule.indexOf('-j') + 1] ?? '')
          .filter((chain) => /^(?:CNI-([0-9a-f]{24}|DN-|SN-)|TROUPE-MASQ-)/.test(chain)),
      );
      for (const chain of chains) {
        await run([tool, '-w', '-t', table, '-F', chain]);
        await run([tool, '-w', '-t', table, '-X', chain]);
      }
    }
  }
}

/**
 * Kills, unmounts and deletes whatever holds one of the words.
 * @param words long and particular: a temporary directory, a cgroup's name, a bridge's name
 */
export async function sweepMachine(words: readonly string[]): Promise<void> {
  const tooShort = words.find((word) => word.length < 6);
  if (tooShort !== undefined)
    throw new Error(`sweep of "${tooShort}": too short to belong to one instance only`);
  await sweepProcesses(words);
  await sweepMounts(words);
  for (const link of (await readdir('/sys/class/net')).filter((name) => holdsAny(name, words)))
    await run(['ip', 'link', 'delete', link]);
  await sweepPacketRules(words);
  await sweepTables(words);
  await sweepCgroups(words);
}
