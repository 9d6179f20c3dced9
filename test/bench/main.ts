// `sudo npm run bench [-- --rounds N] [--groups N] [--crowd N] [--runtime PATH|debian]`: pod start and end against their
// floor, interleaved in the same run, then memory, exec and lists; then many pods and containers, which is all that
// `--scale` runs. Writes its tables into docs/figures.md.
// `streams` instead of all that: how many bytes a second come through exec and port-forward. `stats`: statistics of 100
// containers. `peers`: beside containerd and CRI-O. `images` (or `--images`): cold pulls.
// `settings`: pods with RuntimeDefault and users of their own, and a probe a second.
// `--pods 10,100,1000` as the first: the same node with more and more pods, and what grows with them.
// `debris`: starts with what pods have left in the trash.
// `--only pod,pod10,host,host10,exec,cpu` prints some of the rows and writes nothing; `--waterfall` with it shows where
// each call's time goes inside the daemon, by its own traces (which cost about a millisecond a call).
import { spawn } from 'node:child_process';

/** libuv reads it once, before any script can set it: the daemon's own size, so that ten loops at once don't queue. */
const POOL_SIZE = '16';
const isImages = process.argv[2] === 'images' || process.argv[2] === '--images';

if (process.getuid?.() !== 0) {
  console.error('The bench makes pods, so it needs root: sudo npm run bench');
  process.exitCode = 1;
} else if (process.env['UV_THREADPOOL_SIZE'] === POOL_SIZE) {
  const args = process.argv.slice(2);
  const [first, ...rest] = args;
  if (first === 'streams') await (await import('./streams.ts')).streamsBench(rest);
  else if (first === 'stats') await (await import('./usage.ts')).usageBench();
  else if (first === '--pods') await (await import('./pods.ts')).podsBench(rest);
  else if (first === 'debris') await (await import('./debris.ts')).debrisBench();
  else if (first === 'settings') await (await import('./settings.ts')).settingsBench(rest);
  else if (first === 'peers') await (await import('./peers/peers.ts')).peersBench(rest);
  else if (isImages) await (await import('./images.ts')).imagesBench(rest);
  else {
    if (!args.includes('--scale')) await (await import('./bench.ts')).bench(args);
    if (!args.includes('--only')) await (await import('./scale.ts')).scaleBench();
  }
} else {
  // mounts of the images' bench stay out of the namespaces that others make meanwhile, which would keep them mounted
  const isolate = isImages ? ['unshare', '--mount'] : [];
  const [program = '', ...args] = [...isolate, process.execPath, ...process.argv.slice(1)];
  const again = spawn(program, args, {
    stdio: 'inherit',
    env: { ...process.env, UV_THREADPOOL_SIZE: POOL_SIZE },
  });
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => again.kill(signal));
  again.once('exit', (code) => (process.exitCode = code ?? 1));
}
