// How long the daemon's event loop stands still, as it says itself, beside a process that does nothing.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { metricsLimits } from '../../src/introspection/bounds.ts';
import type { World } from '../e2e/support/world.ts';

/** ms; the longest one, too. */
export interface Lag {
  readonly p999: number;
  readonly max: number;
}

/** What the world's configuration needs: the metrics report the daemon's lag. */
export const LAG_CONFIG = '[introspection]\nhttp_address = "127.0.0.1:0"\nmetrics = "open"\n';

/** The lag while `work` was done, of the daemon and of a process that slept meanwhile on the same machine. */
export async function lagDuring(
  world: World,
  work: () => Promise<void>,
): Promise<{ readonly daemon: Lag; readonly idle: Lag }> {
  const origin = await pageOf(world);
  const idle = startIdle();
  // each reading starts a new span
  await metricsText(origin);
  await work();
  return { daemon: lagIn(await metricsText(origin)), idle: await idle() };
}

/** Origin of the daemon's page. */
export async function pageOf({ instance }: Pick<World, 'instance'>): Promise<string> {
  const pages = [...(await instance.log()).matchAll(/"page":"([^"]+)"/gu)];
  return (
    pages.at(-1)?.[1] ??
    Promise.reject(new Error('the daemon has no page: is LAG_CONFIG in its configuration?'))
  );
}

/** The daemon's metrics; `origin` is that of its page. Its lag is that since the last reading. */
export const metricsText = async (origin: string): Promise<string> =>
  await (await fetch(new URL('/metrics', origin))).text();

/** What the metrics say of one, with its labels; NaN when it is not in them. */
export function metricIn(text: string, name: string): number {
  const line = text.split('\n').find((one) => one.startsWith(`${name} `));
  return Number(line?.slice(name.length + 1) ?? Number.NaN);
}

export function lagIn(text: string): Lag {
  const of = (quantile: string): number =>
    metricIn(text, `troupe_event_loop_lag_seconds{quantile="${quantile}"}`) * 1000;
  return { p999: of('0.999'), max: of('1') };
}

/** Measures as the daemon does; the returned function ends it. */
function startIdle(): () => Promise<Lag> {
  const program = `
    const loop = require('node:perf_hooks').monitorEventLoopDelay({ resolution: ${metricsLimits.loopSampleMs} });
    loop.enable();
    process.stdin.resume().once('end', () => {
      const ms = (ns) => Math.max(0, ns / 1e6 - ${metricsLimits.loopSampleMs});
      console.log(JSON.stringify({ p999: ms(loop.percentile(99.9)), max: ms(loop.max) }));
    });`;
  const child = spawn(process.execPath, ['-e', program], { stdio: ['pipe', 'pipe', 'inherit'] });
  let said = '';
  child.stdout.on('data', (chunk: Buffer) => (said += chunk.toString()));
  return async () => {
    const closed = once(child, 'close');
    child.stdin.end();
    await closed;
    return JSON.parse(said) as Lag;
  };
}
