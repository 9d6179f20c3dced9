import { spawn } from 'node:child_process';
import process from 'node:process';

/** ms for a program that packs 130 MB: seconds on a quiet machine. */
const TOOL_MS = 10 * 60_000;

/** Runs a program of the distribution in its own language; throws with what it printed when it fails. */
export async function runTool(
  [program = '', ...args]: readonly string[],
  env: Readonly<Record<string, string>>,
): Promise<void> {
  const child = spawn(program, args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { PATH: process.env['PATH'], HOME: '/nonexistent', LC_ALL: 'C', TZ: 'UTC', ...env },
    timeout: TOOL_MS,
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', (error: NodeJS.ErrnoException) =>
      reject(
        error.code === 'ENOENT'
          ? new Error(`${program} not found: sudo node scripts/setup.js package installs it`)
          : error,
      ),
    );
    child.once('close', resolve);
  });
  if (code !== 0) throw new Error(`${program} ended with ${String(code)}:\n${output}`);
}
