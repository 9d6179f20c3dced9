// The life of the .rpm in a clean Debian: installed, used, upgraded by a take-over, taken back by one that is refused
// at first, erased beside a pod, and erased for good.
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { endsOf, fileIn, NEXT_VERSION, own } from './builds.ts';
import { CleanSystem } from './clean-system.ts';
import { CrictlThere } from './runtime.ts';

/** dpkg knows what it depends on, rpm does not. */
const RPM = ['rpm', '--force-debian', '--nodeps'];
const CONFIG = '/etc/troupe/troupe.toml';

interface Built {
  /** /packages of the system; has crictl and the image, too. */
  readonly work: string;
  /** Directories below it: of this version, and of NEXT_VERSION. */
  readonly first: string;
  readonly next: string;
}

/** A clean Debian with crictl, and a pod that goes through the tests. */
export class RpmNode {
  readonly system: CleanSystem;
  readonly ours: CrictlThere;
  pod = { pod: '', container: '', pid: 0 };
  readonly #built: Built;

  private constructor(system: CleanSystem, built: Built) {
    this.system = system;
    this.#built = built;
    this.ours = new CrictlThere(system, {
      crictl: '/packages/crictl',
      socket: '/run/troupe/troupe.sock',
      cgroup: `/${system.tag}`,
    });
  }

  static async make(built: Built): Promise<RpmNode> {
    return new RpmNode(await CleanSystem.make(built.work), built);
  }

  /** The .rpm as the system sees it. */
  async there(which: 'first' | 'next'): Promise<string> {
    const directory = this.#built[which];
    const name = await fileIn(directory, endsOf(own).rpm);
    return join('/packages', directory.slice(this.#built.work.length), name);
  }

  async configure(): Promise<void> {
    const text = `[cgroup]\nparent = "/${this.system.tag}"\n[network]\nfallback = "bridge"\n`;
    await this.system.write(CONFIG, text);
  }

  /** The container is the one that was started, and whoever serves says so. */
  async podGoesOn(): Promise<void> {
    expect(await this.ours.pidOf(this.pod.container)).toBe(this.pod.pid);
    expect(await this.ours.ok('exec', this.pod.container, 'echo', 'on')).toBe('on');
  }
}

/** From the installation to a daemon of NEXT_VERSION. */
export function rpmUpgrade(node: () => RpmNode): void {
  test('installed: rpm finds each file as packed, and the service is as the distribution presets it', async () => {
    await node().system.ok(...RPM, '--install', await node().there('first'));
    expect(await node().system.systemctlCalls()).toEqual(
      expect.arrayContaining(['preset troupe.service', 'try-restart troupe.service']),
    );
    expect(await node().system.ok(...RPM, '--verify', 'troupe')).toBe('');
    expect(await node().system.ok('troupe', 'version')).toMatch(/^troupe \d/u);
  });

  test('its daemon serves crictl: a pod on its own network, and exec', async () => {
    await node().configure();
    await node().system.serve('troupe', ['/usr/bin/troupe', 'serve'], node().ours.argv('pods'));
    await node().system.ok('troupe', 'import', 'docker-archive:/packages/image.tar');
    const made = await node().ours.start('own', 'pod');
    node().pod = { ...made, pid: await node().ours.pidOf(made.container) };
    await node().podGoesOn();
    expect(await node().system.ok('troupe', 'check')).not.toContain('leak');
  });

  test('an upgrade keeps the edited configuration, and its daemon takes over: the container is the same', async () => {
    const before = await node().system.daemon();
    const said = await node().system.ok(...RPM, '--upgrade', await node().there('next'));
    expect(said).not.toContain('not replaced');
    expect(await node().system.systemctlCalls()).toEqual(['daemon-reload']);
    expect(await node().system.ok('cat', CONFIG)).toContain(node().system.tag);
    expect(await node().ours.ok('version')).toContain(`RuntimeVersion:  ${NEXT_VERSION}`);
    expect(await node().system.daemon()).not.toBe(before);
    await node().podGoesOn();
  });
}

/** Back to the first version, whose program refuses at first. */
export function rpmRefusal(node: () => RpmNode): void {
  test('a program that refuses the configuration is installed; it says why, and the daemon of before serves', async () => {
    const before = await node().system.daemon();
    await node().system.write(CONFIG, 'nonsense = true\n');
    const said = await node().system.ok(...RPM, '--upgrade', '--oldpackage', await node().there('first'));
    expect(said).toMatch(/troupe\.toml.*nonsense/u);
    expect(said).toContain('not replaced; a daemon that runs goes on');
    expect(await node().system.systemctlCalls()).toEqual(['daemon-reload']);
    expect(await node().system.ok('troupe', 'version')).not.toContain(NEXT_VERSION);
    await node().configure();
    expect(await node().ours.ok('version')).toContain(`RuntimeVersion:  ${NEXT_VERSION}`);
    expect(await node().system.daemon()).toBe(before);
    await node().podGoesOn();
  });

  test('with the reason removed, the command that it named replaces the daemon', async () => {
    await node().system.ok('troupe', 'upgrade');
    expect(await node().ours.ok('version')).not.toContain(NEXT_VERSION);
    await node().podGoesOn();
  });
}

/** @param removed what a removal asks of systemd */
export function rpmErasure(node: () => RpmNode, removed: readonly string[]): void {
  test('an erasure stops the daemon, names the pod that goes on, and says what stays', async () => {
    const last = await node().system.daemon();
    const said = await node().system.ok(...RPM, '--erase', 'troupe');
    expect(said).toContain('these go on without it');
    expect(said).toMatch(/^ {2}.*own/mu);
    for (const left of ['/var/lib/troupe', '/run/troupe']) expect(said).toContain(`troupe: ${left} stays`);
    expect(await node().system.systemctlCalls()).toEqual(removed);
    await node().system.end(last);
    expect(await node().system.isAlive(node().pod.pid)).toBe(true);
    expect(await node().system.lines('ls -d /usr/lib')).toEqual(['/usr/lib']);
    expect(await node().system.lines("find /usr /etc -xdev -name '*troupe*' | sort")).toEqual([
      '/etc/troupe',
      `${CONFIG}.rpmsave`,
    ]);
  });

  test('installed again it finds the pod; wiped and erased, what docs/install.md says deletes the rest', async () => {
    await node().system.ok(...RPM, '--install', await node().there('next'));
    await node().configure();
    await node().system.serve('troupe-again', ['/usr/bin/troupe', 'serve'], node().ours.argv('pods'));
    expect(await node().ours.pods()).toEqual([node().pod.pod]);
    await node().podGoesOn();
    await node().system.stop('troupe-again');
    await node().system.ok('troupe', 'wipe', '--force');
    expect(await node().system.isAlive(node().pod.pid)).toBe(false);
    expect(await node().system.ok(...RPM, '--erase', 'troupe')).not.toContain('go on without it');
    await node().system.ok('rm', '-r', '/var/lib/troupe', '/run/troupe', '/etc/troupe');
    expect(
      await node().system.lines(
        "find /etc /usr /opt /var /run -xdev -iname '*troupe*' -not -path '/var/log/*'",
      ),
    ).toEqual([]);
    expect(await node().system.lines("awk '/troupe/' /proc/self/mountinfo")).toEqual([]);
  });
}
