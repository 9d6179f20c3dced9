// A CNI plugin of ours that keeps one file for each attachment, in the directory `kept` of its configuration, and takes
// away at GC what is not valid any more: the reference plugins accept GC and remove nothing. Each call goes to the file
// `calls` of its configuration, with what came on standard input.
import { appendFileSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

interface Request {
  readonly kept: string;
  readonly calls: string;
  readonly prevResult?: object;
  readonly 'cni.dev/valid-attachments'?: readonly { readonly containerID: string; readonly ifname: string }[];
}

const command = process.env['CNI_COMMAND'] ?? '';

if (command === 'VERSION') {
  console.log(JSON.stringify({ cniVersion: '1.1.0', supportedVersions: ['0.4.0', '1.0.0', '1.1.0'] }));
} else {
  const request = JSON.parse(readFileSync(0, 'utf8')) as Request;
  appendFileSync(request.calls, `${JSON.stringify({ command, request })}\n`);
  mkdirSync(request.kept, { recursive: true });
  const own = join(
    request.kept,
    `${process.env['CNI_CONTAINERID'] ?? ''}-${process.env['CNI_IFNAME'] ?? ''}`,
  );
  if (command === 'ADD') {
    writeFileSync(own, '');
    console.log(JSON.stringify(request.prevResult));
  }
  if (command === 'DEL') rmSync(own, { force: true });
  if (command === 'GC') {
    const valid = new Set(
      (request['cni.dev/valid-attachments'] ?? []).map(
        ({ containerID, ifname }) => `${containerID}-${ifname}`,
      ),
    );
    for (const name of readdirSync(request.kept)) if (!valid.has(name)) rmSync(join(request.kept, name));
  }
}
