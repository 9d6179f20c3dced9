// `sudo npm run churn [-- --pods 40 --at-once 5 --kill-every 5 --hold 2 --deadline 20 --runtime PATH --keep]`: pods
// started and removed while the daemon is killed every few seconds and started again. Prints a table and writes it into
// docs/figures.md. With `--streams N [--seed N]` instead: so many sessions of exec, attach and port-forward that their
// clients leave at random points. With `--execs SECONDS [--per-second 50]` instead: ExecSync as probes send it.
import { parseArgs } from 'node:util';
import { writeFigures } from '../../../scripts/support/figures.ts';
import { abortSessions, abortsText, leaks } from '../streaming/aborts.ts';
import { makeWorld, type World } from '../support/world.ts';
import { churn, churnText, isClean } from './churn.ts';
import { execsText, growth, manyExecs } from './execs.ts';

const { values } = parseArgs({
  options: {
    pods: { type: 'string', default: '40' },
    'at-once': { type: 'string', default: '5' },
    'kill-every': { type: 'string', default: '5' },
    hold: { type: 'string', default: '2' },
    deadline: { type: 'string', default: '20' },
    runtime: { type: 'string' },
    streams: { type: 'string' },
    execs: { type: 'string' },
    'per-second': { type: 'string', default: '50' },
    seed: { type: 'string', default: '1' },
    keep: { type: 'boolean', default: false },
  },
});

if (process.getuid?.() === 0) await main();
else {
  console.error('The churn makes pods, so it needs root: sudo npm run churn');
  process.exitCode = 1;
}

async function main(): Promise<void> {
  const options = {
    pods: Number(values.pods),
    atOnce: Number(values['at-once']),
    killEveryMs: Number(values['kill-every']) * 1000,
    holdMs: Number(values.hold) * 1000,
    callMs: Number(values.deadline) * 1000,
  };
  const world = await makeWorld({
    name: 'churn',
    ...(values.runtime === undefined ? {} : { runtimePath: values.runtime }),
  });
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.once(signal, () => void world.close().finally(() => process.exit(130)));
  try {
    if (values.streams !== undefined) return await leaveStreams(world, Number(values.streams));
    if (values.execs !== undefined) return await loadExecs(world, Number(values.execs));
    const result = await churn(world, options);
    const text = churnText(options, result);
    console.log(text);
    writeFigures('churn', 'Churn', text);
    const failed = isClean(result) ? 0 : Math.max(1, result.failedPods.length);
    // as the parts of a guest are counted (test/vm/report.ts)
    console.log(`churn: ${options.pods - failed} passed, ${failed} failed`);
    if (failed > 0) process.exitCode = 1;
  } finally {
    if (values.keep) console.log(`kept for inspection: ${world.instance.directory}`);
    else await world.close();
  }
}

async function leaveStreams(world: World, sessions: number): Promise<void> {
  const options = { sessions, atOnce: Number(values['at-once']), seed: Number(values.seed) };
  const result = await abortSessions(world, options);
  const text = abortsText(options, result);
  console.log(text);
  writeFigures('left streams', 'Sessions that their clients leave', text);
  if (leaks(result).length > 0) process.exitCode = 1;
}

async function loadExecs(world: World, seconds: number): Promise<void> {
  const options = { perSecond: Number(values['per-second']), seconds };
  const result = await manyExecs(world, options);
  const text = execsText(options, result);
  console.log(text);
  writeFigures('execs', 'ExecSync for minutes', text);
  if (growth(result).length > 0) process.exitCode = 1;
}
