// `sudo npm run handover [-- --take-overs 20 --clients 20 --execs 30 --sessions 10 --forward-mib 1024 --figures]`: a
// daemon that is replaced again and again under load. Prints failed calls, broken sessions and the longest list; fails
// unless the first two are zero and no list took more than 300 ms. With `--kill [--seed N]`: one of the two daemons is
// killed at a random point of each take-over; nothing may be lost. `--figures` writes a block of docs/figures.md.
import { parseArgs } from 'node:util';
import { writeFigures } from '../../../scripts/support/figures.ts';
import { makeWorld } from '../support/world.ts';
import { handOver, type HandoverOptions } from './handover.ts';
import { handoverText, problemsOf } from './report.ts';
import { makeServices } from './services.ts';

const { values } = parseArgs({
  options: {
    'take-overs': { type: 'string', default: '20' },
    clients: { type: 'string', default: '20' },
    execs: { type: 'string', default: '30' },
    sessions: { type: 'string', default: '10' },
    span: { type: 'string', default: '3' },
    'forward-mib': { type: 'string', default: '1024' },
    pods: { type: 'string', default: '10' },
    every: { type: 'string', default: '3' },
    pause: { type: 'string', default: '4' },
    kill: { type: 'boolean', default: false },
    seed: { type: 'string' },
    figures: { type: 'boolean', default: false },
    keep: { type: 'boolean', default: false },
  },
});

if (process.getuid?.() === 0) await main();
else {
  console.error('The run makes pods, so it needs root: sudo npm run handover');
  process.exitCode = 1;
}

async function main(): Promise<void> {
  const services = await makeServices();
  // however it ends; what is kept for inspection runs in them
  if (!values.keep) process.once('exit', () => services.remove());
  const options: HandoverOptions = {
    takeOvers: Number(values['take-overs']),
    clients: Number(values.clients),
    execsPerSecond: Number(values.execs),
    sessions: Number(values.sessions),
    span: Number(values.span),
    forwardBytes: Number(values['forward-mib']) * 2 ** 20,
    pods: Number(values.pods),
    everyMs: Number(values.every) * 1000,
    pauseMs: Number(values.pause) * 1000,
    hasNetwork: true,
    isKilled: values.kill,
    seed: Number(values.seed ?? Date.now() % 100_000),
    besideClients: services.beside,
    onStep: (line) => console.log(line),
  };
  console.log(`seed ${options.seed}`);
  // as on a node, /run is a tmpfs
  const world = await makeWorld({
    name: 'hand',
    isWide: true,
    logLevel: 'info',
    stateInMemory: true,
    before: () => services.daemon,
  });
  // once: the clients of an interrupted run fail, which ends it as well
  let closing: Promise<void> | undefined;
  const close = (): Promise<void> => (closing ??= world.close());
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.once(signal, () => void close().finally(() => process.exit(130)));
  try {
    const result = await handOver(world, options);
    const text = `${handoverText(options, result)}\n\n${services.place}`;
    console.log(text);
    if (values.figures)
      writeFigures(
        options.isKilled ? 'handover killed' : 'handover',
        options.isKilled ? 'Take-over, one side killed' : 'Take-over',
        text,
      );
    if (problemsOf(options, result).length > 0) process.exitCode = 1;
  } catch (error) {
    console.error(error);
    process.exitCode = 1;
  } finally {
    if (values.keep) {
      console.log(`kept for inspection: ${world.instance.directory}`);
      process.exit();
    }
    await close();
  }
}
