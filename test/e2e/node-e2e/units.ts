// `sudo`, `systemd-run` and `systemctl` of this run, as far as the suite uses them: it starts its kubelet as a
// transient unit, and the specs that change the kubelet's configuration restart that unit. This machine may have no
// systemd. First on the suite's PATH only. Called as `units.ts DIRECTORY PROGRAM ARGS…` by the scripts that
// `writeUnitTools` makes.
import { spawn, spawnSync } from 'node:child_process';
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  writeFileSync,
} from 'node:fs';
import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { hierarchies } from '../kubelet/kubelet.ts';

const STOP_TIMEOUT_MS = 30_000;
const LOOK_AGAIN_MS = 50;
/** The suite appends to a unit's log from this version of systemd on. */
const VERSION = 'systemd 252 (a stand-in)';

interface Unit {
  readonly name: string;
  readonly argv: readonly [string, ...string[]];
  readonly log: string;
  readonly cwd: string;
  pid: number;
}

/** Makes the three programs in a directory for PATH; their units are files beside them. */
export async function writeUnitTools(directory: string): Promise<string> {
  const bin = join(directory, 'bin');
  await mkdir(join(directory, 'units'), { recursive: true });
  await mkdir(bin, { recursive: true });
  for (const name of ['sudo', 'systemd-run', 'systemctl']) {
    const script = `#!/bin/sh\nexec "${process.execPath}" "${import.meta.filename}" "${directory}" ${name} "$@"\n`;
    await writeFile(join(bin, name), script);
    await chmod(join(bin, name), 0o755);
  }
  return bin;
}

/** Neither gone nor a zombie that the machine's first process has not reaped yet. */
function isAlive(pid: number): boolean {
  try {
    return !/^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}

/** Where the suite makes its kubelet listen, and reads its statistics. */
const SLICE = 'kubelet.slice';

/** Where the hierarchy has one that processes can be put into. */
function joinCgroup(path: string, pid: number): void {
  try {
    mkdirSync(path, { recursive: true });
    for (const name of ['cpuset.cpus', 'cpuset.mems'])
      if (existsSync(join(path, name)))
        writeFileSync(join(path, name), readFileSync(join(dirname(path), name)));
    writeFileSync(join(path, 'cgroup.procs'), String(pid));
  } catch (error) {
    console.error(`${path}: ${String(error)}`);
  }
}

class Units {
  readonly #directory: string;

  constructor(directory: string) {
    this.#directory = directory;
  }

  #file(name: string): string {
    return join(this.#directory, 'units', name);
  }

  all(): Unit[] {
    const directory = join(this.#directory, 'units');
    if (!existsSync(directory)) return [];
    return readdirSync(directory).map((name) => JSON.parse(readFileSync(this.#file(name), 'utf8')) as Unit);
  }

  /** By its name, with or without `.service`. */
  find(name: string): Unit {
    const found = this.all().find((unit) => unit.name === name || unit.name === `${name}.service`);
    if (found === undefined) throw new Error(`Unit ${name} not found.`);
    return found;
  }

  async start(unit: Unit): Promise<void> {
    const [program, ...args] = unit.argv;
    const output = openSync(unit.log, 'a');
    // The unit gets the machine's PATH: it is not to find these stand-ins.
    const path = (process.env['PATH'] ?? '')
      .split(':')
      .filter((one) => one !== join(this.#directory, 'bin'))
      .join(':');
    const child = spawn(program, args, {
      cwd: unit.cwd,
      detached: true,
      stdio: ['ignore', output, output],
      env: { ...process.env, PATH: path },
    });
    closeSync(output);
    child.unref();
    if (child.pid === undefined) throw new Error(`${program} could not be started`);
    unit.pid = child.pid;
    // The kubelet would make this cgroup and go into it, but only where it may read the namespaces of the machine's
    // first process.
    if (unit.name.startsWith('kubelet-'))
      for (const hierarchy of await hierarchies()) joinCgroup(join(hierarchy, SLICE), child.pid);
    writeFileSync(this.#file(unit.name), JSON.stringify(unit));
  }

  kill(unit: Unit, signal: NodeJS.Signals): void {
    if (isAlive(unit.pid)) process.kill(unit.pid, signal);
  }

  async stop(unit: Unit): Promise<void> {
    for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
      this.kill(unit, signal);
      const deadline = performance.now() + STOP_TIMEOUT_MS;
      while (isAlive(unit.pid) && performance.now() < deadline) await delay(LOOK_AGAIN_MS);
    }
  }
}

async function systemdRun(units: Units, args: readonly string[]): Promise<void> {
  if (args.includes('--version')) {
    console.log(VERSION);
    return;
  }
  const options = new Map<string, string>();
  let index = 0;
  for (; args[index]?.startsWith('-') === true; index += 1) {
    const word = args[index] === '-p' ? (args[(index += 1)] ?? '') : (args[index] ?? '');
    const [, name = '', value = ''] = /^(?:--)?([^=]+)=?(.*)$/.exec(word) ?? [];
    options.set(name, value);
  }
  const [program, ...rest] = args.slice(index);
  const name = options.get('unit');
  if (name === undefined || program === undefined)
    throw new Error(`not a transient unit of the suite: ${args.join(' ')}`);
  const log = (options.get('StandardError') ?? '').replace(/^(?:file|append):/, '') || '/dev/null';
  // systemd undoes the escapes that the suite makes for it
  const words = rest.map((word) => word.replaceAll('%%', '%').replaceAll('$$', '$'));
  await units.start({ name, argv: [program, ...words], log, cwd: '/', pid: 0 });
}

async function systemctl(units: Units, args: readonly string[]): Promise<void> {
  const [verb, ...rest] = args;
  const name = rest.find((word) => !word.startsWith('-')) ?? '';
  if (verb === 'reset-failed') return;
  if (verb === 'list-units') {
    for (const unit of units.all()) {
      const running = isAlive(unit.pid);
      if (running || !rest.includes('--state=running'))
        console.log(`  ${unit.name} loaded active ${running ? 'running' : 'exited'} ${unit.argv[0]}`);
    }
    return;
  }
  const unit = units.find(name);
  if (verb === 'kill') units.kill(unit, 'SIGTERM');
  else if (verb === 'stop') await units.stop(unit);
  else if (verb === 'start') await units.start(unit);
  else if (verb === 'restart') {
    await units.stop(unit);
    await units.start(unit);
  } else throw new Error(`systemctl ${args.join(' ')}: the stand-in has no such verb`);
}

async function main(): Promise<void> {
  const [directory = '', program = '', ...args] = process.argv.slice(2);
  if (program === 'sudo') {
    const [command = 'true', ...rest] = args;
    process.exitCode = spawnSync(command, rest, { stdio: 'inherit' }).status ?? 1;
    return;
  }
  const units = new Units(directory);
  if (program === 'systemd-run') await systemdRun(units, args);
  else await systemctl(units, args);
}

/** Ends whatever unit of the directory still runs. */
export async function stopUnits(directory: string): Promise<void> {
  const units = new Units(directory);
  for (const unit of units.all()) await units.stop(unit);
}

if (import.meta.main) {
  try {
    await main();
  } catch (error) {
    console.error(error instanceof Error ? error.message : String(error));
    process.exitCode = 1;
  }
}
